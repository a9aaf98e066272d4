"""Registered pairs with a class for every pixel: two folders of images and a third with maps of class indices.

A map is a PNG of one channel (grey, or indices into a palette, whose colours mean nothing) with the stem and the size
of its pair. What the indices are called stands in ``classes.txt`` beside the folders, a line ``INDEX NAME`` each;
without it they are MSRS's.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from fusionbench.core.errors import DataError, refuse_all, some
from fusionbench.core.image_headers import png_header, png_is_damaged
from fusionbench.core.images import FULL, images_in, read_image
from fusionbench.core.io import read_bounded, utf8_names
from fusionbench.core.text import one_line
from fusionbench.sources.pair_folders import Layout, PairFolders
from fusionbench.sources.pairs import PairsDemo
from fusionbench.synth.random import stream_key, uint64_outputs

LABEL_FOLDERS = ("labels", "Segmentation_labels")
MSRS_CLASSES = {
    1: "car",
    2: "person",
    3: "bike",
    4: "curve",
    5: "car-stop",
    6: "guardrail",
    7: "color-cone",
    8: "bump",
}
_MAX_MAP = 64 << 20
_CLASS_LINE = re.compile(r"\s*([0-9]{1,3})\s+([a-z0-9][a-z0-9_-]{0,31})\s*", re.ASCII)


class LabelledPairs(PairFolders):
    """Split ``all``: folders ir and vi, infrared and visible, or a and b, with ``labels`` or ``Segmentation_labels``.

    Raises (constructor):
        DataError: no maps, pairs without one, or a damaged ``classes.txt``.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from fusionbench.sources.labelled_pairs import LabelledPairs
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder, value in (("ir", 90), ("vi", 70), ("labels", 2)):
        ...         (Path(root) / folder).mkdir()
        ...         Image.new("L", (8, 6), value).save(Path(root) / folder / "0001.png")
        ...     source = LabelledPairs(Path(root))
        ...     print(source.classes[2], source.label_map("all", 0).shape, source.label_map("all", 0).max())
        person (6, 8) 2
    """

    name = "labelled-pairs"
    title: ClassVar[str] = "Two folders of images and one of label maps, paired by stem"
    licence = "as the owner of the images states"
    citation: ClassVar[str] = "the owner of the images"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        "all": (Layout("ir", "vi"), Layout("infrared", "visible"), Layout("a", "b"))
    }
    NAMED: ClassVar[Mapping[int, str]] = MSRS_CLASSES

    def _report(self, strict: bool) -> None:
        super()._report(strict)
        self._maps: dict[str, dict[str, Path]] = {}
        for split in self._files:
            a = next(iter(self._files[split].values()))[0]
            folder = next((a.parent.parent / one for one in LABEL_FOLDERS if (a.parent.parent / one).is_dir()), None)
            if folder is None:
                raise DataError(f"{a.parent.parent}: no label maps here; looked for {'/ or '.join(LABEL_FOLDERS)}/")
            maps = utf8_names(images_in(folder))
            if lacking := [stem for stem in self._files[split] if stem not in maps]:
                raise DataError(f"{folder}: {len(lacking)} pairs have no label map: {some(lacking)}; add them")
            self._maps[split] = maps
        self.classes  # noqa: B018 - a damaged list is told at once

    @cached_property
    def classes(self) -> Mapping[int, str]:
        """Index -> name of every class but the background, which is 0.

        Raises:
            DataError: a ``classes.txt`` that is none.
        """
        path = self.root / "classes.txt"
        if not path.is_file():
            return self.NAMED
        found: dict[int, str] = {}
        text = read_bounded(path, 1 << 16, "list of classes").decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            match = _CLASS_LINE.fullmatch(line)
            if match is None or not 0 <= int(match[1]) <= 255 or int(match[1]) in found or match[2] in found.values():
                raise DataError(
                    f"{path}: line {number} ({one_line(line)[:40]!r}) is no class, or one that is there already; "
                    "write a number from 1 to 255 and a name of small letters, such as `2 person`"
                )
            found[int(match[1])] = match[2]
        found.pop(0, None)
        if not found:
            raise DataError(f"{path}: no class in it; write lines such as `2 person`, or remove the file")
        return found

    def label_map(self, split: str, index: int) -> np.ndarray:
        """Class indices of one pair: uint8 (h, w).

        Raises:
            DataError: no PNG of one channel of 8 bits, damaged, or of another size than the pair.
        """
        stem = self.stems(split)[index]
        path, size = self._maps[split][stem], self.size_of(split, index)
        content = read_bounded(path, _MAX_MAP, "label map")
        header = png_header(content)
        if header is None:
            raise DataError(f"{path}: no PNG; class indices need a format that keeps them")
        if (header.height, header.width) != size:
            raise DataError(f"{path}: {header.height}×{header.width} pixels, its pair has {size[0]}×{size[1]}")
        if header.colour == 0 and header.bits < 8:  # Pillow would multiply the indices by 17, 85 or 255
            raise DataError(
                f"{path}: grey of {header.bits} bits; write class indices with 8 bits, or as a palette image"
            )
        if png_is_damaged(content):
            raise DataError(f"{path}: damaged label map (a checksum in it is wrong); copy or write it again")
        return _indices(content, path)

    def colour_image(self, split: str, index: int) -> np.ndarray | None:
        """The visible image as it is, uint8 RGB (h, w, 3); None where its file is grey.

        Raises:
            DataError: an unreadable image.
        """
        pixels = read_image(self._files[split][self.stems(split)[index]][1], FULL).pixels
        return pixels if pixels.ndim == 3 else None

    def fingerprint(self, split: str) -> str:
        """Hex sha256 over names, decoded pixels of both views, and label maps.

        Raises:
            DataError: pairs or maps that cannot be read, all of them in one line.
        """
        state = hashlib.sha256(super().fingerprint(split).encode())
        problems: list[DataError] = []
        for index in range(self.length(split)):
            try:
                found = self.label_map(split, index)
            except DataError as error:
                problems.append(error)
            else:
                state.update(f"{found.shape} ".encode() + found.tobytes())
        refuse_all(problems, f"{self.root}: {len(problems)} label maps of {split!r} cannot be used")
        return state.hexdigest()


class MsrsHalf(LabelledPairs):
    """Split ``all``: 200 pairs of MSRS's training set at half size, for the probe (docs/downstream.md says which)."""

    name = "msrs-half"
    title = "MSRS, every fifth labelled training pair at half size"
    licence = "none stated"
    citation = "L. Tang et al.: PIAFusion, Information Fusion 83-84, 2022"
    homepage = "https://github.com/Linfeng-Tang/MSRS"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {"all": (Layout("ir", "vi"),)}


class MsrsLabelled(LabelledPairs):
    """Splits ``train`` and ``test`` of MSRS as it is published, with its ``Segmentation_labels``."""

    name = "msrs-labelled"
    title = "MSRS with its label maps"
    licence = "none stated"
    citation = MsrsHalf.citation
    homepage = MsrsHalf.homepage
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        split: (Layout(f"{split}/ir", f"{split}/vi"),) for split in ("test", "train")
    }


class ProbeDemo(PairsDemo):
    """Split ``all``: 24 frames of eight scenes, 64×64, made by whole numbers: nothing to fetch.

    Every frame has a ``person`` (2), whom view 0 alone shows, and a ``car`` (1), which view 1 alone shows in grey, on a
    noisy background that differs from scene to scene. What view 1 knows of persons is nothing by construction, so a
    probe that finds them there leaks.

    Example:
        >>> from fusionbench.sources import SOURCES
        >>> demo = SOURCES.get("probe-demo")()
        >>> demo.stems("all")[:3], sorted(set(demo.label_map("all", 0).ravel().tolist()))
        (['s0_100', 's0_101', 's0_102'], [0, 1, 2])
    """

    name: ClassVar[str] = "probe-demo"
    title: ClassVar[str] = "Synthetic scenes with persons in view 0 and cars in view 1"
    licence: ClassVar[str] = "Apache-2.0, as fusionbench"
    citation: ClassVar[str] = "made by fusionbench"
    homepage: ClassVar[str] = ""
    SCENES, FRAMES, SIDE = 8, 3, 64
    classes: ClassVar[Mapping[int, str]] = {1: "car", 2: "person"}

    @cached_property
    def _made(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs uint8 (n,2,64,64), visible colours (n,64,64,3), label maps (n,64,64)."""
        from fusionbench.core.images import luma

        count, side = self.SCENES * self.FRAMES, self.SIDE
        words = uint64_outputs(stream_key("probe-demo/1", self.name, "all", 0), np.arange(count), side * side // 16 + 2)
        noise = words.view(np.uint8)[:, : 2 * side * side].reshape(count, 2, side, side).astype(np.int64)
        draws = words[:, -8:].astype(np.int64) & 0xFFFF
        pairs, colours, maps = [], [], []
        for frame in range(count):
            scene = frame // self.FRAMES
            ir, vi = 60 + 8 * scene + noise[frame, 0] // 8, 110 - 6 * scene + noise[frame, 1] // 8
            label = np.zeros((side, side), np.uint8)
            y, x = (int(draw % 24) for draw in draws[frame, :2])
            label[36 + y % 14 : 46 + y % 14, 4 + x : 24 + x] = 1
            top, left = (int(draw % 30) for draw in draws[frame, 2:4])
            label[4 + top % 14 : 18 + top % 14, 4 + left : 9 + left] = 2
            ir, vi = ir + 70 * (label == 2), vi + 60 * (label == 1)
            rgb = np.stack((vi + 20, vi, vi - 20 + 30 * (label == 1)), -1).astype(np.uint8)
            pairs.append(np.stack((ir.astype(np.uint8), luma(rgb))))
            colours.append(rgb)
            maps.append(label)
        return np.stack(pairs), np.stack(colours), np.stack(maps)

    @cached_property
    def _pairs(self) -> np.ndarray:
        return self._made[0]

    @cached_property
    def _colours(self) -> np.ndarray:
        return self._made[1]

    def stems(self, split: str) -> list[str]:
        super().stems(split)
        return [f"s{scene}_{100 + frame}" for scene in range(self.SCENES) for frame in range(self.FRAMES)]

    def label_map(self, split: str, index: int) -> np.ndarray:
        """Class indices of one pair: uint8 (64, 64)."""
        self.stems(split)
        found: np.ndarray = self._made[2][index].copy()
        return found

    def colour_image(self, split: str, index: int) -> np.ndarray | None:
        """The visible image, uint8 RGB (64, 64, 3)."""
        found: np.ndarray = self.colours(split, np.array([index]))[0]
        return found

    def fingerprint(self, split: str) -> str:
        return hashlib.sha256(f"{super().fingerprint(split)} ".encode() + self._made[2].tobytes()).hexdigest()


def _indices(content: bytes, path: Path) -> np.ndarray:
    """uint8 (h, w) of a PNG whose size has been looked at: grey of 8 bits, or indices into its palette."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.mode not in ("L", "P"):
                raise DataError(
                    f"{path}: {image.mode} instead of one channel of 8 bits; write class indices, no colours"
                )
            return np.array(image, np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: damaged label map ({one_line(str(error))})") from error
