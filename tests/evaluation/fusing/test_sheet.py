"""The sheet of sources and fused images: who stands where, by the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError
from fusionbench.core.image_ranges import Ranges
from fusionbench.evaluation.fusing.sheet import SHOWN, write_sheet
from tests.evaluation.fusing.scenes import pixels

COLOURS = {"a": (90, 90, 90), "b": (10, 200, 30), "fused": (200, 40, 120)}


def line(root: Path, number: int) -> tuple[Path, Path, Path]:
    for name, colour in COLOURS.items():
        image = Image.new("L", (40, 30), 90) if name == "a" else Image.new("RGB", (40, 30), colour)
        image.save(root / f"{name}{number}.png")
    return root / f"a{number}.png", root / f"b{number}.png", root / f"fused{number}.png"


def test_the_first_pairs_are_drawn_in_order(tmp_path: Path) -> None:
    write_sheet(tmp_path / "out" / "sheet.png", [line(tmp_path, n) for n in range(SHOWN + 2)], Ranges(), "runs/mine")
    sheet = pixels(tmp_path / "out" / "sheet.png")
    places = {name: np.argwhere((sheet == colour).all(axis=-1)) for name, colour in COLOURS.items()}
    assert all(len(found) >= SHOWN * 40 * 30 and len(found) < (SHOWN + 1) * 40 * 30 for found in places.values())
    assert places["a"][:, 1].max() < places["b"][:, 1].min() <= places["b"][:, 1].max() < places["fused"][:, 1].min()


def test_sixteen_bits_are_drawn_by_their_range(tmp_path: Path) -> None:
    a, b, fused = line(tmp_path, 0)
    Image.fromarray(np.full((30, 40), 8191, np.uint16)).save(a)
    write_sheet(tmp_path / "sheet.png", [(a, b, fused)], Ranges.parse("14bit"), "m")
    assert (pixels(tmp_path / "sheet.png") == 127).all(axis=-1).sum() >= 40 * 30
    with pytest.raises(DataError, match="--range-a"):
        write_sheet(tmp_path / "sheet.png", [(a, b, fused)], Ranges(), "m")
