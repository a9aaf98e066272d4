"""Reading strangers' pictures: every kind to uint8 by a written rule, every hostile file to one line."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from fusionbench.errors import DataError
from fusionbench.imread import luma, pictures_in, read_picture

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def png_header(width: int, height: int, depth: int = 8, kind: int = 0) -> bytes:
    """A PNG that claims a size and has no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff"])
def test_lossless_kinds_come_back(tmp_path: Path, suffix: str) -> None:
    assert np.array_equal(read_picture(save(tmp_path / f"x.{suffix}", GREY)).pixels, GREY)
    colour = read_picture(save(tmp_path / f"y.{suffix}", COLOUR))
    assert np.array_equal(colour.pixels, COLOUR) and colour.grey().shape == (6, 8)
    assert colour.format == {"png": "PNG", "bmp": "BMP"}.get(suffix, "TIFF")


def test_jpeg_is_known_as_such_whatever_its_name(tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "x.png", GREY, format="JPEG"))
    assert picture.format == "JPEG" and picture.pixels.shape == GREY.shape


def test_luma_is_exact_and_rounds_halves_to_even() -> None:
    """Against exact fractions, on random colours and on all that fall on a half."""
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (4000, 3), dtype=np.uint8)
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), -1).reshape(-1, 3).astype(np.uint8)
    halves = every[(every.astype(int) @ [299, 587, 114]) % 1000 == 500]
    assert len(halves) > 20
    for sample in (colours, halves):
        for (r, g, b), found in zip(sample.tolist(), luma(sample).tolist(), strict=True):
            assert found == round(Fraction(299 * r + 587 * g + 114 * b, 1000))
    assert luma(np.full((2, 2, 3), 255, np.uint8)).tolist() == [[255, 255]] * 2


def test_palettes_alpha_and_bilevel(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOUR).quantize(32)
    assert np.array_equal(read_picture(save(tmp_path / "p.png", palette)).pixels, np.asarray(palette.convert("RGB")))
    opaque = np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)])
    assert np.array_equal(read_picture(save(tmp_path / "o.png", opaque)).pixels, COLOUR)
    grey_alpha = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (8, 6), 255)])
    assert np.array_equal(read_picture(save(tmp_path / "g.png", grey_alpha)).pixels, GREY)
    opaque[2, 3, 3] = 254
    with pytest.raises(DataError, match=r"t\.png: has translucent pixels; flatten"):
        read_picture(save(tmp_path / "t.png", opaque))
    bilevel = read_picture(save(tmp_path / "b.png", Image.fromarray(GREY > 99)))
    assert set(np.unique(bilevel.pixels)) == {0, 255}


def test_a_key_colour_is_an_alpha_channel(tmp_path: Path) -> None:
    used, unused = save(tmp_path / "used.png", GREY, transparency=10), save(tmp_path / "free.png", GREY, transparency=7)
    assert np.array_equal(read_picture(unused).pixels, GREY)
    with pytest.raises(DataError, match=r"used\.png: has translucent pixels"):
        read_picture(used)
    corner = tuple(COLOUR[0, 0].tolist())
    with pytest.raises(DataError, match="translucent"):
        read_picture(save(tmp_path / "c.png", COLOUR, transparency=corner))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_as_they_say(tmp_path: Path, turn: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path / f"x.{suffix}", GREY, exif=exif)
    picture = read_picture(path)
    upright = ImageOps.exif_transpose(Image.open(path))
    assert np.array_equal(picture.pixels, np.asarray(upright))
    if suffix == "png":
        assert bool(picture.note) == (turn > 1)


def test_damaged_exif_data_turn_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", GREY, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert read_picture(path).pixels.shape == GREY.shape and not read_picture(path).note


def test_sixteen_bits(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 48).reshape(6, 8).astype(np.uint16)
    picture = read_picture(save(tmp_path / "x.png", deep))
    assert np.array_equal(picture.pixels, np.rint(deep / 257).astype(np.uint8))
    assert picture.note == "16 bits scaled to 8"
    with pytest.raises(DataError, match=r"uses only 0\.\.\d+ of 16 bits; stretch"):
        read_picture(save(tmp_path / "dark.png", deep // 30))
    (tmp_path / "rgb16.png").write_bytes(png_header(4, 4, depth=16, kind=2))
    with pytest.raises(DataError, match="16 bits a channel"):
        read_picture(tmp_path / "rgb16.png")


def test_refused_kinds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="kind 'F'"):
        read_picture(save(tmp_path / "f.tif", GREY.astype(np.float32)))
    with pytest.raises(DataError, match="kind 'CMYK'"):
        read_picture(save(tmp_path / "c.jpg", Image.fromarray(COLOUR).convert("CMYK")))
    pages = [Image.fromarray(GREY)] * 3
    with pytest.raises(DataError, match="holds 3 pictures"):
        read_picture(save(tmp_path / "m.tif", pages[0], save_all=True, append_images=pages[1:]))


def test_hostile_files_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    whole = save(tmp_path / "whole.png", noise).read_bytes()
    files = {
        "missing.png": None,
        "empty.png": b"",
        "text.png": b"<html>not found</html>",
        "cut.png": whole[: len(whole) // 2],
        "bomb.png": png_header(60000, 60000),
        "large.png": png_header(20000, 5000),
        "hollow.png": png_header(8, 8),
        "gif.png": b"GIF89a" + bytes(40),
    }
    for name, content in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_picture(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(DataError, match="20000×5000 pixels is too large"):
        read_picture(tmp_path / "large.png")
    with pytest.raises(DataError, match="no such picture"):
        read_picture(tmp_path)
    monkeypatch.setattr("fusionbench.imread.MAX_BYTES", 100)
    with pytest.raises(DataError, match="too large for a picture"):
        read_picture(tmp_path / "whole.png")


def test_every_truncation_is_one_line(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "BMP", "TIFF"):
        content = save(tmp_path / "x", COLOUR, format=kind).read_bytes()
        for length in range(0, len(content) - 20, max(1, len(content) // 25)):
            path = tmp_path / "cut"
            path.write_bytes(content[:length])
            try:
                assert read_picture(path).pixels.shape == COLOUR.shape  # a decoder may forgive missing trailers
            except DataError as error:
                assert "\n" not in str(error)


def test_pictures_in_a_folder(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.png", "c.jpg"):
        save(tmp_path / name, GREY, format="PNG")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "deeper.png").mkdir()
    assert list(pictures_in(tmp_path)) == ["a", "b", "c"]
    save(tmp_path / "a.bmp", GREY)
    with pytest.raises(DataError, match=r"a\.bmp and a\.png share the stem 'a'"):
        pictures_in(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        pictures_in(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no picture"):
        pictures_in(tmp_path / "deeper.png")
