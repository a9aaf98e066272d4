"""Sets of registered pairs to score: one split of a source, in order, each pair of its own size.

:func:`open_pairs` is the way to all of them: a registered source, a folder of images, or a stored data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.deprecation import deprecated
from fusionbench.core.errors import DataError, FusionbenchError, UsageError, unknown_name
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.inline_images import data_uri
from fusionbench.core.interfaces import PairSource, has_pairs
from fusionbench.core.io import digest, escaped
from fusionbench.core.notebook import in_html
from fusionbench.core.progress import say
from fusionbench.data.alignment import Alignment, measure_alignment, sample_of
from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.stored_pairs import StoredPairs, holds_dataset
from fusionbench.results.schema import DatasetIdentity
from fusionbench.sources import SOURCES, is_pair_source
from fusionbench.sources.pair_folders import Layout, PairFolders, range_arguments
from fusionbench.sources.pairs import Pairs

if TYPE_CHECKING:
    from fusionbench.evaluation.suites import Suite

DATA = Path("data")  # where `fusionbench generate` puts data sets
NO_RANGES = Ranges()
VERSION = "1.0.0"  # of the way from image files to uint8 luma; raised when it gives other bytes
# Decoded pairs that are held in memory, so that looking at a set (its identity, what is wrong with a file) and scoring
# it decodes each file once. It holds every infrared/visible test set but LLVIP; ten thousand pairs of 640×480 pixels
# are 6 GB: what is beyond the bound is decoded once for the look and once for the scores. Ranges that are found in a
# whole set (`auto`, `set:percentile`) need one more look, at values of any depth, before the first is 8 bits.
CACHE_BYTES = 512 << 20
_SHOWN = 3  # pairs in a notebook


@dataclass(frozen=True, repr=False)
class PairSet:
    """The first ``limit`` pairs of a source's split (all for None), as uint8 (2, h, w)."""

    source: PairSource
    split: str
    limit: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.source, PairFolders):
            self.source.keep_decoded(CACHE_BYTES)

    def __repr__(self) -> str:
        return f"PairSet({escaped(self.name)} {self.split}: {len(self):,} pairs)"

    def _repr_html_(self) -> str:
        """The first pairs, reduced, for notebooks: nothing is fetched, every name is escaped."""
        cells = []
        for index, stem in enumerate(self.stems[:_SHOWN]):
            try:
                images = [f'<img src="{data_uri(view, 160)}" alt="view">' for view in self.pair(index)]
            except FusionbenchError as error:
                images = [in_html(error)]
            cells.append(f"<tr><th>{in_html(stem)}</th>" + "".join(f"<td>{image}</td>" for image in images) + "</tr>")
        more = f"<p>and {len(self) - _SHOWN:,} more</p>" if len(self) > _SHOWN else ""
        return f"<div><p><b>{in_html(repr(self))}</b></p><table>{''.join(cells)}</table>{more}</div>"

    @property
    def name(self) -> str:
        """Name of the source, with the split where the source has several."""
        return self.source.name if self.split in ("all", "test") else f"{self.source.name}-{self.split}"

    @cached_property
    def stems(self) -> list[str]:
        """Names of the pairs, in order."""
        return self.source.stems(self.split)[: self.limit]

    @property
    def ranges(self) -> Ranges:
        """The ranges by which the image files of both views are read; none for pairs that are stored in 8 bits.

        Raises:
            DataError: an unreadable image, or values in which ``auto`` or ``set:percentile`` find nothing.
        """
        found: Ranges = self.source.ranges_of(self.split) if hasattr(self.source, "ranges_of") else NO_RANGES
        return found

    @property
    def missing(self) -> dict[str, str]:
        """Stem -> folder that lacks it, of the image files without a partner, which were left out."""
        found: dict[str, str] = self.source.missing(self.split) if hasattr(self.source, "missing") else {}
        return found

    def files(self) -> dict[str, tuple[Path, Path]]:
        """Stem -> the two image files of a pair, of the whole split.

        Raises:
            DataError: pairs that are not read from image files.
        """
        if not hasattr(self.source, "files"):
            raise DataError(f"{self.source.name}: its pairs are not in image files; name the folder of their files")
        found: dict[str, tuple[Path, Path]] = self.source.files(self.split)
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

    @cached_property
    def alignment(self) -> Alignment | None:
        """By how much the views of a sample of the pairs are displaced together; None where nothing is seen.

        It is measured once and said where it is above half a pixel.

        Raises:
            DataError: a pair that cannot be read.
        """
        found = measure_alignment(self.pair(index) for index in sample_of(len(self)))
        if found is not None and found.told:
            say(f"note: {self.name}: {found.text}")
        return found

    def __len__(self) -> int:
        return len(self.stems)

    def pair(self, index: int) -> np.ndarray:
        """Views 0 and 1 of one pair: uint8 (2, h, w).

        Raises:
            DataError: an unreadable image, or two sizes.
        """
        return self.source.read_pairs(self.split, np.array([index]))[0]

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of one pair, without decoding it where its source has looked at it before.

        Raises:
            DataError: as :meth:`pair`.
        """
        if isinstance(self.source, PairFolders):
            return self.source.size_of(self.split, index)
        height, width = self.pair(index).shape[1:]
        return height, width

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.pair(index) for index in range(len(self)))


def open_pairs(
    what: str | Path,
    split: str | None = None,
    root: str | Path | None = None,
    *,
    limit: int | None = None,
    strict: bool = False,
    ranges: Ranges = NO_RANGES,
) -> PairSet:
    """The pairs that are meant by a source's name, a folder of image files, or a data set of whole pairs.

    Names, pixels and so the identity of what is scored are the same from image files and from a data set of them.

    Args:
        what: a registered source; a folder of image files, which are those of the source called like the folder where
            there is one, else of any two folders; or a data set, by its folder or its name below ``data/``. The name
            of a source that reads files means its data set below ``data/``, else the folder of that name here.
        split: one of the source; without it ``test``, else the first one that is there.
        root: the folder of the image files of the source ``what``, or a data set of them.
        limit: only the first so many pairs.
        strict: refuse images without a partner instead of leaving them out.
        ranges: which values of the image files are black and white.

    Raises:
        UsageError: an unknown name or split, a source without pairs, no folder named, or ranges for pairs that are not
            read from image files.
        DataError: files that are missing or not what they should be, no pairs there, or a data set of another source.

    Example:
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> pairs = open_pairs("pairs-demo", limit=2)
        >>> pairs.stems, pairs.pair(0).shape, pairs.identity.n
        (['astronaut', 'chelsea'], (2, 256, 256), 2)
    """
    source = _find(what, None if root is None else Path(root), strict, ranges)
    split = split or ("test" if "test" in source.splits else source.splits[0])
    source.stems(split)
    return PairSet(source, split, limit)


def are_pairs(name_or_folder: str) -> bool:
    """Whether a source of pairs, a data set (here or in ``data/``) or a folder of their image files is called so.

    Raises:
        DataError: several data sets there, or a damaged one.
    """
    if is_pair_source(name_or_folder):
        return True
    place = next((place for place in (Path(name_or_folder), DATA / name_or_folder) if holds_dataset(place)), None)
    if place is not None:
        return open_dataset(place).kind == "pairs"
    return bool(name_or_folder) and _has_images(Path(name_or_folder))


def _source_of(folder: Path) -> str:
    """The source whose image files a folder has: the one that it is called like, or two folders of any origin."""
    own = folder.resolve().name.lower()
    return own if is_pair_source(own) else "pairs"


def _has_images(folder: Path) -> bool:
    """Whether both views of pairs lie in a folder where their source has them."""
    if not folder.is_dir() or holds_dataset(folder):
        return False
    layouts: Mapping[str, Sequence[Layout]] = getattr(SOURCES.get(_source_of(folder)), "LAYOUTS", {})
    places = [place for several in layouts.values() for place in several]
    return any((folder / place.a).is_dir() and (folder / place.b).is_dir() for place in places)


def pairs_of_suite(
    suite: Suite, a: str | Path, b: str | Path, *, strict: bool = False, ranges: Ranges = NO_RANGES
) -> PairSet:
    """The pairs of the suite's split, in two folders of any name.

    Raises:
        UsageError: a data set without pairs.
        DataError: folders without pairs, or others than those of an embedded source.
    """
    kind = SOURCES.get(suite.dataset)
    if isinstance(kind, type) and issubclass(kind, PairFolders):
        return PairSet(kind.between(a, b, suite.split, strict, ranges), suite.split, suite.protocol.limit)
    if not has_pairs(kind):
        raise UsageError(f"{suite.name}: the source {suite.dataset!r} has no pairs")
    known = PairSet(kind(None), suite.split, suite.protocol.limit)
    given = PairSet(Pairs.between(a, b, "all", strict, ranges), "all")
    places = {stem: place for place, stem in enumerate(given.stems)}
    for index, stem in enumerate(known.stems):
        place = places.get(stem)
        if place is None or not np.array_equal(given.pair(place), known.pair(index)):
            what = "not in both folders" if place is None else "other pixels than fusionbench has"
            raise DataError(f"{a}, {b}: {stem}: {what}; `fusionbench run {suite.name}` writes the images it scores")
    return known


def __getattr__(name: str) -> Any:
    former = {"find_pairs": open_pairs, "pairs_in": partial(open_pairs, strict=True)}
    if name in former:  # before there was one function for all of them
        deprecated(f"{__name__}.{name}", f"{__name__}.open_pairs", removed_in="0.3")
        return former[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _find(what: str | Path, root: Path | None, strict: bool, ranges: Ranges) -> PairSource:
    """The source of pairs that is meant; see :func:`open_pairs`."""
    name, folder = str(what), Path(what)
    if root is not None:
        if holds_dataset(root):
            return _stored(root, ranges, name)
        return _registered(name, root, strict, ranges)
    if isinstance(what, str) and name in SOURCES.names():
        if has_pairs(kind := SOURCES.get(name)) and isinstance(kind, type) and issubclass(kind, PairFolders):
            if holds_dataset(DATA / name):
                say(f"note: pairs of {name} are those of the data set {DATA / name}")
                return _stored(DATA / name, ranges)
            if holds_dataset(folder):
                return _stored(folder, ranges, name)
            root = folder if folder.is_dir() else None
        return _registered(name, root, strict, ranges)
    if name and holds_dataset(folder):
        return _stored(folder, ranges)
    if name and folder.is_dir():
        return _registered(_source_of(folder), folder, strict, ranges)
    if name and holds_dataset(DATA / folder):
        return _stored(DATA / folder, ranges)
    known = [source for source in SOURCES.names() if is_pair_source(source)]
    raise unknown_name("folder or source of pairs", name, known)


def _stored(place: Path, ranges: Ranges, name: str | None = None) -> StoredPairs:
    """The data set in ``place``; it is of the source or has the name ``name``, where one is asked for."""
    found = StoredPairs(place)
    if name is not None and name not in (found.name, found.dataset.name):
        raise DataError(f"{place}: a data set of {found.name!r}, not of {name!r}")
    if ranges:
        raise UsageError(f"{found.dataset.folder}: stored in 8 bits already; name the image files for --range-a")
    return found


def _registered(name: str, root: Path | None, strict: bool, ranges: Ranges) -> PairSource:
    kind = SOURCES.get(name)
    if not has_pairs(kind):
        raise UsageError(f"The source {name!r} has no pairs; see `fusionbench list sources`")
    make: Callable[..., PairSource] = kind
    return make(root, strict=strict, **range_arguments(kind, name, ranges))
