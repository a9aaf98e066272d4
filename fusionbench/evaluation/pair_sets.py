"""Sets of registered pairs to score: one split of a source, in order, each pair of its own size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError, unknown_name
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.io import digest
from fusionbench.core.progress import say
from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.stored_pairs import DatasetPairs, holds_dataset
from fusionbench.results.schema import DatasetIdentity
from fusionbench.sources import SOURCES, is_pair_source
from fusionbench.sources.pair_folders import range_arguments

DATA = Path("data")  # where `fusionbench generate` puts data sets
NO_RANGES = Ranges()
VERSION = "1.0.0"  # of the way from picture files to uint8 luma; raised when it gives other bytes


@dataclass(frozen=True)
class PairSet:
    """The first ``limit`` pairs of a source's split (all for None), as uint8 (2, h, w)."""

    source: Any
    split: str
    limit: int | None = None

    @property
    def name(self) -> str:
        """Name of the source, with the split where the source has several."""
        return self.source.name if self.split in ("all", "test") else f"{self.source.name}-{self.split}"

    @cached_property
    def stems(self) -> list[str]:
        """Names of the pairs, in order."""
        result: list[str] = self.source.stems(self.split)[: self.limit]
        return result

    @property
    def ranges(self) -> Ranges:
        """The ranges by which the image files of both views are read; none for pairs that are stored in 8 bits.

        Raises:
            DataError: an unreadable image, or values in which ``auto`` or ``set:percentile`` find nothing.
        """
        found: Ranges = self.source.ranges_of(self.split) if hasattr(self.source, "ranges_of") else NO_RANGES
        return found

    @cached_property
    def identity(self) -> DatasetIdentity:
        """What a result says about its data; ``id`` is over names and pixels of the whole split."""
        return DatasetIdentity(
            name=self.name,
            version=VERSION,
            split=self.split,
            id=self.source.fingerprint(self.split),
            n=len(self),
            ids_sha256=digest(self.stems),
        )

    def __len__(self) -> int:
        return len(self.stems)

    def pair(self, index: int) -> np.ndarray:
        """Views 0 and 1 of one pair: uint8 (2, h, w).

        Raises:
            DataError: an unreadable picture, or two sizes.
        """
        result: np.ndarray = self.source.read_pairs(self.split, np.array([index]))[0]
        return result

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.pair(index) for index in range(len(self)))


def open_pairs(
    name: str,
    split: str | None,
    root: str | Path | None,
    *,
    limit: int | None = None,
    strict: bool = False,
    ranges: Ranges = NO_RANGES,
) -> PairSet:
    """The pairs of a registered source. Without ``split``: ``test``, else the first one there.

    A data set of its whole pairs will do as well, as ``root``, or as ``name`` (one in ``data/``, or a folder): names,
    pixels and so the identity of what is scored are the same. Without ``root``, the pairs of a source that is made of
    files are looked for in ``data/<name>``. ``ranges``: which values of the image files are black and white.

    Raises:
        UsageError: unknown source or split, a source without pairs, no folder named, or ranges for pairs that are not
            read from image files.
        DataError: files that are missing or not what they should be, or a data set of another source.
    """
    if (stored := _stored(name, root)) is not None:
        if ranges:
            raise UsageError(f"{stored.dataset.folder}: stored in 8 bits already; name the image files for --range-a")
        split = split or _usual(stored)
        stored.stems(split)
        return PairSet(stored, split, limit)
    kind = SOURCES.get(name)
    if not hasattr(kind, "read_pairs"):
        raise UsageError(f"The source {name!r} has no pairs; see `fusionbench list sources`")
    source: Any = _open(kind, name, None if root is None else Path(root), strict, ranges)
    split = split or _usual(source)
    source.stems(split)
    return PairSet(source, split, limit)


def means_pairs(name_or_folder: str) -> bool:
    """Whether a source of pairs, or a data set of them (here or in ``data/``), is called so.

    Raises:
        DataError: several data sets there, or a damaged one.
    """
    if is_pair_source(name_or_folder):
        return True
    place = next((place for place in (Path(name_or_folder), DATA / name_or_folder) if holds_dataset(place)), None)
    return place is not None and open_dataset(place).kind == "pairs"


def find_pairs(
    name_or_folder: str | Path,
    split: str | None = None,
    root: str | Path | None = None,
    *,
    limit: int | None = None,
    strict: bool = False,
    ranges: Ranges = NO_RANGES,
) -> PairSet:
    """The pairs that somebody means: a source by name with its folder ``root``, or a folder of pairs or a data set.

    Raises:
        UsageError, DataError: as :func:`open_pairs` and :func:`pairs_in`.
    """
    name, folder = str(name_or_folder), Path(name_or_folder)
    if holds_dataset(folder if root is None else root):
        return open_pairs(name, split, root, limit=limit, strict=strict, ranges=ranges)
    if root is None and folder.is_dir():
        found = pairs_in(folder, split, strict=strict, ranges=ranges)
        return PairSet(found.source, found.split, limit)
    if not is_pair_source(name):
        known = [source for source in SOURCES.names() if is_pair_source(source)]
        raise unknown_name("folder or source of pairs", name, known)
    return open_pairs(name, split, root, limit=limit, strict=strict, ranges=ranges)


def pairs_in(
    folder: str | Path, split: str | None = None, *, strict: bool = True, ranges: Ranges = NO_RANGES
) -> PairSet:
    """The pairs in ``folder``: of the source called like the folder where there is one, else of any two folders.

    So a folder ``tno`` holds the set that the suites call tno. Without ``split``: ``test``, else the first one there.

    Raises:
        UsageError: no such split there.
        DataError: no pairs there, or pictures without a partner.
    """
    name = Path(folder).resolve().name.lower()
    name = name if is_pair_source(name) else "pairs"
    source: Any = _open(SOURCES.get(name), name, Path(folder), strict, ranges)
    split = split or _usual(source)
    source.stems(split)
    return PairSet(source, split)


def _open(kind: Any, name: str, root: Path | None, strict: bool, ranges: Ranges) -> Any:
    return kind(root, strict=strict, **range_arguments(kind, name, ranges))


def _stored(name: str, root: str | Path | None) -> DatasetPairs | None:
    """The data set of whole pairs that is meant, or None where picture files are."""
    if root is not None:
        if not holds_dataset(root):
            return None
        found = DatasetPairs(root)
        if name not in (found.name, found.dataset.name):
            raise DataError(f"{root}: a data set of {found.name!r}, not of {name!r}")
        return found
    if name in SOURCES.names():
        if not is_pair_source(name) or not hasattr(SOURCES.get(name), "LAYOUTS") or not holds_dataset(DATA / name):
            return None
        say(f"note: pairs of {name} are those of the data set {DATA / name}")
        return DatasetPairs(DATA / name)
    place = next((place for place in (Path(name), DATA / name) if name and holds_dataset(place)), None)
    return None if place is None else DatasetPairs(place)


def _usual(source: Any) -> str:
    return str("test" if "test" in source.splits else source.splits[0])
