"""Runs tasks: in this process, in worker processes, or on a Dask cluster.

Tasks return their errors as values, since an exception would abort any engine. An engine that loses a worker raises
:class:`WorkerLostError` after the finished results; the caller finds out what is missing and runs that again. Our own
processes (:mod:`fusionbench.core.workers`) lose only the task that killed its worker, and name it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fusionbench.core.cluster import dask_client
from fusionbench.core.workers import Death, run_in_workers

T = TypeVar("T")
_LOST = ("TerminatedWorkerError", "BrokenProcessPool", "KilledWorker")  # of loky, concurrent.futures, Dask
_HOPELESS = 12  # deaths with no task finished between them: the fault is not in single tasks


class WorkerLostError(Exception):
    """Workers died and their tasks with them.

    Attributes:
        deaths: index of the task -> how its worker died; empty where the engine does not say.
    """

    def __init__(self, message: str, deaths: dict[int, Death] | None = None) -> None:
        super().__init__(message)
        self.deaths = deaths or {}


WorkerLost = WorkerLostError  # the name of the first release, which is the same class


def run_tasks(
    function: Callable[..., T],
    tasks: Sequence[tuple[Any, ...]],
    jobs: int,
    scheduler: str | None = None,
    *,
    log: Path | None = None,
    isolated: bool = False,
) -> Generator[T, None, None]:
    """Results of ``function(*task)`` as they come, in any order. Closing the generator stops the workers.

    Args:
        jobs: worker processes; 1 runs in this process.
        scheduler: address of a Dask scheduler, whose workers are used instead.
        log: file for what worker processes print; None: a temporary one.
        isolated: one job has a worker process too.

    Raises:
        UsageError: no Dask, or no scheduler at the address.
        WorkerLostError: workers were killed or crashed.
    """
    if scheduler is None and jobs == 1 and not isolated:
        yield from (function(*task) for task in tasks)
    elif scheduler is None:
        yield from _in_workers(function, tasks, jobs, log)
    else:
        try:
            yield from _on_dask(function, tasks, scheduler)
        except Exception as error:
            if type(error).__name__ not in _LOST:
                raise
            raise WorkerLostError(str(error)) from error


def _in_workers(
    function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], jobs: int, log: Path | None
) -> Generator[T, None, None]:
    deaths: dict[int, Death] = {}
    in_a_row = 0
    logs = None if log is None else (lambda index: log)
    with contextlib.closing(run_in_workers(function, tasks, jobs, logs=logs)) as outcomes:
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            if outcome.death is None:
                in_a_row = 0
                yield outcome.value
                continue
            deaths[outcome.index] = outcome.death
            in_a_row += 1
            if in_a_row == _HOPELESS:
                break
    if deaths:
        raise WorkerLostError(f"a worker {next(iter(deaths.values()))}", deaths)


def _on_dask(function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], scheduler: str) -> Generator[T, None, None]:
    """Through joblib's Dask backend; a task of a worker that dies is given to another."""
    import joblib

    with dask_client(scheduler), joblib.parallel_config(backend="dask", wait_for_workers_timeout=30):
        yield from joblib.Parallel(return_as="generator_unordered")(joblib.delayed(function)(*task) for task in tasks)
