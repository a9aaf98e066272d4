"""The step from arrays to images, and the small operations that NumPy and torch share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionbench.metrics._images import Image, clamp_min, to_images
from tests.metrics.scenes import scene


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (5, 3), (40, 31)])
def test_clamp_min_on_every_shape(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    expected = np.maximum(x, 0.25)
    assert np.array_equal(clamp_min(x.copy(), 0.25), expected)
    assert np.array_equal(clamp_min(torch.from_numpy(x.copy()), 0.25).numpy(), expected)


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
