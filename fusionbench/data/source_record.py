"""What a data set was built from, every used file of the source by name and sha256, and what has changed since.

The record lies in the journal beside the shards and is no part of the data set: its id and its manifest are those of a
build without one. Decoded pixels are in the manifest (``source_sha256``), but comparing those takes decoding all files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, some
from fusionbench.core.interfaces import FileSource, Source, has_files
from fusionbench.core.io import digest, escaped, read_bounded, utf8, write_json
from fusionbench.data.file_digests import DigestCache
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.sample_builders import SampleBuilder, sample_builder
from fusionbench.data.source_files import labels_of, names_state

RECORD = "source.json"  # in the journal
MAX_BYTES = 512 << 20
_SHOWN = 3
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A(|[0-9a-f]{64})\Z")]


class UsedFiles(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Images of one split of the source, in order: names, labels where there are some, and digests of their files."""

    source: str
    names: list[str]
    labels: list[int] | None
    sha256: list[_Sha256]  # of the file; of several files, of their digests; "" where one cannot be read


class SourceRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The used files by split of the data set; ``id`` is that of the data set that was built from them."""

    version: Literal[1]  # of this cache, which belongs to the release that wrote it
    id: str
    splits: dict[str, list[UsedFiles]]

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over names, labels and digests."""
        return digest(msgspec.to_builtins(self.splits))


@dataclass(frozen=True)
class SourceChange:
    """Fingerprints of a source when a data set was built from it and now, and what has changed, for people."""

    before: str
    now: str
    what: str


class SourceDigests:
    """Digests of the images of an open source, computed at most once."""

    def __init__(self, source: Source, cache: DigestCache) -> None:
        self.source, self.cache = source, cache
        self._found: dict[tuple[str, int], str] = {}
        self._labels: dict[str, np.ndarray | None] = {}

    def images(self, split: str, numbers: Sequence[int]) -> list[str]:
        """One digest an image of a source of files."""
        source = self.source
        assert has_files(source)
        todo = [number for number in numbers if (split, number) not in self._found]
        if todo:
            names, length = source.names(split), source.length(split)
            files: dict[str, str | Path] = {}
            keys: dict[int, list[str]] = {}
            for number in todo:
                paths = _paths(source, split, number) if number < length else []
                keys[number] = [f"source/{split}/{utf8(names[number])}/{place}" for place in range(len(paths))]
                files.update(zip(keys[number], paths, strict=True))
            found = self.cache.sha256_of(files)
            for number in todo:
                digests = [found[key] for key in keys[number]]
                whole = digests[0] if len(digests) == 1 else digest(digests) if all(digests) and digests else ""
                self._found[split, number] = whole
        return [self._found[split, number] for number in numbers]

    def containers(self, split: str) -> UsedFiles:
        """The files of a source that has one file for many images."""
        paths = container_files(self.source, split)
        found = self.cache.sha256_of({f"source/{split}/{utf8(path.name)}": path for path in paths})
        return UsedFiles(split, [utf8(path.name) for path in paths], None, list(found.values()))

    def used(self, split: str, numbers: np.ndarray) -> UsedFiles:
        """These images of a source of files."""
        source = self.source
        assert has_files(source)
        names, numbers_list = source.names(split), numbers.tolist()
        if split not in self._labels:
            self._labels[split] = labels_of(source, split)
        labels = self._labels[split]
        return UsedFiles(
            split,
            [utf8(names[number]) for number in numbers_list],
            None if labels is None else labels[numbers].tolist(),
            self.images(split, numbers_list),
        )


def _paths(source: FileSource, split: str, number: int) -> list[Path]:
    more: Any = getattr(source, "companions", None)
    return [*source.paths(split, number), *(more(split, number) if more is not None else ())]


def container_files(source: Source, split: str) -> list[Path]:
    """The files of a split of a source that has one file for many images; none of embedded and other sources."""
    files: Any = getattr(source, "containers", None)
    return [] if files is None else list(files(split))


def is_recordable(source: Source | type[Source]) -> bool:
    """Whether a source has files that can be compared with those of an earlier build."""
    return has_files(source) or hasattr(source, "containers")


def file_state(
    source: Source, split: str, numbers: np.ndarray, digests: SourceDigests | None = None, more: Any = None
) -> str:
    """Text that changes when these images of a split are others: "<names>.<contents>"; "" of embedded sources.

    The first part is :func:`fusionbench.data.source_files.names_state`, empty for a source that has one file for many
    images. ``more`` is plain JSON that enters the second part.
    """
    digests = digests or SourceDigests(source, DigestCache())
    if has_files(source):
        contents: list[Any] = [digests.images(split, numbers.tolist()), more]
        return f"{names_state(source, split, numbers)}.{digest(contents)[:32]}"
    if not is_recordable(source):
        return ""
    return f".{digest([digests.containers(split).sha256, more])[:32]}"


def record_of(recipe: AnyRecipe, source: Source, digests: SourceDigests, identity: str = "") -> SourceRecord:
    """The files that ``recipe`` uses of ``source``, as they are now.

    Raises:
        UsageError, DataError: the recipe and the source do not fit.
    """
    builder: SampleBuilder = sample_builder(recipe, source)
    splits: dict[str, list[UsedFiles]] = {}
    for split, rule in recipe.splits.items():
        if not has_files(source):
            splits[split] = [digests.containers(name) for name in dict.fromkeys(rule.sources)]
            continue
        splits[split] = [digests.used(trial.split, trial.numbers) for trial in builder.trials(split)]
    return SourceRecord(1, identity, splits)


def read_source_record(path: Path, identity: str) -> SourceRecord | None:
    """The record of the data set with this id; None where there is none, or only a damaged one."""
    with contextlib.suppress(DataError, msgspec.DecodeError, RecursionError):
        record = msgspec.json.decode(read_bounded(path, MAX_BYTES, "record"), type=SourceRecord)
        even = all(
            len(part.names) == len(part.sha256) and (part.labels is None or len(part.labels) == len(part.names))
            for parts in record.splits.values()
            for part in parts
        )
        if record.id == identity and even:
            return record
    return None


def write_source_record(path: Path, record: SourceRecord) -> None:
    write_json(path, msgspec.to_builtins(record))


def compare_records(before: SourceRecord, now: SourceRecord) -> SourceChange | None:
    """What has changed in the source, None where nothing has."""
    one, two = before.fingerprint, now.fingerprint
    if one == two:
        return None
    old, new = _by_name(before), _by_name(now)
    kinds = {
        "changed": sorted(name for name in old.keys() & new.keys() if old[name][0] != new[name][0]),
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "in another class": sorted(name for name in old.keys() & new.keys() if old[name][1] != new[name][1]),
    }
    parts = [
        f"{len(names):,} {'file' if len(names) == 1 else 'files'} {how} "
        f"({some([escaped(name) for name in names], ', ', _SHOWN)})"
        for how, names in kinds.items()
        if names
    ]
    return SourceChange(one, two, "; ".join(parts) or "its files are assigned to other splits")


def _by_name(record: SourceRecord) -> dict[str, tuple[str, int | None]]:
    return {
        name: (sha256, label)
        for parts in record.splits.values()
        for part in parts
        for name, sha256, label in zip(part.names, part.sha256, part.labels or repeat(None), strict=False)
    }
