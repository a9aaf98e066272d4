"""EXIF, profiles and XMP of one file for another; written by Pillow, and by hand where they are to lie."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from fusionbench.core.image_metadata import MAX_EXIF, MAX_XMP, NO_METADATA, read_metadata
from tests.core.image_files import COLOUR, GREY

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta tiff:Orientation="6" dc:title="A street"/>'


def camera() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112], exif[0x0100] = "Maker", "Camera", 6, 4000
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0x829A: 0.5, 0x927C: b"maker's note", 0xA002: 4000, 0xA003: 3000}
    exif[0x8825] = {1: "N", 2: (47.0, 30.0, 0.0)}
    return exif


def written(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def parsed(data: bytes) -> tuple[dict[int, object], dict[int, object], dict[int, object]]:
    exif = Image.Exif()
    exif.load(data)
    first = {tag: value for tag, value in dict(exif).items() if tag not in (0x8769, 0x8825)}
    return first, dict(exif.get_ifd(0x8769)), dict(exif.get_ifd(0x8825))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_what_a_file_says_is_kept_without_what_would_be_wrong(kind: str) -> None:
    found = read_metadata(written(kind, exif=camera().tobytes(), icc_profile=PROFILE))
    first, inner, place = parsed(found.exif)
    assert first == {0x010F: "Maker", 0x0110: "Camera"}, "no orientation, no size, no strips of a TIFF"
    assert inner == {0x9003: "2020:01:02 03:04:05", 0x829A: 0.5}, "no maker's note and no size"
    assert place == {1: "N", 2: (47.0, 30.0, 0.0)}
    assert found.icc == PROFILE


def test_a_profile_goes_only_where_it_fits() -> None:
    found = read_metadata(written("PNG", icc_profile=PROFILE))
    assert found.profile_for(3) == PROFILE and found.profile_for(1) == b""
    grey = PROFILE[:16] + b"GRAY" + PROFILE[20:]
    assert read_metadata(written("PNG", icc_profile=grey)).profile_for(1) == grey
    assert NO_METADATA.profile_for(3) == NO_METADATA.profile_for(1) == b""


@pytest.mark.parametrize("profile", [b"x" * 200, PROFILE[:-1], PROFILE + b"x", PROFILE[:36] + b"xxxx" + PROFILE[40:]])
def test_damaged_profiles_are_left_out(profile: bytes) -> None:
    assert read_metadata(written("JPEG", icc_profile=profile)).icc == b""


def test_xmp_says_upright() -> None:
    body = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    assert read_metadata(written("JPEG", extra=segment)).xmp == XMP.replace(b'"6"', b'"1"')
    as_text = b"<x><tiff:Orientation>8</tiff:Orientation></x>"
    tagged = read_metadata(written("TIFF", tiffinfo={700: as_text}))
    assert tagged.xmp == as_text.replace(b"8", b"1")
    assert read_metadata(written("TIFF", tiffinfo={700: b"x" * (MAX_XMP + 1)})).xmp == b""
    bomb = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + XMP
    assert read_metadata(written("TIFF", tiffinfo={700: bomb})).xmp == b"", "entities are for other parsers to fetch"


def test_exif_behind_the_pixels_of_a_png_is_found() -> None:
    content = written("PNG", exif=camera())
    at = content.index(b"eXIf") - 4
    length = 12 + int.from_bytes(content[at : at + 4], "big")
    end = len(content) - 12
    moved = content[:at] + content[at + length : end] + content[at : at + length] + content[end:]
    assert moved.index(b"IDAT") < moved.index(b"eXIf")
    assert read_metadata(moved).exif == read_metadata(content).exif != b""


def test_too_much_and_damaged_exif_is_left_out() -> None:
    exif = camera()
    exif[0x010E] = "x" * MAX_EXIF
    assert read_metadata(written("PNG", exif=exif)).exif == b""
    for bad in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40):
        content = written("JPEG", exif=bad)
        assert read_metadata(content).exif == b""


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\xff" * 99, b"\xff\xd8\xff\xe1"])
def test_what_is_no_image_says_nothing(content: bytes) -> None:
    assert read_metadata(content) == NO_METADATA


def test_an_image_without_any_says_nothing(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "BMP", "PPM"):
        Image.fromarray(GREY).save(tmp_path / "x", kind)
        assert read_metadata((tmp_path / "x").read_bytes()) == NO_METADATA
