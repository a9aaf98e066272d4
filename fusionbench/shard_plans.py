"""Which shards a data set has, and which samples: known before any is made, so that no worker has to count.

Where samples depend on pixels (patches of pairs), every pair is looked at once for it, by as many processes as build.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fusionbench import progress
from fusionbench.contracts import Source
from fusionbench.engines import WorkerLost, run_tasks
from fusionbench.errors import CannotMeasure, DataError, FusionbenchError
from fusionbench.making import Maker, maker_of
from fusionbench.recipes import AnyRecipe
from fusionbench.sources import SOURCES

T = TypeVar("T")
CRASHED = "a source file may be damaged, or the library that the log names has to be installed again"
CUTOUTS = -1  # the number of a split's bank of cut-outs among its shards
_SMALL = 500_000_000  # values (pixels of all views); less is made about as soon as worker processes have started
_LOOK = 1_000_000  # values in whose time about one pair is read


@dataclass(frozen=True)
class ShardPlan:
    """One shard to make: samples start..stop-1 of a split, into ``file``; ``rows`` is what they are made from."""

    split: str
    number: int
    start: int
    stop: int
    file: str
    rows: np.ndarray | None = field(default=None, compare=False, repr=False)


def open_source(recipe: AnyRecipe, source_dir: str | Path | None) -> Source:
    """The recipe's source on ``source_dir``, checked.

    Raises:
        UsageError, DataError: unknown source, or files that are missing or not what they should be.
    """
    return _source(recipe.source.name, str(source_dir) if source_dir is not None else None)


@lru_cache(maxsize=4)
def _source(name: str, root: str | None) -> Source:
    return SOURCES.get(name)(Path(root) if root is not None else None)


def plan_shards(recipe: AnyRecipe, maker: Maker) -> list[ShardPlan]:
    """All shards of a data set, in order: what they hold follows from the source and the shard size alone."""
    plans = []
    for split in recipe.splits:
        rows, size = maker.rows(split), recipe.shard_size
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


def look(recipe: AnyRecipe, maker: Maker, source_dir: str | Path | None, jobs: int, scheduler: str | None) -> None:
    """Tell ``maker`` the rows that it would have to look at pixels for, found by worker processes where there are some.

    Raises:
        DataError: an unreadable picture.
        CannotMeasure: a worker died, and another one over the same pairs.
    """
    work = [(split, block) for split in recipe.splits for block in maker.blocks(split)]
    jobs = worker_count(jobs, sum(len(block) for _, block in work) * _LOOK, len(work))
    if not work or (jobs == 1 and scheduler is None):
        return  # the maker looks by itself when it is asked
    root = task_root(source_dir, scheduler)
    tasks = [(recipe, root, split, number, block) for number, (split, block) in enumerate(work)]
    found: dict[int, np.ndarray] = {}
    with progress.progress(f"{recipe.name}: looking at pairs", len(work), "blocks") as bar:

        def collect(part: list[tuple[Any, ...]], jobs: int, **options: Any) -> WorkerLost | None:
            try:
                with contextlib.closing(run_away(look_at, part, jobs, scheduler, **options)) as outcomes:
                    for number, rows, error, bug in outcomes:
                        if bug:
                            raise RuntimeError(f"looking at the pairs of {recipe.name} failed:\n{bug}")
                        if error:
                            raise DataError(error)
                        found[number] = rows
                        bar.advance()
            except WorkerLost as lost:
                return lost
            return None

        lost = collect(tasks, jobs)
        if lost is not None and lost.deaths:  # once more, alone: never in this process, which would go the same way
            progress.say(f"{recipe.name}: a worker was lost; its pairs are looked at again")
            lost = collect([task for task in tasks if task[3] not in found], 1, isolated=True)
            if lost is not None:
                death = next(iter(lost.deaths.values()))
                raise CannotMeasure(f"{recipe.name}: a worker that looked at pairs {death.text(CRASHED)}")
        elif lost is not None:
            progress.say(f"{recipe.name}: a worker was lost; looking at the rest here")
    for number, (split, block) in enumerate(work):
        maker.learn(split, block, found.get(number))


def look_at(
    recipe: AnyRecipe, source_dir: str | None, split: str, number: int, block: np.ndarray
) -> tuple[int, np.ndarray, str, str]:
    """Number, rows, error and bug of one block; errors come back as values, so that no engine is aborted."""
    nothing = np.empty(0, np.int64)
    try:
        with contextlib.suppress(ImportError):
            import cv2

            cv2.setNumThreads(1)
        return number, maker_of(recipe, open_source(recipe, source_dir)).look(split, block), "", ""
    except FusionbenchError as error:
        return number, nothing, str(error), ""
    except MemoryError:
        return number, nothing, "out of memory; try fewer --jobs", ""
    except Exception:
        return number, nothing, "", traceback.format_exc()


def worker_count(jobs: int, work: int, tasks: int) -> int:
    """How many processes to start for so much work; ``jobs`` 0 or less: one a core, or none for little work."""
    if jobs <= 0:
        jobs = 1 if work < _SMALL else os.cpu_count() or 1
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
    """:func:`fusionbench.engines.run_tasks`, where workers do not say again what was said here."""
    if scheduler is None and jobs == 1 and not isolated:
        return run_tasks(function, tasks, jobs)
    tasks = [(function, *task) for task in tasks]
    return run_tasks(_quietly, tasks, jobs, scheduler, log=log, isolated=isolated)


def _quietly(function: Callable[..., T], *arguments: Any) -> T:
    progress.QUIET = True  # of this worker
    return function(*arguments)
