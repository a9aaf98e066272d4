"""``celeba`` and ``celeba-half``: aligned and cropped faces of CelebA in the official partition.

The folder holds ``img_align_celeba/*.jpg`` (178×218; halves: ``half_89x109/*.jpg`` or ``img_align_celeba/``) and
``list_eval_partition.txt``, whose lines are ``000001.jpg 0`` with 0 train, 1 validation, 2 test. Images that are
listed and not there are left out, so that a part of CelebA makes a (smaller) data set.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import read_bounded
from fusionbench.sources.file_notes import FileNotes

_PARTITION = "list_eval_partition.txt"
_LINE = re.compile(r"([0-9]{6})\.jpg\s+([012])")
_IMAGE = re.compile(r"[0-9]{6}\.jpg")
_PARTS = {" 0": "train", " 1": "validation", " 2": "test"}
_TRIED = 8  # images of a split, until one can be read
_SPLITS = ("train", "validation", "test")


class CelebA:
    """Splits ``train``, ``validation``, ``test``: uint8 (n, 218, 178, 3), no labels."""

    name: ClassVar[str] = "celeba"
    title: ClassVar[str] = "CelebA, aligned and cropped faces, 178×218"
    licence: ClassVar[str] = "non-commercial research only; the images may not be redistributed"
    citation: ClassVar[str] = "Z. Liu, P. Luo, X. Wang, X. Tang: Deep Learning Face Attributes in the Wild, ICCV 2015"
    homepage: ClassVar[str] = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    redistributable: ClassVar[bool] = False
    size: ClassVar[tuple[int, int]] = (218, 178)
    folders: ClassVar[Sequence[str]] = ("img_align_celeba",)

    def __init__(self, root: Path | None) -> None:
        if root is None:
            raise UsageError("CelebA is not embedded: name the folder of img_align_celeba/ with --source-dir DIR")
        self.root, self.notes = Path(root), FileNotes()
        found = [self.root / folder for folder in self.folders if (self.root / folder).is_dir()]
        if not found:
            raise DataError(f"{self.root}: no folder {' or '.join(self.folders)}; --source-dir names what holds it")
        self.images = found[0]
        self._files = self._partition()
        self.splits: Sequence[str] = tuple(split for split in _SPLITS if self._files[split])
        if not self.splits:
            raise DataError(f"{self.images}: none of the images that {_PARTITION} lists is here")
        for split in self.splits:
            self._try(split)

    def _try(self, split: str) -> None:
        """A folder of the wrong size shows before anything is built; a few damaged files are not the folder's fault."""
        for name in self._files[split][:_TRIED]:
            try:
                self.notes.rgb(self.images / name, self.size)
            except DataError as error:
                problem = error
            else:
                return
        raise problem

    def _partition(self) -> dict[str, list[str]]:
        path = self.root / _PARTITION
        text = read_bounded(path, 16 << 20, "partition of CelebA").decode("ascii", "replace")
        there = {name for name in os.listdir(self.images) if _IMAGE.fullmatch(name)}
        files: dict[str, list[str]] = {split: [] for split in _SPLITS}
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) == 12 and line[6:11] == ".jpg " and line[:6].isdecimal() and line[10:] in _PARTS:
                if line[:10] in there:  # nearly all of 200,000 lines end here
                    files[_PARTS[line[10:]]].append(line[:10])
                continue
            if not line.strip():
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise DataError(f"{path}, line {number}: {line[:40]!r} is not like '000001.jpg 0'")
            if f"{match[1]}.jpg" in there:
                files[_SPLITS[int(match[2])]].append(f"{match[1]}.jpg")
        return files

    def _list(self, split: str) -> list[str]:
        if split not in self.splits:
            raise UsageError(f"The source {self.name!r} has no split {split!r} here; it has: {', '.join(self.splits)}")
        return self._files[split]

    def length(self, split: str) -> int:
        return len(self._list(split))

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        files, images = self._list(split), str(self.images)
        out = np.empty((len(indices), *self.size, 3), np.uint8)
        for i, index in enumerate(np.asarray(indices, np.int64).tolist()):
            out[i] = self.notes.rgb(f"{images}/{files[index]}", self.size)
        return out

    def names(self, split: str) -> Sequence[str]:
        return self._list(split)

    def paths(self, split: str, index: int) -> tuple[Path, ...]:
        return (self.images / self._list(split)[index],)

    def fixed(self, split: str) -> str:
        return f"the official partition of CelebA ({_PARTITION})"

    def labels(self, split: str) -> np.ndarray | None:
        self._list(split)
        return None

    def fingerprint(self, split: str) -> str:
        state = hashlib.sha256()
        for index in range(self.length(split)):
            state.update(self.read(split, np.array([index])).data)
        return state.hexdigest()


class CelebAHalf(CelebA):
    """The same at half size: uint8 (n, 109, 89, 3)."""

    name: ClassVar[str] = "celeba-half"
    title: ClassVar[str] = "CelebA, aligned and cropped faces at half size, 89×109"
    size: ClassVar[tuple[int, int]] = (109, 89)
    folders: ClassVar[Sequence[str]] = ("half_89x109", "img_align_celeba")
