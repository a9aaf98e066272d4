"""Reading image files of more than 8 bits, by the table of docs/images.md: refused or mapped, and never cut.

Oracles: the arrays that Pillow, OpenCV, tifffile or the tests themselves wrote, and plain NumPy.
"""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import (
    FULL,
    decode_image,
    fit_ranges,
    read_image,
    read_values,
)
from tests.core.image_files import COLOUR, DEEP, DEEP_COLOUR, GREY, png_that_says, save, tiff


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


def pnm(header: bytes) -> bytes:
    return header + DEEP.astype(">u2").tobytes()


def chunk_before_header(content: bytes) -> bytes:
    chunk = b"tEXta\0b"
    return content[:8] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[8:]


def test_comments_of_any_ending_are_skipped_in_a_pnm_of_16_bits() -> None:
    height, width = DEEP.shape
    for comment in (b"", b"#c\n", b"#c\r", b"#c\r\n", b"#" + b"c" * 9000 + b"\n"):
        content = pnm(b"P5\n%s%d %d\r%s65535\n" % (comment, width, height, comment))
        image = decode_image(content, "x.pgm")
        assert image.bits == 16 and image.pixels.dtype == np.uint8
        assert np.array_equal(image.pixels, decode_image(pnm(b"P5 %d %d 65535 " % (width, height)), "y.pgm").pixels)


@pytest.mark.parametrize("deep", [True, False])
def test_16_bits_behind_a_header_that_is_not_read_are_refused(deep: bool, tmp_path: Path) -> None:
    """Pillow decodes them, to values whose depth is then known to nobody."""
    height, width = DEEP.shape
    long = b"P5\n#" + b"c" * (1 << 17) + b"\n%d %d 65535\n" % (width, height)
    with pytest.raises(DataError, match=r"x: a PNM whose header is damaged or too long; save it as PNG"):
        decode_image(pnm(long), "x")
    content = save(tmp_path / "x.png", DEEP if deep else GREY).read_bytes()
    with pytest.raises(DataError, match=r"x: a damaged PNG: it does not begin with its header"):
        decode_image(chunk_before_header(content), "x")


def test_the_directories_of_a_tiff_are_not_counted() -> None:
    """Looking for all of them takes time that grows with their square: 32,000 of them kept a reader for 14 s."""
    tags = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 1)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    content = bytearray(b"II*\0" + struct.pack("<I", 12) + bytes(4))
    for number in range(3000):
        following = 12 + (number + 1) * (len(directory) + 4)
        content += directory + struct.pack("<I", following if number < 2999 else 0)
    with pytest.raises(DataError, match="holds several images"):
        decode_image(bytes(content), "x.tif")
