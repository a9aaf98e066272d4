"""Bootstrap against closed forms: for means of images the bootstrap variance is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from fusionbench.core.errors import CannotMeasure, NotComparable
from fusionbench.results import bootstrap as stats

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


def test_interval_agrees_with_scipy() -> None:
    first = RNG.normal(size=120)
    second = first + RNG.normal(0.1, 0.5, size=120)
    ours = stats.paired_difference(first, second, resamples=20_000)
    peer = scipy_stats.bootstrap(
        (second - first,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((peer.low, peer.high), abs=0.005)
    assert ours.mean == pytest.approx((second - first).mean(), rel=1e-12)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    values = RNG.normal(size=(4, 50))
    whole = stats.bootstrap_means(list(values), 300, seed=3)
    monkeypatch.setattr(stats, "_CELLS", 50 * 7)
    # same picks, other summation order inside the matrix product
    assert stats.bootstrap_means(list(values), 300, seed=3) == pytest.approx(whole, abs=1e-12)


def test_training_runs_widen_the_interval() -> None:
    # between-run spread 1, image noise 0: the images alone would give an interval of zero length
    runs = np.array([[-1.0], [0.0], [1.0]]).repeat(40, axis=1)
    with_runs = stats.compare([runs], "lower")[0]
    assert with_runs.runs == 3 and with_runs.low < -0.6 and with_runs.high > 0.6
    assert stats.bootstrap_means([runs], 20_000).std() == pytest.approx(np.sqrt(2 / 9), rel=0.03)  # population var / 3
    two = stats.compare([runs[:2]], "lower")[0]  # one degree of freedom: t = 12.706, standard error 0.5
    assert (two.mean, two.high - two.mean) == (-0.5, pytest.approx(12.7062 * 0.5, rel=1e-4))


def test_deviation_over_training_runs() -> None:
    runs = RNG.normal(size=(2, 30))
    row = stats.compare([runs], "lower", resamples=100)[0]
    assert row.run_sd == pytest.approx(runs.mean(axis=1).std(ddof=1), rel=1e-12)
    assert stats.compare([runs[:1]], "lower", resamples=100)[0].run_sd is None
    assert stats.compare([runs[[0, 0]]], "lower", resamples=100)[0].run_sd == 0


def test_directions_and_ties() -> None:
    noise = RNG.normal(0, 1.0, size=400)
    best, same, worse = noise, noise + RNG.normal(0, 0.05, size=400) * 1e-3, noise + 0.2
    lower = stats.compare([worse, best, same], "lower")
    assert lower[0].rank == 3
    assert [row.tied for row in lower] == [False, True, True]
    assert (lower[0].rank_low, lower[0].rank_high) == (3, 3)
    assert lower[0].difference_low > 0
    higher = stats.compare([worse, best, same], "higher")
    assert higher[0].rank == 1 and [row.tied for row in higher] == [True, False, False]


def test_equal_models_share_rank_one() -> None:
    values = RNG.normal(size=30)
    rows = stats.compare([values, values.copy()], "higher")
    assert [(row.rank, row.rank_low, row.rank_high, row.tied) for row in rows] == [(1, 1, 1, True)] * 2


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.sampled_from(["higher", "lower"]))
def test_ranks_agree_with_scipy(means: list[int], better: stats.Better) -> None:
    values = np.array(means, np.float64)
    peer = scipy_stats.rankdata(values if better == "lower" else -values, method="min")
    assert stats.ranks(values, better).tolist() == peer.tolist()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 20), st.integers(0, 2**32))
def test_order_of_models_changes_nothing(models: int, images: int, seed: int) -> None:
    table = list(np.random.default_rng(seed).normal(size=(models, images)))
    forward = stats.compare(table, "higher", resamples=200)
    backward = stats.compare(table[::-1], "higher", resamples=200)[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert (one.rank, one.rank_low, one.rank_high) == (other.rank, other.rank_low, other.rank_high)
        assert one.low == pytest.approx(other.low, abs=1e-12)
        assert one.rank_low <= one.rank <= one.rank_high <= models


def test_coverage_of_the_interval() -> None:
    # 400 experiments of 60 images: coverage of a nominal 95 % interval lies in 0.95 ± 0.035 but for 1 in 1000
    hits = 0
    for _ in range(400):
        a, b = RNG.normal(size=(2, 60))
        found = stats.paired_difference(a, b, resamples=600)
        hits += found.low <= 0 <= found.high
    assert 0.905 <= hits / 400 <= 0.985


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ([], CannotMeasure, "nothing to compare"),
        ([np.array([])], CannotMeasure, "nothing to compare"),
        ([np.zeros(3), np.zeros(4)], NotComparable, "3, 4 images"),
        ([np.zeros(3), np.array([0, np.nan, np.inf])], CannotMeasure, "2 values that are not finite"),
    ],
)
def test_what_cannot_be_compared(table: list[np.ndarray], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        stats.compare(table, "lower")


def test_the_documented_numbers() -> None:
    assert (stats.RESAMPLES, stats.LEVEL, stats.SEEDS_NEEDED) == (10_000, 0.95, 3)
    table = [np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])]
    assert stats.compare(table, "lower") == stats.compare(table, "lower", resamples=10_000, level=0.95, seed=0)
    assert stats.paired_difference(*table) == stats.paired_difference(*table, resamples=10_000, level=0.95, seed=0)


def test_what_was_found_cannot_be_changed() -> None:
    (row,) = stats.compare([np.array([1.0, 2.0])], "lower", resamples=10)
    for found in (row, stats.PairedDifference(1.0, 0.5, 1.5)):
        with pytest.raises(AttributeError):
            found.mean = 0.0  # type: ignore[misc]
