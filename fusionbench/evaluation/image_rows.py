"""Image files that belong together: a fused image, its sources and its target, paired by stem."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionbench.core.errors import DataError, UsageError, some
from fusionbench.core.images import images_in
from fusionbench.core.io import utf8, utf8_names
from fusionbench.evaluation.unfinished_pairs import refuse_unfinished

SOURCE_SIDES = ("a", "b", "c", "d", "e", "f")  # what sources are called, in order
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


@dataclass(frozen=True)
class Triple:
    """One row to score: a fused image and its two sources.

    Attributes:
        more: the third source and further ones.
        target: the known truth. With one, there may be no sources.
    """

    id: str
    fused: Path
    a: Path | None = None
    b: Path | None = None
    more: tuple[Path, ...] = ()
    target: Path | None = None

    @classmethod
    def of(cls, name: str, files: Mapping[str, Path]) -> Triple:
        """From side -> file."""
        more = tuple(files[side] for side in SOURCE_SIDES[2:] if side in files)
        return cls(name, files["fused"], files.get("a"), files.get("b"), more, files.get("target"))

    @property
    def files(self) -> dict[str, Path]:
        """Side -> file: ``fused``, then the sources ``a``, ``b``, ``c`` and so on, then ``target``."""
        sources = dict(zip(SOURCE_SIDES, (self.a, self.b, *self.more), strict=False))
        every = {"fused": self.fused, **sources, "target": self.target}
        return {side: path for side, path in every.items() if path is not None}

    def absolute(self) -> Triple:
        """The same files by their absolute names."""
        return Triple.of(self.id, {side: path.absolute() for side, path in self.files.items()})


def sides_given(
    a: str | Path | None,
    b: str | Path | None,
    more: Sequence[str | Path],
    target: str | Path | None,
    fused: str | Path,
) -> dict[str, Path]:
    """Side -> file or folder of those that are given; the fused images come last, as they name a row of files.

    Raises:
        UsageError: too many sources, or neither two of them nor a target.

    Example:
        >>> from fusionbench.evaluation.image_rows import sides_given
        >>> list(sides_given("ir", "vi", ["uv"], None, "fused"))
        ['a', 'b', 'c', 'fused']
    """
    if len(more) > len(SOURCE_SIDES) - 2:
        raise UsageError(f"{2 + len(more)} sources: at most {len(SOURCE_SIDES)} are scored together")
    if (a is None) != (b is None) or (a is None and (target is None or more)):
        raise UsageError("Fused images are scored against --a and --b, against --target, or against all of them")
    sources = dict(zip(SOURCE_SIDES, (a, b, *more), strict=False))
    every = {**sources, "target": target, "fused": fused}
    return {side: Path(place) for side, place in every.items() if place is not None}


def pair_files(a: Path, b: Path, fused: Path) -> tuple[list[Triple], dict[str, list[str]]]:
    """Rows of three files, or of three folders paired by stem, and what has no partner: stem -> folders lacking it.

    Raises:
        DataError: missing files, folders without images, or no stem that all three have.
        UsageError: files and folders mixed.
    """
    return pair_sides({"a": Path(a), "b": Path(b), "fused": Path(fused)})


def pair_sides(places: Mapping[str, Path]) -> tuple[list[Triple], dict[str, list[str]]]:
    """As :func:`pair_files`, for any sides: side (``a``, …, ``target``, ``fused``) -> a file or a folder."""
    rows, missing = pair_by_stem(places)
    return [Triple.of(stem, files) for stem, files in rows], missing


def pair_by_stem(places: Mapping[str, Path]) -> tuple[list[tuple[str, dict[str, Path]]], dict[str, list[str]]]:
    """The files that belong together, of files or of folders paired by stem: the one way to pair image files.

    Args:
        places: side ("a", "b", "fused") -> a file or a folder.

    Returns:
        Rows sorted by stem, each a stem and side -> file; and what has no partner: stem -> sides that lack it. The stem
        of files is the last side's.

    Raises:
        DataError: missing files, folders without images, or no stem that all of them have; degraded pairs that are
            not all written.
        UsageError: files and folders mixed.
    """
    count = _COUNTS[len(places)]
    for place in places.values():
        if not place.exists():
            raise DataError(f"{place}: no such file or folder")
    folders = [place.is_dir() for place in places.values()]
    if not any(folders):
        return [(utf8(list(places.values())[-1].stem), dict(places))], {}
    if not all(folders):
        *options, last = (f"--{side}" for side in places)
        kinds = ", ".join(f"{place} is a {'folder' if place.is_dir() else 'file'}" for place in places.values())
        raise UsageError(f"{kinds}: {', '.join(options)} and {last} must be {count} files or {count} folders")
    refuse_unfinished(*places.values())
    found = {name: utf8_names(images_in(place)) for name, place in places.items()}
    stems = sorted(set().union(*found.values()))
    missing = {
        stem: lacking for stem in stems if (lacking := [name for name, files in found.items() if stem not in files])
    }
    whole = [stem for stem in stems if stem not in missing]
    if not whole:
        examples = ", ".join(f"{name}: {next(iter(files.values())).name}" for name, files in found.items())
        which = "both folders" if len(places) == 2 else f"all {count} folders"
        raise DataError(f"No stem is in {which} ({examples}); rename the files so that their stems agree")
    return [(stem, {name: files[stem] for name, files in found.items()}) for stem in whole], missing


def missing_text(missing: Mapping[str, Sequence[str]], what: str = "scored") -> str:
    """One line about stems without a partner: stem -> sides that lack it. ``what`` was not done to them."""
    names = [f"{stem} (not in {', '.join(lacking)})" for stem, lacking in missing.items()]
    text = f"{len(missing)} stems lack a partner and were not {what}: {some(names)}"
    forms = [unicodedata.normalize("NFC", stem) for stem in missing]
    if len(set(forms)) < len(forms):
        text += "; some differ only in how accents are encoded (file systems of macOS do that): rename them alike"
    return text
