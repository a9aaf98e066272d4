"""Rows of a suite, and runs to score, on the workers of a Dask cluster that share the folders with this machine.

Each is a job with its own folder. A job of a worker that is lost starts again elsewhere, from the last checkpoint in
that folder; so does the same command after a stop.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.core.cluster import run_on_cluster
from fusionbench.core.errors import DataError
from fusionbench.core.locks import lock
from fusionbench.core.progress import say
from fusionbench.core.worker_process import STOP_SECONDS
from fusionbench.core.workers import TaskOutcome
from fusionbench.evaluation.row_progress import follow_logs

if TYPE_CHECKING:
    from fusionbench.evaluation.suites import Suite, SuiteModel


def rows_on_cluster(
    suite: Suite,
    work: list[tuple[SuiteModel, int]],
    settings: dict[str, Any],
    scheduler: str,
    one: Callable[..., str],
    steps: int,
) -> Generator[tuple[SuiteModel, int, TaskOutcome], None, None]:
    """Row, seed and outcome of ``one(suite, row, seed, settings, None)`` as they come; it returns a folder.

    Args:
        settings: as of :func:`fusionbench.evaluation.jobs.run_settings`; the workers get absolute paths.
        scheduler: address of a Dask scheduler.
        steps: of all trainings together, for the progress bar.

    Raises:
        UsageError: no Dask, or no scheduler there.
        MeasurementError: the scheduler is gone.
    """
    from fusionbench.evaluation.jobs import run_folder, run_log

    settings = settings | {key: str(Path(settings[key]).absolute()) for key in ("folder", "out", "runs")}
    work = work[::-1]  # suites end with their largest models, and the longest job should begin first
    folders = [run_folder(suite, row, seed, settings["runs"], settings["budget"]) for row, seed in work]
    logs = [run_log(suite, row, seed, settings) for row, seed in work]
    names = ", ".join(dict.fromkeys(row.key for row, _ in work))
    say(f"{suite.name}: {len(work)} row{'s' if len(work) > 1 else ''} on {scheduler}: {names}")
    tasks = [(one, str(folder), suite, row, seed, settings) for folder, (row, seed) in zip(folders, work, strict=True)]
    with (
        follow_logs(folders, steps),
        contextlib.closing(run_on_cluster(row_on_worker, tasks, scheduler, logs=logs.__getitem__)) as outcomes,
    ):
        for outcome in outcomes:
            yield *work[outcome.index], seen_here(outcome)


def row_on_worker(
    one: Callable[..., str], run: str, suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any]
) -> str:
    """``one`` on a machine of a cluster, once a process that had the row before has saved its state and left.

    Raises:
        DataError: the data set's folder is not there.
    """
    if not Path(settings["folder"]).is_dir():
        raise DataError(f"{settings['folder']}: not there on the worker {platform.node()}; share it under this name")
    until = time.monotonic() + STOP_SECONDS
    while time.monotonic() < until:
        with lock(Path(run) / ".lock", wait=False) as held:
            if held:
                break
        time.sleep(0.2)
    return one(suite, row, seed, settings, None)


def seen_here(outcome: TaskOutcome) -> TaskOutcome:
    """The outcome whose value is a folder, or an error where that folder is not seen on this machine."""
    if isinstance(outcome.value, str) and not Path(outcome.value).is_dir():
        text = f"{outcome.value}: made on a worker and not seen here; the cluster must share this folder"
        return TaskOutcome(outcome.index, error=DataError(text))
    return outcome
