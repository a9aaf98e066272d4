"""The step from arrays to images, and the small operations that NumPy and torch share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionbench.metrics._images import Image, clamp_min, to_images
from fusionbench.metrics._windows import downsample, gaussian, magnitude, separable, sobel, sobel_in_order
from tests.metrics.scenes import scene


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (5, 3), (40, 31)])
def test_clamp_min_on_every_shape(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    expected = np.maximum(x, 0.25)
    assert np.array_equal(clamp_min(x.copy(), 0.25), expected)
    assert np.array_equal(clamp_min(torch.from_numpy(x.copy()), 0.25).numpy(), expected)


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


def test_whole_values_of_any_dtype_become_grey_levels() -> None:
    x = scene(0)[0][None]
    for stack in (x, x.astype(np.float32), torch.from_numpy(x), torch.from_numpy(x).to(torch.bfloat16)):
        (image,) = to_images(stack)
        if str(stack.dtype) != "torch.bfloat16":  # eight bits of mantissa round some levels
            assert np.array_equal(image.grey, x[0])
        assert image.pixels.dtype == np.float64
    (image,) = to_images(x + 0.5)
    assert image.grey is None and np.array_equal(image.pixels, x[0] + 0.5)


def test_bands_cover_every_window_once() -> None:
    image = Image(None, grey=scene(0, (131, 20))[0])
    for halo in (0, 1, 8):
        rows = [band.shape[0] - 2 * halo for band in image.bands(halo, 10)]
        assert sum(rows) == 131 - 2 * halo and all(row > 0 for row in rows)
