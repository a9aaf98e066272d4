"""Files of a source that cannot become samples: all of them found, named with the reason, and left out on request.

A file is refused when it cannot be read (:mod:`fusionbench.sources`) or when the recipe cannot use it: smaller than its
crop, of another size without ``image.resize``, an occluder in which nothing can be cut. Damage shows in the pixels
alone, so every file is decoded, in threads.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fusionbench.core import progress
from fusionbench.core.cpus import core_count
from fusionbench.core.errors import DataError, UsageError, some
from fusionbench.core.interfaces import Source, has_files
from fusionbench.core.io import escaped
from fusionbench.data.preprocessing import Trial
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.sample_builders import SampleBuilder, sample_builder
from fusionbench.data.source_files import file_names, file_numbers

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
class RefusedReport:
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


def find_refused(recipe: AnyRecipe, source: Source, *, everything: bool = False, bar: bool = True) -> RefusedReport:
    """Apply ``recipe`` to every file of ``source``, and note which are refused; nothing is written.

    Args:
        everything: also read the files of these splits of the source that the recipe does not choose.
        bar: show progress.

    Raises:
        UsageError, DataError: nothing can be looked at: the recipe and the source do not fit.
    """
    builder = sample_builder(recipe, source)
    trials = _trials(recipe, builder)
    if everything:
        trials += _others(recipe, builder, trials)
    total = sum(len(trial.numbers) for trial in trials)
    noun = builder.noun
    found: dict[tuple[str, int], RefusedFile] = {}
    shown = progress.progress(f"{recipe.name}: looking at {noun}", total, noun) if bar else contextlib.nullcontext()
    names = {trial.split: file_names(source, trial.split) for trial in trials} if has_files(source) else {}
    with shown as task:
        for trial, numbers, reasons in _attempts(source, trials):
            for number, reason in reasons:
                name = names[trial.split][number] if names else f"images {number} and following"
                found.setdefault((trial.split, number), RefusedFile(trial.split, name, reason, trial.used))
            if task is not None:
                task.advance(len(numbers))
    order = {trial.split: place for place, trial in reversed(list(enumerate(trials)))}
    numbers_by_split: dict[str, list[np.ndarray]] = {}
    for trial in trials:
        numbers_by_split.setdefault(trial.split, []).append(trial.numbers)
    looked_at = sum(len(np.unique(np.concatenate(numbers))) for numbers in numbers_by_split.values())
    refused = [found[key] for key in sorted(found, key=lambda key: (order[key[0]], key[1]))]
    return RefusedReport(refused, looked_at, noun)


def _trials(recipe: AnyRecipe, builder: SampleBuilder) -> list[Trial]:
    return [trial for split in recipe.splits for trial in builder.trials(split)]


def _others(recipe: AnyRecipe, builder: SampleBuilder, trials: list[Trial]) -> list[Trial]:
    """What the recipe does not choose of the splits that it uses, to be read."""
    others, source = [], builder.source
    for split in dict.fromkeys(trial.split for trial in trials):
        seen = [trial.numbers for trial in trials if trial.split == split]
        if split in recipe.source.leave_out:
            seen.append(file_numbers(source, split, recipe.source.leave_out[split]))
        left = np.setdiff1d(np.arange(source.length(split)), np.concatenate(seen))
        if len(left):
            others.append(Trial(split, left, partial(builder.read, split), False))
    return others


def _attempts(source: Source, trials: list[Trial]) -> Iterator[tuple[Trial, np.ndarray, list[tuple[int, str]]]]:
    """Each trial block by block, with the numbers and reasons of what is refused in it."""
    from joblib import Parallel, delayed

    files = has_files(source)
    size = _BLOCK if files else _ARRAY
    blocks = [(trial, trial.numbers[at : at + size]) for trial in trials for at in range(0, len(trial.numbers), size)]

    def attempt(trial: Trial, numbers: np.ndarray) -> list[tuple[int, str]]:
        reasons = []
        for part in np.split(numbers, len(numbers)) if files else [numbers]:
            try:
                trial.attempt(part)
            except DataError as error:
                reasons.append((int(part[0]), refusal_reason(error, source, trial.split, int(part[0]))))
        return reasons

    with warnings.catch_warnings():  # readers silence warnings for a while, which threads can leave undone
        # one thread where all images are in one file, and nothing after the first error, which is that of the file
        pool = Parallel(n_jobs=core_count() if files else 1, prefer="threads", return_as="generator")
        for (trial, numbers), reasons in zip(blocks, pool(delayed(attempt)(*block) for block in blocks), strict=True):
            yield trial, numbers, reasons
            if reasons and not files:
                return


def refusal_reason(error: Exception, source: Source, split: str, number: int) -> str:
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
    for split in sorted({split for rule in recipe.splits.values() for split in rule.sources}):
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
    progress.say(f"warning: {source_place(source)}: {found.head()} and left out")
    for line in refused_lines(found.refused, "the manifest lists all"):
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


def refusal_reasons(recipe: AnyRecipe) -> dict[str, dict[str, str]]:
    """Source split -> name -> reason, of all that a recipe leaves out."""
    given = "the recipe leaves it out"
    return {
        split: {name: recipe.reasons.get(split, {}).get(name, given) for name in names}
        for split, names in recipe.source.leave_out.items()
    }


def refused_lines(refused: list[RefusedFile], rest: str) -> list[str]:
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
        f"{source_place(source)}: {found.head()}: {first}; {remedy}; `fusionbench recipe check` with the same "
        "--source-dir lists all"
    )


def is_small(source: Source, recipe: AnyRecipe) -> bool:
    """Whether reading every file that the recipe uses costs little; patches need it before a shard anyway."""
    if not has_files(source) or not recipe.whole:
        return False
    size, count = 0, 0
    for trial in _trials(recipe, sample_builder(recipe, source)):
        count += len(trial.numbers)
        if count > SMALL_COUNT:
            return False
        for number in trial.numbers.tolist():
            for path in source.paths(trial.split, number):
                with contextlib.suppress(OSError):
                    size += path.stat().st_size
        if size > SMALL_BYTES:
            return False
    return True


def source_place(source: Source) -> str:
    """The folder of a source, for messages."""
    return escaped(str(getattr(source, "root", source.name)))
