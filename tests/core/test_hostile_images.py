"""Image files that are damaged or lie: one line for each, and nothing is decoded that claims too much."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import DataError
from fusionbench.core.images import (
    FULL,
    decode_image,
    read_image,
)
from tests.core.image_files import ALL_KINDS, COLOUR, DEEP_COLOUR, encoded, png_that_says, save, tiff


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
