"""Pairs with boxes in the layouts that data sets are published in."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import DataError
from fusionbench.sources.box_pairs import LlvipDetection, M3fdDetection, YoloPairs

from . import folders


def test_m3fd_has_its_annotations_beside_its_folders(tmp_path: Path) -> None:
    source = M3fdDetection(folders.boxed(tmp_path, "Ir", "Vis", "Annotation", "people"))
    found = source.boxes("all", 1)
    assert found.corners.tolist() == [[1, 2, 6, 9]] and found.classes.tolist() == [0]
    below = tmp_path / "whole"
    folders.boxed(below / "M3FD_Detection", "Ir", "Vis", "Annotation", "Truck")
    assert M3fdDetection(below).boxes("all", 0).classes.tolist() == [5]


def test_llvip_has_them_above_its_splits(tmp_path: Path) -> None:
    source = LlvipDetection(folders.boxed(tmp_path, "infrared/train", "visible/train", "Annotations", "person"))
    assert tuple(source.splits) == ("train",) and len(source.boxes("train", 0)) == 1


def test_yolo_names_its_classes_and_lacks_files_where_nothing_is_seen(tmp_path: Path) -> None:
    root = folders.yolo(tmp_path)
    source = YoloPairs(root)
    assert source.class_names == ["person", "car"]
    assert [len(source.boxes("all", index)) for index in range(source.length("all"))][:2] == [1, 0]
    for wrong in ("", "person\nperson\n", "../x\n", "a\n" * 40000):
        (root / "classes.txt").write_text(wrong)
        with pytest.raises(DataError, match=r"classes\.txt"):
            YoloPairs(root)


def test_a_box_changes_the_fingerprint_and_what_lacks_is_named(tmp_path: Path) -> None:
    root = folders.boxed(tmp_path, "Ir", "Vis", "Annotation", "Car")
    before = M3fdDetection(root).fingerprint("all")
    path = min((root / "Annotation").iterdir())
    text = path.read_text()
    path.write_text(text.replace("<ymax>9<", "<ymax>8<"))
    assert M3fdDetection(root).fingerprint("all") != before
    path.write_text(text.replace("Car", "Tank"))
    with pytest.raises(DataError, match=rf"{path.name}: unknown class 'Tank'"):
        M3fdDetection(root).fingerprint("all")
    path.unlink()
    with pytest.raises(DataError, match=f"1 pairs have no annotation: {path.stem}"):
        M3fdDetection(root)
    with pytest.raises(DataError, match="no boxes here; looked for Annotation/ or Annotations/"):
        M3fdDetection(folders.pairs(tmp_path / "bare", "Ir", "Vis"))
