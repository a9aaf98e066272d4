"""The image files that a source reads, by name: which image is in which file.

A source of image files is a :class:`fusionbench.core.interfaces.FileSource`: it has ``names(split)`` and
``paths(split, index)``. Others, embedded ones or those with one file for all images, have neither, and nothing here
looks at their files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.interfaces import FileSource, Source, UpstreamPairs, has_files, has_pairs
from fusionbench.core.io import digest, utf8


def need_pairs(source: Source) -> UpstreamPairs:
    """``source`` as a source of registered pairs.

    Raises:
        UsageError: it has no pairs.
    """
    if not has_pairs(source):
        raise UsageError(f"The source {source.name!r} has no pairs; see `fusionbench list sources`")
    return source


def file_names(source: FileSource, split: str) -> list[str]:
    """Names of all images of a split, in order, as JSON can hold them: a byte that is not UTF-8 becomes ``\\xHH``."""
    return [utf8(name) for name in source.names(split)]


def file_numbers(source: Source, split: str, names: Sequence[str]) -> np.ndarray:
    """Which images of a split have these names: int64, ascending.

    Raises:
        DataError: a name that no file has.
    """
    if not has_files(source):
        raise DataError(f"The source {source.name!r} has no files that could be left out; remove source.leave_out")
    place = {name: number for number, name in enumerate(file_names(source, split))}
    absent = [name for name in names if name not in place]
    if absent:
        where = getattr(source, "root", source.name)
        raise DataError(
            f"{where}: {absent[0]!r}, which the recipe leaves out, is not in {split!r}; put the file back (an empty "
            "one will do): it counts when images are assigned to splits"
        )
    return np.array(sorted(place[name] for name in names), np.int64)


def names_state(source: FileSource, split: str, numbers: np.ndarray) -> str:
    """Text that changes when these images of a split are files of other names, or of other classes."""
    names, labels = source.names(split), labels_of(source, split)
    inside = [number for number in numbers.tolist() if number < len(names)]
    classes = None if labels is None else labels[inside].tolist()
    return digest([split, [utf8(names[number]) for number in inside], classes])[:32]


def labels_of(source: Source, split: str) -> np.ndarray | None:
    """Labels of all images of a split; None where a source has none."""
    return source.labels(split) if hasattr(source, "labels") else None
