"""Registered pairs with boxes: M3FD's and LLVIP's VOC annotations, and YOLO's text files beside any two folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from fusionbench.core.errors import DataError, refuse_all, some
from fusionbench.core.io import read_bounded
from fusionbench.core.text import one_line
from fusionbench.sources.boxes import Boxes, read_voc, read_yolo
from fusionbench.sources.pair_folders import Layout, PairFolders

_CLASS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,31}")


class BoxPairs(PairFolders):
    """Base of the sources with boxes: a subclass says the folders, the names of classes and the form of the files.

    Raises (constructor):
        DataError: no folder of annotations, or pairs without one.
    """

    CLASSES: ClassVar[Sequence[str]] = ()
    FORM: ClassVar[Literal["voc", "yolo"]] = "voc"
    ANNOTATIONS: ClassVar[Sequence[str]] = ("Annotation", "Annotations")

    def _report(self, strict: bool) -> None:
        super()._report(strict)
        self._places: dict[str, Path] = {}
        for split, files in self._files.items():
            folder = next(iter(files.values()))[0].parent
            tried = [base / name for base in (folder.parent, folder.parent.parent) for name in self.ANNOTATIONS]
            found = next((place for place in tried if place.is_relative_to(self.root) and place.is_dir()), None)
            if found is None:
                raise DataError(f"{self.root}: no boxes here; looked for {'/ or '.join(self.ANNOTATIONS)}/")
            self._places[split] = found
            if self.FORM == "voc":
                lacking = [stem for stem in files if not (found / f"{stem}.xml").is_file()]
                if lacking:
                    raise DataError(f"{found}: {len(lacking)} pairs have no annotation: {some(lacking)}; add them")
        _ = self.class_names  # a damaged list is told at once

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes, in the order of :class:`Boxes`.classes."""
        return self.CLASSES

    def boxes(self, split: str, index: int) -> Boxes:
        """Boxes of one pair.

        Raises:
            DataError: a file that is not what it should be.
        """
        stem, size = self.stems(split)[index], self.size_of(split, index)
        if self.FORM == "voc":
            return read_voc(self._places[split] / f"{stem}.xml", size, self.class_names)
        return read_yolo(self._places[split] / f"{stem}.txt", size, self.class_names)

    def fingerprint(self, split: str) -> str:
        """Hex sha256 over names, decoded pixels and boxes.

        Raises:
            DataError: pairs or boxes that cannot be read, all of them in one line.
        """
        state = hashlib.sha256(super().fingerprint(split).encode())
        problems: list[DataError] = []
        for index in range(self.length(split)):
            try:
                found = self.boxes(split, index)
            except DataError as error:
                problems.append(error)
            else:
                state.update(f"{len(found)} ".encode() + found.corners.tobytes() + found.classes.tobytes())
        refuse_all(problems, f"{self.root}: boxes of {len(problems)} pairs of {split!r} cannot be used")
        return state.hexdigest()


class M3fdDetection(BoxPairs):
    """Split ``all``: the 4,200 pairs of M3FD that are for detection, with boxes of six classes.

    Example:
        >>> from fusionbench.sources import SOURCES
        >>> SOURCES.get("m3fd-detection").CLASSES
        ('People', 'Car', 'Bus', 'Lamp', 'Motorcycle', 'Truck')
    """

    name = "m3fd-detection"
    title: ClassVar[str] = "M3FD with boxes, infrared and visible"
    citation: ClassVar[str] = "J. Liu et al.: Target-aware Dual Adversarial Learning (TarDAL), CVPR 2022"
    homepage = "https://github.com/JinyuanLiu-CV/TarDAL"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        "all": (Layout("Ir", "Vis"), Layout("M3FD_Detection/Ir", "M3FD_Detection/Vis"), Layout("ir", "vi"))
    }
    CLASSES = ("People", "Car", "Bus", "Lamp", "Motorcycle", "Truck")


class LlvipDetection(BoxPairs):
    """Splits ``train`` and ``test`` of LLVIP with boxes of persons."""

    name = "llvip-detection"
    title: ClassVar[str] = "LLVIP with boxes, infrared and visible at low light"
    citation: ClassVar[str] = "X. Jia et al.: LLVIP, ICCV Workshops 2021"
    homepage = "https://bupt-ai-cz.github.io/LLVIP/"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        split: (Layout(f"infrared/{split}", f"visible/{split}"),) for split in ("test", "train")
    }
    CLASSES = ("person",)


class YoloPairs(BoxPairs):
    """Split ``all``: any two folders with ``labels/STEM.txt`` and ``classes.txt``, a name a line, first class 0."""

    name = "yolo-pairs"
    title: ClassVar[str] = "Two folders of images and YOLO's text files of boxes, paired by stem"
    licence = "as the owner of the images states"
    citation: ClassVar[str] = "the owner of the images"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {"all": (Layout("ir", "vi"), Layout("infrared", "visible"))}
    FORM = "yolo"
    ANNOTATIONS = ("labels",)

    @cached_property
    def class_names(self) -> Sequence[str]:
        """Names of the classes, from ``classes.txt``.

        Raises:
            DataError: no list, or one that is damaged.
        """
        path = self.root / "classes.txt"
        lines = read_bounded(path, 1 << 16, "list of classes, a name a line").decode("utf-8", "replace").splitlines()
        names = [line.strip() for line in lines if line.strip()]
        for number, name in enumerate(names, 1):
            if not _CLASS.fullmatch(name) or names.index(name) != number - 1:
                raise DataError(f"{path}: name {number} ({one_line(name)[:40]!r}) is none, or is there already")
        if not names:
            raise DataError(f"{path}: no class in it; write a name a line, the first is class 0")
        return names
