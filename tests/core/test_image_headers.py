"""Headers, against what the writers were told and what Pillow reads; hostile ones end, and with None."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from fusionbench.core.image_headers import (
    PNG_HEAD,
    PngHeader,
    jpeg_header,
    png_extras,
    png_header,
    png_is_damaged,
    pnm_header,
    tiff_header,
)

PIXELS = ((np.arange(13 * 17 * 3) * 5) % 256).astype(np.uint8).reshape(13, 17, 3)


def encoded(kind: str, image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "bits", "colour"),
    [("1", 1, 0), ("L", 8, 0), ("I;16", 16, 0), ("RGB", 8, 2), ("P", 8, 3), ("LA", 8, 4), ("RGBA", 8, 6)],
)
def test_png(mode: str, bits: int, colour: int) -> None:
    content = encoded("PNG", Image.fromarray(PIXELS).quantize(200) if mode == "P" else Image.new(mode, (17, 13)))
    assert png_header(content) == png_header(content[:PNG_HEAD]) == PngHeader(13, 17, bits, colour)
    assert png_header(content[: PNG_HEAD - 1]) is None and png_header(b"\x89PNG" + bytes(99)) is None


def test_chunks_beside_the_pixels() -> None:
    info = PngInfo()
    for number in range(5):
        info.add_text(f"k{number}", "v")
    plain = encoded("PNG", Image.fromarray(PIXELS))
    assert png_extras(plain, 9) == 0 and png_extras(encoded("PNG", Image.fromarray(PIXELS).quantize(9)), 9) == 0
    texts = encoded("PNG", Image.fromarray(PIXELS), pnginfo=info, dpi=(72, 72))
    assert [png_extras(texts, most) for most in (0, 2, 5, 6, 100)] == [1, 3, 6, 6, 6]
    assert png_extras(texts[:60], 9) <= 1 and png_extras(b"", 9) == 0


def test_png_checksums() -> None:
    content = encoded("PNG", Image.fromarray(PIXELS), dpi=(72, 72))
    assert not png_is_damaged(content)
    for place, matters in ((content.index(b"IDAT") + 9, True), (content.index(b"pHYs") + 5, False), (17, True)):
        wrong = bytearray(content)
        wrong[place] ^= 1
        assert png_is_damaged(bytes(wrong)) is matters
    assert not png_is_damaged(content[:-20]) and not png_is_damaged(content[:8])


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(progressive: bool) -> None:
    colour = encoded("JPEG", Image.fromarray(PIXELS), progressive=progressive)
    header = jpeg_header(colour)
    assert header is not None
    assert (header.height, header.width, header.bits, header.channels) == (13, 17, 8, 3)
    assert (header.exif, header.has_profile, header.has_more_images, header.complete) == (b"", False, False, True)
    grey = jpeg_header(encoded("JPEG", Image.fromarray(PIXELS[..., 0])))
    assert grey is not None and grey.channels == 1
    for cut in (colour[:-2], colour[:-1], colour[: len(colour) // 2]):
        found = jpeg_header(cut)
        assert found is None or not found.complete
    padded = jpeg_header(colour + b"\0" * 50)  # as some cameras do
    assert padded is not None and padded.complete


def test_an_end_marker_in_a_preview_is_not_the_end() -> None:
    preview = encoded("JPEG", Image.fromarray(PIXELS))
    exif = b"Exif\0\0" + preview
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    content = preview[:2] + segment + preview[2:-2]
    header = jpeg_header(content)
    assert header is not None and header.exif == exif and not header.complete


def test_what_segments_tell() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(PIXELS)
    tagged = jpeg_header(encoded("JPEG", image, icc_profile=profile))
    several = jpeg_header(encoded("MPO", image, save_all=True, append_images=[image]))
    assert tagged is not None and (tagged.has_profile, tagged.has_more_images) == (True, False)
    assert several is not None and (several.has_profile, several.has_more_images) == (False, True)


def test_two_frames_are_no_header() -> None:
    content = encoded("JPEG", Image.fromarray(PIXELS))
    at = content.index(b"\xff\xc0")
    frame = content[at : at + 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]]
    assert jpeg_header(content[:at] + frame + content[at:]) is None


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff" * 500_000, b"\xff\xd8\xff\xe0\0\0" * 9]
)
def test_jpegs_without_a_frame(content: bytes) -> None:
    assert jpeg_header(content) is None


def test_pnm() -> None:
    header = pnm_header(b"P6\n# a comment\n17 # another\n13\n4095\n" + bytes(40))
    assert header is not None
    assert (header.height, header.width, header.channels, header.maximum, header.plain) == (13, 17, 3, 4095, False)
    assert header.start == len(b"P6\n# a comment\n17 # another\n13\n4095\n")
    plain = pnm_header(b"P2 1 2 255 ")
    assert plain is not None and plain.plain and (plain.height, plain.channels) == (2, 1)
    for content in (b"", b"P5", b"P5 1 2", b"P4 1 2 3 ", b"P5 -1 2 255 ", b"P5 " + b"9" * 5000):
        assert pnm_header(content) is None


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "sample"), [(np.uint8, 1), (np.uint16, 1), (np.int16, 2), (np.float32, 3), (np.float64, 3)]
)
def test_tiff(kind: type, sample: int, order: str, big: bool) -> None:
    for shape in ((13, 17), (13, 17, 3)):
        buffer = io.BytesIO()
        photometric = "rgb" if len(shape) == 3 else "miniswhite"
        tifffile.imwrite(buffer, np.zeros(shape, kind), byteorder=order, bigtiff=big, photometric=photometric)
        header = tiff_header(buffer.getvalue())
        assert header is not None and (header.height, header.width) == (13, 17)
        assert header.bits == (8 * np.dtype(kind).itemsize,) * (3 if len(shape) == 3 else 1)
        assert (header.sample, header.photometric) == (sample, 2 if len(shape) == 3 else 0)


def test_damaged_tiffs() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PIXELS, photometric="rgb")
    content = buffer.getvalue()
    for damaged in (b"", b"II*\0", b"II" + b"\xff" * 40, content[:8] + b"\xff" * 60, b"MM" + content[2:]):
        assert tiff_header(damaged) is None


@given(
    st.binary(max_size=400), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"II*\0", b"P5 "])
)
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_them_crash(content: bytes, head: bytes) -> None:
    for parse in (png_header, jpeg_header, pnm_header, tiff_header, png_is_damaged):
        parse(head + content)
