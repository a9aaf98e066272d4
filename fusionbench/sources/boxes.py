"""Boxes around things in images: VOC's XML, YOLO's text, and connected components of label maps.

Coordinates are pixels of the image from its upper left corner, as the files write them: x1, y1, x2, y2 with x1 < x2 and
y1 < y2. Files are checked before they are believed: their size before their content, XML without document types and
so without entities, numbers that are finite, boxes in the image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusionbench.core.errors import DataError, some
from fusionbench.core.io import read_bounded
from fusionbench.core.text import one_line

MAX_BYTES = 1 << 20  # of a file of boxes
MAX_BOXES = 4096  # in an image
_MAX_DEPTH = 8
_OUTSIDE = 2.0  # pixels that a box may reach beyond the image; it is cut there
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]{0,12})?([eE][+-]?[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image.

    Attributes:
        corners: float64 (n, 4): x1, y1, x2, y2 in pixels.
        classes: int64 (n,): places in the list of classes.
    """

    corners: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)


def read_voc(path: Path, size: tuple[int, int], classes: Sequence[str]) -> Boxes:
    """Boxes of a VOC annotation (``object`` with ``name`` and ``bndbox``) of an image of height and width ``size``.

    Names are compared without their case; a box without an area is left out.

    Raises:
        DataError: missing, too large, no XML, a document type, an unknown class, or a box that is none.
    """
    found = _VocReader(path).read(read_bounded(path, MAX_BYTES, "annotation"))
    if found.size is not None and found.size != size:
        raise DataError(
            f"{path}: boxes of an image of {found.size[0]}×{found.size[1]} pixels, its image has {size[0]}×{size[1]}"
        )
    places = {name.casefold(): place for place, name in enumerate(classes)}
    unknown = sorted({name for name, _ in found.objects if name.casefold() not in places})
    if unknown:
        raise DataError(f"{path}: unknown class {one_line(unknown[0])[:40]!r}; there are: {some(list(classes))}")
    return _boxes(path, [(places[name.casefold()], corners) for name, corners in found.objects], size)


def read_yolo(path: Path, size: tuple[int, int], classes: Sequence[str]) -> Boxes:
    """Boxes of YOLO's text, a line ``CLASS X Y WIDTH HEIGHT`` each, the centre and parts of the image's sides.

    No file is an image without boxes, as there.

    Raises:
        DataError: too large, or a line that is no box.
    """
    if not path.exists():
        return _boxes(path, [], size)
    lines = read_bounded(path, MAX_BYTES, "list of boxes").decode("utf-8", "replace").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 5 or not all(_NUMBER.fullmatch(part) for part in parts):
            raise DataError(f"{path}: line {number} ({one_line(line)[:40]!r}) is no box: CLASS X Y WIDTH HEIGHT")
        kind, x, y, width, height = (float(part) for part in parts)
        if kind != int(kind) or not 0 <= kind < len(classes):
            raise DataError(f"{path}: line {number}: class {parts[0]}, there are {len(classes)} from 0")
        half = (width / 2, height / 2)
        corners = [(x - half[0]) * size[1], (y - half[1]) * size[0], (x + half[0]) * size[1], (y + half[1]) * size[0]]
        found.append((int(kind), corners))
    return _boxes(path, found, size)


def boxes_of_map(labels: np.ndarray, numbers: Mapping[int, int], least: int = 20) -> Boxes:
    """Boxes around the connected parts (8 neighbours) of a label map, uint8 (h, w), from left to right in each class.

    Args:
        numbers: class index in the map -> place in the list of classes.
        least: pixels that a part must have.

    Example:
        >>> import numpy as np
        >>> from fusionbench.sources.boxes import boxes_of_map
        >>> labels = np.zeros((6, 9), np.uint8)
        >>> labels[1:4, 2:5] = 2
        >>> labels[5, 8] = 2
        >>> boxes_of_map(labels, {2: 0}, least=4).corners.tolist()
        [[2.0, 1.0, 5.0, 4.0]]
    """
    from scipy import ndimage

    corners, classes = [], []
    for number, place in sorted(numbers.items(), key=lambda item: item[1]):
        parts, count = ndimage.label(labels == number, np.ones((3, 3)))
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        boxes = [
            (float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
            for part, (rows, columns) in enumerate(ndimage.find_objects(parts), 1)
            if sizes[part] >= least
        ]
        corners += sorted(boxes)
        classes += [place] * len(boxes)
    return Boxes(np.array(corners, np.float64).reshape(-1, 4), np.array(classes, np.int64))


def _boxes(path: Path, found: Sequence[tuple[int, Sequence[float]]], size: tuple[int, int]) -> Boxes:
    """Boxes in the image; those without an area are left out.

    Raises:
        DataError: one that is not finite, upside down, or outside of the image.
    """
    if len(found) > MAX_BOXES:
        raise DataError(f"{path}: {len(found)} boxes, more than {MAX_BOXES}")
    height, width = size
    corners, classes = [], []
    for place, values in found:
        x1, y1, x2, y2 = values
        inside = min(x1, y1) >= -_OUTSIDE and x2 <= width + _OUTSIDE and y2 <= height + _OUTSIDE
        if not all(math.isfinite(value) for value in values) or x2 < x1 or y2 < y1 or not inside:
            text = ", ".join(f"{value:g}" for value in values)
            raise DataError(f"{path}: ({text}) is no box in an image of {height}×{width} pixels")
        x1, x2 = max(0.0, x1), min(float(width), x2)
        y1, y2 = max(0.0, y1), min(float(height), y2)
        if x2 > x1 and y2 > y1:
            corners.append((x1, y1, x2, y2))
            classes.append(place)
    return Boxes(np.array(corners, np.float64).reshape(-1, 4), np.array(classes, np.int64))


class _RefusedError(Exception):
    """What a handler of the XML parser refuses."""


class _VocReader:
    """The objects of one annotation: a parser that is handed only what it needs and refuses what could grow.

    Attributes:
        objects: name and corners of each.
        size: height and width of the image, where the file says them.
    """

    FIELDS = ("xmin", "ymin", "xmax", "ymax")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.objects: list[tuple[str, list[float]]] = []
        self.size: tuple[int, int] | None = None
        self._names: list[str] = []
        self._text = ""
        self._now: dict[str, str] = {}
        self._sides: dict[str, str] = {}

    def read(self, content: bytes) -> _VocReader:
        from xml.parsers import expat

        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        try:
            parser.Parse(content, True)
            if self._sides:
                height, width = (self._number(self._sides.get(key, "")) for key in ("height", "width"))
                self.size = (int(height), int(width))
        except expat.ExpatError as error:
            raise DataError(f"{self.path}: no XML ({one_line(str(error))})") from error
        except (_RefusedError, LookupError, ValueError) as error:  # LookupError: an encoding that nobody knows
            raise DataError(f"{self.path}: {one_line(str(error))}") from error
        return self

    def _refuse(self, *_: object) -> int:
        raise _RefusedError("has a document type or entities, which annotations do not need; remove them")

    def _start(self, name: str, _: object) -> None:
        self._names.append(name)
        self._text = ""
        if len(self._names) > _MAX_DEPTH:
            raise _RefusedError(f"elements in elements more than {_MAX_DEPTH} deep")
        if self._names[1:] == ["object"]:
            self._now = {}
            if len(self.objects) >= MAX_BOXES:
                raise _RefusedError(f"more than {MAX_BOXES} boxes")

    def _data(self, text: str) -> None:
        if len(self._text) < 256:
            self._text += text

    def _end(self, _: str) -> None:
        where = self._names[1:]
        if where == ["object", "name"]:
            self._now["name"] = self._text.strip()
        elif where[:2] == ["object", "bndbox"] and where[2:] in [[field] for field in self.FIELDS]:
            self._now[where[2]] = self._text.strip()
        elif where[:1] == ["size"] and where[1:] in (["height"], ["width"]):
            self._sides[where[1]] = self._text.strip()
        elif where == ["object"]:
            missing = [field for field in ("name", *self.FIELDS) if not self._now.get(field)]
            if missing:
                raise _RefusedError(f"an object without {missing[0]}")
            self.objects.append((self._now["name"], [self._number(self._now[field]) for field in self.FIELDS]))
        self._names.pop()
        self._text = ""

    def _number(self, text: str) -> float:
        if not _NUMBER.fullmatch(text):
            raise _RefusedError(f"{text[:40]!r} is no number")
        return float(text)
