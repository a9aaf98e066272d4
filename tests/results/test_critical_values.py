"""Factors of intervals against Student's t, Dunnett's and Tukey's tables, and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from fusionbench.results import critical_values as cv


def test_tabulated_quantiles() -> None:
    # Student's t at 97.5 %, and the studentised range at 95 % as printed in tables: q(3, 10) = 3.877, q(10, 20) = 5.008
    assert [round(cv.t_factor(degrees), 3) for degrees in (1, 2, 10)] == [12.706, 4.303, 2.228]
    assert cv.range_factor(3, 10) * math.sqrt(2) == pytest.approx(3.877, abs=2e-3)
    assert cv.range_factor(10, 20) * math.sqrt(2) == pytest.approx(5.008, abs=2e-3)
    assert cv.range_factor(2, 7) == cv.t_factor(7) and math.isinf(cv.t_factor(0)) and math.isinf(cv.range_factor(5, 0))


def test_many_models_have_a_finite_bound_that_grows() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 30))
    found = [cv.pair_factor(values[:models], resamples=1000) for models in (25, 300, 1000)]
    assert found == sorted(found)
    # at least Bonferroni over 1,000 · 999 / 2 pairs, from the tail of Student's t with 29 degrees of freedom
    least = scipy_stats.t.isf(0.025 / 499_500, 29)
    assert least * (1 - 1e-9) <= found[-1] < 1.15 * least


@pytest.mark.parametrize("models", [2, 5, 25])
def test_independent_normal_models_have_the_studentised_range(models: int) -> None:
    # a quantile over 10,000 resamples of one sample of 200 images: the sample itself moves it by some 3 %
    values = np.random.default_rng(models).normal(size=(models, 200))
    assert cv.pair_factor(values) == pytest.approx(cv.range_factor(models, 199), rel=0.06)


def test_models_that_go_together_need_less() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=100)
    family = np.arange(20)[:, None] * noise + 1e-3 * rng.normal(size=(20, 100))  # all differences are one
    assert cv.pair_factor(family) < 2.2 < 3.5 < cv.pair_factor(rng.normal(size=(20, 100)))


def test_skewed_differences_need_more() -> None:
    skewed = np.exp(np.random.default_rng(2).normal(size=(1, 40)))
    assert cv.row_factors(skewed)[0] > cv.t_factor(39) + 0.2
    assert cv.pair_factor(np.vstack([skewed, 0 * skewed])) == pytest.approx(cv.row_factors(skewed)[0], rel=1e-12)


def test_few_images_have_at_least_the_factor_of_bonferroni() -> None:
    values = np.random.default_rng(3).normal(size=(6, 12))
    assert cv.pair_factor(values[:, :4]) == cv.t_factor(3, comparisons=15)
    assert cv.pair_factor(values) >= cv.t_factor(11, comparisons=15)
    assert cv.row_factors(values[:, :4]).tolist() == [cv.t_factor(3)] * 6
    assert math.isinf(cv.pair_factor(values[:, :1]))


def test_constant_differences_take_no_part() -> None:
    values = np.random.default_rng(4).normal(size=50)
    assert cv.pair_factor(np.stack([values, values + 1, values + 2])) == cv.t_factor(49)
    one_image = np.where(np.arange(50) == 7, values + 1, values)  # a difference on one image only
    assert math.isfinite(cv.pair_factor(np.stack([values, one_image])))


def test_above_the_limit_a_bound_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    normal = np.random.default_rng(5).normal(size=(60, 100))
    exact = cv.pair_factor(normal)
    monkeypatch.setattr(cv, "MAX_PAIRS", 100)
    bound = cv.t_factor(99, comparisons=1770)
    assert cv.pair_factor(normal) >= bound and cv.pair_factor(normal) == pytest.approx(exact, rel=0.1)
    # of rows on ever larger scales every difference is as skewed as its larger row
    skewed = 3.0 ** np.arange(60)[:, None] * np.exp(1.5 * np.random.default_rng(5).normal(size=(60, 100)))
    assert cv.pair_factor(skewed) > bound


def test_blocks_do_not_change_the_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).gamma(1.0, size=(12, 30))
    whole = [cv.pair_factor(values), *cv.row_factors(values)]
    monkeypatch.setattr(cv, "_CELLS", 700)
    assert [cv.pair_factor(values), *cv.row_factors(values)] == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("images", [2, 3, cv.MIN_BOOTSTRAP - 1])
def test_very_few_images_have_the_bound_alone(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: Student's quantile for ten pairs of five models."""
    monkeypatch.setattr(cv, "_largest", lambda *given: pytest.fail("resampled"))
    skewed = np.exp(3 * np.random.default_rng(7).normal(size=(5, images)))
    assert cv.pair_factor(skewed) == pytest.approx(scipy_stats.t.ppf(1 - 0.05 / 20, images - 1), rel=1e-9)


def test_a_resample_has_the_t_that_scipy_gives_its_images() -> None:
    values = np.random.default_rng(6).normal(size=12)
    values = (values - values.mean()) / values.std()
    drawn = np.array([0, 0, 1, 3, 4, 4, 4, 7, 8, 9, 11, 11])
    found = cv._statistics(np.bincount(drawn, minlength=12)[None] / 12, values[:, None])
    assert found[0, 0] == pytest.approx(abs(scipy_stats.ttest_1samp(values[drawn], 0.0).statistic), rel=1e-12)


def test_resamples_are_fewer_where_each_costs_more() -> None:
    costs = (0, 1, 100_000, 10_000_000)
    assert [cv._affordable(10_000, cost) for cost in costs] == [10_000, 10_000, 5000, 1000]
    assert cv._affordable(100, 0) == 100


def test_no_comparison_is_judged_as_one() -> None:
    assert cv.t_factor(5, 0.95, 0) == cv.t_factor(5, 0.95, 1) < cv.t_factor(5, 0.95, 2)


@pytest.mark.parametrize(("images", "bounded"), [(10, True), (19, True), (20, False)])
def test_few_images_have_the_bound_of_bonferroni(images: int, bounded: bool) -> None:
    """Six differences that are all multiples of one: resamples see one comparison, and few images are too coarse."""
    values = np.outer([1.0, -1.0, 2.0, 4.0], np.linspace(-1.0, 1.0, images))
    bound = cv.t_factor(images - 1, 0.95, 6)
    assert (cv.pair_factor(values, 0.95, 2000) == pytest.approx(bound, rel=1e-9)) == bounded


@pytest.mark.parametrize("which", ["least", "largest"])
def test_the_subset_that_widens_the_bound_has_both_ends_of_the_ranks(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one model of 110 has scores with a heavy tail, the best or the worst one, and the bound is wider for it."""
    monkeypatch.setattr(cv, "MAX_PAIRS", 100)
    monkeypatch.setattr(cv, "_SUBSET", 8)
    values = np.random.default_rng(0).normal(size=(110, 40)) + np.linspace(0, 50, 110)[:, None]
    plain = cv.pair_factor(values, resamples=300)
    row = 0 if which == "least" else -1
    values[row] += np.exp(2.5 * np.random.default_rng(1).normal(size=40)) * (-1 if which == "least" else 1)
    assert cv.pair_factor(values, resamples=300) > 1.1 * plain
