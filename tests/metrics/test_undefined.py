"""Where metrics have no value: every size and every condition that a record names, and no other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import Metric
from fusionbench.metrics import get_metric, list_metrics
from fusionbench.metrics.dialects import DIALECTS
from fusionbench.metrics.engine import TABLE, choose
from fusionbench.metrics.undefined import CONDITIONS, NotAvailable, grouped, measure, too_small, why_undefined
from tests.metrics.scenes import scene

IMAGES = {"fused": 1, "target": 2, "pair": 3}
EVERY = [("standard/1", name) for name in list_metrics() if get_metric(name).needs in IMAGES] + [
    (dialect.name, name) for dialect in DIALECTS.values() for name in dialect.metrics
]
SIZES = [
    *((1, 1), (1, 2), (1, 23), (23, 1), (2, 2), (3, 3), (7, 9), (9, 9), (11, 11), (16, 16)),
    *((28, 28), (31, 40), (40, 40), (41, 41), (175, 176), (176, 176)),
]
# read off the formulas once more, by hand: (shortest side, fewest pixels) where they are not (1, 1)
SMALLEST = {
    **{"ag": (2, 1), "sf": (2, 1), "cc": (1, 2), "scd": (1, 2), "nmi": (1, 2), "fmi": (3, 1), "nabf": (3, 1)},
    **{"qabf": (3, 1), "qy": (7, 1), "ssim": (11, 1), "ssim_target": (11, 1), "qcv": (16, 1), "qp": (28, 1)},
    **{"qcb": (31, 1), "vif": (41, 1), "viff": (41, 1), "ms_ssim": (176, 1)},
    **{"mef_ssim": (11, 1), "mef_ms_ssim": (44, 1), "vif_wavelet": (72, 1)},
    **{"ei": (3, 1), "qte": (1, 2), "qm": (4, 1), "qg": (3, 1), "qsf": (2, 1), "labf": (3, 1)},
    **{"fmi_edge": (3, 1), "fmi_dct": (3, 1), "fmi_wavelet": (3, 1)},
    **{"qs": (8, 1), "qw": (8, 1), "qe": (8, 1), "qc": (8, 1), "qc@liu-2012": (7, 1)},
    **{"qc@mefb": (7, 1), "qe@mefb": (11, 1), "qte@mefb": (1, 2)},
    **{"qs@liu-2012": (11, 1), "qw@liu-2012": (11, 1), "qe@liu-2012": (11, 1)},
    **{"ssim@cddfuse": (7, 1), "ssim@linfeng": (1, 1), "vif@ivif-zoo": (9, 1)},
}


def noise(shape: tuple[int, int], count: int) -> list[np.ndarray]:
    """Random images without any condition; two pixels are never equal."""
    rng = np.random.default_rng([5, *shape])
    images = [rng.integers(0, 256, shape, np.uint8) for _ in range(count)]
    if shape[0] * shape[1] > 1:
        for place, image in enumerate(images):
            image.flat[0], image.flat[1] = 10 + 60 * place, 255 - 20 * place**2
    return images


def value_of(metric: Metric, images: list[np.ndarray]) -> float:
    return float(metric.function(*(image[None] for image in images))[0])


@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_every_size_gives_a_finite_value_or_a_reason(dialect: str, name: str) -> None:
    metric = get_metric(name, dialect)
    key = f"{name}@{dialect}" if f"{name}@{dialect}" in SMALLEST else name
    side, pixels = SMALLEST.get(key, (1, 1))
    assert (metric.min_side, metric.min_pixels) == (side, pixels)
    assert metric.min_reason if (side, pixels) != (1, 1) else not metric.min_reason
    for shape in SIZES:
        images = noise(shape, IMAGES[metric.needs])
        why = too_small(metric, *shape)
        assert (why is None) == (min(shape) >= side and shape[0] * shape[1] >= pixels), shape
        if why is None:
            assert math.isfinite(value_of(metric, images)), shape
        else:
            assert why.cause == "size" and why.fair and metric.min_reason in why.reason
            if min(shape) < side:  # the formula itself refuses, too: no value is made up
                with pytest.raises(DataError, match=f"at least {side}×{side} pixels"):
                    value_of(metric, images)
            elif key != "qte@mefb":  # which has no denominator
                assert not math.isfinite(value_of(metric, images)), shape
    smallest = (side, max(side, -(-pixels // side)))
    assert math.isfinite(value_of(metric, noise(smallest, IMAGES[metric.needs]))), smallest


@pytest.mark.parametrize("shape", SIZES)
def test_all_metrics_at_once(shape: tuple[int, int]) -> None:
    metrics = choose(["all"])
    values, missing = measure(*noise(shape, 3), metrics)
    assert list(values) == [metric.name for metric in metrics]
    assert {name for name, value in values.items() if not math.isfinite(value)} == set(missing)
    assert {why.cause for why in missing.values()} <= {"size"}
    assert set(missing) == {metric.name for metric in metrics if too_small(metric, *shape)}
    for metric in metrics:
        if metric.name not in missing:
            images = noise(shape, 3)[: IMAGES[metric.needs]]
            assert values[metric.name] == value_of(metric, images)


def blocks(shape: tuple[int, int], side: int) -> np.ndarray:
    """A checkerboard."""
    return (90 + 40 * (sum(index // side for index in np.indices(shape)) % 2)).astype(np.uint8)


def triple(condition: str, side: int) -> list[np.ndarray]:
    """Images for which a condition holds and no other one that it does not imply."""
    f, a, b = scene(3, (side, side + 5))
    flat = np.full_like(a, 77)
    return {
        "a source is constant": [f, a, flat],
        "both sources are constant": [f, flat, flat + 8],
        "both sources are black": [f, flat * 0, flat * 0],
        "no source has a feature": [f, flat, flat + 8],
        "no source has an edge of two grey levels": [
            f,
            flat + (np.indices(f.shape)[1] // 3 % 2).astype(np.uint8),
            flat,
        ],
        "both sources are constant in every 4×4 block": [f, blocks(f.shape, 4), blocks(f.shape, 12)],
        "the fused image is constant": [flat, a, b],
        "the fused image is black": [flat * 0, a, b],
        "the fused image minus a source is constant": [np.clip(b, 0, 200) + 3, a, np.clip(b, 0, 200)],
        "the fused image and a source are constant": [flat, a, flat + 1],
        "the fused image equals both sources": [a, a, a],
        "the fused image equals the target": [a, a],
    }[condition]


@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_conditions_that_a_record_names_hold_and_no_other(dialect: str, name: str) -> None:
    metric = get_metric(name, dialect)
    side = max(metric.min_side, 45)
    assert set(metric.undefined) <= set(CONDITIONS)
    for condition in metric.undefined:
        images = triple(condition, side)
        value = value_of(metric, images[: IMAGES[metric.needs]])
        assert not math.isfinite(value), condition
        why = why_undefined(metric, value, images)
        assert why.reason.endswith(f"where {condition}") and why.cause == CONDITIONS[condition].cause
        # what is the sources' doing is so for any fused image: that is why a mean may leave it out
        if why.fair:
            for fused in (images[1], images[2], scene(8, (side, side + 5))[0]):
                assert not math.isfinite(value_of(metric, [fused, *images[1:]])), condition
    for condition in CONDITIONS:
        images = triple(condition, side)
        if len(images) < IMAGES[metric.needs] or (metric.needs == "target") != (len(images) == 2):
            continue
        known = any(CONDITIONS[one].holds(*images) for one in metric.undefined)
        assert math.isfinite(value_of(metric, images[: IMAGES[metric.needs]])) != known, condition


def test_what_the_sources_bring_about_comes_before_what_the_fused_image_does() -> None:
    """A method is not blamed for what no method could avoid."""
    _, a, _ = scene()
    flat = np.full_like(a, 40)
    _, missing = measure(flat, a, flat, choose(["cc", "scd", "nmi", "en"]))
    assert {name: why.cause for name, why in missing.items()} == {"cc": "sources", "scd": "sources", "nmi": "fused"}


def test_a_plugin_that_refuses_or_explains_nothing_leaves_the_others_alone() -> None:
    import dataclasses

    def refuses(fused: np.ndarray) -> np.ndarray:
        raise DataError("mine takes\n  larger images")

    silent = dataclasses.replace(get_metric("en"), name="silent", function=lambda fused: np.full(len(fused), np.nan))
    refusing = dataclasses.replace(get_metric("en"), name="refusing", function=refuses)
    odd = dataclasses.replace(silent, name="odd", undefined=("the moon is full",))
    values, missing = measure(*scene(), [refusing, get_metric("sd"), silent, odd])
    assert missing["refusing"] == NotAvailable("mine takes larger images", "fused")
    assert "its" not in missing and not missing["silent"].fair and "does not name" in missing["odd"].reason
    assert values["sd"] == pytest.approx(scene()[0].std(), rel=1e-12) and set(missing) == {"refusing", "silent", "odd"}


def test_images_that_nothing_can_score_are_refused() -> None:
    f, a, b = scene()
    with pytest.raises(DataError, match="must have one size"):
        measure(f, a[:-1], b, choose(TABLE))
    broken = f.astype(float)
    broken[3, 3] = np.nan
    with pytest.raises(DataError, match="fused image night: has NaN"):
        measure(broken, a.astype(float), b.astype(float), choose(TABLE), "night")
    with pytest.raises(UsageError, match="nothing to score"):
        measure(f[:0], a[:0], b[:0], choose(TABLE))


def test_grouping_by_reason() -> None:
    small, flat = NotAvailable("small", "size"), NotAvailable("flat", "fused")
    found = grouped([("1", small), ("2", None), ("3", flat), ("4", small)])
    assert found == {small: ["1", "4"], flat: ["3"]}


def test_the_documentation_has_every_smallest_size_and_condition() -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            for name in cells[0].replace("`", "").split(", "):
                rows[name] = cells[1:]
    for name in (name for name in list_metrics() if get_metric(name).needs in IMAGES):
        metric = get_metric(name)
        size = f"{metric.min_side}×{metric.min_side}" if metric.min_pixels == 1 else f"{metric.min_pixels} pixels"
        assert rows[name][0] == size and rows[name][1] == (metric.min_reason or "–"), name
        assert rows[name][2] == ("; ".join(metric.undefined) or "–"), name


@pytest.mark.parametrize("rule", ["drop", "zero"])
def test_sides_of_the_scales_of_ms_ssim(rule: str) -> None:
    """The rule at odd sides, as the record and the documentation have it."""
    from fusionbench.metrics.ms_ssim import METRIC, _average_2x2

    x, sides = np.zeros((179, 180)), [179]
    for _ in range(4):
        x = _average_2x2(x, rule)
        sides.append(x.shape[0])
    assert ", ".join(map(str, sides)) in " ".join(METRIC.choices)


def test_tensors_on_a_device_have_the_same_values_and_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batched path that a GPU takes, here with the CPU in its place."""
    import torch

    from fusionbench.metrics import _images

    class Device:
        type = "cuda"

    monkeypatch.setattr(
        torch.Tensor,
        "to",
        lambda self, *args, to=torch.Tensor.to: self if isinstance(args[0], Device) else to(self, *args),
    )
    used = []
    monkeypatch.setattr(_images, "on_device", lambda stack: used.append(stack) or not isinstance(stack, np.ndarray))
    images = (*scene(1, (45, 50))[:2], np.full((45, 50), 9, np.uint8))  # no SCD: a source is constant
    metrics = choose(["vif", "scd", "ms_ssim", "fmi"])
    expected, why = measure(*images, metrics)
    assert not any(isinstance(stack, torch.Tensor) for stack in used)
    found, same = measure(*images, metrics, device=Device())  # type: ignore[arg-type]
    assert any(isinstance(stack, torch.Tensor) for stack in used)
    assert found == pytest.approx(expected, rel=1e-9, nan_ok=True) and same == why and set(why) == {"scd", "ms_ssim"}
