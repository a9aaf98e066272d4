"""Filters of the pyramid, covariances and sums of wavelet VIF against SciPy, NumPy and explicit windows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import correlate

from fusionbench.metrics._steerable import band_passes, block_covariance, box_sums, low_pass

X = np.random.default_rng(0).random((107, 33)) * 255


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
def test_low_pass(step: int, size: int) -> None:
    quarter = np.random.default_rng(size).random((size, size))
    half = np.concatenate([quarter, quarter[:, -2::-1]], 1)
    expected = correlate(X, np.concatenate([half, half[-2::-1]]), mode="mirror")[::step, ::step]
    assert low_pass(None, X, quarter, step) == pytest.approx(expected, rel=1e-12)


def test_band_passes() -> None:
    weights = np.random.default_rng(1).random((4, 3))
    left = np.concatenate([weights, weights[2::-1]])
    across = np.concatenate([left, np.zeros((7, 1)), -left[:, ::-1]], 1)
    for found, mask in zip(band_passes(None, X, weights), (across, across.T), strict=True):
        assert found == pytest.approx(correlate(X, mask, mode="mirror"), abs=1e-10)
    assert not np.any(band_passes(None, np.full((9, 9), 77.7), weights)), "exactly nothing where nothing changes"


@pytest.mark.parametrize("shape", [(6, 6), (9, 12), (107, 33)])
def test_covariance_of_blocks(shape: tuple[int, int]) -> None:
    x = X[: shape[0], : shape[1]]
    expected = np.cov(sliding_window_view(x, (3, 3)).reshape(-1, 9), rowvar=False, bias=True)
    assert block_covariance(None, x) == pytest.approx(expected, rel=1e-10, abs=1e-9)


def test_box_sums() -> None:
    for y in (None, X[::-1]):
        expected = sliding_window_view(X if y is None else X * y, (5, 5)).sum((-2, -1))[2::3, 2::3][:20, :8]
        assert box_sums(None, X, y, 5, 2, (20, 8)) == pytest.approx(expected, rel=1e-12)
