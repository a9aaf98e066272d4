"""Q_NCIE against SciPy entropies of two-dimensional histograms and NumPy's general eigenvalues."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy

from fusionbench.metrics.qncie import UNRELATED, qncie
from tests.metrics.scenes import stacks


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    joint = np.histogram2d(x.ravel(), y.ravel(), bins=[np.arange(257)] * 2)[0]
    return float(entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint.ravel())) / math.log(256)


def test_against_scipy() -> None:
    images = stacks(2)
    for value, f, a, b in zip(qncie(*images), *images, strict=True):
        x, y, z = correlation(a, b), correlation(a, f), correlation(b, f)
        shares = np.linalg.eigvals([[1, x, y], [x, 1, z], [y, z, 1]]) / 3
        assert value == pytest.approx(1 - entropy(shares) / math.log(256), rel=1e-12)


def test_ends_of_the_scale() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    flat = np.full_like(levels, 3)
    assert qncie(levels, levels, levels)[0] == pytest.approx(1, abs=1e-12)
    assert qncie(flat, flat, flat)[0] == pytest.approx(1 - math.log(3, 256), abs=1e-12)
    assert pytest.approx(1 - math.log(3, 256)) == UNRELATED


def test_a_copy_has_more_than_a_fusion() -> None:
    fused, a, b = stacks(1)
    assert qncie(a, a, b)[0] > qncie(fused, a, b)[0] == qncie(255 - fused, a, b)[0]
