"""Families with the objects of a folder of pictures; :mod:`tests.cli.test_degrade` has the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation import degrade_cutouts
from fusionbench.evaluation.degrade_cutouts import cutout_family, with_cutouts
from fusionbench.synth.degradations import DEGRADATIONS, degrade


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEGRADATIONS, "_objects", {})


def plate(folder: Path, name: str, side: int) -> None:
    shape = Image.new("L", (40, 40))
    shape.paste(255, (4, 4, 4 + side, 4 + side))
    Image.merge("LA", [Image.new("L", (40, 40), 90), shape]).save(folder / name)


def test_the_name_follows_from_the_objects_and_is_known_from_then_on(tmp_path: Path) -> None:
    plate(tmp_path, "a.png", 12)
    name = cutout_family(tmp_path)
    assert name == cutout_family(tmp_path) and DEGRADATIONS.get(name).name == name
    made = degrade(np.zeros((1, 2, 32, 32), np.uint8), name, 3, dataset="d", split="s", samples=np.array([0]))
    assert 0 < made.lost.mean() < 0.5
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    assert cutout_family(tmp_path) == name, "the file's name is nothing to its object"
    plate(tmp_path, "c.png", 20)
    Image.new("L", (8, 8), 3).save(tmp_path / "flat.png")
    other = cutout_family(tmp_path)
    assert other != name and with_cutouts(["blur/1", "occlude/2"], tmp_path) == ["blur/1", other]
    with pytest.raises(UsageError, match="name this family, too"):
        with_cutouts(["blur/1"], tmp_path)


def test_too_many_or_too_large_pictures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plate(tmp_path, "a.png", 12)
    monkeypatch.setattr(degrade_cutouts, "LARGEST", 39)
    with pytest.raises(DataError, match="40×40 pixels; a cut-out has at most 39 a side"):
        cutout_family(tmp_path)
    plate(tmp_path, "b.png", 12)
    monkeypatch.setattr(degrade_cutouts, "MOST", 1)
    with pytest.raises(DataError, match="2 pictures, and a bank has at most 1"):
        cutout_family(tmp_path)
