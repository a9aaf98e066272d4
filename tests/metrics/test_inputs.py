"""Metrics of any number of sources and of a target: against values of two sources, and plain loops."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import Metric
from fusionbench.metrics import get_metric, list_metrics
from fusionbench.metrics.inputs import choose_for, measure_row
from fusionbench.metrics.undefined import measure
from tests.metrics.scenes import scene
from tests.metrics.test_qabf import plainly as qabf_plainly

F, A, B = scene(0)
C, D = scene(3)[1], scene(4)[2]
MEANS = ("cc", "fmi", "mse", "ssim")
SUMS = ("mi", "nmi", "vif")
MANY = {*MEANS, *SUMS, "ms_ssim", "nabf", "psnr", "qabf", "mef_ssim", "mef_ms_ssim"}


def values(names: list[str], sources: list[np.ndarray], fused: np.ndarray = F) -> dict[str, float]:
    found, missing = measure_row(fused, sources, choose_for(names, sources=len(sources)))
    assert not missing
    return found


def test_which_metrics_are_defined_for_any_number() -> None:
    assert {name for name in list_metrics() if get_metric(name).many} == MANY
    every = {metric.name for metric in choose_for(["all"], sources=4)}
    assert every == MANY | {name for name in list_metrics() if get_metric(name).needs == "fused"}
    assert not any(get_metric(name, "cddfuse").many for name in ("mi", "ssim")), "evaluators take two sources"


def test_sums_and_means_over_the_sources() -> None:
    """A source that is given twice counts twice, so two sources give the share of each."""
    each = {name: [values([name], [x, x])[name] for x in (A, B, C)] for name in (*MEANS, *SUMS)}
    three = values([*MEANS, *SUMS], [A, B, C])
    for name in MEANS:
        assert three[name] == pytest.approx(sum(each[name]) / 3, rel=1e-12), name
    for name in SUMS:
        assert three[name] == pytest.approx(sum(each[name]) / 2, rel=1e-12), name


def test_psnr_is_of_the_mean_error() -> None:
    errors = [mean_squared_error(F, x) for x in (A, B, C, D)]
    expected = 10 * math.log10(255**2 / (sum(errors) / 4))
    assert values(["psnr"], [A, B, C, D])["psnr"] == pytest.approx(expected, rel=1e-12)


def test_qabf_weighs_every_source_by_its_edges() -> None:
    f, sources = scene(1, (24, 29))[0], [scene(seed, (24, 29))[1] for seed in (1, 2, 3)]
    # Σ q·g and Σ g of one source, from values of pairs: with itself a source has its own quotient
    flat = np.full_like(f, 7)
    weights = [np.hypot(*gradients(x)).sum() for x in sources]
    alone = [qabf_plainly(f, x, flat, "replicate", "one") for x in sources]  # a flat source weighs nothing
    expected = sum(q * w for q, w in zip(alone, weights, strict=True)) / sum(weights)
    assert values(["qabf"], sources, f)["qabf"] == pytest.approx(expected, rel=1e-10)


def gradients(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grown = np.pad(x.astype(float), 1, mode="edge")
    across = grown[:-2] + 2 * grown[1:-1] + grown[2:]
    down = grown[:, :-2] + 2 * grown[:, 1:-1] + grown[:, 2:]
    return across[:, 2:] - across[:, :-2], down[2:] - down[:-2]


def test_an_edge_that_any_source_has_is_no_artefact() -> None:
    assert values(["nabf"], [A, B, F])["nabf"] == 0 < values(["nabf"], [A, B])["nabf"]
    twice = values(["nabf"], [A, A, B, B])["nabf"]
    assert twice == pytest.approx(values(["nabf"], [A, B])["nabf"], rel=1e-12)


@pytest.mark.parametrize("name", sorted(MANY - {"ms_ssim"}))
def test_order_does_not_matter_and_twice_all_is_all(name: str) -> None:
    one, other = values([name], [A, B, C])[name], values([name], [C, A, B])[name]
    assert one == pytest.approx(other, rel=1e-12)
    twice, two = values([name], [A, B, A, B])[name], values([name], [A, B])[name]
    assert twice == pytest.approx(two * (2 if name in SUMS else 1), rel=1e-12)


def test_two_sources_are_scored_as_ever() -> None:
    chosen = choose_for(None)
    assert measure_row(F, [A, B], chosen)[0] == measure(F, A, B, chosen)[0]


def test_against_a_target_and_sources_at_once() -> None:
    chosen = choose_for(None, target=True)
    assert [metric.name for metric in chosen][-3:] == ["mse_target", "psnr_target", "ssim_target"] and len(chosen) == 11
    found, missing = measure_row(F, [A, B], chosen, "one", target=C)
    assert (
        not missing and {k: v for k, v in found.items() if "target" not in k} == measure(F, A, B, choose_for(None))[0]
    )
    assert found["mse_target"] == pytest.approx(mean_squared_error(F, C), rel=1e-12)
    assert found["psnr_target"] == pytest.approx(peak_signal_noise_ratio(C, F, data_range=255), rel=1e-12)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "full": True}
    whole = structural_similarity(C.astype(float), F.astype(float), **options)[1]
    assert found["ssim_target"] == pytest.approx(whole[5:-5, 5:-5].mean(), rel=1e-9)
    alone = measure_row(F, [], choose_for(["psnr_target", "en"], sources=0, target=True), target=C)[0]
    assert alone["psnr_target"] == found["psnr_target"] and alone["en"] == found["en"]


def test_no_value_has_a_reason() -> None:
    flat = np.full_like(F, 3)
    _, missing = measure_row(F, [A, flat, B], choose_for(["cc", "mi"], sources=3))
    assert {name: (why.reason, why.cause) for name, why in missing.items()} == {
        "cc": ("undefined where a source is constant", "sources")
    }
    _, missing = measure_row(F, [F, F, F], choose_for(["psnr"], sources=3))
    assert missing["psnr"].reason == "infinite where the fused image equals all 3 sources"
    _, missing = measure_row(F, [], choose_for(["psnr_target"], sources=0, target=True), target=F)
    assert missing["psnr_target"].reason == "infinite where the fused image equals the target"
    small = [x[:28, :28] for x in (F, A, B, C)]
    _, missing = measure_row(small[0], small[1:], choose_for(["vif", "en"], sources=3))
    assert missing["vif"].cause == "size" and list(missing) == ["vif"]


def test_a_plain_function_of_many() -> None:
    def brightest(fused: np.ndarray, *sources: np.ndarray) -> np.ndarray:
        if len(sources) == 4:
            raise DataError("four are too many")
        return np.array([float(max(x.max() for x in sources))])

    metric: Metric = dataclasses.replace(get_metric("mi"), name="brightest", function=brightest)
    assert measure_row(F, [A, B, C], choose_for([metric], sources=3))[0] == {"brightest": float(max(A.max(), B.max(), C.max()))}  # fmt: skip  # noqa: E501
    _, missing = measure_row(F, [A, B, C, D], choose_for([metric], sources=4))
    assert missing["brightest"].reason == "four are too many"


@pytest.mark.parametrize(
    ("metrics", "how", "words"),
    [
        (
            ["scd"],
            {"sources": 3},
            r"'scd' is defined for two sources, not for 3; for any number there are cc, fmi, mef_ms_ssim, ",
        ),
        (["vif"], {"sources": 0, "target": True}, r"'vif' compares with the sources: add --a and --b"),
        (["psnr_target"], {}, r"'psnr_target' compares with the known truth: add --target"),
        (["psnr_target"], {"sources": 3}, r"'psnr_target' compares with the known truth: add --target"),
        (["nll"], {"sources": 3}, r"'nll' needs log_weights"),
        (["vff"], {"sources": 3}, r"Unknown metric 'vff'"),
        ([], {"sources": 3}, r"No metric to score"),
        (None, {"sources": 3, "dialect": "cddfuse"}, r"'cddfuse' is not defined for 3 sources: leave --dialect out"),
        (None, {"target": True, "dialect": "vifb"}, r"'vifb' is not defined for a target"),
    ],
)
def test_what_is_refused_in_one_line(metrics: list[str] | None, how: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        choose_for(metrics, **how)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_images_that_cannot_be_scored_together() -> None:
    chosen = choose_for(["mi"], sources=3)
    with pytest.raises(DataError, match=r"c .*must have one size"):
        measure_row(F, [A, B, C[:-1]], chosen)
    with pytest.raises(DataError, match=r"target .*must have one size"):
        measure_row(F, [], choose_for(None, sources=0, target=True), target=C[:, :-1])
