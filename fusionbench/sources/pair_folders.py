"""Two folders of images paired by stem: the base of every source of registered pairs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import DataError, SizeMismatchError, UsageError, refuse_all, some, unknown_name
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.images import fit_ranges, images_in, read_image
from fusionbench.core.interfaces import Source
from fusionbench.core.io import utf8_names
from fusionbench.core.pixel_cache import PixelCache
from fusionbench.sources.file_notes import FileNotes, tell_notes

_NO_RANGES = Ranges()


@dataclass(frozen=True)
class Layout:
    """Where one split lies: folders of views 0 and 1 below the root, and what their stems end in beside the name.

    ``only``: the split is these pairs of the folders, and is there when all of them are.
    """

    a: str
    b: str
    a_tail: str = ""
    b_tail: str = ""
    only: tuple[str, ...] = ()


class PairFolders:
    """Base of the sources of registered pairs.

    ``LAYOUTS`` maps a split to the places where it may lie; a split whose folders are not there is left out.

    Args:
        root: the folder that holds the folders of the table.
        strict: refuse images without a partner instead of listing and skipping them.
        ranges: which values of views 0 (a) and 1 (b) are black and white.

    Raises:
        UsageError: no folder named.
        DataError: no split of the table there, no pair in one, or with ``strict`` images without a partner.
    """

    name: ClassVar[str]
    licence: ClassVar[str] = "none stated"
    homepage: ClassVar[str] = ""
    redistributable: ClassVar[bool] = False
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]]
    splits: Sequence[str]

    def __init__(self, root: Path | None, strict: bool = False, ranges: Ranges = _NO_RANGES) -> None:
        if root is None:
            raise UsageError(f"The source {self.name!r} reads files: name their folder with --source-dir DIR")
        self._begin(Path(root), ranges)
        for split, places in self.LAYOUTS.items():
            for place in places:
                if (self.root / place.a).is_dir() and (self.root / place.b).is_dir():
                    if not self._absent(place):
                        self._pair(split, place)
                    break
        if not self._files:
            wanted = " or ".join(f"{place.a}/ and {place.b}/" for places in self.LAYOUTS.values() for place in places)
            raise DataError(f"{self.root}: no pairs here; looked for {wanted}")
        self.splits = tuple(self._files)
        self._report(strict)

    @classmethod
    def between(
        cls, a: str | Path, b: str | Path, split: str, strict: bool = False, ranges: Ranges = _NO_RANGES
    ) -> Self:
        """The pairs of one split in two folders of any name, as if they lay where the layout has them.

        Raises:
            UsageError: no such split.
            DataError: as the constructor.
        """
        if split not in cls.LAYOUTS:
            raise unknown_name(f"split of {cls.name}", split, cls.LAYOUTS)
        places = [Path(place).absolute() for place in (a, b)]
        source, usual = object.__new__(cls), cls.LAYOUTS[split][0]
        try:
            source._begin(Path(os.path.commonpath(places)), ranges)
            names = [os.path.relpath(place, source.root) for place in places]
        except ValueError:  # two drives of Windows have no folder in common
            source._begin(places[0].parent, ranges)
            names = [str(place) for place in places]
        place = replace(usual, a=names[0], b=names[1])
        if absent := source._absent(place):
            raise DataError(f"{source.root}: {len(absent)} pairs of {split!r} are not in both folders: {some(absent)}")
        source._pair(split, place)
        source.splits = (split,)
        source._report(strict)
        return source

    def _begin(self, root: Path, ranges: Ranges) -> None:
        self.root, self.ranges, self.notes = root, ranges, FileNotes()
        self.options = ("--range-a", "--range-b")  # what messages call the ranges
        self._fitted: dict[str, Ranges] = {}
        self._decoded: PixelCache[tuple[str, str]] = PixelCache(0)
        self._sizes: dict[tuple[str, str], tuple[int, int]] = {}
        self._files: dict[str, dict[str, tuple[Path, Path]]] = {}
        self._missing: dict[str, dict[str, str]] = {}
        self._paths: dict[str, list[tuple[Path, Path]]] = {}

    def _stems(self, place: Layout) -> tuple[dict[str, Path], dict[str, Path]]:
        a = _stems(self.root / place.a, place.a_tail)
        b = _as_written(a, _stems(self.root / place.b, place.b_tail))
        if place.only:
            a, b = ({stem: path for stem, path in files.items() if stem in place.only} for files in (a, b))
        return a, b

    def _absent(self, place: Layout) -> list[str]:
        """Pairs that the place should hold by name, and does not."""
        if not place.only:
            return []
        a, b = self._stems(place)
        return sorted(set(place.only) - (a.keys() & b.keys()))

    def _pair(self, split: str, place: Layout) -> None:
        a, b = self._stems(place)
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
            names = some([f"{stem} (not in {place})" for stem, place in missing.items()])
            text = f"{self.root}: {len(missing)} images of {split!r} lack a partner: {names}"
            if strict:
                raise DataError(f"{text}; add them, or leave out --strict")
            progress.say(f"warning: {text}; they are left out")

    def stems(self, split: str) -> list[str]:
        """Names of the pairs of a split, sorted: the order of everything else."""
        if split not in self._files:
            if split in self.LAYOUTS:
                raise DataError(f"{self.root}: the split {split!r} of {self.name} is not here, or not all of it")
            raise unknown_name(f"split of {self.name}", split, self._files)
        return list(self._files[split])

    def files(self, split: str) -> dict[str, tuple[Path, Path]]:
        """Stem -> the two image files of the pair, in the order of :meth:`stems`."""
        self.stems(split)
        return dict(self._files[split])

    def ranges_of(self, split: str) -> Ranges:
        """The ranges by which the images of a split are read: what ``auto`` found in all of them is in their place.

        Raises:
            DataError: an unreadable image, or values in which nothing is found.
        """
        if split not in self._fitted:
            self.stems(split)
            a, b = ([pair[side] for pair in self._files[split].values()] for side in (0, 1))
            self._fitted[split] = fit_ranges(self.ranges, {"a": a, "b": b})
        return self._fitted[split]

    def names(self, split: str) -> Sequence[str]:
        return self.stems(split)

    def paths(self, split: str, index: int) -> tuple[Path, ...]:
        if split not in self._paths:  # a list of 10,000 stems for each of 10,000 pairs would take seconds
            self._paths[split] = [self._files[split][stem] for stem in self.stems(split)]
        return self._paths[split][index]

    def fixed(self, split: str) -> str:
        only = {stem for place in self.LAYOUTS.get(split, ()) for stem in place.only}
        return f"{len(only)} pairs by name" if only else ""

    def missing(self, split: str) -> dict[str, str]:
        """Stem -> folder that lacks it, of the images that were left out."""
        self.stems(split)
        return dict(self._missing[split])

    def length(self, split: str) -> int:
        return len(self.stems(split))

    def read_pairs(self, split: str, indices: np.ndarray) -> list[np.ndarray]:
        """Pairs of their own sizes: n of uint8 (2, h, w).

        Raises:
            DataError: an unreadable image, or a pair whose two images differ in size.
        """
        stems = self.stems(split)
        return [self._read(split, stems[index]) for index in np.asarray(indices, np.int64).tolist()]

    def keep_decoded(self, max_bytes: int) -> None:
        """Decode a pair once for all that ask for it, as far as ``max_bytes`` of pixels go; a build asks once only."""
        if self._decoded.max_bytes != max_bytes:
            self._decoded = PixelCache(max_bytes)

    def size_of(self, split: str, index: int) -> tuple[int, int]:
        """Height and width of a pair; the files are read where nobody read them before.

        Raises:
            DataError: as :meth:`read_pairs`.
        """
        stem = self.stems(split)[index]
        if (split, stem) not in self._sizes:
            self._read(split, stem)
        return self._sizes[split, stem]

    def _read(self, split: str, stem: str) -> np.ndarray:
        if (decoded := self._decoded.get((split, stem))) is not None:
            return decoded
        ranges = self.ranges_of(split)
        sides = zip(self._files[split][stem], (ranges.a, ranges.b), self.options, strict=True)
        a, b = (self.notes.add(path, read_image(path, wanted, option=option)).grey() for path, wanted, option in sides)
        if a.shape != b.shape:
            (first, second), (h, w), (k, m) = self._files[split][stem], a.shape, b.shape
            raise SizeMismatchError(f"{first} is {h}×{w} and {second} is {k}×{m} pixels")
        pair = np.stack((a, b))
        self._decoded.add((split, stem), pair)
        self._sizes[split, stem] = (a.shape[0], a.shape[1])
        return pair

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
        """View 1, the image that shows structure, of pairs of one size: uint8 (n, h, w, 1)."""
        return self.views(split, indices)[:, 1].copy()

    def labels(self, split: str) -> np.ndarray | None:
        self.stems(split)
        return None

    def fingerprint(self, split: str) -> str:
        """Hex sha256 over names and decoded pixels; conversions while reading are reported once.

        Raises:
            DataError: pairs that cannot be read, all of them in one line.
        """
        state = hashlib.sha256()
        problems: list[DataError] = []
        for stem in self.stems(split):
            try:
                pair = self._read(split, stem)
            except DataError as error:
                problems.append(error)
            else:
                state.update(_named(stem, pair))
        refuse_all(problems, f"{self.root}: {len(problems)} of {self.length(split)} pairs of {split!r} cannot be used")
        tell_notes(self.root, self.notes.take())
        return state.hexdigest()

    @staticmethod
    def fingerprint_of(stems: Iterable[str], pairs: Iterable[np.ndarray]) -> str:
        """What :meth:`fingerprint` says of pairs with these names, uint8 (2, h, w), wherever they come from."""
        state = hashlib.sha256()
        for stem, pair in zip(stems, pairs, strict=True):
            state.update(_named(stem, pair))
        return state.hexdigest()


def range_arguments(kind: Any, name: str, ranges: Ranges) -> dict[str, Ranges]:
    """What the constructor ``kind`` of the source ``name`` takes for ``ranges``: nothing without any.

    Raises:
        UsageError: ranges for a source without image files.
    """
    if ranges and not (isinstance(kind, type) and issubclass(kind, PairFolders)):
        raise UsageError(f"The source {name!r} reads no folders of image files: it takes no ranges")
    return {"ranges": ranges} if ranges else {}


def name_range_options(source: Source, a: str, b: str) -> None:
    """Say what messages of a source of image files call the ranges of views 0 and 1; other sources have none."""
    if isinstance(source, PairFolders):
        source.options = (a, b)


def _named(stem: str, pair: np.ndarray) -> bytes:
    return f"{stem} {pair.shape} ".encode() + pair.tobytes()


def _as_written(a: Mapping[str, Path], b: Mapping[str, Path]) -> dict[str, Path]:
    """``b`` with its stems written as in ``a`` where they differ in small and large letters alone."""
    ours, theirs = _by_letters(a.keys() - b.keys()), _by_letters(b.keys() - a.keys())
    same = {names[0]: ours[key][0] for key, names in theirs.items() if len(names) == len(ours.get(key, ())) == 1}
    return {same.get(stem, stem): path for stem, path in b.items()}


def _by_letters(stems: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for stem in stems:
        found.setdefault(stem.casefold(), []).append(stem)
    return found


def _stems(folder: Path, tail: str) -> dict[str, Path]:
    found = utf8_names(images_in(folder))
    ours = {stem.removesuffix(tail): path for stem, path in found.items() if stem.endswith(tail)}
    if not ours:
        raise DataError(f"{folder}: no image here has a stem that ends in {tail!r} ({next(iter(found))}, …)")
    return ours
