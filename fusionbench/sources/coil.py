"""``coil``: turntable photographs of COIL-20 (grey) and COIL-100 (colour), 128×128.

The folder holds ``coil20/objN__T.png`` (T = 0..71, steps of 5 degrees) and ``coil100/objN__A.png`` (A = 0, 5, … 355
degrees), either or both. Images are in the order of object and turn; the label is the object's number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.sources.file_notes import FileNotes

_NAME = re.compile(r"obj([0-9]{1,3})__([0-9]{1,3})\.png")
_SIZE = (128, 128)
_DARK = 12  # levels by which an object differs from the black behind it, in any channel
_CLOSE = 5  # pixels across gaps in it


class Coil:
    """Splits ``coil20`` and ``coil100``: uint8 (n, 128, 128, 3); grey ones have three equal channels."""

    name: ClassVar[str] = "coil"
    title: ClassVar[str] = "Columbia Object Image Library, COIL-20 and COIL-100, 128×128"
    licence: ClassVar[str] = "research purposes only"
    citation: ClassVar[str] = (
        "S. A. Nene, S. K. Nayar, H. Murase: Columbia Object Image Library (COIL-20 and COIL-100), technical reports "
        "CUCS-005-96 and CUCS-006-96, Columbia University, 1996"
    )
    homepage: ClassVar[str] = "https://www.cs.columbia.edu/CAVE/software/softlib/coil-100.php"
    redistributable: ClassVar[bool] = False

    def __init__(self, root: Path | None) -> None:
        if root is None:
            raise UsageError("COIL is not embedded: name the folder of coil20/ and coil100/ with --source-dir DIR")
        self.root, self.notes = Path(root), FileNotes()
        self._files: dict[str, list[tuple[int, int, str]]] = {}
        for split in ("coil20", "coil100"):
            folder = self.root / split
            names = [match for path in folder.glob("*.png") if (match := _NAME.fullmatch(path.name))]
            if names:
                self._files[split] = sorted((int(match[1]), int(match[2]), match[0]) for match in names)
        self.splits: Sequence[str] = tuple(self._files)
        if not self.splits:
            raise DataError(f"{self.root}: neither coil20/objN__T.png nor coil100/objN__A.png is here")

    def _list(self, split: str) -> list[tuple[int, int, str]]:
        if split not in self._files:
            raise UsageError(f"The source 'coil' has no split {split!r} here; it has: {', '.join(self.splits)}")
        return self._files[split]

    def length(self, split: str) -> int:
        return len(self._list(split))

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        files = self._list(split)
        out = np.empty((len(indices), *_SIZE, 3), np.uint8)
        for i, index in enumerate(np.asarray(indices, np.int64).tolist()):
            out[i] = self.notes.rgb(self.root / split / files[index][2], _SIZE)
        return out

    def names(self, split: str) -> Sequence[str]:
        return [name for _, _, name in self._list(split)]

    def paths(self, split: str, index: int) -> tuple[Path, ...]:
        return (self.root / split / self._list(split)[index][2],)

    def fixed(self, split: str) -> str:
        return "the turntable of COIL, every turn of an object"

    def labels(self, split: str) -> np.ndarray | None:
        return np.array([number for number, _, _ in self._list(split)], np.int64)

    def object_mask(self, split: str, index: int) -> np.ndarray:
        """The object, by its brightness against the black behind it: uint8 (128, 128), 255 on the object.

        COIL has no masks. Black is the median of the corners in each channel (COIL-100's is grey 25, with one odd pixel
        in a corner); what differs from it in any channel is closed, filled, and its largest part taken.
        """
        import cv2

        image = self.read(split, np.array([index]))[0].astype(np.int16)
        corners = np.sort(image[[0, 0, -1, -1], [0, -1, 0, -1]], axis=0)
        black = corners[1:3].sum(axis=0) // 2
        bright = np.where(np.abs(image - black).max(axis=2) > _DARK, 255, 0).astype(np.uint8)
        square = np.ones((_CLOSE, _CLOSE), np.uint8)
        wide = np.asarray(cv2.morphologyEx(np.pad(bright, _CLOSE), cv2.MORPH_CLOSE, square), np.uint8)
        cv2.floodFill(wide, None, (0, 0), 128)
        filled = np.where(wide == 128, 0, 255).astype(np.uint8)[_CLOSE:-_CLOSE, _CLOSE:-_CLOSE]
        count, parts, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(filled), connectivity=4)
        if count < 2:
            return np.zeros(_SIZE, np.uint8)
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        return np.where(parts == largest, 255, 0).astype(np.uint8)

    def fingerprint(self, split: str) -> str:
        state = hashlib.sha256()
        for index in range(self.length(split)):
            state.update(self.read(split, np.array([index])).data)
        return state.hexdigest()
