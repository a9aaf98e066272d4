"""Resampled means against closed forms: the bootstrap variance of a mean is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from fusionbench.results import resampling as stats

RNG = np.random.default_rng(7)


def test_bootstrap_mean_and_variance_match_the_closed_form() -> None:
    # Var*(mean) = population variance / n exactly; 20,000 resamples leave a relative error of the sd near 0.5 %
    values = RNG.gamma(2.0, size=(3, 200))
    boot = stats.bootstrap_means(list(values), resamples=20_000)
    assert boot.mean(axis=0) == pytest.approx(values.mean(axis=1), rel=2e-3)
    assert boot.std(axis=0) == pytest.approx(values.std(axis=1) / np.sqrt(200), rel=0.03)


def test_resamples_are_paired() -> None:
    base = RNG.normal(size=300)
    boot = stats.bootstrap_means([base, base + 0.25, -base], resamples=500)
    assert boot[:, 1] - boot[:, 0] == pytest.approx(0.25, abs=1e-12)
    assert boot[:, 2] == pytest.approx(-boot[:, 0], abs=1e-12)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    values = RNG.normal(size=(4, 50))
    whole = stats.bootstrap_means(list(values), 300, seed=3)
    monkeypatch.setattr(stats, "_CELLS", 50 * 7)
    # same picks, other summation order inside the matrix product
    assert stats.bootstrap_means(list(values), 300, seed=3) == pytest.approx(whole, abs=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.sampled_from(["higher", "lower"]))
def test_ranks_agree_with_scipy(means: list[int], better: stats.Better) -> None:
    values = np.array(means, np.float64)
    peer = scipy_stats.rankdata(values if better == "lower" else -values, method="min")
    assert stats.ranks(values, better).tolist() == peer.tolist()


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_sorted_ranks_are_those_of_pairs(better: stats.Better) -> None:
    means = np.random.default_rng(2).integers(0, 40, (7, 300)).astype(float)  # many ties, too many models for pairs
    peer = scipy_stats.rankdata(means if better == "lower" else -means, method="min", axis=1)
    assert stats.ranks(means, better).tolist() == peer.tolist()


def test_every_resample_draws_as_many_images_as_there_are() -> None:
    drawn = np.concatenate(list(stats.image_weights(7, 500, seed=4))) * 7
    assert drawn.shape == (500, 7) and (drawn.sum(axis=1).round(9) == 7).all() and (drawn == drawn.round(9)).all()
    assert drawn.mean(axis=0) == pytest.approx(1, abs=0.15)


def test_runs_are_resampled_from_three_on() -> None:
    runs = np.array([[-1.0], [0.0], [1.0]]).repeat(40, axis=1)
    assert stats.bootstrap_means([runs], 20_000).std() == pytest.approx(np.sqrt(2 / 9), rel=0.03)  # population var / 3
    assert stats.bootstrap_means([runs[:2]], 100).std() < 1e-15


def test_a_percentile_interval_leaves_out_as_much_on_either_side() -> None:
    samples = np.random.default_rng(9).permutation(1001.0 * np.arange(1001) / 1000)
    for level in (0.5, 0.9, stats.LEVEL):
        low, high = stats.interval(samples, level)
        assert (float(low), float(high)) == pytest.approx((1001 * (1 - level) / 2, 1001 * (1 + level) / 2))
    assert stats.interval(samples) == stats.interval(samples, 0.95)


@pytest.mark.parametrize(("swapped", "highest"), [(2, 1), (3, 2), (30, 2)])
def test_an_interval_of_ranks_leaves_out_a_fortieth_on_either_side(swapped: int, highest: int) -> None:
    """Of 100 resamples the first model is second in a few: two are left out at 95 %, three are not."""
    means = np.repeat([[0.1, 0.2], [0.2, 0.1]], [100 - swapped, swapped], axis=0)
    low, high = stats.rank_intervals(means, "lower")
    assert (low.tolist(), high.tolist()) == ([1, 3 - highest], [highest, 2])
