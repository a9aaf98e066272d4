"""Boxes of VOC, YOLO and label maps: what is read, and hostile files that are one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.sources.boxes import MAX_BYTES, boxes_of_map, read_voc, read_yolo

CLASSES = ("People", "Car")
SIZE = (30, 40)


def voc(*objects: str, size: str = "<size><width>40</width><height>30</height><depth>3</depth></size>") -> str:
    return f"<annotation><filename>00001.png</filename>{size}{''.join(objects)}</annotation>"


def thing(name: str = "Car", box: tuple[object, ...] = (2, 3, 12, 9)) -> str:
    sides = "".join(f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    part = "<part><name>wheel</name><bndbox><xmin>1</xmin></bndbox></part>"
    return f"<object><name> {name} </name><pose>Left</pose><bndbox>{sides}</bndbox>{part}</object>"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_voc_boxes_are_read_by_class(tmp_path: Path) -> None:
    text = voc(thing(), thing("people", ("0.5", "1e0", "4.25", "5")), thing("Car", (5, 5, 5, 9)))
    found = read_voc(write(tmp_path / "a.xml", text), SIZE, CLASSES)
    assert found.corners.tolist() == [[2, 3, 12, 9], [0.5, 1, 4.25, 5]] and found.classes.tolist() == [1, 0]
    assert len(read_voc(write(tmp_path / "b.xml", voc(size="")), SIZE, CLASSES)) == 0
    clipped = read_voc(write(tmp_path / "c.xml", voc(thing(box=(-1, 0, 41, 30)))), SIZE, CLASSES)
    assert clipped.corners.tolist() == [[0, 0, 40, 30]]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 9))
HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "entities": (f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><annotation>&l8;</annotation>', "document type"),
    "external": ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "document type"),
    "file": ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>', "document type"),
    "undefined": ("<annotation>&nothing;</annotation>", "no XML"),
    "no end": ("<annotation><object>", "no XML"),
    "empty": ("", "no XML"),
    "binary": (bytes(range(256)), "no XML"),
    "encoding": (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "encoding|no XML"),
    "deep": ("<annotation>" + "<a>" * 5000 + "</a>" * 5000 + "</annotation>", "deep"),
    "many": (voc(thing() * 4097), "more than 4096 boxes"),
    "class": (voc(thing("../Lamp\n")), "unknown class"),
    "no name": (voc("<object><bndbox/></object>"), "without name"),
    "no side": (voc(thing().replace("<xmax>12</xmax>", "")), "without xmax"),
    "word": (voc(thing(box=(2, "three", 12, 9))), "no number"),
    "nan": (voc(thing(box=(2, "nan", 12, 9))), "no number"),
    "huge": (voc(thing(box=(2, 3, "1" * 400, 9))), "no number"),
    "upside down": (voc(thing(box=(12, 3, 2, 9))), "no box in an image of 30×40"),
    "outside": (voc(thing(box=(2, 3, 50, 9))), "no box in an image of 30×40"),
    "size": (voc(size="<size><width>41</width><height>30</height></size>"), "its image has 30×40"),
    "half a size": (voc(size="<size><width>41</width></size>"), "no number"),
    "large": (b"<annotation>" + b" " * MAX_BYTES + b"</annotation>", "too large"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_annotations_are_one_line(case: str, tmp_path: Path) -> None:
    content, said = HOSTILE[case]
    with pytest.raises(DataError, match=said) as caught:
        read_voc(write(tmp_path / "bad.xml", content), SIZE, CLASSES)
    assert "bad.xml" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_yolo_boxes_are_parts_of_the_sides(tmp_path: Path) -> None:
    found = read_yolo(
        write(tmp_path / "a.txt", "1 0.5 0.5 0.25 0.2\n\n0 .5 1 1 0\n".replace(" .5", " 0.5")), SIZE, CLASSES
    )
    assert found.classes.tolist() == [1] and found.corners.tolist() == [[15, 12, 25, 18]]
    assert len(read_yolo(tmp_path / "nothing.txt", SIZE, CLASSES)) == 0
    for line in (
        "1 0.5 0.5 0.25",
        "2 0.5 0.5 0.1 0.1",
        "-1 0.5 0.5 0.1 0.1",
        "0.5 0.5 0.5 0.1 0.1",
        "0 x 0 0 0",
        "0 2 0 1 1",
    ):
        with pytest.raises(DataError, match=r"bad\.txt"):
            read_yolo(write(tmp_path / "bad.txt", line), SIZE, CLASSES)


def test_parts_of_a_map_are_boxes_in_order() -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[2:9, 20:24] = labels[5:15, 3:6] = 2
    labels[9, 24] = 2  # touches by a corner
    labels[20:28, 10:30] = 1
    labels[0, 0] = 1  # too small
    found = boxes_of_map(labels, {2: 0, 1: 1})
    assert found.corners.tolist() == [[3, 5, 6, 15], [20, 2, 25, 10], [10, 20, 30, 28]]
    assert found.classes.tolist() == [0, 0, 1] and len(boxes_of_map(labels, {7: 0})) == 0
