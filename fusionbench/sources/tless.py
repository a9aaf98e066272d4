"""``tless``: the real training images of T-LESS (Primesense, 400×400), one object to an image.

Both public layouts are read: the original (version 2) with ``train_primesense/OO/rgb/*.png`` and ``gt.yml``, and BOP's
with ``train_primesense/OOOOOO/rgb/*.png``, ``scene_gt.json`` and, optionally, ``mask_visib/``. The folder is the one
that holds ``train_primesense/``, or that folder itself. Images are in the order of object and number; the label is the
object's number. The annotation must name the same object as the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from fusionbench.core.errors import DataError, UsageError, refuse_all
from fusionbench.core.images import FULL
from fusionbench.core.io import read_bounded
from fusionbench.sources.file_notes import FileNotes

_SIZE = (400, 400)
_MAX_ANNOTATION = 64 << 20
_YAML_IMAGE = re.compile(r"([0-9]{1,6}):\s*$")
_YAML_OBJECT = re.compile(r"(?:-\s+|\s+)obj_id:\s*([0-9]{1,3})\s*$")


class TLess:
    """Split ``train``: uint8 (n, 400, 400, 3) with labels 1..30."""

    name: ClassVar[str] = "tless"
    title: ClassVar[str] = "T-LESS, real training images of 30 industrial objects, 400×400"
    licence: ClassVar[str] = "CC BY 4.0"
    citation: ClassVar[str] = (
        "T. Hodaň, P. Haluza, Š. Obdržálek, J. Matas, M. Lourakis, X. Zabulis: T-LESS: An RGB-D Dataset for 6D Pose "
        "Estimation of Texture-less Objects, WACV 2017"
    )
    homepage: ClassVar[str] = "https://cmp.felk.cvut.cz/t-less/"
    redistributable: ClassVar[bool] = True
    splits: Sequence[str] = ("train",)

    def __init__(self, root: Path | None) -> None:
        if root is None:
            raise UsageError("T-LESS is not embedded: name the folder of train_primesense/ with --source-dir DIR")
        root = Path(root)
        self.root = root / "train_primesense" if (root / "train_primesense").is_dir() else root
        if not self.root.is_dir():
            raise DataError(f"{root}: no such folder")
        self.notes = FileNotes()
        self._images: list[tuple[int, Path]] = []
        problems = []
        for folder in sorted(path for path in self.root.iterdir() if re.fullmatch(r"[0-9]{2}|[0-9]{6}", path.name)):
            number = int(folder.name)
            files = sorted(path for path in (folder / "rgb").glob("*.png") if re.fullmatch(r"[0-9]{4,6}", path.stem))
            annotated = _annotation(folder)
            for path in files:
                found = annotated.get(int(path.stem))
                if found != number:
                    what = "does not mention it" if found is None else f"says object {found}"
                    problems.append(
                        DataError(f"{path}: lies with object {number}, but the annotation beside it {what}")
                    )
                self._images.append((number, path))
        refuse_all(problems, f"{self.root}: {len(problems)} images do not fit their annotations")
        self._names = [path.relative_to(self.root).as_posix() for _, path in self._images]
        if not self._images:
            raise DataError(f"{root}: no OO/rgb/*.png with gt.yml, and no OOOOOO/rgb/*.png with scene_gt.json, in here")

    def _check(self, split: str) -> None:
        if split not in self.splits:
            raise UsageError(f"The source 'tless' has no split {split!r}; it has 'train'")

    def length(self, split: str) -> int:
        self._check(split)
        return len(self._images)

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        self._check(split)
        out = np.empty((len(indices), *_SIZE, 3), np.uint8)
        for i, index in enumerate(np.asarray(indices, np.int64).tolist()):
            out[i] = self.notes.rgb(self._images[index][1], _SIZE)
        return out

    def names(self, split: str) -> Sequence[str]:
        """Paths below ``train_primesense``, with ``/``."""
        self._check(split)
        return self._names

    def paths(self, split: str, index: int) -> tuple[Path, ...]:
        self._check(split)
        return (self._images[index][1],)

    def companions(self, split: str, index: int) -> tuple[Path, ...]:
        """The mask that belongs to an image, in the layout that has masks."""
        self._check(split)
        mask = self._mask(index)
        return (mask,) if mask.is_file() else ()

    def _mask(self, index: int) -> Path:
        path = self._images[index][1]
        return path.parent.parent / "mask_visib" / f"{path.stem}_000000.png"

    def fixed(self, split: str) -> str:
        return "the release of T-LESS"

    def labels(self, split: str) -> np.ndarray | None:
        self._check(split)
        return np.array([number for number, _ in self._images], np.int64)

    def visible_mask(self, split: str, index: int) -> np.ndarray | None:
        """BOP's mask of the object's visible part: uint8 (400, 400), or None in the layout that has none."""
        self._check(split)
        mask = self._mask(index)
        return self.notes.rgb(mask, _SIZE, FULL)[..., 0] if mask.is_file() else None

    def fingerprint(self, split: str) -> str:
        state = hashlib.sha256()
        for index in range(self.length(split)):
            state.update(self.read(split, np.array([index])).data)
        return state.hexdigest()


def _annotation(folder: Path) -> dict[int, int]:
    """Image number -> object number, from ``scene_gt.json`` or ``gt.yml``."""
    if (folder / "scene_gt.json").is_file():
        return _from_json(folder / "scene_gt.json")
    if (folder / "gt.yml").is_file():
        return _from_yaml(folder / "gt.yml")
    raise DataError(f"{folder}: neither scene_gt.json (BOP) nor gt.yml (original layout) is here")


def _from_json(path: Path) -> dict[int, int]:
    try:
        table = json.loads(read_bounded(path, _MAX_ANNOTATION, "annotation"))
        return {int(image): int(objects[0]["obj_id"]) for image, objects in table.items()}
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: not a scene_gt.json of BOP ({type(error).__name__}: {str(error)[:60]})") from error


def _from_yaml(path: Path) -> dict[int, int]:
    """Only two kinds of lines matter (``0:`` and ``obj_id: 1``), so the file is not passed to a YAML parser."""
    out: dict[int, int] = {}
    image = None
    for line in read_bounded(path, _MAX_ANNOTATION, "annotation").decode("utf-8", "replace").splitlines():
        if match := _YAML_IMAGE.match(line):
            image = int(match[1])
        elif (match := _YAML_OBJECT.match(line)) and image is not None:
            out.setdefault(image, int(match[1]))
    if not out:
        raise DataError(f"{path}: no images with obj_id in it; it is not a gt.yml of T-LESS")
    return out
