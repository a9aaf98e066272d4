"""A data set of whole pairs as a source of pairs to score: the same names, pixels and identity as the files had.

A result does not say whether its pairs came from image files or from shards, because it makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fusionbench.core.errors import DataError, UsageError, unknown_name
from fusionbench.core.image_ranges import Ranges
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.shards.manifest import FILE
from fusionbench.sources import SOURCES


class StoredPairs:
    """The splits of a data set of whole pairs, with the methods of the sources of pairs.

    A split of the source that is some pairs of a stored one, by name, is there as well.

    Args:
        place: a folder as :func:`fusionbench.data.dataset.open_dataset` takes it.

    Raises:
        UsageError: a data set that is not of whole pairs.
        DataError: no data set there, more than one, or a damaged one.
    """

    def __init__(self, place: str | Path) -> None:
        self.dataset: Dataset = open_dataset(place)
        recipe, source = self.dataset.recipe, self.dataset.manifest.source
        of_pairs = recipe.kind == "pairs"
        if not of_pairs or not recipe.whole:
            what = "patches of pairs" if of_pairs else "no registered pairs"
            raise UsageError(f"{self.dataset.folder}: it holds {what}; whole pairs are scored")
        self.name, self.title, self.licence = source.name, source.title, source.licence
        self.citation, self.homepage = source.citation, source.homepage
        self.redistributable = source.redistributable
        self._places = {split: self._named(split) for split in self.dataset.splits}
        for split, only in _named_splits(self.name):
            within = next((there for there in self._places.values() if only <= there.keys()), None)
            if split not in self._places and within is not None:
                self._places[split] = {stem: place for stem, place in within.items() if stem in only}
        self.splits: Sequence[str] = tuple(self._places)

    def _named(self, split: str) -> dict[str, tuple[str, int]]:
        """Stem -> split and number of the pair in the data set, of a stored split."""
        names = self.dataset.names(split) or []
        if len(set(names)) != self.dataset.size(split):
            raise DataError(f"{self.dataset.folder}: two pairs of {split!r} have one name; build it again")
        return {stem: (split, number) for number, stem in enumerate(names)}

    def stems(self, split: str) -> list[str]:
        """Names of the pairs of a split, in order."""
        if split not in self.splits:
            raise unknown_name(f"split of {self.dataset.folder}", split, self.splits)
        return list(self._places[split])

    def missing(self, split: str) -> dict[str, str]:
        """Empty: what lacked a partner was reported when the data set was made, and is not in it."""
        self.stems(split)
        return {}

    def ranges_of(self, split: str) -> Ranges:
        """The ranges by which the image files were read when the data set was made: a result names them as well."""
        self.stems(split)
        return getattr(self.dataset.recipe, "ranges", Ranges())

    def length(self, split: str) -> int:
        return len(self.stems(split))

    def read_pairs(self, split: str, indices: np.ndarray) -> list[np.ndarray]:
        """Pairs of whatever sizes they have: n of uint8 (2, h, w)."""
        self.stems(split)
        places = list(self._places[split].values())
        return [np.array(self._view(*places[index])) for index in np.asarray(indices, np.int64).tolist()]

    def _view(self, stored: str, number: int) -> np.ndarray:
        result: np.ndarray = self.dataset.arrays(stored).views[number]
        return result

    def fingerprint(self, split: str) -> str:
        """What the source says of the same pairs, from the names and pixels that are stored.

        Raises:
            UsageError: a source of another package that does not offer ``fingerprint_of``.
        """
        kind = SOURCES.get(self.name)
        if not hasattr(kind, "fingerprint_of"):
            raise UsageError(f"The source {self.name!r} has no fingerprint_of: score its files, not a data set of them")
        stems = self.stems(split)
        return str(kind.fingerprint_of(stems, (self._view(*place) for place in self._places[split].values())))


def _named_splits(source: str) -> Iterator[tuple[str, set[str]]]:
    """The splits of a source that are some pairs of another, by name."""
    for split, places in getattr(SOURCES.get(source), "LAYOUTS", {}).items():
        if only := {stem for place in places for stem in place.only}:
            yield split, only


def holds_dataset(place: str | Path) -> bool:
    """Whether a finished data set lies in a folder, or in a version folder below it."""
    folder = Path(place)
    return any((folder / FILE).is_file() or any(folder.glob(f"{depth}/{FILE}")) for depth in ("*", "*/*"))
