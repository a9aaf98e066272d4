"""Scores of degraded pairs: values by hand, and methods whose robustness is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.robustness import degraded_pair
from fusionbench.metrics import get_metric
from fusionbench.results.robustness import DamageCondition
from tests.helpers.robust_pairs import FEW, average, scored, write_pairs

ROBUST = PROTOCOLS.get("pairs-robust/1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def pairs(root: Path) -> PairSet:
    return open_pairs("pairs", "all", root)


def test_values_are_those_of_metrics_called_by_hand_on_the_clean_sources(root: Path, pairs: PairSet) -> None:
    result = scored(average, root)
    for index, stem in enumerate(pairs.stems):
        pair, condition = pairs.pair(index), DamageCondition("gaussian-noise/1", 5)
        degraded = degraded_pair(pairs, index, condition)
        assert (degraded != pair).any()
        fused, clean = average(*degraded), average(*pair)
        table = {key: column[index] for key, column in result.images.items()}
        assert table["id"] == stem
        for name in ("qabf", "vif", "ssim"):
            metric = get_metric(name).function
            assert table[f"{name}@clean"] == pytest.approx(metric(clean[None], *pair[:, None])[0], rel=1e-6)
            assert table[f"{name}@{condition}"] == pytest.approx(metric(fused[None], *pair[:, None])[0], rel=1e-6)
        by_field = get_metric("qabf").function(fused[None], *degraded[:, None])[0]
        assert table[f"qabf_seen@{condition}"] == pytest.approx(by_field, rel=1e-6)
        error = np.mean((fused.astype(float) - clean) ** 2)
        assert table[f"psnr_own@{condition}"] == pytest.approx(10 * np.log10(255**2 / error), rel=1e-6)
        own = get_metric("ssim_target").function(fused[None], clean[None])[0]
        assert table[f"ssim_own@{condition}"] == pytest.approx(own, rel=1e-6)
        assert table[f"sf_alone@{condition}"] == pytest.approx(get_metric("sf").function(fused[None])[0], rel=1e-6)


def test_what_is_kept_is_the_quotient_of_means_as_multicorrupt_has_it(root: Path) -> None:
    result = scored(average, root)
    columns = [str(DamageCondition(family, severity)) for family in FEW["families"] for severity in FEW["severities"]]
    mean = {key: np.mean(column) for key, column in result.images.items() if key != "id"}
    kept = {(m, c): mean[f"{m}@{c}"] / mean[f"{m}@clean"] for m in ("qabf", "vif", "ssim") for c in columns}
    assert result["robustness"].mean == pytest.approx(np.mean(list(kept.values())), abs=1e-6)
    shifted = [value for (_, column), value in kept.items() if column.startswith("shift/1")]
    assert result["robustness@shift/1"].mean == pytest.approx(np.mean(shifted), abs=1e-6)
    of_vif = [value for (metric, _), value in kept.items() if metric == "vif"]
    assert result["robustness@vif"].mean == pytest.approx(np.mean(of_vif), abs=1e-6)
    assert result["vif"].mean == pytest.approx(np.mean([mean[f"vif@{column}"] for column in columns]), abs=1e-6)


def test_a_method_that_does_not_look_at_the_harmed_view_keeps_everything(root: Path) -> None:
    result = scored(lambda a, b: b, root)
    assert result["robustness@shift/1"].mean == 1.0  # a shift moves view a alone
    assert result["robustness@gaussian-noise/1"].mean < 0.9  # noise is on both
    own = result.images["psnr_own@shift/1:5"]
    assert (
        own == pytest.approx(10 * np.log10(255**2 * 12), rel=1e-6) and (result.images["ssim_own@shift/1:5"] == 1).all()
    )


def test_damage_rises_with_severity_and_the_field_does_not_see_a_shift(root: Path) -> None:
    result = scored(lambda a, b: a, root)  # a copy of what is moved
    means = {key: np.mean(column) for key, column in result.images.items() if key != "id"}
    assert means["qabf@clean"] > means["qabf@shift/1:2"] > means["qabf@shift/1:5"]
    assert means["qabf_seen@shift/1:5"] > means["qabf@shift/1:5"] + 0.1
    assert means["sf_alone@gaussian-noise/1:5"] > means["sf_alone@clean"]  # and SF rewards noise


def test_a_constant_image_keeps_nothing_and_says_why(root: Path) -> None:
    result = scored(lambda a, b: np.full_like(a, 90), root)
    assert result["robustness@vif"].mean is None and "not above 0" in result["robustness@vif"].reason
    assert result["ssim"].mean is not None
