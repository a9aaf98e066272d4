"""Registered pairs of two sensors: two folders whose pictures belong together by stem.

View 0 is the sensor that shows what the eye does not see (infrared, CT, PET, SPECT), view 1 the one that shows
structure (visible, MRI). Both become uint8 luma by the rules of :mod:`fusionbench.imread` (BT.601, 16 bits to 8).
A published layout is a class with a table of folders and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from fusionbench import progress
from fusionbench.errors import DataError, UsageError, unknown_name
from fusionbench.imread import pictures_in, read_picture

_SHOWN = 8  # stems named in a message before the rest is counted


@dataclass(frozen=True)
class Layout:
    """Where one split lies: folders of views 0 and 1 below the root, and what their stems end in beside the name."""

    a: str
    b: str
    a_tail: str = ""
    b_tail: str = ""


class PairFolders:
    """Base of the sources of registered pairs.

    ``LAYOUTS`` maps a split to the places where it may lie; a split whose folders are not there is left out.

    Args:
        root: the folder that holds the folders of the table.
        strict: refuse pictures without a partner instead of listing them and going on.

    Raises:
        UsageError: no folder named.
        DataError: no split of the table there, no pair in one, or with ``strict`` pictures without a partner.
    """

    name: ClassVar[str]
    licence: ClassVar[str] = "none stated"
    homepage: ClassVar[str] = ""
    redistributable: ClassVar[bool] = False
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]]
    splits: Sequence[str]

    def __init__(self, root: Path | None, strict: bool = False) -> None:
        if root is None:
            raise UsageError(f"The source {self.name!r} is made of files: name their folder with --source-dir DIR")
        self._begin(Path(root))
        for split, places in self.LAYOUTS.items():
            for place in places:
                if (self.root / place.a).is_dir() and (self.root / place.b).is_dir():
                    self._pair(split, place)
                    break
        if not self._files:
            wanted = " or ".join(f"{place.a}/ and {place.b}/" for places in self.LAYOUTS.values() for place in places)
            raise DataError(f"{self.root}: no pairs here; looked for {wanted}")
        self.splits = tuple(self._files)
        self._report(strict)

    @classmethod
    def between(cls, a: str | Path, b: str | Path, split: str, strict: bool = False) -> Self:
        """The pairs of one split in two folders of any name, as if they lay where the layout has them.

        Raises:
            UsageError: no such split.
            DataError: as the constructor.
        """
        if split not in cls.LAYOUTS:
            raise unknown_name(f"split of {cls.name}", split, cls.LAYOUTS)
        places = [Path(place).absolute() for place in (a, b)]
        source, usual = object.__new__(cls), cls.LAYOUTS[split][0]
        source._begin(Path(os.path.commonpath(places)))
        names = [os.path.relpath(place, source.root) for place in places]
        source._pair(split, Layout(names[0], names[1], usual.a_tail, usual.b_tail))
        source.splits = (split,)
        source._report(strict)
        return source

    def _begin(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, dict[str, tuple[Path, Path]]] = {}
        self._missing: dict[str, dict[str, str]] = {}
        self._notes: dict[Path, str] = {}

    def _pair(self, split: str, place: Layout) -> None:
        a = _stems(self.root / place.a, place.a_tail)
        b = _stems(self.root / place.b, place.b_tail)
        both = sorted(a.keys() & b.keys())
        if not both:
            raise DataError(
                f"{self.root}: no stem is both in {place.a}/ ({next(iter(a.values())).name}, …) and in {place.b}/ "
                f"({next(iter(b.values())).name}, …); rename the files so that their stems agree"
            )
        self._files[split] = {stem: (a[stem], b[stem]) for stem in both}
        lacking = {**dict.fromkeys(a.keys() - b.keys(), place.b), **dict.fromkeys(b.keys() - a.keys(), place.a)}
        self._missing[split] = dict(sorted(lacking.items()))

    def _report(self, strict: bool) -> None:
        for split, missing in self._missing.items():
            if not missing:
                continue
            names = _some([f"{stem} (not in {place})" for stem, place in missing.items()])
            text = f"{self.root}: {len(missing)} pictures of {split!r} lack a partner: {names}"
            if strict:
                raise DataError(f"{text}; add them, or leave out --strict")
            progress.say(f"warning: {text}; they are left out")

    def stems(self, split: str) -> list[str]:
        """Names of the pairs of a split, sorted: the order of everything else."""
        if split not in self._files:
            raise unknown_name(f"split of {self.name}", split, self._files)
        return list(self._files[split])

    def files(self, split: str) -> dict[str, tuple[Path, Path]]:
        """Stem -> the two picture files of the pair, in the order of :meth:`stems`."""
        self.stems(split)
        return dict(self._files[split])

    def missing(self, split: str) -> dict[str, str]:
        """Stem -> folder that lacks it, of the pictures that were left out."""
        self.stems(split)
        return dict(self._missing[split])

    def length(self, split: str) -> int:
        return len(self.stems(split))

    def read_pairs(self, split: str, indices: np.ndarray) -> list[np.ndarray]:
        """Pairs of whatever sizes they have: n of uint8 (2, h, w).

        Raises:
            DataError: an unreadable picture, or a pair whose two pictures differ in size.
        """
        stems = self.stems(split)
        return [self._read(split, stems[index]) for index in np.asarray(indices, np.int64).tolist()]

    def _read(self, split: str, stem: str) -> np.ndarray:
        pictures = {path: read_picture(path) for path in self._files[split][stem]}
        self._notes |= {path: picture.note for path, picture in pictures.items() if picture.note}
        a, b = (pictures[path].grey() for path in self._files[split][stem])
        if a.shape != b.shape:
            (first, second), (h, w), (k, m) = self._files[split][stem], a.shape, b.shape
            raise DataError(f"{first} is {h}×{w} and {second} is {k}×{m} pixels; a pair must have one size")
        return np.stack((a, b))

    def views(self, split: str, indices: np.ndarray) -> np.ndarray:
        """Pairs of one size: uint8 (n, 2, h, w, 1).

        Raises:
            DataError: they have different sizes; :meth:`read_pairs` reads those.
        """
        found = self.read_pairs(split, indices)
        if len({pair.shape for pair in found}) > 1:
            raise DataError(f"{self.root}: the pairs of {split!r} have different sizes; read them one by one")
        return np.stack(found)[..., None] if found else np.empty((0, 2, 1, 1, 1), np.uint8)

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        """View 1, the picture that shows structure, of pairs of one size: uint8 (n, h, w, 1)."""
        return self.views(split, indices)[:, 1].copy()

    def labels(self, split: str) -> np.ndarray | None:
        self.stems(split)
        return None

    def fingerprint(self, split: str) -> str:
        """Hex sha256 over names and decoded pixels; what was done to the pixels while reading is said once.

        Raises:
            DataError: pairs that cannot be read, all of them in one line.
        """
        state, problems = hashlib.sha256(), []
        for stem in self.stems(split):
            try:
                pair = self._read(split, stem)
            except DataError as error:
                problems.append(str(error))
            else:
                state.update(f"{stem} {pair.shape} ".encode() + pair.tobytes())
        refuse_all(problems, f"{self.root}: {len(problems)} of {self.length(split)} pairs of {split!r} cannot be used")
        for note in sorted(set(self._notes.values())):
            names = [path.name for path, found in self._notes.items() if found == note]
            progress.say(f"note: {self.root}: {len(names)} files: {note} ({_some(names)})")
        self._notes.clear()
        return state.hexdigest()


def refuse_all(problems: Sequence[str], head: str) -> None:
    """Refuse what has problems, in one line that names all of them; one problem stands for itself.

    Raises:
        DataError: there is a problem.
    """
    if problems:
        raise DataError(problems[0] if len(problems) == 1 else f"{head}: {_some(problems, '; ')}")


def _some(names: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return between.join(names[:_SHOWN]) + more


def _stems(folder: Path, tail: str) -> dict[str, Path]:
    found = pictures_in(folder)
    ours = {stem.removesuffix(tail): path for stem, path in found.items() if stem.endswith(tail)}
    if not ours:
        raise DataError(f"{folder}: no picture here has a stem that ends in {tail!r} ({next(iter(found))}, …)")
    return ours


class Pairs(PairFolders):
    """Split ``all``: any two folders, called a and b, ir and vi, or infrared and visible."""

    name = "pairs"
    title: ClassVar[str] = "Two folders of pictures, paired by stem"
    licence = "as the owner of the pictures states"
    citation: ClassVar[str] = "the owner of the pictures"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        "all": (Layout("a", "b"), Layout("ir", "vi"), Layout("infrared", "visible"))
    }


class Tno(PairFolders):
    """Split ``test``: the 25 pairs that papers score; the sequences Nato_camp, Tree and Duine where they are."""

    name = "tno"
    title: ClassVar[str] = "TNO Image Fusion Dataset, infrared and visible"
    licence = "free for research with credit to TNO"
    citation: ClassVar[str] = "A. Toet: The TNO Multiband Image Data Collection, Data in Brief 15, 2017"
    homepage = "https://doi.org/10.6084/m9.figshare.1008029"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {"test": (Layout("ir", "vi"),)} | {
        split: (Layout(f"sequences/{folder}/thermal", f"sequences/{folder}/visual", "i", "v"),)
        for split, folder in (
            ("nato-camp", "Nato_camp_sequence"),
            ("tree", "Tree_sequence"),
            ("duine", "Duine_sequence"),
        )
    }


class RoadScene(PairFolders):
    """Split ``all``: 221 aligned road scenes."""

    name = "roadscene"
    title: ClassVar[str] = "RoadScene, infrared and visible"
    citation: ClassVar[str] = "H. Xu et al.: FusionDN, AAAI 2020"
    homepage = "https://github.com/hanna-xu/RoadScene"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        "all": (Layout("ir", "vi"), Layout("cropinfrared", "crop_LR_visible"))
    }


class Msrs(PairFolders):
    """Splits ``train`` and ``test``: road scenes by day and night."""

    name = "msrs"
    title: ClassVar[str] = "MSRS, infrared and visible"
    citation: ClassVar[str] = "L. Tang et al.: PIAFusion, Information Fusion 83-84, 2022"
    homepage = "https://github.com/Linfeng-Tang/MSRS"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        split: (Layout(f"{split}/ir", f"{split}/vi"),) for split in ("test", "train")
    }


class M3fd(PairFolders):
    """Split ``all``: the pairs of M3FD that are for fusion."""

    name = "m3fd"
    title: ClassVar[str] = "M3FD, infrared and visible"
    citation: ClassVar[str] = "J. Liu et al.: Target-aware Dual Adversarial Learning (TarDAL), CVPR 2022"
    homepage = "https://github.com/JinyuanLiu-CV/TarDAL"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {"all": (Layout("ir", "vi"), Layout("Ir", "Vis"))}


class Llvip(PairFolders):
    """Splits ``train`` and ``test``: street scenes at night."""

    name = "llvip"
    title: ClassVar[str] = "LLVIP, infrared and visible at low light"
    citation: ClassVar[str] = "X. Jia et al.: LLVIP, ICCV Workshops 2021"
    homepage = "https://bupt-ai-cz.github.io/LLVIP/"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        split: (Layout(f"infrared/{split}", f"visible/{split}"),) for split in ("test", "train")
    }


class Harvard(PairFolders):
    """Splits ``mri-ct``, ``mri-pet`` and ``mri-spect``: slices of the brain; view 1 is the MRI."""

    name = "harvard"
    title: ClassVar[str] = "Harvard Whole Brain Atlas, MRI with CT, PET and SPECT"
    licence = "no open licence found"
    citation: ClassVar[str] = "K. A. Johnson, J. A. Becker: The Whole Brain Atlas"
    homepage = "https://www.med.harvard.edu/aanlib/"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        f"mri-{other.lower()}": (Layout(f"MRI_{other}/{other}", f"MRI_{other}/MRI"),)
        for other in ("CT", "PET", "SPECT")
    }


class Vifb(PairFolders):
    """Split ``all``: the 21 pairs of the visible and infrared fusion benchmark."""

    name = "vifb"
    title: ClassVar[str] = "VIFB, infrared and visible"
    citation: ClassVar[str] = "X. Zhang et al.: VIFB, CVPR Workshops 2020"
    homepage = "https://github.com/xingchenzhang/VIFB"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {"all": (Layout("IR", "VI"), Layout("ir", "vi"))}


class PairsDemo:
    """Split ``all``: three free colour pictures with a made thermal-like partner; nothing to fetch.

    View 1 is the luma. View 0 has the reddish bright and the bluish dark, (2R − B + 255)/3 in whole numbers, as the
    mean of a 5×5 box, stretched to 0..255: less detail and another contrast, as thermal cameras have. It shows nothing
    about real sensors.
    """

    name: ClassVar[str] = "pairs-demo"
    title: ClassVar[str] = "Three pictures of scikit-image with a made thermal-like partner"
    licence: ClassVar[str] = "public domain (astronaut) and CC0 (chelsea, coffee)"
    citation: ClassVar[str] = "S. van der Walt et al.: scikit-image, PeerJ 2:e453, 2014"
    homepage: ClassVar[str] = "https://scikit-image.org"
    redistributable: ClassVar[bool] = True
    splits: Sequence[str] = ("all",)
    # top, left of 256×256 pixels
    _PICTURES: ClassVar[dict[str, tuple[int, int]]] = {"astronaut": (0, 0), "chelsea": (20, 100), "coffee": (60, 200)}

    def __init__(self, root: Path | None = None, strict: bool = False) -> None:
        pass  # the pictures are part of scikit-image, whatever folder is named

    @cached_property
    def _pairs(self) -> np.ndarray:
        from skimage import data

        from fusionbench.imread import luma

        made = []
        for name, (top, left) in self._PICTURES.items():
            rgb = getattr(data, name)()[top : top + 256, left : left + 256]
            made.append(np.stack((_thermal(rgb), luma(rgb))))
        return np.stack(made)

    def stems(self, split: str) -> list[str]:
        if split != "all":
            raise unknown_name(f"split of {self.name}", split, self.splits)
        return list(self._PICTURES)

    def missing(self, split: str) -> dict[str, str]:
        self.stems(split)
        return {}

    def length(self, split: str) -> int:
        return len(self.stems(split))

    def read_pairs(self, split: str, indices: np.ndarray) -> list[np.ndarray]:
        self.stems(split)
        return [self._pairs[index].copy() for index in np.asarray(indices, np.int64).tolist()]

    def views(self, split: str, indices: np.ndarray) -> np.ndarray:
        self.stems(split)
        return self._pairs[np.asarray(indices, np.int64)][..., None]

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        return self.views(split, indices)[:, 1].copy()

    def labels(self, split: str) -> np.ndarray | None:
        self.stems(split)
        return None

    def fingerprint(self, split: str) -> str:
        self.stems(split)
        return hashlib.sha256(self._pairs.tobytes()).hexdigest()


def _thermal(rgb: np.ndarray) -> np.ndarray:
    """uint8 (h,w) from uint8 (h,w,3), whole numbers only."""
    wide = rgb.astype(np.int64)
    warm = np.pad((2 * wide[..., 0] - wide[..., 2] + 255) // 3, 2, mode="reflect")
    height, width = rgb.shape[:2]
    box = np.asarray(sum(warm[y : y + height, x : x + width] for y in range(5) for x in range(5)))
    low, high = box.min(), box.max()
    return ((box - low) * 255 // (high - low)).astype(np.uint8)
