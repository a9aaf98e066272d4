"""Many metrics at once give what each gives alone; who may be scored, and what is refused.

Oracles: every metric's own function on one image at a time; entropy and standard deviation written out with NumPy.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.metrics import get_metric, list_metrics
from fusionbench.metrics.dialects import DIALECTS
from fusionbench.metrics.engine import TABLE, SourcePair, available, choose, score_images
from tests.metrics import scenes

SHAPE = (48, 56)
ALL = [name for name in list_metrics() if get_metric(name).needs in ("pair", "fused")]
SMALL = [name for name in ALL if get_metric(name).min_side <= min(SHAPE)]


def stacks(count: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``fused``, ``a`` and ``b``, uint8 (count, H, W)."""
    return scenes.stacks(count, SHAPE)


def alone(name: str, fused: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    metric = get_metric(name)
    images = (fused,) if metric.needs == "fused" else (fused, a, b)
    return np.array([metric.function(*(stack[i : i + 1] for stack in images))[0] for i in range(len(fused))])


@pytest.mark.parametrize("name", SMALL)
def test_together_or_alone_is_the_same_to_the_bit(name: str) -> None:
    fused, a, b = stacks()
    others = [other for other in ("vif", "qabf", "mi", "ssim") if other != name]
    pair = SourcePair(a, b, [*others, name])
    first, again = pair.score(fused), pair.score(fused)
    expected = alone(name, fused, a, b)
    assert first[name].shape == (3,) and first[name].dtype == np.float64
    assert np.array_equal(first[name], expected, equal_nan=True)
    assert np.array_equal(again[name], expected, equal_nan=True), "what is cached stays what it was"
    assert np.array_equal(score_images(fused, a, b, [name, *others])[name], expected, equal_nan=True)


def test_a_second_fused_image_of_the_same_sources_has_its_own_values() -> None:
    fused, a, b = stacks()
    pair = SourcePair(a, b)
    pair.score(fused)
    other = fused[:, ::-1, ::-1].copy()
    for name, values in pair.score(other).items():
        assert np.array_equal(values, alone(name, other, a, b)), name


def test_values_by_formulas_written_out() -> None:
    fused, a, b = stacks()
    found = SourcePair(a, b, ["en", "sd"]).score(fused)
    for i, image in enumerate(fused):
        share = np.bincount(image.ravel(), minlength=256) / image.size
        assert found["en"][i] == pytest.approx(-sum(p * np.log2(p) for p in share if p), rel=1e-12)
        assert found["sd"][i] == pytest.approx(image.astype(float).std(), rel=1e-12)


def test_the_default_is_the_table_of_the_field_in_its_order() -> None:
    fused, a, b = stacks(1)
    assert list(SourcePair(a, b).score(fused)) == ["en", "sd", "sf", "mi", "scd", "vif", "qabf", "ssim"] == list(TABLE)
    assert list(score_images(fused, a, b)) == list(TABLE)
    assert list(score_images(fused, a, b, ["ssim", "en", "ssim"])) == ["ssim", "en"], "each once, as asked for"


def test_all_is_all_that_takes_two_sources() -> None:
    chosen = {metric.name for metric in choose(["all"])}
    assert chosen == set(ALL) and {"nll", "mse_min", "psnr_target", "ssim_target"}.isdisjoint(chosen)
    assert {metric.name for metric in choose(["all", "en"][:1])} == chosen
    with pytest.raises(UsageError, match="all"):
        choose(["all", "en"])  # only by itself


@pytest.mark.parametrize("name", ["nll", "mse_min", "psnr_target", "ssim_target"])
def test_metrics_of_other_things_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}.* needs {get_metric(name).needs}, not a fused image"):
        choose(["en", name])


def test_nothing_to_score_and_unknown_names() -> None:
    with pytest.raises(UsageError, match="No metric to score"):
        choose([])
    with pytest.raises(UsageError, match="viff"):
        choose(["vff"])
    with pytest.raises(UsageError):
        choose(None, "no-such-dialect")


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_a_dialect_has_its_own_metrics_and_the_default_is_cut_to_them(dialect: str) -> None:
    names = available(dialect)
    assert names and set(names) <= set(DIALECTS[dialect].metrics) and set(names) <= set(ALL)
    assert names == [name for name in list_metrics() if name in names]
    assert available(dialect, TABLE) == [name for name in TABLE if name in names]
    if available(dialect, TABLE):
        assert [metric.name for metric in choose(None, dialect)] == available(dialect, TABLE)
    assert {metric.dialect for metric in choose(["all"], dialect)} == {get_metric(names[0], dialect).dialect}
    assert get_metric(names[0], dialect).dialect != "standard/1"


def test_a_dialect_changes_values() -> None:
    fused, a, b = stacks(1)
    standard, theirs = (SourcePair(a, b, ["mi"], **d).score(fused)["mi"] for d in ({}, {"dialect": "cddfuse"}))
    assert theirs == pytest.approx(standard * np.log(2), rel=1e-9), "nats and bits"
    assert score_images(fused, a, b, ["mi"], "cddfuse")["mi"] == theirs


def test_metrics_of_others_are_called_with_whole_stacks() -> None:
    """A function without a kernel gets the stacks; one of the fused image gets that alone."""
    seen: list[tuple[tuple[int, ...], ...]] = []

    def function(*images: np.ndarray) -> np.ndarray:
        seen.append(tuple(image.shape for image in images))
        return np.asarray(images[0], float).max(axis=(1, 2))

    base = get_metric("en")
    from dataclasses import replace

    mine = replace(base, name="brightest", function=function)
    both = replace(mine, name="brightest_pair", needs="pair")
    fused, a, b = stacks()
    found = SourcePair(a, b, [mine, "en", both]).score(fused)
    assert found["brightest"].tolist() == found["brightest_pair"].tolist() == fused.max(axis=(1, 2)).tolist()
    assert np.array_equal(found["en"], alone("en", fused, a, b))
    assert seen == [((3, *SHAPE),), ((3, *SHAPE),) * 3]


@pytest.mark.parametrize("name", ["en", "vif", "qabf"])
def test_tensors_come_back_as_tensors_with_the_same_values(name: str) -> None:
    fused, a, b = stacks()
    tensors = [torch.from_numpy(stack) for stack in (fused, a, b)]
    for found in (score_images(*tensors, [name]), SourcePair(*tensors[1:], [name]).score(tensors[0])):
        assert isinstance(found[name], torch.Tensor) and found[name].dtype == torch.float64
        assert np.array_equal(found[name].numpy(), alone(name, fused, a, b))


def test_no_images_are_no_values() -> None:
    fused, a, b = (stack[:0] for stack in stacks())
    for empty in (score_images(fused, a, b, ["en", "vif"]), SourcePair(a, b, ["en", "vif"]).score(fused)):
        assert {name: values.shape for name, values in empty.items()} == {"en": (0,), "vif": (0,)}
    tensor = torch.from_numpy(fused)
    assert isinstance(score_images(tensor, tensor, tensor, ["en"])["en"], torch.Tensor)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: f[:2], DataError, "fused has shape"),
        (lambda f: f[:, :-1], DataError, "fused has shape"),
        (lambda f: f[0], UsageError, "add a batch axis"),
        (lambda f: torch.from_numpy(f), UsageError, "mix NumPy arrays and torch"),
        (lambda f: f.astype(np.uint16), UsageError, "16-bit"),
        (lambda f: np.where(np.arange(3)[:, None, None] == 1, np.nan, f), DataError, "fused image second.*NaN"),
        (lambda f: f * 2.0, DataError, "outside 0..255"),
    ],
)
def test_what_cannot_be_scored_is_named(change: Any, error: type[Exception], message: str) -> None:
    fused, a, b = stacks()
    pair = SourcePair(a, b, ["en"], ids=["first", "second", "third"])
    with pytest.raises(error, match=message):
        pair.score(change(fused))
    assert np.array_equal(pair.score(fused)["en"], alone("en", fused, a, b)), "the pair can still be used"


def test_sources_that_cannot_be_scored_are_named() -> None:
    _, a, b = stacks()
    with pytest.raises(DataError, match="b image second"):
        SourcePair(a, np.where(np.arange(3)[:, None, None] == 1, np.inf, b), ["en"], ids=["first", "second", "third"])
    with pytest.raises(DataError, match="a has shape"):
        SourcePair(a, b[:2], ["en"])
    with pytest.raises(DataError, match="fused has shape"):
        score_images(a[:2], a, b, ["en"])


def test_undefined_values_are_silent() -> None:
    """A constant image has no correlation: the value says so, and no warning goes to the terminal."""
    flat = np.full((1, *SHAPE), 7, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for found in (SourcePair(flat, flat, ["cc", "scd"]).score(flat), score_images(flat, flat, flat, ["cc"])):
            assert np.isnan(found["cc"]).all()


def test_what_the_sources_cost_is_paid_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fused, a, b = stacks(2)
    pair, passing = SourcePair(a, b, ["vif"]), SourcePair(a, b, ["vif"], persistent=False)
    assert all(image.persistent for sources in pair._sources for image in sources)
    assert not any(image.persistent for sources in passing._sources for image in sources)
    assert np.array_equal(pair.score(fused)["vif"], passing.score(fused)["vif"])
    monkeypatch.setattr("fusionbench.metrics.engine.check_stacks", lambda stacks, names, ids: seen.append(names))
    seen: list[tuple[str, ...]] = []
    pair.score(fused)
    pair.score(fused.astype(np.float32))
    assert seen == [("fused",)] * 2, "the sources' pixels are not looked at again"


@pytest.mark.parametrize("kind", ["uint8", "float64", "tensor"])
def test_a_pair_keeps_to_the_sources_that_it_was_given(kind: str) -> None:
    """Cached shares of old pixels beside new ones would give values of neither."""
    stacks_now = [image.astype(np.float64) + 0.25 if kind == "float64" else image.copy() for image in stacks(1)]
    fused, a, b = [torch.from_numpy(x) for x in stacks_now] if kind == "tensor" else stacks_now
    names = ["mi", "vif", "qabf", "ssim", "scd"]
    pair = SourcePair(a, b, names)
    before = {name: float(values[0]) for name, values in pair.score(fused).items()}
    a[:, 10:40, 10:40] = 200
    assert {name: float(values[0]) for name, values in pair.score(fused).items()} == before
    now = {name: float(values[0]) for name, values in score_images(fused, a, b, names).items()}
    assert now == {name: float(values[0]) for name, values in SourcePair(a, b, names).score(fused).items()}
    assert all(now[name] != before[name] for name in names)


def test_changed_arrays_are_scored_as_they_are() -> None:
    """Whatever is kept from call to call (filters, memory, compiled code) depends on no pixel."""
    fused, a, b = stacks(1)
    names = SMALL
    first = score_images(fused, a, b, names)
    other, own = np.flip(fused, 1).copy(), fused.copy()
    fused[:] = other
    second = score_images(fused, a, b, names)
    fused[:] = own
    third = score_images(fused, a, b, names)
    assert {name: values.tolist() for name, values in first.items()} == {
        name: values.tolist() for name, values in third.items()
    }
    assert sum(second[name][0] != first[name][0] for name in names) > len(names) / 2
