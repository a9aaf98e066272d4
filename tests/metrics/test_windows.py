"""Filters of NumPy arrays and tensors, against SciPy; gradients, against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionbench.metrics._images import Image
from fusionbench.metrics._windows import downsample, gaussian, magnitude, separable, sobel, sobel_in_order
from tests.metrics.scenes import scene


@pytest.mark.parametrize(("size", "sigma"), [(1, 1.0), (3, 0.5), (11, 1.5), (17, 3.4)])
def test_a_gaussian_is_symmetric_sums_to_one_and_falls_as_it_should(size: int, sigma: float) -> None:
    taps = np.asarray(gaussian(size, sigma))
    assert taps.shape == (size,) and taps.sum() == pytest.approx(1, rel=1e-15)
    assert np.array_equal(taps, taps[::-1])
    for distance in range(size // 2 + 1):
        ratio = taps[size // 2 + distance] / taps[size // 2]
        assert ratio == pytest.approx(np.exp(-(distance**2) / (2 * sigma**2)), rel=1e-12)


@pytest.mark.parametrize("border", ["valid", "zero", "replicate", "reflect", "symmetric"])
@pytest.mark.parametrize("size", [1, 3, 17])
def test_filters_of_both_worlds_agree_with_scipy(border: str, size: int) -> None:
    from scipy.ndimage import correlate

    x = scene(0)[0].astype(np.float64)
    window = np.outer(gaussian(size, size / 5), gaussian(size, size / 5))
    mode = {"replicate": "nearest", "reflect": "mirror", "symmetric": "reflect"}.get(border, "constant")
    expected = correlate(x, window, mode=mode, cval=0.0)
    if border == "valid" and size > 1:
        expected = expected[size // 2 : -(size // 2), size // 2 : -(size // 2)]
    ours = separable(x, gaussian(size, size / 5), border=border)  # type: ignore[arg-type]
    tensor = separable(torch.from_numpy(x)[None], gaussian(size, size / 5), border=border)[0]  # type: ignore[arg-type]
    assert ours == pytest.approx(expected, rel=1e-12, abs=1e-11)
    assert tensor.numpy() == pytest.approx(expected, rel=1e-12, abs=1e-11)


@pytest.mark.parametrize("shape", [(61, 74), (9, 9), (209, 41), (10, 9)])
def test_downsampling_in_bands_keeps_every_second_pixel(shape: tuple[int, int]) -> None:
    x = scene(0, shape)[0]
    whole = separable(x.astype(np.float64), gaussian(9, 1.8))[::2, ::2]
    assert downsample(Image(None, grey=x), gaussian(9, 1.8)) == pytest.approx(whole, rel=1e-13)


def test_both_sobels_agree_on_whole_numbers() -> None:
    x = scene(0)[0].astype(np.float64)
    for one, two in zip(sobel(x), sobel_in_order(x), strict=True):
        assert np.array_equal(one, two)
    for one, two in zip(sobel(x), sobel(torch.from_numpy(x)[None]), strict=True):
        assert np.array_equal(one, two[0].numpy())
    assert magnitude(*sobel(x)) == pytest.approx(np.hypot(*sobel(x)), rel=1e-14)
