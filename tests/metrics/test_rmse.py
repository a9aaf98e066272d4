"""RMSE against NumPy's norm."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics.mse import mse
from fusionbench.metrics.rmse import rmse
from tests.metrics.scenes import floats, stacks


def test_against_the_norm() -> None:
    images = floats(*stacks(2))
    for value, other, f, a, b in zip(rmse(*images), rmse(*images, root="of the sum"), *images, strict=True):
        norms = np.linalg.norm(f - a) + np.linalg.norm(f - b)
        assert value == pytest.approx(norms / 2 / f.size**0.5, rel=1e-12)
        assert other == pytest.approx(norms / 2 / f.size, rel=1e-12)
    assert (rmse(*images) <= np.sqrt(mse(*images))).all(), "the mean of roots, not the root of the mean"


def test_copies_and_the_average_have_the_same() -> None:
    _, a, b = stacks(1)
    a, b = a // 2 * 2, b // 2 * 2
    average = (a.astype(int) + b) // 2
    for fused in (b, average.astype(np.uint8)):
        assert rmse(fused, a, b) == pytest.approx(rmse(a, a, b), rel=1e-12)
