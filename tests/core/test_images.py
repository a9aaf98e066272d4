"""Reading image files: every kind to uint8 by the table of docs/images.md, every hostile file to one line.

Oracles: the arrays that Pillow, OpenCV, tifffile or the tests themselves wrote, and plain NumPy.
"""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import (
    FULL,
    decode_image,
    encode_png,
    fit_ranges,
    images_in,
    luma,
    read_image,
    read_values,
    to_grey,
)
from fusionbench.errors import DataError

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
DEEP = np.linspace(0, 65535, 48).reshape(6, 8).astype(np.uint16)
DEEP_COLOUR = np.random.default_rng(1).integers(0, 65536, (6, 8, 3)).astype(np.uint16)
ALL_KINDS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def tiff(path: Path, pixels: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(path, pixels, **options)  # type: ignore[arg-type]
    return path


def encoded(kind: str, pixels: np.ndarray = COLOUR, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def png_that_says(width: int, height: int, depth: int = 8, kind: int = 0, data: bytes = b"") -> bytes:
    """A PNG that claims a size and has other pixels, or none."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


# 8 bits


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "webp", "ppm"])
def test_lossless_kinds_come_back(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    colour = read_image(save(tmp_path / f"y.{suffix}", COLOUR, **options))
    assert np.array_equal(colour.pixels, COLOUR) and colour.grey().shape == (6, 8)
    assert colour.format == {"tif": "TIFF", "tiff": "TIFF"}.get(suffix, suffix.upper())
    assert (colour.bits, colour.note) == (8, "")
    if suffix != "webp":  # which has no grey
        grey = read_image(save(tmp_path / f"x.{suffix}", GREY))
        assert np.array_equal(grey.pixels, GREY) and np.array_equal(grey.rgb(), np.dstack([GREY] * 3))


def test_jpeg_is_known_as_such_whatever_its_name(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "x.png", GREY, format="JPEG"))
    assert image.format == "JPEG" and image.pixels.shape == GREY.shape


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 40, "subsampling": 0}])
@pytest.mark.parametrize("pixels", [GREY, COLOUR, np.kron(COLOUR, np.ones((3, 2, 1), np.uint8))])
def test_jpeg_is_decoded_as_pillow_does(options: dict[str, object], pixels: np.ndarray) -> None:
    """OpenCV decodes whole JPEGs and Pillow doubtful ones: the choice makes no difference."""
    content = encoded("JPEG", pixels, **options)
    assert np.array_equal(decode_image(content, "a.jpg").pixels, np.asarray(Image.open(io.BytesIO(content))))


def test_every_jpeg_at_hand_is_decoded_as_pillow_does(real_data: Path) -> None:
    """The bytes that published digests and scores rest on; some of every set."""
    for folder in ("celeba/half_89x109", "celeba/img_align_celeba", "roadscene/vi", "roadscene/ir", "vifb/VI"):
        for path in sorted((real_data / folder).glob("*.jpg"))[:5]:
            with Image.open(path) as image:
                assert np.array_equal(read_image(path).pixels, np.asarray(image)), path


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
    assert to_grey(GREY) is GREY and np.array_equal(to_grey(COLOUR), luma(COLOUR))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_reach_from_black_to_white(bits: int) -> None:
    """PNG of 1, 2 and 4 bits, packed here by hand: the largest value is white."""
    values = np.arange(2 * 16).reshape(2, 16) % 2**bits
    rows = [[int(v) for v in row] for row in values]
    packed = b"".join(
        b"\0" + int("".join(f"{v:0{bits}b}" for v in row), 2).to_bytes(16 * bits // 8, "big") for row in rows
    )
    image = decode_image(png_that_says(16, 2, bits, 0, packed), "a.png")
    assert np.array_equal(image.pixels, values * (255 // (2**bits - 1))) and image.note == ""


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOUR).quantize(32)
    expected = np.asarray(palette.getpalette(), np.uint8).reshape(-1, 3)[np.asarray(palette)]
    assert np.array_equal(read_image(save(tmp_path / "p.png", palette)).pixels, expected)


@pytest.mark.parametrize("pixels", [GREY % 2, np.dstack([GREY % 2] * 3), (DEEP % 2).astype(np.uint16)])
def test_images_of_0_and_1_are_refused_with_the_option(tmp_path: Path, pixels: np.ndarray) -> None:
    path = save(tmp_path / "m.png", pixels) if pixels.dtype == np.uint8 else tmp_path / "m.png"
    if pixels.dtype == np.uint16:
        cv2.imwrite(str(path), pixels)
    with pytest.raises(DataError, match=r"m\.png: values 0\.\.1 of \d+ bits .*--range-a 0:1"):
        read_image(path, option="--range-a")
    mapped = read_image(path, Range.parse("0:1"), option="--range-a")
    assert np.array_equal(mapped.pixels, (pixels * 255).astype(np.uint8)) and "by 0:1" in mapped.note


@pytest.mark.parametrize("value", [0, 1])
def test_a_constant_image_is_no_image_of_0_and_1(tmp_path: Path, value: int) -> None:
    flat = np.full((6, 8), value, np.uint8)
    assert np.array_equal(read_image(save(tmp_path / "flat.png", flat)).pixels, flat)


def test_full_takes_any_8_bits_as_they_are(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "m.png", GREY % 2), FULL)
    assert np.array_equal(image.pixels, GREY % 2) and image.note == ""


# Alpha


def test_alpha_is_never_dropped_in_silence(tmp_path: Path) -> None:
    opaque = np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)])
    grey = np.dstack([GREY, np.full(GREY.shape, 255, np.uint8)])
    for name, pixels, expected in (("rgba", opaque, COLOUR), ("la", grey, GREY)):
        image = read_image(save(tmp_path / f"{name}.png", Image.fromarray(pixels)))
        assert np.array_equal(image.pixels, expected) and image.note == "opaque alpha channel dropped"
    opaque[2, 3, 3] = 254
    for suffix in ("png", "tif", "webp"):
        path = save(tmp_path / f"t.{suffix}", opaque, **({"lossless": True} if suffix == "webp" else {}))
        with pytest.raises(DataError, match=rf"t\.{suffix}: has translucent pixels; flatten"):
            read_image(path)
    kept = read_image(tmp_path / "t.png", keep_alpha=True)
    assert kept.alpha is not None and kept.note == ""
    assert np.array_equal(kept.alpha, opaque[..., 3]) and np.array_equal(kept.pixels, COLOUR)
    assert read_image(save(tmp_path / "none.png", COLOUR), keep_alpha=True).alpha is None


def test_a_key_colour_is_an_alpha_channel(tmp_path: Path) -> None:
    used, unused = save(tmp_path / "used.png", GREY, transparency=10), save(tmp_path / "free.png", GREY, transparency=7)
    assert np.array_equal(read_image(unused).pixels, GREY)
    with pytest.raises(DataError, match=r"used\.png: has translucent pixels"):
        read_image(used)
    corner = tuple(COLOUR[0, 0].tolist())
    with pytest.raises(DataError, match="translucent"):
        read_image(save(tmp_path / "c.png", COLOUR, transparency=corner))
    palette = Image.fromarray(COLOUR).quantize(32)
    with pytest.raises(DataError, match="translucent"):
        read_image(save(tmp_path / "p.png", palette, transparency=int(np.asarray(palette)[0, 0])))


def with_key(content: bytes, key: bytes) -> bytes:
    """A PNG with a tRNS chunk before its pixels."""
    chunk = struct.pack(">I", len(key)) + b"tRNS" + key + struct.pack(">I", zlib.crc32(b"tRNS" + key))
    at = content.index(b"IDAT") - 4
    return content[:at] + chunk + content[at:]


def test_key_colours_of_16_bits() -> None:
    grey, colour = cv2.imencode(".png", DEEP)[1].tobytes(), cv2.imencode(".png", DEEP_COLOUR[..., ::-1])[1].tobytes()
    for content, key, other in (
        (grey, struct.pack(">H", DEEP[2, 3]), struct.pack(">H", DEEP[2, 3] + 1)),
        (colour, struct.pack(">HHH", *DEEP_COLOUR[2, 3]), struct.pack(">HHH", *(DEEP_COLOUR[2, 3] ^ 1))),
    ):
        with pytest.raises(DataError, match="translucent"):
            decode_image(with_key(content, key), "a.png")
        plain, keyed = decode_image(content, "a.png"), decode_image(with_key(content, other), "a.png")
        assert np.array_equal(plain.pixels, keyed.pixels) and "opaque alpha" in keyed.note


# More than 8 bits


def test_16_bit_grey_that_fills_its_type_is_scaled_with_a_note(tmp_path: Path) -> None:
    expected = np.rint(DEEP / 257).astype(np.uint8)
    paths = [
        save(tmp_path / "x.png", DEEP),
        tiff(tmp_path / "x.tif", DEEP),
        tiff(tmp_path / "big-endian.tif", DEEP, byteorder=">"),
        tiff(tmp_path / "big.tif", DEEP, bigtiff=True),
        tiff(tmp_path / "deflated.tif", DEEP, compression="zlib"),
    ]
    for path in paths:
        image = read_image(path)
        assert np.array_equal(image.pixels, expected), path
        assert (image.bits, image.notes) == (16, ("16 bits scaled to 8",))


def test_every_16_bit_value_is_scaled_as_an_exact_fraction_says(tmp_path: Path) -> None:
    every = np.arange(65536).astype(np.uint16).reshape(256, 256)
    found = read_image(save(tmp_path / "x.png", every)).pixels.reshape(-1)
    assert all(value == round(Fraction(255 * v, 65535)) for v, value in enumerate(found.tolist()))


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_part_of_16_bits_is_refused_or_mapped(tmp_path: Path, bits: int, suffix: str) -> None:
    """An image of 8 bits, encoded in so many of 16: refused by default with the remedy, and back to the bit with it."""
    wide = np.rint(COLOUR[..., 0] / 255 * (2**bits - 1)).astype(np.uint16)
    wide[0, 0] = 2**bits - 1
    path = save(tmp_path / f"x.{suffix}", wide) if suffix == "png" else tiff(tmp_path / "x.tif", wide)
    with pytest.raises(DataError) as caught:
        read_image(path, option="--range-a")
    text = str(caught.value)
    assert f"{path}: values {wide.min()}..{wide.max()} of 16 bits fill less than 3/4" in text and "\n" not in text
    assert f"--range-a {bits}bit, LOW:HIGH, percentile:1,99 or full" in text
    expected = np.rint(wide * 255.0 / (2**bits - 1))
    for asked in (f"{bits}bit", "image:auto", f"0:{2**bits - 1}"):
        image = read_image(path, Range.parse(asked), option="--range-a")
        assert np.array_equal(image.pixels, expected) and asked in image.note
    assert f"({bits}bit)" in read_image(path, Range.parse("image:auto")).note
    assert np.array_equal(read_image(path, FULL).pixels, np.rint(wide / 257))
    with pytest.raises(DataError, match=r"map them to 8 bits first \(docs/images.md\)"):
        read_image(path)  # by those who have no such option


def test_where_the_line_is_drawn(tmp_path: Path) -> None:
    for top, fine in ((49151, False), (49152, True)):
        deep = np.linspace(0, top, 48).reshape(6, 8).astype(np.uint16)
        path = save(tmp_path / f"{top}.png", deep)
        if fine:
            assert read_image(path).pixels.max() == 191
        else:
            with pytest.raises(DataError, match="less than 3/4"):
                read_image(path)
    narrow = save(tmp_path / "narrow.png", (65535 - DEEP // 30).astype(np.uint16))
    with pytest.raises(DataError, match=r"uses only \d+\.\.65535 of 16 bits"):
        read_image(narrow)
    white = save(tmp_path / "white.png", np.full((6, 8), 65535, np.uint16))
    assert (read_image(white).pixels == 255).all()


def test_12_bits_that_a_tiff_packs_are_12_bits(tmp_path: Path) -> None:
    """Two values in three bytes; the type ends at 4095."""
    values = np.linspace(0, 4095, 48).astype(int)
    body = b"".join(int(f"{a:012b}{b:012b}", 2).to_bytes(3, "big") for a, b in values.reshape(-1, 2))
    tags = [(256, 8), (257, 6), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 6), (279, len(body))]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    content = b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "x.tif").write_bytes(content)
    image = read_image(tmp_path / "x.tif")
    assert image.note == "12 bits scaled to 8" and image.bits == 12
    assert np.array_equal(image.pixels.reshape(-1), np.rint(values * 255 / 4095))


@pytest.mark.parametrize("maximum", [4095, 65535])
def test_pnm_has_the_white_that_it_names(maximum: int) -> None:
    for pixels, magic in ((DEEP, b"P5"), (DEEP_COLOUR, b"P6")):
        values = (pixels.astype(np.int64) * maximum // 65535).astype(np.uint16)
        content = magic + b"\n# by hand\n8 6\n%d\n" % maximum + values.astype(">u2").tobytes()
        image = decode_image(content, "a.pgm")
        assert np.array_equal(image.pixels, np.rint(values * 255.0 / maximum)) and image.format == "PPM"
        assert image.note == f"{maximum.bit_length()} bits scaled to 8"
        with pytest.raises(DataError, match=r"a\.pgm: .*truncated"):
            decode_image(content[:-1], "a.pgm")
    with pytest.raises(DataError, match="a PNM of text and of more than 8 bits"):
        decode_image(b"P2 2 1 4095 0 4095", "a.pgm")
    with pytest.raises(DataError, match="above the 300"):
        decode_image(b"P5 1 1 300\n\xff\xff", "a.pgm")
    with pytest.raises(DataError, match="60000×60000 pixels is too large"):
        decode_image(b"P5 60000 60000 65535\n", "a.pgm")


def test_16_bit_colour_is_not_cut_to_its_high_byte(tmp_path: Path) -> None:
    expected = np.rint(DEEP_COLOUR / 257)
    assert not np.array_equal(expected, DEEP_COLOUR >> 8)
    opaque = np.dstack([DEEP_COLOUR, np.full((6, 8), 65535, np.uint16)])
    blue_first = np.ascontiguousarray(DEEP_COLOUR[..., ::-1])
    for name in ("x.png", "lzw.tif"):
        assert cv2.imwrite(str(tmp_path / name), blue_first)
    paths = [
        tmp_path / "x.png",
        tmp_path / "lzw.tif",
        tiff(tmp_path / "plain.tif", DEEP_COLOUR, photometric="rgb"),
        tiff(tmp_path / "deflated.tif", DEEP_COLOUR, photometric="rgb", compression="zlib"),
        tiff(tmp_path / "alpha.tif", opaque, photometric="rgb", extrasamples=["unassalpha"]),
    ]
    for path in paths:
        image = read_image(path)
        assert np.array_equal(image.pixels, expected), path
        assert image.notes[0] == "16 bits scaled to 8" and image.bits == 16
        assert ("opaque alpha channel dropped" in image.notes) == (path.name == "alpha.tif")


def test_14_bit_colour_is_refused_or_mapped_by_one_range_for_all_channels(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", DEEP_COLOUR >> 2, photometric="rgb")
    with pytest.raises(DataError, match=r"--range-b 14bit"):
        read_image(path, option="--range-b")
    assert np.array_equal(read_image(path, Range.parse("14bit")).pixels, np.rint((DEEP_COLOUR >> 2) * 255.0 / 16383))


def test_translucent_16_bit_colour_is_refused(tmp_path: Path) -> None:
    for alpha in (65534, 65280, 0):
        pixels = np.dstack([DEEP_COLOUR, np.full((6, 8), alpha, np.uint16)])
        assert cv2.imwrite(str(tmp_path / "a.png"), pixels)
        with pytest.raises(DataError, match="translucent"):
            read_image(tmp_path / "a.png")
    grey = np.dstack([DEEP, np.full((6, 8), 65535, np.uint16)]).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    image = decode_image(png_that_says(8, 6, 16, 4, rows), "a.png")
    assert np.array_equal(image.pixels, np.rint(DEEP / 257)) and "opaque alpha" in image.note


def test_16_bit_colour_in_a_form_on_which_decoders_differ_is_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", DEEP_COLOUR.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate")
    try:
        assert np.array_equal(read_image(path).pixels, np.rint(DEEP_COLOUR / 257))
    except DataError as error:
        assert "16 bits a channel" in str(error)


def test_0_is_white_where_a_tiff_says_so(tmp_path: Path) -> None:
    assert np.array_equal(read_image(tiff(tmp_path / "8.tif", GREY, photometric="miniswhite")).pixels, 255 - GREY)
    deep = read_image(tiff(tmp_path / "16.tif", DEEP, photometric="miniswhite"))
    assert np.array_equal(deep.pixels, np.rint((65535 - DEEP) / 257.0))
    with pytest.raises(DataError, match="0 is white"):
        read_image(tiff(tmp_path / "f.tif", GREY.astype(np.float32), photometric="miniswhite"), Range.parse("0:1"))


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.uint32, np.int16])
def test_values_without_a_white_of_their_own_need_a_range(tmp_path: Path, kind: type) -> None:
    values = np.linspace(-100 if np.dtype(kind).kind != "u" else 0, 120, 48).reshape(6, 8).astype(kind)
    path = tiff(tmp_path / "x.tif", values)
    assert np.array_equal(read_values(path).pixels, values) and read_values(path).pixels.dtype == values.dtype
    low, high = (f"{float(end):g}" for end in (values.min(), values.max()))
    with pytest.raises(DataError, match=rf"x\.tif: .*{low}\.\.{high}.*--range-a LOW:HIGH"):
        read_image(path, option="--range-a")
    with pytest.raises(DataError, match="have no depth"):
        read_image(path, FULL, option="--range-a")
    expected = np.rint(np.clip((values.astype(np.float64) - 20) * 255 / 60, 0, 255))
    image = read_image(path, Range.parse("20:80"), option="--range-a")
    assert np.array_equal(image.pixels, expected) and "mapped to 8 by 20:80, what is beyond clipped" in image.note


def test_signed_bytes_are_not_taken_for_unsigned(tmp_path: Path) -> None:
    """Old releases of Pillow do not read them, new ones as unsigned."""
    values = np.linspace(-100, 100, 48).reshape(6, 8).astype(np.int8)
    path = tiff(tmp_path / "x.tif", values)
    with pytest.raises(DataError, match="signed"):
        read_image(path)
    try:
        assert np.array_equal(read_values(path).pixels, values)
    except DataError as error:
        assert "a TIFF of 1 × 8 bits, signed" in str(error)


def test_large_unsigned_values_do_not_wrap(tmp_path: Path) -> None:
    values = np.linspace(0, 4_000_000_000, 48).reshape(6, 8).astype(np.uint32)
    image = read_image(tiff(tmp_path / "x.tif", values), Range.parse("0:4000000000"))
    assert np.array_equal(image.pixels, np.rint(values.astype(np.float64) * 255 / 4e9))


def test_floats_of_0_to_1_name_their_range(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 48).reshape(6, 8).astype(np.float32)
    path = tiff(tmp_path / "f.tif", values)
    with pytest.raises(DataError, match="--range-fused 0:1"):
        read_image(path, option="--range-fused")
    expected = np.rint(values.astype(np.float64) * 255)
    assert np.array_equal(read_image(path, Range.parse("0:1")).pixels, expected)
    values[3, 3] = np.nan
    with pytest.raises(DataError, match=r"f\.tif: has values that are not finite"):
        read_image(tiff(path, values), Range.parse("0:1"))


def test_a_range_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    eight, deep = save(tmp_path / "8.png", GREY), save(tmp_path / "16.png", DEEP)
    for path, asked, said in (
        (eight, "14bit", "8 bits a channel; --range-a 14bit is for deeper files"),
        (deep, "14bit", r"values 0\.\.65535 are beyond --range-a 14bit, 0\.\.16383"),
        (save(tmp_path / "flat.png", np.full((6, 8), 9, np.uint8)), "percentile:1,99", "both are the value 9"),
    ):
        with pytest.raises(DataError, match=said) as caught:
            read_image(path, Range.parse(asked), option="--range-a")
        assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_percentiles_stretch_each_image(tmp_path: Path) -> None:
    dark = np.random.default_rng(2).integers(500, 9000, (40, 50)).astype(np.uint16)
    path = save(tmp_path / "x.png", dark)
    low, high = (int(np.percentile(dark, p, method="inverted_cdf")) for p in (1, 99))
    expected = np.rint(np.clip((dark - float(low)) * 255 / (high - low), 0, 255))
    assert np.array_equal(read_image(path, Range.parse("percentile:1,99")).pixels, expected)


def test_ranges_that_sets_share(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sets = {"a": [rng.integers(0, top, (20, 30)).astype(np.uint16) for top in (900, 15000, 3000)]}
    sets["b"] = [rng.normal(20, 5, (20, 30)).astype(np.float32) for _ in range(3)]
    files = {side: [tiff(tmp_path / f"{side}{k}.tif", values) for k, values in enumerate(sets[side])] for side in sets}
    found = fit_ranges(Ranges.parse("auto", "set:percentile:2,97.5"), files)
    assert str(found.a) == "14bit" and found.b is not None
    everything = np.concatenate([values.reshape(-1) for values in sets["b"]])
    ends = [float(np.percentile(everything, p, method="inverted_cdf")) for p in (2, 97.5)]
    assert [found.b.low, found.b.high] == ends
    assert fit_ranges(Ranges.parse("percentile:1,99", "3:4"), files) == Ranges.parse("percentile:1,99", "3:4")
    eight = {"a": [save(tmp_path / "8.png", GREY)]}
    assert str(fit_ranges(Ranges.parse("auto"), eight).a) == "full"


# EXIF, profiles, pages


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_images_are_turned_as_they_say(tmp_path: Path, turn: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path / f"x.{suffix}", COLOUR, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    image = read_image(path, size=(6, 8) if turn < 5 else (8, 6))
    stored = COLOUR
    if suffix == "jpg":
        stored = np.asarray(Image.open(save(tmp_path / "plain.jpg", COLOUR)))
    plain = np.transpose(stored, (1, 0, 2)) if turn > 4 else stored
    down, right = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(turn, (1, 1))
    assert np.array_equal(image.pixels, plain[::down, ::right])
    assert image.note == ("turned upright" if turn > 1 else "")
    with pytest.raises(DataError, match=r"pixels instead of"):
        read_image(path, size=(8, 6) if turn < 5 else (6, 8))


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_tiffs_are_turned_or_refused(tmp_path: Path, turn: int) -> None:
    for values, photometric in ((DEEP, "minisblack"), (DEEP_COLOUR, "rgb")):
        path = tiff(tmp_path / "x.tif", values, photometric=photometric, extratags=[(274, "H", 1, turn, True)])
        plain = np.swapaxes(values, 0, 1) if turn > 4 else values
        down, right = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(turn, (1, 1))
        try:
            image = read_image(path)
        except DataError as error:  # where OpenCV and Pillow turn colour differently
            assert values.ndim == 3 and turn > 1 and "16 bits a channel" in str(error)
        else:
            assert np.array_equal(image.pixels, np.rint(plain[::down, ::right] / 257))
            assert ("turned upright" in image.notes) == (turn > 1)


def test_damaged_exif_data_turn_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", GREY, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert read_image(path).pixels.shape == GREY.shape and not read_image(path).note


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_colour_profile_is_noted_and_not_applied(tmp_path: Path, suffix: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, tagged = save(tmp_path / f"a.{suffix}", COLOUR), save(tmp_path / f"b.{suffix}", COLOUR, icc_profile=profile)
    assert np.array_equal(read_image(plain).pixels, read_image(tagged).pixels)
    assert [read_image(path).note for path in (plain, tagged)] == ["", "embedded colour profile not applied"]


def test_files_of_several_images(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    for name, kind in (("m.tif", "TIFF"), ("m.png", "PNG"), ("m.webp", "WEBP")):
        path = save(tmp_path / name, pages[0], format=kind, save_all=True, append_images=pages[1:])
        with pytest.raises(DataError, match=r"holds 2 images; export one of them"):
            read_image(path)
    photo = save(tmp_path / "m.jpg", pages[0], format="MPO", save_all=True, append_images=pages[1:])
    alone = save(tmp_path / "one.jpg", pages[0])
    assert np.array_equal(read_image(photo).pixels, read_image(alone).pixels)
    assert read_image(photo).note == "the first of several images in it"


def test_refused_kinds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="kind 'CMYK'"):
        read_image(save(tmp_path / "c.jpg", Image.fromarray(COLOUR).convert("CMYK")))
    with pytest.raises(DataError, match="kind 'CMYK'"):
        read_image(save(tmp_path / "c.tif", Image.fromarray(COLOUR).convert("CMYK")))
    with pytest.raises(DataError, match="kind 'LAB'"):
        read_image(save(tmp_path / "l.tif", Image.fromarray(COLOUR).convert("LAB")))
    for name, pixels in (("f64", DEEP.astype(np.float64)), ("f16", GREY.astype(np.float16))):
        with pytest.raises(DataError, match=r"a TIFF of 1 × \d+ bits, float; save it with"):
            read_image(tiff(tmp_path / f"{name}.tif", pixels))


# Hostile files


def test_hostile_files_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    whole = save(tmp_path / "whole.png", noise).read_bytes()
    jpeg, deep = encoded("JPEG", noise), cv2.imencode(".png", DEEP_COLOUR)[1].tobytes()
    wrong = bytearray(whole)
    wrong[len(whole) // 2] ^= 1  # within the pixels: the checksum no longer fits
    files = {
        "missing.png": None,
        "empty.png": b"",
        "text.png": b"<html>not found</html>",
        "cut.png": whole[: len(whole) // 2],
        "wrong.png": bytes(wrong),
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut16.png": deep[: len(deep) // 2],
        "bomb.png": png_that_says(60000, 60000),
        "large.png": png_that_says(20000, 5000),
        "none.png": png_that_says(0, 5),
        "hollow.png": png_that_says(8, 8),
        "hollow16.png": png_that_says(8, 8, 16, 2),
        "lying.jpg": jpeg.replace(struct.pack(">HH", 64, 64), struct.pack(">HH", 60000, 60000), 1),
        "taller.jpg": jpeg.replace(struct.pack(">HH", 64, 64), struct.pack(">HH", 640, 64), 1)[:-40],
        "start.jpg": b"\xff\xd8\xff",
        "fill.jpg": b"\xff\xd8" + b"\xff" * 3_000_000,
        "gif.png": b"GIF89a" + bytes(40),
    }
    for name, content in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(DataError, match="5000×20000 pixels is too large"):
        read_image(tmp_path / "large.png")
    with pytest.raises(DataError, match="60000×60000 pixels is too large"):
        read_image(tmp_path / "bomb.png")
    with pytest.raises(DataError, match="60000×60000 pixels is too large"):
        read_image(tmp_path / "lying.jpg")
    with pytest.raises(DataError, match="no such image"):
        read_image(tmp_path)
    with pytest.raises(DataError, match="6×8 pixels instead of 64×64"):
        decode_image(encoded("PNG"), "a.png", size=(64, 64))
    monkeypatch.setattr("fusionbench.core.images.MAX_BYTES", 100)
    with pytest.raises(DataError, match="too large for image"):
        read_image(tmp_path / "whole.png")


@pytest.mark.parametrize("kind", ["tiff", "bigtiff"])
def test_tiffs_that_lie_about_their_size(tmp_path: Path, kind: str) -> None:
    big = kind == "bigtiff"
    content = tiff(tmp_path / "a.tif", DEEP_COLOUR, photometric="rgb", bigtiff=big, software="x").read_bytes()
    head, number = ("<HHQ", "<Q") if big else ("<HHI", "<I")
    entry = struct.pack(head, 256, 4, 1)
    at, wide = content.index(entry) + len(entry), struct.pack(number, 60000)
    with pytest.raises(DataError, match=r"a\.tif: ") as caught:
        decode_image(content[:at] + wide + content[at + len(wide) :], "a.tif")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="6×1000000000 pixels is too large"):
        decode_image(content[:at] + struct.pack(number, 10**9) + content[at + len(wide) :], "a.tif")
    # the same tag twice, in the place of another and with another size: decoders differ in which they believe
    at = content.index(struct.pack(head, 305, 2, 2))
    with pytest.raises(DataError, match="names a tag twice"):
        decode_image(content[:at] + entry + wide + content[at + len(entry) + len(wide) :], "a.tif")


def test_every_truncation_is_one_line(tmp_path: Path) -> None:
    for kind in ALL_KINDS:
        content = encoded(kind)
        for length in range(0, len(content) - 20, max(1, len(content) // 25)):
            path = tmp_path / "cut"
            path.write_bytes(content[:length])
            try:
                assert read_image(path).pixels.shape == COLOUR.shape  # a decoder may forgive missing trailers
            except DataError as error:
                assert "\n" not in str(error)


def test_a_truncated_jpeg_is_refused_wherever_it_is_cut() -> None:
    content = encoded("JPEG", np.kron(COLOUR, np.ones((20, 20, 1), np.uint8)))
    for length in range(len(content) // 2, len(content) - 2, 97):
        with pytest.raises(DataError, match=r"a\.jpg: not a readable .*truncated"):
            decode_image(content[:length], "a.jpg")


DAMAGED = {kind: encoded(kind) for kind in ALL_KINDS}
DAMAGED["PNG 16"] = cv2.imencode(".png", DEEP_COLOUR)[1].tobytes()
DAMAGED["TIFF 16"] = cv2.imencode(".tif", DEEP_COLOUR)[1].tobytes()
DAMAGED["PPM 16"] = b"P6 8 6 65535\n" + DEEP_COLOUR.astype(">u2").tobytes()


@given(st.sampled_from(sorted(DAMAGED)), st.data())
@settings(max_examples=200, deadline=None)
def test_no_damage_makes_it_crash(kind: str, data: st.DataObject) -> None:
    content = bytearray(DAMAGED[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    keep = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:keep])):
        try:
            image = decode_image(damaged, "a", FULL)
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert image.pixels.dtype == np.uint8 and image.rgb().ndim == 3 and image.rgb().shape[2] == 3


# Writing, folders


@pytest.mark.parametrize("small", [False, True])
def test_png_is_written_as_other_readers_read_it(small: bool) -> None:
    for pixels in (GREY, GREY[..., None], COLOUR, COLOUR[::2, ::-1]):
        content = encode_png(pixels, small=small)
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(found, pixels.squeeze() if pixels.shape[-1] == 1 else pixels[..., ::-1]) or (
            pixels.ndim == 2 and np.array_equal(found, pixels)
        )


def test_images_in_a_folder(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.png", "c.jpg", "d.webp"):
        save(tmp_path / name, GREY, format="PNG")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "deeper.png").mkdir()
    assert list(images_in(tmp_path)) == ["a", "b", "c", "d"]
    save(tmp_path / "a.bmp", GREY)
    with pytest.raises(DataError, match=r"a\.bmp and a\.png share the stem 'a'"):
        images_in(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        images_in(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no image"):
        images_in(tmp_path / "deeper.png")
