"""Discs and lines against SciPy's correlation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fusionbench.synth.degradations.blur import blur_disc, disc_weights, line
from tests.synth.degradations.levels import textured


@pytest.mark.parametrize("diameter", [20, 32, 52, 90])
def test_a_disc_is_an_even_disc(diameter: int) -> None:
    """Its weights are areas, and the mean is SciPy's correlation with them."""
    taps = disc_weights(diameter)
    assert abs(sum(weight for _, _, weight in taps) / 256 - np.pi * (diameter / 32) ** 2) < 0.06
    reach = max(row for row, _, _ in taps)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for row, column, weight in taps:
        kernel[row + reach, column + reach] = weight
    assert np.array_equal(kernel, kernel.T) and np.array_equal(kernel, kernel[::-1])
    plane = textured(1, 21, 34)[0, :1]
    expected = ndimage.correlate(plane[0].astype(float), kernel / kernel.sum(), mode="nearest")
    assert np.abs(blur_disc(plane, diameter)[0] - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("length", [16, 40, 48, 104])
def test_a_line_is_an_even_line(length: int) -> None:
    plane = textured(1, 25, 31)[0, :1]
    taps = np.clip(length / 16 - 2 * np.abs(np.arange(-4, 5)) + 1, 0, 2)[None]
    expected = ndimage.correlate(plane[0].astype(float), taps / taps.sum(), mode="nearest")
    assert np.abs(line(plane, 0, length)[0] - expected).max() <= 0.5 + 1e-9
    upright = np.ascontiguousarray(plane.transpose(0, 2, 1))
    assert np.array_equal(line(upright, 64, length), line(plane, 0, length).transpose(0, 2, 1))
