"""Runs tasks: in this process, in worker processes, or on a Dask cluster.

Tasks return their errors as values, since an exception would abort any engine. An engine that loses a worker raises
:class:`WorkerLost` after what was finished; the caller looks at what is missing and runs that again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from fusionbench.errors import UsageError

T = TypeVar("T")
_LOST = ("TerminatedWorkerError", "BrokenProcessPool", "KilledWorker")  # of loky, concurrent.futures, Dask


class WorkerLost(Exception):
    """A worker died and its task with it."""


def run_tasks(
    function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], jobs: int, scheduler: str | None = None
) -> Iterator[T]:
    """Results of ``function(*task)`` as they come, in any order.

    Args:
        jobs: worker processes; 1 runs in this process.
        scheduler: address of a Dask scheduler, whose workers are used instead.

    Raises:
        UsageError: no Dask, or no scheduler at the address.
        WorkerLost: a worker was killed.
    """
    if scheduler is None and jobs == 1:
        yield from (function(*task) for task in tasks)
        return
    try:
        yield from _on_dask(function, tasks, scheduler) if scheduler is not None else _on_loky(function, tasks, jobs)
    except Exception as error:
        if type(error).__name__ not in _LOST:
            raise
        raise WorkerLost(str(error)) from error


def _on_loky(function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[T]:
    from joblib import Parallel, delayed

    # never "multiprocessing": it hangs for ever when a worker is killed
    parallel = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
    yield from parallel(delayed(function)(*task) for task in tasks)


def _on_dask(function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], scheduler: str) -> Iterator[T]:
    """Through joblib's Dask backend; a task of a worker that dies is given to another."""
    try:
        import distributed
    except ImportError as error:
        raise UsageError("--scheduler needs Dask: pip install 'fusionbench[dask]'") from error
    import joblib

    try:
        client = distributed.Client(scheduler, timeout="10s")
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(f"{scheduler}: no Dask scheduler answers there; start one with `dask scheduler`") from error
    with client, joblib.parallel_config(backend="dask", wait_for_workers_timeout=30):
        yield from joblib.Parallel(return_as="generator_unordered")(joblib.delayed(function)(*task) for task in tasks)
