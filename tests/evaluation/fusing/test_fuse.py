"""One pair in Python: kinds of input, types of output, colour and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import fusionbench
from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.fusing.fuse import FusingOptions, fuse
from fusionbench.evaluation.fusing.methods import load_method
from tests.evaluation.fusing.scenes import THERMAL, VISIBLE

DEEP = np.random.default_rng(3).integers(0, 65536, (12, 17, 3)).astype(np.uint16)


def test_it_is_the_public_function() -> None:
    assert fusionbench.fuse is fuse


def test_the_average_of_known_pixels() -> None:
    """By hand: Y moves by half the difference of the luminances, and every channel with it."""
    thermal = np.full((4, 6), 180, np.uint8)
    visible = np.full((4, 6, 3), (120, 100, 90), np.uint8)
    y = (299 * 120 + 587 * 100 + 114 * 90) / 1000
    expected = np.rint(np.array([120, 100, 90]) + (180 - y) / 2)
    fused = fuse(thermal, visible, "average", device="cpu")
    assert fused.dtype == np.uint8 and (fused == expected).all()
    assert (fuse(thermal, visible, "average", colour="none") == round((180 + y) / 2)).all()


@pytest.mark.parametrize("of", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("grey", [False, True])
def test_copy_b_gives_back_b_in_its_own_type(of: Any, grey: bool) -> None:
    b: np.ndarray = DEEP[..., 0] if grey else DEEP
    b = b / 65535 if np.dtype(of).kind == "f" else (b >> 8 if of == np.uint8 else b)
    b = b.astype(of)
    fused = fuse(THERMAL, b, "copy-b", device="cpu")
    assert fused.dtype == of and fused.shape == b.shape
    error = np.abs(fused.astype(float) - b.astype(float)).max()
    assert error <= (1e-6 if np.dtype(of).kind == "f" else 0)


def test_paths_arrays_and_pillow_images_are_the_same(tmp_path: Path) -> None:
    Image.fromarray(THERMAL).save(tmp_path / "a.png")
    Image.fromarray(VISIBLE).save(tmp_path / "b.tif")
    expected = fuse(THERMAL, VISIBLE, device="cpu")
    kinds_a = [THERMAL, THERMAL[..., None], tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(THERMAL)]
    kinds_b = [VISIBLE, tmp_path / "b.tif", Image.open(tmp_path / "b.tif"), VISIBLE, Image.fromarray(VISIBLE)]
    for a, b in zip(kinds_a, kinds_b, strict=True):
        assert np.array_equal(fuse(a, b, device="cpu"), expected)


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "b.png"), DEEP[..., ::-1])
    grey = DEEP[..., 0].copy()
    Image.fromarray(grey).save(tmp_path / "g.png")
    for b, expected in ((tmp_path / "b.png", DEEP), (tmp_path / "g.png", grey), (Image.open(tmp_path / "g.png"), grey)):
        fused = fuse(THERMAL, b, "copy-b", device="cpu")
        assert fused.dtype == np.uint16 and np.array_equal(fused, expected)
    assert fuse(THERMAL, DEEP, "copy-b", bits=8, device="cpu").dtype == np.uint8
    assert fuse(DEEP, VISIBLE, "average", device="cpu").dtype == np.uint8, "the depth is that of b"
    assert fuse(DEEP, VISIBLE, "average", bits=16, device="cpu").dtype == np.uint16


def test_luminance_is_not_rounded_to_bytes() -> None:
    """Two 16-bit images that are one byte everywhere still differ after they are fused."""
    steep = np.linspace(30000, 30120, 12 * 17).reshape(12, 17).astype(np.uint16)
    fused = fuse(steep, np.full_like(steep, 40000), "average", range_a="full", range_b="full", device="cpu")
    assert np.abs(fused - (steep.astype(float) + 40000) / 2).max() < 0.51, "float32 has 8 bits more"
    assert len(np.unique(fused >> 8)) == 1 and len(np.unique(fused)) > 50


def test_turned_images_are_fused_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(VISIBLE)).save(tmp_path / "b.png", exif=exif)
    for b in (tmp_path / "b.png", Image.open(tmp_path / "b.png")):
        assert np.array_equal(fuse(THERMAL, b, "copy-b", device="cpu"), VISIBLE)


def test_ranges() -> None:
    thermal = THERMAL.astype(np.uint16) * 64  # 14 bits
    expected = THERMAL.astype(float) * 64 / 16383 * 255
    for a in (thermal, thermal.astype(np.float32)):
        text = "14bit" if a.dtype == np.uint16 else "0:16383"
        assert np.array_equal(fuse(a, THERMAL, "copy-a", range_a=text, device="cpu"), np.rint(expected))
    with pytest.raises(DataError, match=r"a: values .* of 16 bits fill less than 3/4 .* with range_a 14bit"):
        fuse(thermal, THERMAL, "copy-a", device="cpu")


def test_a_loaded_method_is_taken_as_it_is() -> None:
    method = load_method("guided-filter", device="cpu")
    assert np.array_equal(fuse(THERMAL, VISIBLE, method), fuse(THERMAL, VISIBLE, "guided-filter", device="cpu"))
    with pytest.raises(UsageError, match="this one is loaded"):
        fuse(THERMAL, VISIBLE, method, preset="tiny")


@pytest.mark.parametrize(
    ("a", "options", "message"),
    [
        (np.zeros((12, 16), np.uint8), {}, "a is 12×16 and b is 12×17 pixels; resize or register"),
        (np.zeros((12, 17, 4), np.uint8), {}, r"a: an array of shape \(12, 17, 4\); give grey \(H,W\) or RGB"),
        (np.zeros((12, 17, 2), np.uint8), {}, r"shape \(12, 17, 2\)"),
        (np.zeros(12, np.uint8), {}, r"shape \(12,\)"),
        (np.zeros((0, 17), np.uint8), {}, r"shape \(0, 17\)"),
        (np.zeros((12, 17), np.int32), {}, "a: an array of int32"),
        (np.zeros((12, 17), bool), {}, "a: an array of bool"),
        (np.full((12, 17), np.nan), {}, "a: has values that are not finite"),
        (np.full((12, 17), 7.5), {}, r"a: values 7\.5\.\.7\.5; floating point is in \[0,1\], or give range_a"),
        ([[1, 2], [3, 4]], {}, "a: a list; give an array, a path or a Pillow image"),
        (Image.new("RGBA", (17, 12)), {}, "a: has translucent pixels; flatten"),
        (Image.new("LA", (17, 12)), {}, "a: has translucent pixels; flatten"),
        (Image.new("CMYK", (17, 12)), {}, "a: a Pillow image of mode CMYK"),
        (np.full((12, 17), 1.00001), {}, r"a: values 1\.00001\.\.1\.00001"),
        (np.ma.masked_greater(THERMAL, 9), {}, "a: a masked array"),
        ("missing.png", {}, "missing.png: no such image"),
        (THERMAL, {"colour": "warm"}, "Unknown rule of colour 'warm'"),
        (THERMAL, {"bits": 12}, "bits=12"),
        (THERMAL, {"tile": 0}, "tile=0"),
        (THERMAL, {"method": "nothing"}, "Unknown method"),
        (THERMAL, {"range_a": "wide"}, "'wide' is no range"),
    ],
)
def test_what_is_refused_is_one_line(a: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, DataError), match=message) as caught:
        fuse(a, VISIBLE, **{"method": "average", "device": "cpu", **options})
    assert "\n" not in str(caught.value)


def test_arrays_however_they_lie_in_memory() -> None:
    deep = VISIBLE.astype(np.uint16) * 257
    expected = fuse(THERMAL, deep, "average", device="cpu")
    for a, b in (
        (np.asfortranarray(THERMAL), np.asfortranarray(deep)),
        (THERMAL[::-1].copy()[::-1], deep.astype(">u2")),
        (THERMAL.view(np.matrix), deep),
        (np.ma.masked_array(THERMAL), deep),
    ):
        for array in (a, b):
            array.flags.writeable = False
        fused = fuse(a, b, "average", device="cpu")
        assert np.array_equal(fused, expected) and fused.dtype == np.dtype("=u2") and type(fused) is np.ndarray
    unit = VISIBLE / 255
    near = np.where(unit == unit.max(), 1 + 5e-7, unit)
    assert fuse(near, near, "copy-b", device="cpu").max() <= 1, "what rounding left outside is clipped"


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_opaque_alpha_channel_of_a_pillow_image_is_dropped(mode: str) -> None:
    plain = Image.fromarray(VISIBLE).convert(mode)
    with_alpha = plain.convert("LA" if mode == "L" else "RGBA")
    fused = [fuse(THERMAL, image, "average", device="cpu") for image in (plain, with_alpha)]
    assert np.array_equal(*fused)
    plain.info["transparency"] = plain.getpixel((0, 0))
    with pytest.raises(DataError, match="b: has translucent pixels"):
        fuse(THERMAL, plain, "average", device="cpu")


def test_a_pillow_image_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    Image.fromarray(VISIBLE).save(tmp_path / "b.png")
    closed = Image.open(tmp_path / "b.png")
    closed.close()
    with pytest.raises(DataError, match="b: a Pillow image that cannot be read"):
        fuse(THERMAL, closed, "average", device="cpu")


def test_options_have_defaults_that_keep_what_b_has() -> None:
    assert FusingOptions() == FusingOptions("visible", None, "auto", None)
