"""Degrading files: pairs as planes, channels, sheets; the command line is tested in tests/cli/test_degrade.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.images import decode_image
from fusionbench.evaluation.degrade_files import degrade_files, draw_sheet, read_pair


def saved(folder: Path, name: str, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def test_grey_pictures_with_three_channels_stay_grey(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    a = saved(tmp_path, "a.png", np.repeat(grey[..., None], 3, axis=2))
    pair = read_pair("one", a, saved(tmp_path, "b.png", grey))
    assert pair.planes.shape == (2, 30, 40) and pair.channels == (1, 1) and pair.written == (3, 1)
    thermal, visible = pair.images(pair.degraded("gaussian-noise/1", 5).views[0])
    assert thermal.shape == (30, 40, 3) and (thermal == thermal[..., :1]).all() and visible.shape == (30, 40)
    assert not np.array_equal(thermal[..., 0], grey)


def test_colour_is_kept_as_it_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (20, 30), np.uint8), rng.integers(0, 256, (20, 30, 3), np.uint8)
    pair = read_pair("one", saved(tmp_path, "a.png", a), saved(tmp_path, "b.png", b))
    assert pair.channels == (1, 3)
    for made, was in zip(pair.images(pair.planes), (a, b), strict=True):
        assert np.array_equal(made, was)


def test_a_sheet_has_an_empty_frame_where_a_field_is_too_large(tmp_path: Path) -> None:
    pixels = np.full((4, 9), 100, np.uint8)
    pair = read_pair("one", saved(tmp_path, "a.png", pixels), saved(tmp_path, "b.png", pixels))
    with pytest.raises(UsageError, match=r"^one: shift/1: moves a view by up to 5 pixels"):
        pair.degraded("shift/1", 5)
    sheet = decode_image(draw_sheet(pair, ["shift/1", "haze/1"], [1, 5]), "sheet").pixels
    assert sheet.ndim == 3 and sheet.shape[0] > 100


def test_sixteen_bits_are_read_by_their_range(tmp_path: Path) -> None:
    deep = (np.arange(48, dtype=np.uint16) * 300).reshape(6, 8)
    a, b = saved(tmp_path, "a.png", deep), saved(tmp_path, "b.png", np.zeros((6, 8), np.uint8))
    done = degrade_files(a, b, tmp_path / "out", ["block/1"], [1], range_a="14bit")
    made = np.asarray(Image.open(done.folders["block/1 1"] / "a" / "b.png"))
    assert made.dtype == np.uint8 and np.abs(made.astype(float) - deep / 16383 * 255).max() < 8


def test_what_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    good = saved(tmp_path, "good.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match=r"bad\.png"):
        degrade_files(tmp_path / "bad.png", good, tmp_path / "out", ["block/1"], [1])
    assert not list((tmp_path / "out").glob("**/*.png"))
