"""Which shards a data set has, and which samples: known before any is built, so that no worker has to count.

Where samples depend on pixels (patches of pairs), every pair is looked at once for it, by as many processes as build.
"""

from __future__ import annotations

import contextlib
import hashlib
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fusionbench.core import progress
from fusionbench.core.cpus import core_count
from fusionbench.core.errors import DataError, FusionbenchError, MeasurementError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.interfaces import Source, has_files
from fusionbench.core.parallel import WorkerLostError, run_tasks
from fusionbench.data.file_digests import DigestCache
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.sample_builders import SampleBuilder, sample_builder
from fusionbench.data.source_files import names_state
from fusionbench.data.source_record import SourceDigests, file_state, is_recordable
from fusionbench.sources import SOURCES
from fusionbench.sources.pair_folders import name_range_options, range_arguments

T = TypeVar("T")
CRASHED = "a source file may be damaged, or the library that the log names has to be installed again"
_CONTENTS: dict[tuple[Any, ...], str] = {}  # of the files that open sources with one file for many images read
CUTOUTS = -1  # the number of a split's bank of cut-outs among its shards
_SMALL = 500_000_000  # values (pixels of all views); less is made about as soon as worker processes have started
_LOOK = 1_000_000  # values in whose time about one pair is read


@dataclass(frozen=True)
class ShardPlan:
    """One shard to build: samples start..stop-1 of a split, into ``file``; ``rows`` indexes their source images.

    ``state`` changes when anything of the source that enters them does (:func:`with_states`).
    """

    split: str
    number: int
    start: int
    stop: int
    file: str
    rows: np.ndarray | None = field(default=None, compare=False, repr=False)
    state: str = field(default="", compare=False, repr=False)


def open_source(recipe: AnyRecipe, source_dir: str | Path | None, fresh: bool = False) -> Source:
    """The recipe's source on ``source_dir``, checked; with ``fresh`` its folders are listed anew.

    Raises:
        UsageError, DataError: unknown source, or files that are missing or not what they should be.
    """
    with contextlib.suppress(ImportError, AttributeError):
        import cv2

        logging = cv2.utils.logging
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # of damaged files our own messages tell
    if fresh and is_recordable(SOURCES.get(recipe.source.name)):
        _source.cache_clear()
        _CONTENTS.clear()
    return _source(recipe.source.name, str(source_dir) if source_dir is not None else None, recipe.ranges)


@lru_cache(maxsize=4)
def _source(name: str, root: str | None, ranges: Ranges) -> Source:
    kind = SOURCES.get(name)
    source = kind(Path(root) if root is not None else None, **range_arguments(kind, name, ranges))
    name_range_options(source, "range_a = in the recipe's [pairs]:", "range_b = in the recipe's [pairs]:")
    return source


def source_of_shard(recipe: AnyRecipe, source_dir: str | None, plan: ShardPlan) -> Source:
    """The source for a worker, whose list of files may be that of an earlier build.

    Raises:
        DataError: the folder holds other files than when the build began.
    """
    return _source_with(recipe, source_dir, plan.state, lambda source: numbers_of_shard(recipe, source, plan))


def _source_with(
    recipe: AnyRecipe, source_dir: str | None, state: str, used: Callable[[Source], tuple[str, np.ndarray]]
) -> Source:
    names, _, content = state.partition(".")
    if not names:  # an embedded source, or one that keeps what it has read of a file for all images
        key = (recipe.source.name, source_dir, recipe.ranges)
        stale = _CONTENTS.get(key, content) != content
        source = open_source(recipe, source_dir, stale)
        _CONTENTS[key] = content
        return source
    for fresh in (False, True):
        source = open_source(recipe, source_dir, fresh)
        if has_files(source) and names_state(source, *used(source)) == names:
            return source
    raise DataError("files came or went in the source's folder while the data set was made; run the same command again")


def numbers_of_shard(recipe: AnyRecipe, source: Source, plan: ShardPlan) -> tuple[str, np.ndarray]:
    """The split of the source and the numbers in it that a shard, or a bank of cut-outs, needs."""
    if plan.rows is not None:
        return recipe.splits[plan.split].source, sample_builder(recipe, source).numbers(plan.rows)
    return sample_builder(recipe, source).occluders(plan.split)


def plan_shards(recipe: AnyRecipe, builder: SampleBuilder) -> list[ShardPlan]:
    """All shards of a data set, in order: what they hold follows from the source and the shard size alone."""
    plans = []
    for split in recipe.splits:
        rows, size = builder.sample_index(split), recipe.shard_size
        total = len(rows)
        count = -(-total // size)
        for number in range(count):
            start, stop = number * size, min(total, (number + 1) * size)
            file = f"{recipe.name}-{recipe.version}-{split}-{number:05d}-of-{count:05d}.h5"
            plans.append(ShardPlan(split, number, start, stop, file, rows[start:stop]))
    return plans


def plan_cutouts(recipe: AnyRecipe, split: str) -> ShardPlan:
    """The file of a split's bank of cut-outs."""
    return ShardPlan(split, CUTOUTS, 0, 0, f"{recipe.name}-{recipe.version}-{split}-cutouts.h5")


def with_states(
    recipe: AnyRecipe, source: Source, plans: Sequence[ShardPlan], digests: SourceDigests | None = None
) -> list[ShardPlan]:
    """The plans, with the state of everything in the source that enters each shard: names, classes and contents of the
    files, the order of the samples, and the files of the cut-outs.
    """
    if not is_recordable(source):
        return list(plans)
    digests = digests or SourceDigests(source, DigestCache())
    banks = {split: _state(recipe, digests, plan_cutouts(recipe, split)) for split in recipe.banks}
    return [
        replace(plan, state=_state(recipe, digests, plan, "" if plan.rows is None else banks.get(plan.split, "")))
        for plan in plans
    ]


def _state(recipe: AnyRecipe, digests: SourceDigests, plan: ShardPlan, bank: str = "") -> str:
    source = digests.source
    split, numbers = numbers_of_shard(recipe, source, plan)
    if plan.rows is None:
        return file_state(source, split, numbers, digests)
    rows = plan.rows.reshape(len(plan.rows), -1).copy()
    # numbers of images as places among those of the shard, as far as images have names; patches have corners, too
    rows[:, 0] = np.searchsorted(numbers, rows[:, 0]) if has_files(source) else rows[:, 0]
    order = hashlib.sha256(np.ascontiguousarray(rows, "<i8").data).hexdigest()
    return file_state(source, split, numbers, digests, [order, bank])


def scan_source(
    recipe: AnyRecipe, builder: SampleBuilder, source_dir: str | Path | None, jobs: int, scheduler: str | None
) -> None:
    """Compute the part of the builder's index that needs pixels, with worker processes where there are some.

    Raises:
        DataError: an unreadable image.
        MeasurementError: a worker died, and another one over the same pairs.
    """
    work = [(split, block) for split in recipe.splits for block in builder.blocks(split)]
    jobs = worker_count(jobs, sum(len(block) for _, block in work) * _LOOK, len(work))
    if not work or (jobs == 1 and scheduler is None):
        return  # the builder scans on request
    root = task_root(source_dir, scheduler)
    tasks = [
        (recipe, root, split, number, block, _names_of_block(recipe, builder.source, split, block))
        for number, (split, block) in enumerate(work)
    ]
    found: dict[int, np.ndarray] = {}
    with progress.progress(f"{recipe.name}: looking at pairs", len(work), "blocks") as bar:

        def collect(part: list[tuple[Any, ...]], jobs: int, **options: Any) -> WorkerLostError | None:
            try:
                with contextlib.closing(run_away(scan_block, part, jobs, scheduler, **options)) as outcomes:
                    for number, rows, error, bug in outcomes:
                        if bug:
                            raise RuntimeError(f"looking at the pairs of {recipe.name} failed:\n{bug}")
                        if error:
                            raise DataError(error)
                        found[number] = rows
                        bar.advance()
            except WorkerLostError as lost:
                return lost
            return None

        lost = collect(tasks, jobs)
        if lost is not None and lost.deaths:  # once more, alone: never in this process, which would go the same way
            progress.say(f"{recipe.name}: a worker was lost; its pairs are looked at again")
            lost = collect([task for task in tasks if task[3] not in found], 1, isolated=True)
            if lost is not None:
                death = next(iter(lost.deaths.values()))
                raise MeasurementError(f"{recipe.name}: a worker that looked at pairs {death.text(CRASHED)}")
        elif lost is not None:
            progress.say(f"{recipe.name}: a worker was lost; looking at the rest here")
    for number, (split, block) in enumerate(work):
        builder.merge(split, block, found.get(number))


def _names_of_block(recipe: AnyRecipe, source: Source, split: str, block: np.ndarray) -> str:
    return names_state(source, recipe.splits[split].source, block) if has_files(source) else ""


def scan_block(
    recipe: AnyRecipe, source_dir: str | None, split: str, number: int, block: np.ndarray, names: str = ""
) -> tuple[int, np.ndarray, str, str]:
    """Number, rows, error and bug of one block; errors come back as values, so that no engine is aborted.

    Args:
        names: what :func:`fusionbench.data.source_files.names_state` says of the block where the build was begun.
    """
    nothing = np.empty(0, np.int64)
    try:
        with contextlib.suppress(ImportError):
            import cv2

            cv2.setNumThreads(1)
        source = _source_with(recipe, source_dir, names, lambda _: (recipe.splits[split].source, block))
        return number, sample_builder(recipe, source).scan(split, block), "", ""
    except FusionbenchError as error:
        return number, nothing, str(error), ""
    except MemoryError:
        return number, nothing, "out of memory; try fewer --jobs", ""
    except Exception:
        return number, nothing, "", traceback.format_exc()


def worker_count(jobs: int, work: int, tasks: int) -> int:
    """How many processes to start for so much work; ``jobs`` 0 or less: one a core, or none for little work."""
    if jobs <= 0:
        jobs = 1 if work < _SMALL else core_count()
    return max(1, min(jobs, tasks))


def task_root(source_dir: str | Path | None, scheduler: str | None) -> str | None:
    """The source's folder as tasks name it: on other machines names must not depend on where we stand."""
    if source_dir is None:
        return None
    return str(source_dir) if scheduler is None else str(Path(source_dir).absolute())


def run_away(
    function: Callable[..., T],
    tasks: Sequence[tuple[Any, ...]],
    jobs: int,
    scheduler: str | None,
    *,
    log: Path | None = None,
    isolated: bool = False,
) -> Generator[T, None, None]:
    """:func:`fusionbench.core.parallel.run_tasks`, where workers do not say again what was said here."""
    if scheduler is None and jobs == 1 and not isolated:
        return run_tasks(function, tasks, jobs)
    tasks = [(function, *task) for task in tasks]
    return run_tasks(_quietly, tasks, jobs, scheduler, log=log, isolated=isolated)


def _quietly(function: Callable[..., T], *arguments: Any) -> T:
    progress.QUIET = True  # of this worker
    return function(*arguments)
