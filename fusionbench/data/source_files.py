"""The image files that a source reads, by name: which image is in which file, and whether a file has changed.

A source of image files has ``names(split)`` and ``paths(split, index)`` (:class:`fusionbench.core.types.Source`).
Others, embedded ones or those with one file for all images, have neither, and nothing here looks at their files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.io import digest


def has_files(source: Any) -> bool:
    """Whether every image of a source is in a file, or a pair in two, that can be named."""
    return hasattr(source, "names") and hasattr(source, "paths")


def names_of(source: Any, split: str) -> list[str]:
    """Names of all images of a split, in order, as JSON can hold them: a byte that is not UTF-8 becomes ``\\xHH``."""
    return [plain(name) for name in source.names(split)]


def plain(name: str) -> str:
    """A file's name in UTF-8: each byte that is not UTF-8, which Python spells as a surrogate, becomes ``\\xHH``."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def numbers_of(source: Any, split: str, names: Sequence[str]) -> np.ndarray:
    """Which images of a split have these names: int64, ascending.

    Raises:
        DataError: a name that no file has.
    """
    if not has_files(source):
        raise DataError(f"The source {source.name!r} has no files that could be left out; remove source.leave_out")
    place = {name: number for number, name in enumerate(names_of(source, split))}
    absent = [name for name in names if name not in place]
    if absent:
        where = getattr(source, "root", source.name)
        raise DataError(
            f"{where}: {absent[0]!r}, which the recipe leaves out, is not in {split!r}; put the file back (an empty "
            "one will do): it counts when images are assigned to splits"
        )
    return np.array(sorted(place[name] for name in names), np.int64)


def state_of(source: Any, split: str, numbers: np.ndarray) -> str:
    """Text that changes when these images of a split are other files: "<names>.<sizes and times>"; "" without files."""
    if not has_files(source):
        return ""
    stats = [[_stat(path) for path in source.paths(split, number)] for number in numbers.tolist()]
    return f"{names_state(source, split, numbers)}.{digest(stats)[:32]}"


def names_state(source: Any, split: str, numbers: np.ndarray) -> str:
    """The first part of :func:`state_of`, which no clock and no other machine changes."""
    names = source.names(split)
    return digest([split, [plain(names[number]) for number in numbers.tolist() if number < len(names)]])[:32]


def _stat(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
