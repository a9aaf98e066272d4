"""Files of a source that cannot become samples: all of them found, named with the reason, and left out on request.

A file is refused when it cannot be read (:mod:`fusionbench.sources`) or when the recipe cannot use it: smaller than its
crop, of another size without ``image.resize``, an occluder in which nothing can be cut. Damage shows in the pixels
alone, so every file is decoded, in threads.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fusionbench.core import progress
from fusionbench.core.cpus import core_count
from fusionbench.core.errors import DataError, UsageError, some
from fusionbench.core.interfaces import Source, has_files
from fusionbench.core.io import escaped
from fusionbench.data.preprocessing import chosen, cut_out, occluders_of, prepare, read_images, views_of
from fusionbench.data.recipes import AnyRecipe, PairRecipe, Recipe
from fusionbench.data.source_files import names_of, need_pairs, numbers_of

SHOWN = 8  # refused files on a terminal
_IN_MESSAGE = 3  # in one line
_BLOCK = 16  # files of a task of a thread
_ARRAY = 256  # images at once, of a source that is no files
_REASON = 300  # characters
SMALL_COUNT, SMALL_BYTES = 1000, 64 << 20  # a source up to this size is read whole before a build begins


@dataclass(frozen=True)
class RefusedFile:
    """A file, or a pair by its stem, of a source's split; ``used`` when the recipe makes something of it."""

    split: str
    name: str
    reason: str
    used: bool = True

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Findings:
    """What was looked at, and what of it is refused: by split, then in the order of the source."""

    refused: list[RefusedFile]
    looked_at: int
    noun: str = "files"

    @property
    def used(self) -> list[RefusedFile]:
        """Those that the recipe needs, which keep a data set from being made."""
        return [one for one in self.refused if one.used]

    def head(self, refused: list[RefusedFile] | None = None) -> str:
        """ "3 of 1,000 files are refused"."""
        count = len(self.refused if refused is None else refused)
        return f"{count:,} of {self.looked_at:,} {self.noun} {'is' if count == 1 else 'are'} refused"


@dataclass(frozen=True)
class _Use:
    """Images of one split of the source, and the result of a recipe for them."""

    split: str
    numbers: np.ndarray
    attempt: Callable[[np.ndarray], object]
    used: bool = True


def find_refused(recipe: AnyRecipe, source: Source, *, everything: bool = False, bar: bool = True) -> Findings:
    """Apply ``recipe`` to every file of ``source``, and note which are refused; nothing is written.

    Args:
        everything: also read the files of these splits of the source that the recipe does not choose.
        bar: show progress.

    Raises:
        UsageError, DataError: nothing can be looked at: the recipe and the source do not fit.
    """
    uses = _uses(recipe, source)
    if everything:
        uses += _others(recipe, source, uses)
    total = sum(len(use.numbers) for use in uses)
    noun = "pairs" if isinstance(recipe, PairRecipe) else "files" if has_files(source) else "images"
    found: dict[tuple[str, int], RefusedFile] = {}
    shown = progress.progress(f"{recipe.name}: looking at {noun}", total, noun) if bar else contextlib.nullcontext()
    names = {use.split: names_of(source, use.split) for use in uses} if has_files(source) else {}
    with shown as task:
        for use, numbers, reasons in _attempts(source, uses):
            for number, reason in reasons:
                name = names[use.split][number] if names else f"images {number} and following"
                found.setdefault((use.split, number), RefusedFile(use.split, name, reason, use.used))
            if task is not None:
                task.advance(len(numbers))
    order = {use.split: place for place, use in reversed(list(enumerate(uses)))}
    distinct = {use.split: np.unique(np.concatenate([u.numbers for u in uses if u.split == use.split])) for use in uses}
    refused = [found[key] for key in sorted(found, key=lambda key: (order[key[0]], key[1]))]
    return Findings(refused, sum(map(len, distinct.values())), noun)


def _uses(recipe: AnyRecipe, source: Source) -> list[_Use]:
    uses = []
    for name, rule in recipe.splits.items():
        numbers = chosen(rule, source, recipe.source.leave_out, recipe.source.group_by)
        if isinstance(recipe, PairRecipe):
            uses.append(_Use(rule.source, numbers, _pair_reader(source, rule.source)))
            continue
        uses.append(_Use(rule.source, numbers, _target_maker(recipe, source, name)))
        if rule.occluders is not None:
            occluders = occluders_of(recipe, source, name)
            uses.append(_Use(rule.occluders.source, occluders, _cutter(recipe, source, name)))
    return uses


def _others(recipe: AnyRecipe, source: Source, uses: list[_Use]) -> list[_Use]:
    """What the recipe does not choose of the splits that it uses, to be read."""
    others = []
    for split in dict.fromkeys(use.split for use in uses):
        seen = [use.numbers for use in uses if use.split == split]
        if split in recipe.source.leave_out:
            seen.append(numbers_of(source, split, recipe.source.leave_out[split]))
        left = np.setdiff1d(np.arange(source.length(split)), np.concatenate(seen))
        if len(left):
            others.append(_Use(split, left, _reader(source, split, isinstance(recipe, PairRecipe)), False))
    return others


def _pair_reader(source: Source, split: str) -> Callable[[np.ndarray], object]:
    pairs = need_pairs(source)
    return lambda numbers: pairs.read_pairs(split, numbers)


def _reader(source: Source, split: str, pairs: bool) -> Callable[[np.ndarray], object]:
    return _pair_reader(source, split) if pairs else lambda numbers: read_images(source, split, numbers)


def _target_maker(recipe: Recipe, source: Source, name: str) -> Callable[[np.ndarray], object]:
    rule = recipe.splits[name]
    labels = source.labels(rule.source)

    def attempt(numbers: np.ndarray) -> None:
        images = read_images(source, rule.source, numbers)
        prepare(recipe.image, images, None if labels is None else labels[numbers])
        if rule.views == "source":
            views_of(recipe, source, name, numbers)

    return attempt


def _cutter(recipe: Recipe, source: Source, name: str) -> Callable[[np.ndarray], object]:
    rule = recipe.splits[name].occluders
    assert rule is not None
    labels = source.labels(rule.source)

    def attempt(numbers: np.ndarray) -> None:
        for number in numbers.tolist():
            cut_out(recipe, source, name, number, None if labels is None else int(labels[number]))

    return attempt


def _attempts(source: Source, uses: list[_Use]) -> Iterator[tuple[_Use, np.ndarray, list[tuple[int, str]]]]:
    """Each use block by block, with the numbers and reasons of what is refused in it."""
    from joblib import Parallel, delayed

    files = has_files(source)
    size = _BLOCK if files else _ARRAY
    blocks = [(use, use.numbers[at : at + size]) for use in uses for at in range(0, len(use.numbers), size)]

    def attempt(use: _Use, numbers: np.ndarray) -> list[tuple[int, str]]:
        reasons = []
        for part in np.split(numbers, len(numbers)) if files else [numbers]:
            try:
                use.attempt(part)
            except DataError as error:
                reasons.append((int(part[0]), reason_of(error, source, use.split, int(part[0]))))
        return reasons

    with warnings.catch_warnings():  # readers silence warnings for a while, which threads can leave undone
        # one thread where all images are in one file, and nothing after the first error, which is that of the file
        pool = Parallel(n_jobs=core_count() if files else 1, prefer="threads", return_as="generator")
        for (use, numbers), reasons in zip(blocks, pool(delayed(attempt)(*block) for block in blocks), strict=True):
            yield use, numbers, reasons
            if reasons and not files:
                return


def reason_of(error: Exception, source: Source, split: str, number: int) -> str:
    """Why a file is refused, the same on every machine: without the source's folder, in one printable line."""
    text = str(error)
    if has_files(source):
        paths = source.paths(split, number)
        for path in paths:
            for spelled in (str(path), f"{path.parent}/{path.name}"):
                text = text.replace(spelled, _below(path, source))
        if len(paths) == 1:
            text = text.removeprefix(f"{_below(paths[0], source)}: ")
    return escaped(text)[:_REASON]


def _below(path: Path, source: Source) -> str:
    """A file's path below the source's folder, with ``/``."""
    root: Path | None = getattr(source, "root", None)
    return path.name if root is None or not path.is_relative_to(root) else path.relative_to(root).as_posix()


def cannot_skip(recipe: AnyRecipe, source: Source) -> str:
    """Why ``--skip-refused`` does not go with a source or recipe; "" where it does."""
    if not has_files(source):
        return f"the source {source.name!r} is not made of single image files"
    uses = {(rule.source, getattr(rule.occluders, "source", rule.source)) for rule in recipe.splits.values()}
    for split in sorted({split for pair in uses for split in pair}):
        why = source.fixed(split) if hasattr(source, "fixed") else ""
        if why:
            return f"{split!r} of {source.name!r} is {why}, and every file of it counts"
    if recipe.expect.id is not None:
        return f"the recipe is that of a published data set ({recipe.expect.id[:12]}…), which has all files"
    return ""


def leave_out_refused(recipe: AnyRecipe, source: Source) -> AnyRecipe:
    """``recipe`` with every refused file in ``source.leave_out``, and its reason in ``reasons``; as it is without any.

    What is left out is part of the recipe, so its hash, its folder and the data set's id are others than without, the
    same on every machine, and a build that resumes uses the same files or another folder.

    Raises:
        UsageError: no file of this source may be left out.
        DataError: nothing is left.
    """
    if why := cannot_skip(recipe, source):
        raise UsageError(f"--skip-refused: {why}; fetch the refused files again")
    found = find_refused(recipe, source)
    if not found.refused:
        return recipe
    progress.say(f"warning: {root_of(source)}: {found.head()} and left out")
    for line in listing(found.refused, "the manifest lists all"):
        progress.say(f"  {line}")
    return without(recipe, found.refused)


def without(recipe: AnyRecipe, refused: list[RefusedFile]) -> AnyRecipe:
    """``recipe`` with these files in ``source.leave_out`` and their reasons in ``reasons``."""
    names = {split: set(left) for split, left in recipe.source.leave_out.items()}
    reasons = {split: dict(left) for split, left in recipe.reasons.items()}
    for one in refused:
        names.setdefault(one.split, set()).add(one.name)
        reasons.setdefault(one.split, {})[one.name] = one.reason
    leave_out = {split: sorted(left) for split, left in sorted(names.items())}
    left = msgspec.structs.replace(recipe.source, leave_out=leave_out)
    return msgspec.structs.replace(recipe, source=left, reasons=reasons)


def reasons_of(recipe: AnyRecipe) -> dict[str, dict[str, str]]:
    """Source split -> name -> reason, of all that a recipe leaves out."""
    given = "the recipe leaves it out"
    return {
        split: {name: recipe.reasons.get(split, {}).get(name, given) for name in names}
        for split, names in recipe.source.leave_out.items()
    }


def listing(refused: list[RefusedFile], rest: str) -> list[str]:
    """One line for each of the first refused files, and one that counts the rest and says what lists them."""
    lines = [
        f"{escaped(one.name)}: {one.reason}{'' if one.used else ' (the recipe does not use it)'}"
        for one in refused[:SHOWN]
    ]
    return lines + ([f"and {len(refused) - SHOWN:,} more; {rest}"] if len(refused) > SHOWN else [])


def refusal(recipe: AnyRecipe, source: Source, *, bar: bool = True) -> DataError | None:
    """The error for a build that meets refused files, or None when there are none: how many, the first, what to do."""
    try:
        found = find_refused(recipe, source, bar=bar)
    except DataError:
        return None  # something else is wrong, and was said
    if not found.refused:
        return None
    first = some([f"{escaped(one.name)} ({one.reason})" for one in found.refused], "; ", _IN_MESSAGE)
    remedy = "repair them" + (
        "" if cannot_skip(recipe, source) else ", or leave them out with `generate --skip-refused`"
    )
    return DataError(
        f"{root_of(source)}: {found.head()}: {first}; {remedy}; `fusionbench recipe check` with the same "
        "--source-dir lists all"
    )


def is_small(source: Source, recipe: AnyRecipe) -> bool:
    """Whether reading every file that the recipe uses costs hardly anything; patches need it before a shard anyway."""
    if not has_files(source) or not getattr(recipe, "whole", True):
        return False
    size, count = 0, 0
    for use in _uses(recipe, source):
        count += len(use.numbers)
        if count > SMALL_COUNT:
            return False
        for number in use.numbers.tolist():
            for path in source.paths(use.split, number):
                with contextlib.suppress(OSError):
                    size += path.stat().st_size
        if size > SMALL_BYTES:
            return False
    return True


def root_of(source: Source) -> str:
    """The folder of a source, for messages."""
    return escaped(str(getattr(source, "root", source.name)))
