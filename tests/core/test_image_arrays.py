"""Images in memory are what the same images in files are; what is no image is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_arrays import array_of, eight_bits
from fusionbench.core.image_ranges import Range
from fusionbench.core.images import read_image

DRAWN = np.random.default_rng(3)


def test_arrays_and_pillow_images_are_read_as_their_files(tmp_path: Path) -> None:
    grey, colour = DRAWN.integers(0, 256, (9, 7), np.uint8), DRAWN.integers(0, 256, (9, 7, 3), np.uint8)
    deep = DRAWN.integers(0, 65536, (9, 7), np.uint16)
    deep[0, 0] = 65535
    for name, pixels in {"grey": grey, "colour": colour, "deep": deep}.items():
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        wanted = read_image(path).pixels
        with Image.open(path) as opened:
            for given in (pixels, opened, pixels[::-1][::-1], np.asfortranarray(pixels)):
                np.testing.assert_array_equal(eight_bits(given, name), wanted)
    np.testing.assert_array_equal(eight_bits(deep.astype(">u2"), "deep"), eight_bits(deep, "deep"))


def test_floats_are_rounded_to_the_levels_that_they_would_be_saved_as() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for kind in (np.float16, np.float32, np.float64):
        np.testing.assert_array_equal(eight_bits((levels / 255).astype(kind), "x"), levels)
    assert eight_bits(np.array([[-1e-7, 1 + 1e-7]]), "x").tolist() == [[0, 255]]
    assert eight_bits(np.array([[0.0, 20.0, 30.0]]), "x", Range.parse("10:30"), "range_a").tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((2, 3, 4, 5), np.uint8), r"side: an array of shape \(2, 3, 4, 5\); give grey"),
        (np.zeros((0, 3), np.uint8), r"shape \(0, 3\)"),
        (np.zeros((4, 4), np.int64), "an array of int64; give uint8"),
        (np.zeros((4, 4), bool), "an array of bool"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((4, 4), 200.0), r"values 200..200; floating point is in \[0,1\], or give range_a='LOW:HIGH'"),
        (np.ma.masked_equal(np.zeros((4, 4), np.uint8), 0), "masked array"),
        ("text", "side: a str; give an array"),
        (None, "side: a NoneType"),
        (np.array([["a", "b"]]), "an array of <U1"),
    ],
)
def test_what_is_no_image_is_one_line(image: object, told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        eight_bits(image, "side", None, "range_a")
    assert "\n" not in str(error.value)


def test_a_mask_of_ones_is_refused_as_its_file_is() -> None:
    with pytest.raises(DataError, match=r"values 0\.\.1 of 8 bits would all be black"):
        eight_bits(np.eye(4, dtype=np.uint8), "mask")


def test_a_closed_pillow_image_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    opened = Image.open(tmp_path / "x.png")
    opened.close()
    with pytest.raises(DataError, match="cannot be read"):
        array_of(opened, "side")
    seen_through = Image.new("RGBA", (4, 4), (1, 2, 3, 9))
    with pytest.raises(DataError, match="translucent"):
        array_of(seen_through, "side")
