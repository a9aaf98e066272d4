"""Variance from training runs against NumPy's and written-down numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import studentized_range

from fusionbench.results.variance import seed_variance


def runs(*means: float) -> np.ndarray:
    """Runs with these means, of two images."""
    return np.array([[value - 1, value + 1] for value in means])


def test_the_pool_is_of_rows_with_three_runs() -> None:
    # variances 1 (2 degrees) and 4 (2 degrees): 2.5; the row of two runs (variance 50) is no part of it
    found = seed_variance([runs(1, 2, 3), runs(2, 4, 6), runs(0, 10), runs(7)], [True] * 4)
    assert (found.pooled, found.degrees) == (pytest.approx(2.5), 4)
    assert found.of_mean == pytest.approx([2.5 / 3, 4 / 3, 50 / 2, 2.5])  # own where it is larger than the pool's
    assert found.alone.tolist() == [False, False, False, True]


def test_two_runs_make_a_pool_where_nothing_better_is() -> None:
    found = seed_variance([runs(0, 2), runs(5)], [True, True])
    assert (found.pooled, found.degrees) == (2.0, 1) and found.of_mean.tolist() == [1.0, 2.0]
    assert found.row_factor() == found.pair_factor() == pytest.approx(12.706, abs=1e-3)


def test_rows_without_training_have_none() -> None:
    found = seed_variance([runs(1, 2, 3), runs(5)], [True, False])
    assert found.of_mean[1] == 0 and not found.alone.any()
    assert found.pair_factor() == pytest.approx(4.3027, abs=1e-3)  # one random mean against a fixed one: t with 2


def test_nothing_is_known_from_single_runs() -> None:
    found = seed_variance([runs(1), runs(2)], [True, True])
    assert found.pooled is None and found.of_mean.tolist() == [0.0, 0.0] and found.alone.all()
    assert found.pair_factor() == found.row_factor() == 0.0


def test_a_fixed_mean_is_one_of_those_that_are_compared() -> None:
    """Two trained models and a fixed one have three means, and the largest of three differences is meant."""
    found = seed_variance([runs(1, 2, 3), runs(1, 3, 5), runs(5)], [True, True, False])
    assert found.degrees == 4
    assert found.pair_factor() == pytest.approx(studentized_range.ppf(0.95, 3, 4) / np.sqrt(2), abs=2e-3)
