"""Reading image files of 8 bits, alpha, EXIF, profiles and pages, by the table of docs/images.md.

Oracles: the arrays that Pillow, OpenCV or the tests themselves wrote, and plain NumPy.
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
from PIL import Image, ImageCms

from fusionbench.core.errors import DataError
from fusionbench.core.image_ranges import Range
from fusionbench.core.images import (
    FULL,
    decode_image,
    encode_png,
    float32_luma,
    images_in,
    luma,
    read_full_depth,
    read_image,
    to_grey,
)
from tests.core.image_files import COLOUR, DEEP, DEEP_COLOUR, GREY, encoded, png_that_says, save, tiff

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


def test_float32_luma_is_opencvs() -> None:
    """Where luma is exactly between two levels, where alone single precision can matter, and elsewhere."""
    r, g, b = np.meshgrid(np.arange(0, 256, 3), np.arange(256), np.arange(256), indexing="ij")
    tie = (299 * r + 587 * g + 114 * b) % 1000 == 500
    some = np.random.default_rng(0).integers(0, 256, (5000, 3))
    colours = np.concatenate([np.stack([c[tie] for c in (r, g, b)], -1), some]).astype(np.uint8)[None]
    expected = np.round(cv2.cvtColor(colours[..., ::-1].astype(np.float32), cv2.COLOR_BGR2GRAY)).astype(np.uint8)
    if cv2.checkHardwareSupport(11) or cv2.checkHardwareSupport(100):  # AVX2, NEON: OpenCV fuses there only
        assert np.array_equal(float32_luma(colours), expected)
    ours, exact = (rule(colours).astype(int) for rule in (float32_luma, luma))
    assert 0 < (ours != exact).sum() < tie.sum() and abs(ours - exact).max() == 1
    assert np.array_equal(ours[:, tie.sum() :], exact[:, tie.sum() :])
    assert to_grey(GREY, "opencv-float32") is GREY
    assert np.array_equal(to_grey(colours, "opencv-float32"), float32_luma(colours))


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
        with pytest.raises(DataError, match=r"holds (2|several) images; export one of them"):
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
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7")  # what macOS puts beside an image on other disks
    (tmp_path / "deeper.png").mkdir()
    assert list(images_in(tmp_path)) == ["a", "b", "c", "d"]
    save(tmp_path / "a.bmp", GREY)
    with pytest.raises(DataError, match=r"a\.bmp and a\.png share the stem 'a'"):
        images_in(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        images_in(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no image"):
        images_in(tmp_path / "deeper.png")


# full depth


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_full_depth_is_what_the_file_has(tmp_path: Path, suffix: str) -> None:
    assert cv2.imwrite(str(tmp_path / f"c.{suffix}"), DEEP_COLOUR[..., ::-1])
    grey = save(tmp_path / f"g.{suffix}", DEEP)
    for path, pixels in (
        (tmp_path / f"c.{suffix}", DEEP_COLOUR),
        (grey, DEEP),
        (save(tmp_path / "e.png", COLOUR), COLOUR),
    ):
        found, top = read_full_depth(path), np.iinfo(pixels.dtype).max
        assert found.bits == 8 * pixels.itemsize and found.pixels.dtype == np.float32 and found.notes == ()
        assert np.array_equal(np.rint(found.pixels.astype(float) * top), pixels)


def test_full_depth_is_upright_and_refuses_what_read_image_refuses(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = read_full_depth(save(tmp_path / "t.jpg", GREY, exif=exif, quality=100), metadata=True)
    assert (
        turned.pixels.shape == GREY.shape[::-1] and turned.notes == ("turned upright",) and turned.metadata.exif == b""
    )
    assert turned.format == "JPEG" and turned.bits == 8
    clear = save(tmp_path / "a.png", Image.new("RGBA", (4, 3), (9, 9, 9, 100)))
    cut = tmp_path / "cut.png"
    cut.write_bytes(encoded("PNG")[:90])
    for path in (clear, cut, tmp_path / "missing.png"):
        messages = []
        for reader in (read_image, read_full_depth):
            with pytest.raises(DataError) as caught:
                reader(path)  # type: ignore[operator]
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
