"""Oracle: Pillow as an independent reader; files that lie about themselves are refused before decoding."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fusionbench.errors import DataError
from fusionbench.sources.images import decode, jpeg_size, png_size, read_image

PICTURE = ((np.arange(13 * 17 * 3) * 5) % 256).astype(np.uint8).reshape(13, 17, 3)


def encoded(kind: str, array: np.ndarray = PICTURE, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP", "PPM"])
def test_lossless_formats_are_read_to_the_bit(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(encoded(kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert np.array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 40, "subsampling": 0}])
def test_jpeg_is_decoded_as_pillow_does(options: dict[str, object]) -> None:
    content = encoded("JPEG", **options)
    assert jpeg_size(content) == (13, 17)
    assert np.array_equal(decode(content, "a.jpg"), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_grey_pictures_have_three_equal_channels() -> None:
    for kind in ("PNG", "JPEG", "TIFF"):
        picture = decode(encoded(kind, PICTURE[..., 0]), "a")
        assert np.array_equal(picture[..., 0], picture[..., 1]) and np.array_equal(picture[..., 0], picture[..., 2])


def png_that_says(height: int, width: int) -> bytes:
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return out


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    assert png_size(png_that_says(60_000, 60_000)) == (60_000, 60_000)
    with pytest.raises(DataError, match="60000×60000"):
        decode(png_that_says(60_000, 60_000), "bomb.png")
    tiff = bytearray(encoded("TIFF"))
    at = tiff.index(struct.pack("<HHI", 256, 4, 1)) if struct.pack("<HHI", 256, 4, 1) in tiff else -1
    if at >= 0:
        tiff[at + 8 : at + 12] = struct.pack("<I", 1 << 30)
        with pytest.raises(DataError):
            decode(bytes(tiff), "bomb.tif")


def test_wrong_sizes_deep_colours_and_other_files() -> None:
    with pytest.raises(DataError, match="13×17 pixels instead of 64×64"):
        decode(encoded("PNG"), "a.png", (64, 64))
    deep = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep, "PNG")
    for content in (deep.getvalue(), b"", b"\xff\xd8\xff", b"<svg/>", encoded("PNG")[:60], encoded("GIF")):
        with pytest.raises(DataError, match=r"a\.png"):
            decode(content, "a.png")


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM"]), st.data())
@settings(max_examples=150, deadline=None)
def test_no_damage_makes_it_crash(kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    keep = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:keep])):
        try:
            picture = decode(damaged, "a")
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
