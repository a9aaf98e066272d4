"""Oracle: SciPy's maximum filter over NumPy differences, in float64. Tolerance 1e-6: float32 square roots."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from fusionbench.models.pairs.edges import central_edge_image, edge_image


def scipy_edges(image: np.ndarray) -> np.ndarray:
    right, below = np.zeros_like(image), np.zeros_like(image)
    right[:, :-1] = image[:, :-1] - image[:, 1:]
    below[:-1, :] = image[:-1, :] - image[1:, :]
    gradient = np.sqrt(right**2 + below**2)
    # origin −1 moves the 2×2 window from (−1..0) to (0..+1); "nearest" repeats the last row and column
    return ndimage.maximum_filter(gradient, size=2, origin=-1, mode="nearest")


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 1), (9, 14)])
def test_equals_scipy(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).random((3, 1, *size))
    expected = np.stack([scipy_edges(image[0])[None] for image in images])
    np.testing.assert_allclose(edge_image(torch.from_numpy(images).float()).numpy(), expected, atol=1e-6)


def test_a_step_gives_one_thick_line() -> None:
    image = torch.zeros(1, 1, 4, 6)
    image[..., 3:] = 0.5
    expected = torch.zeros(1, 1, 4, 6)
    expected[..., 1:3] = 0.5  # the difference stands left of the step, the maximum widens it by one more
    torch.testing.assert_close(edge_image(image), expected)


def test_flat_image_has_no_edges() -> None:
    assert edge_image(torch.full((1, 1, 5, 5), 0.3)).abs().max() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 1), (9, 14)])
def test_central_edges_equal_scipy(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).random((3, *size))
    for image in images:
        slopes = [ndimage.correlate1d(image, [-0.5, 0, 0.5], axis=axis, mode="nearest") for axis in (0, 1)]
        expected = ndimage.maximum_filter(np.hypot(*slopes), size=3, mode="constant", cval=0)
        made = central_edge_image(torch.from_numpy(image).float()[None, None])[0, 0]
        np.testing.assert_allclose(made.numpy(), expected, atol=1e-6)
