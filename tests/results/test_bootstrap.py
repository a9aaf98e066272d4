"""Intervals and ranks against closed forms, against SciPy, and on simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from fusionbench.core.errors import CannotMeasure, NotComparable
from fusionbench.results import bootstrap as stats

RNG = np.random.default_rng(7)


def test_interval_agrees_with_scipy() -> None:
    # symmetric bootstrap-t of many images: SciPy's percentile interval differs from it by the skewness only
    first = RNG.normal(size=400)
    second = first + RNG.normal(0.1, 0.5, size=400)
    ours = stats.paired_difference(first, second, resamples=20_000)
    peer = scipy_stats.bootstrap(
        (second - first,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((peer.low, peer.high), abs=0.005)
    assert ours.mean == pytest.approx((second - first).mean(), rel=1e-12)


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
    assert [row.needed_images for row in rows] == [None, None]


@pytest.mark.parametrize("images", [6, 400])
def test_rounding_is_a_tie_and_a_constant_difference_is_none(images: int) -> None:
    half = np.full(images, 0.5)
    rows = stats.compare([half, half + 1e-12, half + 1e-3], "lower", resamples=100)
    assert [(row.rank, row.rank_low, row.rank_high, row.tied) for row in rows] == [
        (1, 1, 1, True),
        (1, 1, 1, True),
        (3, 3, 3, False),
    ]
    assert [row.needed_images for row in rows] == [None] * 3, "no number of images separates what is rounding"
    assert not stats.paired_difference(half, half + 1e-12).separable
    assert stats.paired_difference(half, half + 1e-3).separable


@pytest.mark.parametrize("images", [1, 3, 5])
def test_few_images_have_no_ranks(images: int) -> None:
    first = np.arange(images, dtype=float)
    rows = stats.compare([first, first + 1, first + 2], "lower")  # no spread at all: nothing but n is in the way
    assert [(row.ranked, row.tied, row.rank_low, row.rank_high) for row in rows] == [(False, True, 1, 3)] * 3
    assert rows[0].note.startswith(f"{images} image") and "fewer than the 6" in rows[0].note
    assert math.isinf(rows[0].low) == (images == 1)
    six = stats.compare([np.arange(6.0), np.arange(6.0) + 1], "lower")
    assert [(row.ranked, row.tied, row.note) for row in six] == [(True, True, ""), (True, False, "")]


def test_two_images_have_the_interval_of_student() -> None:
    row = stats.compare([np.array([1.0, 3.0])], "lower")[0]  # standard error 1, one degree of freedom
    assert (row.low, row.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)


def test_the_images_that_a_tie_needs_separate_it() -> None:
    """Simulated power at the number of images that the tie names."""
    rng = np.random.default_rng(5)
    first, gap = rng.normal(size=60), rng.normal(0, 1, 60)
    gap = (gap - gap.mean()) / gap.std(ddof=1) + 0.2  # mean 0.2, deviation 1: (1.98 + 0.84)² / 0.04 ≈ 200
    row = stats.compare([first, first + gap], "lower")[1]
    assert row.tied and row.needed_images is not None and 185 <= row.needed_images <= 230
    found = sum(
        stats.paired_difference(
            np.zeros(row.needed_images), rng.normal(0.2, 1, row.needed_images), resamples=500
        ).separable
        for _ in range(300)
    )
    assert 0.8 - 0.08 <= found / 300 <= 0.8 + 0.08  # 3.4 standard errors of 300 experiments


@pytest.mark.parametrize(("models", "images"), [(2, 100), (10, 100), (25, 100), (25, 6)])
def test_equal_models_are_seldom_called_worse(models: int, images: int) -> None:
    # 150 experiments: 5 % shows as 0.05 ± 0.053 at three standard errors
    rng = np.random.default_rng([models, images])
    worse = whole = 0
    for seed in range(150):
        rows = stats.compare(list(rng.normal(size=(models, images))), "lower", resamples=400, seed=seed)
        worse += not all(row.tied for row in rows)
        whole += all((row.rank_low, row.rank_high) == (1, models) for row in rows)
    assert worse / 150 <= 0.05 + 0.053 and whole / 150 >= 0.95 - 0.053


def test_rank_sets_hold_together_where_models_differ() -> None:
    rng = np.random.default_rng(8)
    held = found = 0
    for seed in range(200):
        values = rng.normal(size=100) + rng.normal(size=(8, 100)) + 0.15 * np.arange(8)[:, None]
        rows = stats.compare(list(values), "lower", resamples=600, seed=seed)
        held += all(row.rank_low <= i + 1 <= row.rank_high for i, row in enumerate(rows))
        found += sum(not row.tied for row in rows)
    assert held / 200 >= 0.95 - 0.046
    assert found > 200  # and they do tell models apart


@pytest.mark.parametrize("images", [2, 5, 21, 100])
@pytest.mark.parametrize("kind", ["normal", "exponential"])
def test_coverage_with_few_images(images: int, kind: str) -> None:
    # 500 experiments: 0.95 ± 0.029 at three standard errors; skewed scores of five images lose some 4 % more
    rng = np.random.default_rng([images, len(kind)])
    hits = 0
    for seed in range(500):
        values = rng.normal(size=images) if kind == "normal" else rng.exponential(size=images) - 1
        row = stats.compare([values], "lower", resamples=400, seed=seed)[0]
        hits += row.low <= 0 <= row.high
    assert hits / 500 >= 0.95 - 0.029 - (0.045 if kind == "exponential" and images <= 5 else 0)


@pytest.mark.parametrize("runs", [2, 3, 5, 10])
def test_coverage_over_training_runs(runs: int) -> None:
    # 300 experiments: 0.95 ± 0.038 at three standard errors
    rng = np.random.default_rng(runs)
    hits = 0
    for seed in range(300):
        image = rng.normal(size=100)
        first, second = (rng.normal(0, 0.5, (runs, 1)) + image + rng.normal(0, 0.5, 100) for _ in range(2))
        found = stats.paired_difference(first, second, resamples=300, seed=seed)
        hits += found.low <= 0 <= found.high
    assert hits / 300 >= 0.95 - 0.038


def test_one_training_is_judged_by_the_spread_of_others() -> None:
    """One run a little better than three runs that vary by more; a row that learns nothing has no such spread."""
    image = RNG.normal(size=50)
    three = np.stack([image + shift for shift in (-0.5, 0.0, 0.5)])
    one, far, copy = image - 0.3, image - 9.0, image - 0.3
    rows = stats.compare([three, one], "lower", trained=[True, True])
    assert [row.tied for row in rows] == [True, True]
    assert "this training alone" in rows[1].note and "other rows" in rows[1].note and rows[0].note == ""
    assert [row.tied for row in stats.compare([three, far], "lower", trained=[True, True])] == [False, True]
    assert rows[1].high - rows[1].low == pytest.approx(stats.compare([one], "lower")[0].high * 2 - 2 * one.mean())
    # against another row without runs nothing is in the way, as nothing is known about its training
    untrained = stats.compare([one, copy + 0.1], "lower", trained=[True, False])
    assert [row.tied for row in untrained] == [True, False] and "other rows" not in untrained[0].note


def test_many_models_take_little_memory() -> None:
    """1,500 models: the differences of all pairs at once would be 1,500² × 50 numbers, 0.9 GB."""
    import tracemalloc

    values = np.random.default_rng(3).normal(size=(1500, 50)) + np.linspace(0, 4, 1500)[:, None]
    tracemalloc.start()
    rows = stats.compare(list(values), "lower", resamples=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 700e6 and rows[0].rank_high < 1500 and rows[-1].rank_low > 500 and rows[-1].rank_high == 1500


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


def test_images_that_are_needed_by_the_formula() -> None:
    """Oracle: (t + z)² · variance / (difference² - (t_seed + z)² · variance of seeds), z the quantile of power 0.8."""
    z = scipy_stats.norm.ppf(0.8)
    wanted = math.ceil((2.0 + z) ** 2 * 900 / (2.0**2 - (2.5 + z) ** 2 * 0.1))
    assert stats._needed(2.0, 900.0, 0.1, (2.0, 2.5), 10) == wanted > 1000
    assert stats._needed(2.0, 1.0, 0.1, (2.0, 2.5), 10) == 11, "more than there are"
    for seeds in (2.0**2 / (2.5 + z) ** 2, 1.0):  # no number of images outweighs training
        assert stats._needed(2.0, 900.0, seeds * (1 + 1e-9), (2.0, 2.5), 10) is None
    assert stats._needed(2.0, 900.0, 0.0, (math.inf, 2.5), 10) is None


@pytest.mark.parametrize(("images", "count"), [(1, "1 image"), (2, "2 images"), (5, "5 images")])
def test_a_note_counts_the_images(images: int, count: str) -> None:
    (row,) = stats.compare([np.arange(images, dtype=float)], "lower", resamples=100)
    assert row.note == f"{count}, fewer than the {stats.MIN_RANKED} that a rank needs"


def test_blocks_of_models_do_not_change_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(8).normal(size=30)
    table = [image + shift + np.array([[-1.0], [0.0], [1.0]]) for shift in (0, 0.1, 0.2, 5, 5.1, 9, 14)]
    expected = [(1, 3), (1, 3), (1, 3), (4, 5), (4, 5), (6, 6), (7, 7)]
    table, expected = table[::-1], expected[::-1]  # so that a place that is taken for another is of a worse model
    for cells in (stats._CELLS, 3 * len(table), 3):  # three models a block, no power of two; fewer cells than models
        monkeypatch.setattr(stats, "_CELLS", cells)
        assert [(row.rank_low, row.rank_high) for row in stats.compare(table, "lower", resamples=200)] == expected


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_same_difference_on_every_image_has_an_interval_without_length(scale: float) -> None:
    """What is left of it, some 1e-16 of the values, is rounding and no spread."""
    first = np.random.default_rng(2).normal(1.0, 0.1, size=30) * scale
    found = stats.paired_difference(first, first + 0.3 * scale)
    assert np.std(first + 0.3 * scale - first) > 0, "rounding is there"
    assert found.low == found.mean == found.high == pytest.approx(0.3 * scale, rel=1e-12)
    spread = stats.paired_difference(first, first + 0.3 * scale + np.array([1e-9, -1e-9] * 15) * scale)
    assert spread.high - spread.low > 1e-10 * scale, "a spread of a billionth is one"


def test_one_image_says_nothing_about_a_difference() -> None:
    best, other = stats.compare([np.array([1.0]), np.array([5.0])], "lower", resamples=10)
    assert (other.difference, other.difference_low, other.difference_high) == (4.0, -math.inf, math.inf)
    assert (best.difference, best.difference_low, best.difference_high) == (0.0, 0.0, 0.0)
    assert other.needed_images is None
    pair = stats.paired_difference(np.array([1.0]), np.array([5.0]))
    assert (pair.mean, pair.low, pair.high) == (4.0, -math.inf, math.inf)


def test_a_single_run_adds_no_spread_of_training_to_a_pair() -> None:
    """Three runs that are all there is to vary, and one: Student's t of the three, whichever comes first."""
    three = np.array([[-1.0], [0.0], [1.0]]).repeat(40, axis=1)
    half = scipy_stats.t.ppf(0.975, 2) * math.sqrt(1 / 3)
    for pair in ((three, three[1]), (three[1], three)):
        found = stats.paired_difference(*pair, resamples=200)
        assert (found.low, found.high) == pytest.approx((-half, half), rel=1e-6)
