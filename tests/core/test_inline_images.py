"""Data URIs hold the very pixels; larger images become means of squares, computed here in loops."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.inline_images import data_uri, reduced


def decoded(uri: str) -> np.ndarray:
    head, _, text = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text, validate=True))))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_small_images_are_themselves(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(decoded(data_uri(pixels)), pixels[..., 0] if shape[-1] == 1 else pixels)


@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 3)])
def test_large_images_are_means_of_squares(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    found = reduced(pixels, 5)  # 13 pixels in at most 5: squares of 3
    assert found.shape == (3, 4, *shape[2:])
    for row in range(3):
        for column in range(4):
            square = pixels[3 * row : 3 * row + 3, 3 * column : 3 * column + 3].reshape(9, -1)
            assert np.abs(found[row, column] - square.mean(0)).max() <= 0.5


def test_a_line_of_pixels_can_be_reduced() -> None:
    assert reduced(np.full((1, 1000), 9, np.uint8), 10).tolist() == [[9] * 10]
    assert reduced(np.full((2, 1000, 3), 9, np.uint8), 10).shape == (1, 10, 3)
