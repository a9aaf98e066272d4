"""Writing images: read back by our reader, and by other libraries that know nothing of ours."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_metadata import ImageMetadata, read_metadata
from fusionbench.core.image_ranges import Range
from fusionbench.core.image_writer import IMAGE_FORMATS, SUFFIX, encode_pixels, format_of
from fusionbench.core.images import decode_full_depth
from tests.core.test_image_metadata import PROFILE, XMP, camera, parsed, written

SHAPES = ((7, 9), (7, 9, 3), (1, 1), (1, 1, 3), (1, 5, 3), (5, 1))


def about() -> ImageMetadata:
    return ImageMetadata(read_metadata(written("JPEG", exif=camera())).exif, PROFILE, XMP.replace(b'"6"', b'"1"'))


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("of", [np.uint8, np.uint16])
def test_pixels_come_back_from_three_readers(kind: Any, of: Any) -> None:
    rng, top = np.random.default_rng(0), np.iinfo(of).max
    for shape in SHAPES:
        pixels = rng.integers(0, top + 1, shape).astype(of)
        content = encode_pixels(pixels, kind, metadata=about())
        ours = decode_full_depth(content, "a", Range("full"))
        assert np.array_equal(np.rint(ours.pixels.astype(float) * top), pixels) and ours.pixels.shape == shape
        assert ours.bits == 8 * pixels.itemsize
        theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(theirs if len(shape) == 2 else theirs[..., ::-1], pixels)
        if kind == "tiff":
            assert np.array_equal(tifffile.imread(io.BytesIO(content)), pixels)
        else:
            with Image.open(io.BytesIO(content)) as image:
                image.verify()


def test_jpeg_is_near_at_full_resolution_of_colour() -> None:
    y, x = np.mgrid[:32, :40]
    pixels = np.stack((x * 6, y * 8, 255 - x * 6), -1).astype(np.uint8)
    content = encode_pixels(pixels, "jpeg")
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG" and [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]
        assert np.abs(np.asarray(image).astype(int) - pixels).max() <= 6
    assert len(encode_pixels(pixels, "jpeg", quality=30)) < len(content)


@pytest.mark.parametrize("kind", IMAGE_FORMATS)
@pytest.mark.parametrize("of", [np.uint8, np.uint16])
def test_metadata_are_written(kind: Any, of: Any) -> None:
    if (kind, of) == ("jpeg", np.uint16):
        return
    content = encode_pixels(np.zeros((6, 8, 3), of), kind, metadata=about())
    found = read_metadata(content)
    assert parsed(found.exif) == parsed(about().exif) and parsed(found.exif)[2]
    assert found.icc == PROFILE and found.xmp == about().xmp
    with Image.open(io.BytesIO(content)) as image:  # what other programs see
        assert image.info["icc_profile"] == PROFILE
        assert image.getexif().get(0x0112, 1) == 1 and image.getexif()[0x0110] == "Camera"
    grey = encode_pixels(np.zeros((6, 8), of), kind, metadata=about())
    assert read_metadata(grey).icc == b"", "a profile of RGB does not fit grey"
    assert parsed(read_metadata(grey).exif)[0][0x0110] == "Camera"


def test_names_say_the_format() -> None:
    assert [format_of(f"a/b{suffix}") for suffix in (".PNG", ".tif", ".tiff", ".jpg", ".JPEG")] == [
        "png",
        "tiff",
        "tiff",
        "jpeg",
        "jpeg",
    ]
    assert all(format_of(f"x{suffix}") == kind for kind, suffix in SUFFIX.items())
    with pytest.raises(UsageError, match=r"x\.bmp: images are written as \.png"):
        format_of("x.bmp")


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.zeros((4, 4), np.uint16), {"kind": "jpeg"}, "8 bits a channel"),
        (np.zeros((4, 4, 4), np.uint8), {}, r"not uint8 \(4, 4, 4\)"),
        (np.zeros((4, 4), np.float32), {}, "not float32"),
        (np.zeros((4, 4), np.uint8), {"kind": "bmp"}, "Unknown format of images 'bmp'"),
        (np.zeros((4, 4), np.uint8), {"kind": "jpeg", "quality": 0}, "quality=0"),
    ],
)
def test_what_cannot_be_written_is_one_line(pixels: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        encode_pixels(pixels, **options)


def test_too_long_for_a_jpeg() -> None:
    with pytest.raises(DataError, match="70000×1 pixels are too many for a JPEG"):
        encode_pixels(np.zeros((70_000, 1), np.uint8), "jpeg")
