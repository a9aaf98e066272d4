"""FMI's features against plain loops, matrices and convolutions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pywt
import torch

from fusionbench.core.errors import UsageError
from fusionbench.metrics._fmi_features import binary_edges, dct, feature_of, wavelet_bands
from fusionbench.metrics._images import Image, to_images
from tests.metrics.scenes import scene


def edges_by_loop(x: np.ndarray) -> np.ndarray:
    height, width = x.shape
    padded = np.pad(x, 1, mode="edge")
    across, down = np.zeros(x.shape), np.zeros(x.shape)
    for i, j in np.ndindex(x.shape):
        p = padded[i : i + 3, j : j + 3]
        across[i, j] = abs(p[0, 2] + 2 * p[1, 2] + p[2, 2] - p[0, 0] - 2 * p[1, 0] - p[2, 0])
        down[i, j] = abs(p[2, 0] + 2 * p[2, 1] + p[2, 2] - p[0, 0] - 2 * p[0, 1] - p[0, 2])
    energy, found = across**2 + down**2, np.zeros(x.shape)
    for i, j in np.ndindex(x.shape):
        left = j == 0 or energy[i, j - 1] <= energy[i, j]
        right = j == width - 1 or energy[i, j + 1] < energy[i, j]
        above = i == 0 or energy[i - 1, j] <= energy[i, j]
        below = i == height - 1 or energy[i + 1, j] < energy[i, j]
        peak = (across[i, j] >= down[i, j] and left and right) or (down[i, j] >= across[i, j] and above and below)
        found[i, j] = peak and energy[i, j] > 4 * energy.mean()
    return found


def test_edges_against_a_plain_loop() -> None:
    for seed in (0, 5):
        image = scene(seed)[2].astype(float)
        found = binary_edges(image)
        assert np.array_equal(found, edges_by_loop(image)) and 20 < found.sum() < image.size / 4
    assert not binary_edges(np.full((9, 9), 7.0)).any()
    step = np.repeat([[0.0] * 10 + [90.0] * 10], 6, axis=0)
    assert binary_edges(step)[:, 10].all() and binary_edges(step).sum() == 6, "one pixel wide, the right one of two"


def test_dct_is_the_orthonormal_one() -> None:
    x = scene(1, (12, 15))[0].astype(float)

    def matrix(n: int) -> np.ndarray:
        k = np.arange(n)[:, None]
        rows = math.sqrt(2 / n) * np.cos(math.pi * (2 * np.arange(n) + 1) * k / (2 * n))
        rows[0] /= math.sqrt(2)
        return rows

    assert dct(x) == pytest.approx(matrix(12) @ x @ matrix(15).T, abs=1e-9)
    assert np.count_nonzero(dct(np.full((12, 15), 77.7))) == 1, "rounding is no coefficient"


def test_wavelet_bands_are_a_convolution_of_the_reflected_image() -> None:
    x = scene(1, (70, 66))[0].astype(float)
    low, high = (np.array(taps) for taps in pywt.Wavelet("dmey").filter_bank[:2])

    def filtered(rows: np.ndarray, taps: np.ndarray) -> np.ndarray:
        padded = np.pad(rows, [(0, 0), (len(taps) - 1, len(taps) - 1)], mode="symmetric")
        return np.array([np.convolve(row, taps, "valid")[1::2] for row in padded])

    halves = [filtered(filtered(x, across).T, down).T for down in (low, high) for across in (low, high)]
    a, v, h, d = halves  # differences across the rows are the horizontal band
    assert wavelet_bands(x) == pytest.approx(np.block([[a, h], [v, d]]), abs=1e-9)


@pytest.mark.parametrize("feature", ["pixel", "gradient", "edge", "dct", "wavelet"])
def test_tensors_have_the_same_bits(feature: str) -> None:
    stack = np.stack([scene(seed)[0] for seed in range(2)])
    batch = feature_of(Image(torch.from_numpy(stack).double()), feature).pixels
    for image, tensor in zip(to_images(stack), batch, strict=True):
        assert np.array_equal(feature_of(image, feature).pixels, tensor.numpy())


def test_an_unknown_feature() -> None:
    with pytest.raises(UsageError, match="pixel, gradient, edge, dct, wavelet, not 'corner'"):
        feature_of(to_images(np.zeros((1, 4, 4), np.uint8))[0], "corner")  # type: ignore[arg-type]
