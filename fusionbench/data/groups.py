"""Which files belong together, so that no split separates them: crops of one photograph, frames of one film.

A group is a part of the file's name, or what a CSV says. Which groups are held out follows from a hash of each group's
name alone: neither the order of the files, nor other groups, nor the seed can move it.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.interfaces import Source, has_files, has_pairs
from fusionbench.core.io import escaped, read_bounded
from fusionbench.data.recipe_base import GroupRule, RecipeBase, SplitRule
from fusionbench.data.source_files import file_names

HEADER = ["file", "group"]
MAX_BYTES = 64 << 20
_LONGEST = 4096  # characters of a name
_DOMAIN = b"fusionbench.group/1\0"


def group_of(name: str, rule: GroupRule, pair: bool = False) -> str:
    """The group of the file called ``name`` (a path with ``/``), by a rule with ``before``.

    Folders and the ending do not count; the name of a ``pair`` has no ending. A name without the text is a group.

    Example:
        >>> from fusionbench.data.groups import group_of
        >>> from fusionbench.data.recipe_base import GroupRule
        >>> group_of("cars/photo_012_crop3.png", GroupRule(before="_", parts=2))
        'photo_012'
    """
    base = name.rpartition("/")[2]
    stem = base if pair else PurePosixPath(base).stem
    assert rule.before is not None
    return rule.before.join(stem.split(rule.before, rule.parts)[: rule.parts])


def is_held_out(group: str, every: int) -> bool:
    """Whether a group is held out: about one in ``every``, by the sha256 of its name."""
    number = int.from_bytes(hashlib.sha256(_DOMAIN + group.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return number % every == every - 1


def groups_of(source: Source, split: str, rule: GroupRule) -> list[str]:
    """The group of every image of a source's split, in order.

    Raises:
        UsageError: a source whose images are no files.
        DataError: no name has the text, or a CSV that is not what the recipe was made for or lacks a file.
    """
    if not has_files(source):
        raise UsageError(f"The source {source.name!r} has no files to group by; remove source.group_by from the recipe")
    names = file_names(source, split)
    if rule.before is not None:
        if not any(rule.before in name.rpartition("/")[2] for name in names):
            raise DataError(
                f"The source {source.name!r}: no file name of {split!r} has {rule.before!r} in it, as "
                f"source.group_by.before says; the first is {escaped(names[0])}"
            )
        return [group_of(name, rule, has_pairs(source)) for name in names]
    table, path = _table(source, rule)
    absent = [name for name in names if name not in table]
    if absent:
        more = f" and {len(absent) - 1:,} others are" if len(absent) > 1 else " is"
        raise DataError(f"{path}: {escaped(absent[0])}{more} not in it; every file of {split!r} needs a line")
    return [table[name] for name in names]


def held_out(source: Source, split: str, rule: GroupRule, every: int) -> np.ndarray:
    """Which images of a source's split are held out: bool (n,), the same for all images of a group.

    Raises:
        UsageError, DataError: as :func:`groups_of`; or all groups are on one side.
    """
    groups = groups_of(source, split, rule)
    side = {group: is_held_out(group, every) for group in set(groups)}
    out = sum(side.values())
    if out in (0, len(side)):
        what = "none of its" if out == 0 else "each of its"
        raise DataError(
            f"The source {source.name!r}: {what} {len(side):,} groups is held out with every = {every}; choose another "
            "`every`, smaller where there are few groups"
        )
    return np.array([side[group] for group in groups], bool)


def group_facts(recipe: RecipeBase, source: Source) -> dict[str, int]:
    """How many groups each split of the data set has; empty where the recipe has none."""
    rule = recipe.source.group_by
    if rule is None:
        return {}
    facts = {}
    for name, split in recipe.splits.items():
        assert split.every is not None  # checked when the recipe was read
        groups = set(groups_of(source, split.source, rule))
        facts[name] = sum(is_held_out(group, split.every) == (split.part == "held-out") for group in groups)
    return facts


def group_rule_problem(rule: GroupRule, splits: Mapping[str, SplitRule]) -> tuple[str, str] | None:
    """Key path and reason where a recipe's ``source.group_by`` contradicts itself or its splits."""
    at = "source.group_by"
    if (rule.before is None) == (rule.csv is None):
        return at, "needs either `before` or `csv`"
    if rule.before is not None and "/" in rule.before:
        return f"{at}.before", "folders are not a part of the name; a file name has no '/'"
    if rule.csv is not None and rule.sha256 is None:
        return f"{at}.sha256", "is needed with `csv`: `fusionbench recipe new NAME --group-csv FILE` writes it"
    if rule.before is not None and rule.sha256 is not None:
        return f"{at}.sha256", "belongs to `csv`"
    if rule.csv is not None and rule.parts != 1:
        return f"{at}.parts", "belongs to `before`"
    seen: dict[str, str] = {}
    for name, split in splits.items():
        if split.every is None or split.part is None:
            return f"splits.{name}", "needs `every` and `part`, since source.group_by is there"
        if split.every != next(iter(splits.values())).every:
            return f"splits.{name}.every", "must be the same in all splits, or a group could be in two of them"
        if split.per_class:
            return f"splits.{name}.per_class", "counts images, where source.group_by keeps groups together"
        if split.part in seen:
            return f"splits.{name}.part", f"is that of {seen[split.part]!r}, too: a group could be in both"
        seen[split.part] = name
    return None


def _table(source: Source, rule: GroupRule) -> tuple[dict[str, str], Path]:
    root: Path | None = getattr(source, "root", None)
    if root is None:
        raise UsageError(f"The source {source.name!r} has no folder in which {rule.csv} could be")
    path = root / str(rule.csv)
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{path}: leads out of the folder; copy the file instead of linking it")
    content = read_bounded(path, MAX_BYTES, "CSV of groups")
    found = hashlib.sha256(content).hexdigest()
    if found != rule.sha256:
        raise DataError(
            f"{path}: has sha256 {found}, and the recipe is made for {rule.sha256}; put the file back, or write the "
            "new one into source.group_by.sha256 and raise the version"
        )
    return read_groups(content, str(path)), path


@lru_cache(maxsize=2)
def read_groups(content: bytes, where: str) -> dict[str, str]:
    """File -> group of a CSV with the columns ``file`` and ``group``.

    Raises:
        DataError: not such a CSV, with the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 at byte {error.start}; save the CSV as UTF-8") from error
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    groups: dict[str, str] = {}
    try:
        if next(rows, None) != HEADER:
            raise DataError(f"{where}, line 1: the first line must be {','.join(HEADER)}")
        for row in rows:
            if not row:
                continue
            if len(row) != 2 or not all(0 < len(cell) <= _LONGEST for cell in row):
                raise DataError(f"{where}, line {rows.line_num}: not a file and its group")
            if row[0] in groups:
                raise DataError(f"{where}, line {rows.line_num}: {escaped(row[0])} is there twice")
            groups[row[0]] = row[1]
    except csv.Error as error:
        raise DataError(f"{where}, line {rows.line_num}: not CSV: {error}") from error
    return groups
