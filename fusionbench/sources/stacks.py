"""Stacks: several pictures of one scene, focused or exposed differently, in folders; with the truth where one is known.

    parallel   sourceA/x.png  sourceB/x.png        one folder a view; also A, B, C … and imageA, imageB; ends as
                                                   ``-A`` and ``_B`` of the names do not count
    folders    x/1.png  x/2.png  x/3.png           one folder a scene
    flat       x-A.jpg  x-B.jpg                    one folder in all; also x_1, x_2

The truth is a picture of the scene's name in a folder ``Fusion``, ``GT`` or ``truth`` beside the views', or one called
``truth`` or ``gt`` among them (``x-truth.jpg`` where all lie flat). A published layout is a class with a table.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import DataError, SizeMismatchError, UsageError, refuse_all, some, unknown_name
from fusionbench.core.images import SUFFIXES, to_grey
from fusionbench.core.io import utf8_names
from fusionbench.sources.file_notes import FileNotes, tell_notes

LARGEST = 64  # pictures of one stack
_VIEWS = ("source", "image", "")  # before the letter of a folder of views
_TRUTHS = ("Fusion", "fusion", "GT", "gt", "truth")
_TAIL = re.compile(r"\A(.+?)[-_ ]([A-Za-z]|[0-9]{1,2}|truth|gt)\Z", re.IGNORECASE)
_LETTER = re.compile(r"[-_ ][A-Za-z]\Z")


@dataclass(frozen=True)
class StackFiles:
    """The files of one stack: its pictures in their order, and that of the truth or None."""

    pictures: tuple[Path, ...]
    truth: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """The pictures, and the truth last."""
        return self.pictures if self.truth is None else (*self.pictures, self.truth)


class Stacks:
    """Split ``all``: stacks of one number of pictures, in any of the three ways.

    Args:
        root: the folder that the table of places is looked up in.
        strict: refuse scenes that lack a picture instead of listing and skipping them.

    Raises:
        UsageError: no folder named.
        DataError: no stack there; one of one picture, of too many, or of another number than the rest; a link that
            leads out of the folder.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> from fusionbench.sources import SOURCES
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("cup-A.png", "cup-B.png", "cup-truth.png"):
        ...         Image.new("RGB", (8, 6), "red").save(Path(root) / name)
        ...     stacks = SOURCES.get("stacks")(Path(root))
        ...     views, truth = stacks.read_stack("all", 0)
        ...     print(stacks.stems("all"), views.shape, truth.shape)
        ['cup'] (2, 6, 8, 3) (6, 8, 3)
    """

    name: ClassVar[str] = "stacks"
    title: ClassVar[str] = "Folders of stacks of pictures"
    licence: ClassVar[str] = "as the owner of the images states"
    citation: ClassVar[str] = "the owner of the images"
    homepage: ClassVar[str] = ""
    redistributable: ClassVar[bool] = False
    PLACES: ClassVar[Mapping[str, Sequence[str]]] = {
        "all": (".",)
    }  # split -> where it may lie, the first that is there
    WAYS: ClassVar[Sequence[str]] = ("parallel", "folders", "flat")
    BY_BRIGHTNESS: ClassVar[bool] = False  # from dark to bright, not in the order of names
    splits: Sequence[str]

    def __init__(self, root: Path | None, strict: bool = False) -> None:
        if root is None:
            raise UsageError(f"The source {self.name!r} reads files: name their folder with --source-dir DIR")
        self.root, self.notes = Path(root), FileNotes()
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder")
        self._files: dict[str, dict[str, StackFiles]] = {}
        ways = {"parallel": _parallel, "folders": _folders, "flat": _flat}
        for split, places in self.PLACES.items():
            for place in places:
                folder = self.root / place
                found: tuple[dict[str, StackFiles], list[str]] = ({}, [])
                for way in self.WAYS if folder.is_dir() else ():
                    found = ways[way](folder)
                    if found[0]:
                        break
                if found[0]:
                    self._files[split] = self._checked(folder, *found, strict)
                    break
        if not self._files:
            looked = " or ".join(dict.fromkeys(place for places in self.PLACES.values() for place in places))
            raise DataError(
                f"{self.root}: no stacks of pictures here (looked in {looked} for x-A.png and x-B.png, for folders of "
                "pictures and for folders A and B); docs/stacks.md shows the layouts"
            )
        self.splits = tuple(self._files)

    def _checked(
        self, folder: Path, found: Mapping[str, StackFiles], lacking: Sequence[str], strict: bool
    ) -> dict[str, StackFiles]:
        if lacking:
            text = f"{folder}: {len(lacking)} scenes lack a picture that others have: {some(lacking)}"
            if strict:
                raise DataError(f"{text}; add it, or leave out --strict")
            progress.say(f"warning: {text}; they are left out")
        inside = os.path.realpath(self.root)
        counts = {name: len(files.pictures) for name, files in found.items()}
        first = next(iter(counts))
        for name, count in counts.items():
            if not 2 <= count <= LARGEST:
                raise DataError(f"{folder}: the stack {name} has {count} picture(s); a stack has 2 to {LARGEST}")
            if count != counts[first]:
                raise DataError(
                    f"{folder}: the stack {first} has {counts[first]} pictures and {name} has {count}; give stacks of "
                    "each number a folder of their own"
                )
            for path in found[name].all:
                if not Path(os.path.realpath(path)).is_relative_to(inside):
                    raise DataError(f"{path}: leads out of the folder; copy the image instead of linking it")
        ordered = sorted(found, key=_natural)
        shown = utf8_names({name: found[name].pictures[0] for name in ordered})
        return dict(zip(shown, (found[name] for name in ordered), strict=True))

    def stems(self, split: str) -> list[str]:
        """The name of every stack of a split, in order."""
        if split not in self._files:
            if split in self.PLACES:
                raise DataError(f"{self.root}: the split {split!r} of {self.name} is not here")
            raise unknown_name(f"split of {self.name}", split, self._files)
        return list(self._files[split])

    def names(self, split: str) -> Sequence[str]:
        return self.stems(split)

    def paths(self, split: str, index: int) -> tuple[Path, ...]:
        return self._files[split][self.stems(split)[index]].all

    def stack_files(self, split: str, index: int) -> tuple[Path, ...]:
        """The pictures of a stack without its truth, in the order of their names."""
        return self._files[split][self.stems(split)[index]].pictures

    def length(self, split: str) -> int:
        return len(self.stems(split))

    def read_stack(self, split: str, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """One stack, uint8 (V, h, w, 3), and its truth, uint8 (h, w, 3) or None.

        Raises:
            DataError: an unreadable picture, or pictures of different sizes.
        """
        files = self._files[split][self.stems(split)[index]]
        pixels: list[np.ndarray] = []
        for path in files.all:
            pixels.append(self.notes.rgb(path))
            if pixels[-1].shape != pixels[0].shape:
                (h, w), (k, m) = pixels[0].shape[:2], pixels[-1].shape[:2]
                raise SizeMismatchError(f"{files.pictures[0]} is {h}×{w} and {path} is {k}×{m} pixels")
        count = len(files.pictures)
        views, truth = np.stack(pixels[:count]), pixels[count] if len(pixels) > count else None
        if self.BY_BRIGHTNESS:
            light = np.array([to_grey(view).sum(dtype=np.int64) for view in views])
            views = views[np.argsort(light, kind="stable")]
        return views, truth

    def read_list(self, split: str, indices: np.ndarray) -> list[np.ndarray]:
        """The truth of stacks, or the first picture where none is known: n of uint8 (h, w, 3)."""
        found = (self.read_stack(split, index) for index in np.asarray(indices, np.int64).tolist())
        return [views[0] if truth is None else truth for views, truth in found]

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        """The same of stacks of one size.

        Raises:
            DataError: they have different sizes; :meth:`read_list` reads those.
        """
        found = self.read_list(split, indices)
        if len({image.shape for image in found}) > 1:
            raise DataError(f"{self.root}: the stacks of {split!r} have different sizes; read them one by one")
        return np.stack(found) if found else np.empty((0, 1, 1, 3), np.uint8)

    def labels(self, split: str) -> np.ndarray | None:
        self.stems(split)
        return None

    def fingerprint(self, split: str) -> str:
        """Hex sha256 over names and decoded pixels.

        Raises:
            DataError: stacks that cannot be read, all of them in one line.
        """
        state, problems = hashlib.sha256(), []
        for index, stem in enumerate(self.stems(split)):
            try:
                views, truth = self.read_stack(split, index)
            except DataError as error:
                problems.append(error)
                continue
            for image in (views, *(() if truth is None else (truth,))):
                state.update(f"{stem} {image.shape} ".encode() + image.tobytes())
        refuse_all(problems, f"{self.root}: {len(problems)} of {self.length(split)} stacks cannot be used")
        tell_notes(self.root, self.notes.take())
        return state.hexdigest()


class Lytro(Stacks):
    """Splits ``pairs``: 20 pairs; ``triples``: 4 stacks of three, in ``Triple Series``."""

    name = "lytro"
    title = "Lytro multi-focus dataset"
    licence = "none stated"
    citation = (
        "M. Nejati et al.: Multi-focus image fusion using dictionary-based sparse representation, Inf. Fusion 25, 2015"
    )
    homepage = "https://mansournejati.ece.iut.ac.ir/content/lytro-multi-focus-dataset"
    PLACES: ClassVar[Mapping[str, Sequence[str]]] = {
        "pairs": (".", "Lytro"),
        "triples": ("Triple Series", "Lytro/Triple Series"),
    }
    WAYS = ("parallel", "flat")


class Mffw(Stacks):
    """Splits ``pairs`` (MFFW2) and ``more`` (MFFW3): scenes with a strong spread of defocus over outlines."""

    name = "mffw"
    title = "MFFW, multi-focus images in the wild"
    licence = "none stated"
    citation = "S. Xu et al.: MFFW: A new dataset for multi-focus image fusion, arXiv:2002.04780, 2020"
    homepage = "https://arxiv.org/abs/2002.04780"
    PLACES: ClassVar[Mapping[str, Sequence[str]]] = {"pairs": ("MFFW2", "MFFW/MFFW2"), "more": ("MFFW3", "MFFW/MFFW3")}


class RealMff(Stacks):
    """Split ``all``: 710 pairs of a light-field camera, with a truth: ``imageA``, ``imageB`` and ``Fusion``."""

    name = "real-mff"
    title = "Real-MFF, multi-focus pairs with ground truth"
    licence = "none stated"
    citation = "J. Zhang et al.: Real-MFF: A large realistic multi-focus image dataset, Pattern Recognit. Lett., 2020"
    homepage = "https://github.com/Zancelot/Real-MFF"
    WAYS = ("parallel",)


class Mefb(Stacks):
    """Split ``all``: 100 scenes, each in a folder of ``input`` with two exposures; view 0 is the darker one."""

    name = "mefb"
    title = "MEFB, multi-exposure fusion benchmark"
    licence = "none stated"
    citation = "X. Zhang: Benchmarking and comparing multi-exposure image fusion algorithms, Inf. Fusion 74, 2021"
    homepage = "https://github.com/xingchenzhang/MEFB"
    PLACES: ClassVar[Mapping[str, Sequence[str]]] = {"all": ("input", ".")}
    WAYS = ("folders",)
    BY_BRIGHTNESS = True


def pictures_in(folder: Path) -> list[Path]:
    """The picture files directly in a folder, in the order of their names, numbers by their value.

    Raises:
        DataError: it cannot be listed.
    """
    try:
        found = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("._") and path.is_file()
        ]
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}") from error
    return sorted(found, key=lambda path: _natural(path.name))


def _natural(name: str) -> tuple[object, ...]:
    parts = re.split(r"([0-9]+)", name)
    return (*(int(part[:18]) if place % 2 else part.casefold() for place, part in enumerate(parts)), name)


def _split_truth(pictures: Iterable[Path]) -> tuple[list[Path], Path | None]:
    views: list[Path] = []
    truth: Path | None = None
    for path in pictures:
        if path.stem.casefold() in ("truth", "gt"):
            if truth is not None:
                raise DataError(f"{truth.parent}: {truth.name} and {path.name} are both a truth; keep one")
            truth = path
        else:
            views.append(path)
    return views, truth


def _parallel(folder: Path) -> tuple[dict[str, StackFiles], list[str]]:
    """Stacks whose views lie in folders side by side, and scenes that one of these lacks."""
    for before in _VIEWS:
        places = [folder / f"{before}{letter}" for letter in "ABCDEFGHI"]
        places = [place for place in places if place.is_dir()]
        if len(places) >= 2:
            break
    else:
        return {}, []
    pictures = [pictures_in(place) for place in places]
    whole_names = _whole_names_are_meant(pictures)
    views = [_named(each, lambda stem: stem if whole_names else _LETTER.sub("", stem)) for each in pictures]
    truths: dict[str, Path] = {}
    for place in (folder / name for name in _TRUTHS):
        if place.is_dir() and not truths:
            truths = _named(pictures_in(place), lambda stem: stem if stem in views[0] else _LETTER.sub("", stem))
    everything = set().union(*views)
    whole = {name for name in everything if all(name in view for view in views)}
    if truths:
        whole &= truths.keys()
    found = {name: StackFiles(tuple(view[name] for view in views), truths.get(name)) for name in whole}
    return found, sorted(everything - whole)


def _whole_names_are_meant(folders: Sequence[Sequence[Path]]) -> bool:
    """Whether ends such as ``-a`` are no letters of views: without them two names of a folder were one, and with them
    all folders have the same names."""
    stems = [[path.stem for path in pictures] for pictures in folders]
    cut = [{_LETTER.sub("", stem) for stem in own} for own in stems]
    return any(len(short) < len(own) for short, own in zip(cut, stems, strict=True)) and all(
        len(set(own)) == len(own) and set(own) == set(stems[0]) for own in stems
    )


def _named(pictures: Iterable[Path], name: Callable[[str], str]) -> dict[str, Path]:
    """Pictures of one folder by the name of their scene.

    Raises:
        DataError: two of one name: one of them would be left out without a word.
    """
    found: dict[str, Path] = {}
    for path in pictures:
        if (scene := name(path.stem)) in found:
            raise _same_name(found[scene], path, f"the name {scene!r} of a scene")
        found[scene] = path
    return found


def _same_name(one: Path, other: Path, what: str) -> DataError:
    return DataError(f"{one.parent}: {one.name} and {other.name} share {what}; rename or remove one")


def _folders(folder: Path) -> tuple[dict[str, StackFiles], list[str]]:
    """Stacks that have a folder each. A folder without pictures is none."""
    found = {}
    for place in sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith(".")):
        views, truth = _split_truth(pictures_in(place))
        if views:
            found[place.name] = StackFiles(tuple(views), truth)
    return found, []


def _flat(folder: Path) -> tuple[dict[str, StackFiles], list[str]]:
    """Stacks whose pictures lie in one folder, named alike up to their last letter or number."""
    views: dict[str, dict[str, Path]] = {}
    problems = []
    for path in pictures_in(folder):
        if (match := _TAIL.match(path.stem)) is not None:
            own, tail = views.setdefault(match[1], {}), match[2].casefold()
            tail = "truth" if tail == "gt" else tail
            if tail in own:
                problems.append(_same_name(own[tail], path, f"the place {tail!r} in the stack {match[1]!r}"))
            own[tail] = path
    found, lacking = {}, []
    most = max((len(own.keys() - {"truth"}) for own in views.values()), default=0)
    if most >= 2 and problems:  # pictures that are no stacks may be called anything
        raise problems[0]
    for name, own in views.items():
        truth = own.pop("truth", None)
        if len(own) == most and most >= 2:
            ordered = sorted(own, key=_natural)
            found[name] = StackFiles(tuple(own[tail] for tail in ordered), truth)
        else:
            lacking.append(name)
    return found, sorted(lacking) if found else []
