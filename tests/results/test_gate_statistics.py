"""The statistics of the gate against SciPy's distributions, worked examples, and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference

from fusionbench.results.gate_statistics import (
    ALPHA,
    ALPHAS,
    detectable_change,
    holm_levels,
    mean_is_positive,
    noise_tolerance,
    prediction_error,
    t_quantile,
    t_upper_tail,
)


def test_t_agrees_with_another_implementation() -> None:
    for freedom in (1, 2, 4, 9, 99):
        assert t_quantile(0.99875, freedom) == pytest.approx(reference.t.ppf(0.99875, freedom), rel=1e-9)
        assert t_upper_tail(2.5, freedom) == pytest.approx(reference.t.sf(2.5, freedom), rel=1e-9)
    assert t_upper_tail(math.inf, 3) == 0 and t_upper_tail(-math.inf, 3) == 1


def test_a_t_test_of_one_side() -> None:
    values = np.random.default_rng(1).normal(0.2, 1, 30)
    assert mean_is_positive(values) == pytest.approx(reference.ttest_1samp(values, 0, alternative="greater").pvalue)
    assert mean_is_positive(-values) == pytest.approx(1 - mean_is_positive(values))
    assert (mean_is_positive(np.full(5, 0.1)), mean_is_positive(np.full(5, -0.1))) == (0.0, 1.0)


def test_holm_by_hand() -> None:
    """Worked by hand from Holm's paper: levels α/k, α/(k-1), … for sorted p values until one is above."""
    p = [0.01, 0.04, 0.03, 0.005]
    levels = holm_levels(p, 0.05)
    assert levels == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])
    assert [value <= level for value, level in zip(p, levels, strict=True)] == [True, False, False, True]
    assert holm_levels([], 0.05) == [] and holm_levels([1.0], 0.05) == [0.05]
    assert holm_levels([0.0, 0.0], 0.05) == [0.025, 0.05]


def coverage(runs: int, new_runs: int, level: float, rounds: int = 20_000) -> float:
    """Share of unchanged candidates that are above the tolerance."""
    rng = np.random.default_rng([runs, new_runs])
    base = rng.normal(3, 2, (rounds, runs))
    worse = rng.normal(3, 2, (rounds, new_runs)).mean(axis=1) - base.mean(axis=1)
    return float((worse > base.std(axis=1, ddof=1) * noise_tolerance(1.0, runs, new_runs, level)).mean())


@pytest.mark.parametrize(("runs", "new_runs"), [(3, 1), (5, 1), (10, 1), (3, 3), (5, 2)])
def test_the_prediction_interval_keeps_its_level(runs: int, new_runs: int) -> None:
    # standard error of 20,000 rounds at 5 %: 0.15 %
    assert coverage(runs, new_runs, 0.05) == pytest.approx(0.05, abs=4 * 0.0015)
    assert prediction_error(2.0, runs, new_runs) == pytest.approx(2 * math.sqrt(1 / runs + 1 / new_runs))


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_a_detectable_change_is_found_nine_times_in_ten(runs: int) -> None:
    rng = np.random.default_rng(runs)
    base = rng.normal(0, 2, (20_000, runs))
    sd = base.std(axis=1, ddof=1)
    tolerance = noise_tolerance(1.0, runs, 1, 0.05 / 40)
    change = sd * detectable_change(tolerance, 1.0, runs, 1)
    found = rng.normal(0, 2, 20_000) + change - base.mean(axis=1) > tolerance * sd
    assert found.mean() == pytest.approx(0.9, abs=4 * 0.0021)


def test_error_rates_that_may_be_chosen() -> None:
    assert 0 < ALPHAS[0] < ALPHA < ALPHAS[1] <= 0.5, "an alarm at every second run is no gate"


def test_a_p_value_at_its_level_is_found() -> None:
    """At most, says Holm: the next one is then held against a wider level."""
    assert holm_levels([0.025, 0.05], 0.05) == [0.025, 0.05]
    assert holm_levels([0.0251, 0.05], 0.05) == [0.025, 0.025]
