"""Runs that are scored on the workers of a Dask cluster, each as a job with the folder of its result."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.core.cluster import run_on_cluster
from fusionbench.core.errors import CannotMeasure, UsageError
from fusionbench.core.progress import progress
from fusionbench.core.time_limit import UnfinishedError, check_time, how_far, limit_now, time_limit
from fusionbench.evaluation.cluster_rows import seen_here
from fusionbench.evaluation.jobs import describe_error
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.protocols.base import BaseProtocol
from fusionbench.results.schema import Result, load


class RunsFailed(CannotMeasure):
    """Runs could not be scored, the others are (exit code 3).

    Attributes:
        results: of the runs that are scored, in their order.
    """

    def __init__(self, failed: Mapping[Path | str, str], results: Sequence[Result], what: str = "run") -> None:
        super().__init__(f"{len(failed)} {what}{'s' if len(failed) > 1 else ''} could not be scored:")
        self.details = [f"{run}: {text}" for run, text in failed.items()]
        self.results = list(results)


class RunsUnfinishedError(UnfinishedError):
    """The time was over before all runs were scored; the same call goes on (exit code 75).

    Attributes:
        results: of the runs that are scored, in their order.
    """

    def __init__(self, unfinished: Mapping[Path | str, str], results: Sequence[Result], what: str = "run") -> None:
        count = len(unfinished)
        are = f"{what}s are" if count > 1 else f"{what} is"
        super().__init__(f"the time is over, and {count} {are} not scored; the same command goes on:")
        self.details = [how_far(str(run), text) for run, text in unfinished.items()]
        self.results = list(results)


def finished(
    results: Sequence[Result],
    failed: Mapping[Path | str, str],
    unfinished: Mapping[Path | str, str],
    what: str = "run",
) -> list[Result]:
    """The results, where none failed and none is unfinished.

    Raises:
        RunsFailed, RunsUnfinishedError: with the results.
    """
    if failed:
        raise RunsFailed(failed, results, what)
    if unfinished:
        raise RunsUnfinishedError(unfinished, results, what)
    return list(results)


def evaluate_on_cluster(
    runs: Sequence[Path],
    protocol: BaseProtocol,
    data: Any,
    options: Any,
    *,
    split: str | None,
    out: Path,
    scheduler: str,
    **settings: Any,
) -> list[Result]:
    """The results of ``runs``, as ``protocol.evaluate`` gives them, in their order.

    Args:
        data: what the protocol opened; the workers open the data set's folder again, under the same name.
        settings: further arguments of ``evaluate``.

    Raises:
        UsageError: a protocol that scores rows one after the other, because it measures their time; no scheduler.
        RunsFailed, RunsUnfinishedError: with the results of the others.
    """
    if not protocol.trains_on_dataset:
        raise UsageError(f"{protocol.key} measures the time of each image on one machine: leave out --scheduler")
    folder, place = protocol.dataset_folder(data).absolute(), out.absolute()
    how = {**settings, "until": limit_now()}
    tasks = [(str(run.absolute()), protocol.key, str(folder), options, split, str(place), how) for run in runs]
    failed: dict[int, str] = {}
    unfinished: dict[int, str] = {}
    made: dict[int, Result] = {}

    def log(index: int) -> Path:
        return runs[index].absolute().with_name(f"{runs[index].absolute().name}.log")

    with (
        progress("score", len(runs), "runs") as bar,
        contextlib.closing(run_on_cluster(evaluate_run, tasks, scheduler, logs=log)) as outcomes,
    ):
        for outcome in map(seen_here, outcomes):
            if outcome.death is not None:
                failed[outcome.index] = str(outcome.death)
            elif isinstance(outcome.error, UnfinishedError):
                unfinished[outcome.index] = str(outcome.error)
            elif outcome.error is not None:
                failed[outcome.index] = describe_error(outcome.error, log(outcome.index))
            else:
                made[outcome.index] = load(outcome.value)
            bar.advance(1)
    named: list[dict[Path | str, str]] = [{runs[i]: some[i] for i in sorted(some)} for some in (failed, unfinished)]
    return finished([made[index] for index in sorted(made)], named[0], named[1])


def evaluate_run(
    run: str, protocol: str, folder: str, options: Any, split: str | None, out: str, settings: dict[str, Any]
) -> str:
    """Score a run on the data set in ``folder``; what a worker runs. The result's folder.

    Args:
        settings: of ``evaluate``; ``until`` is the end of the time.
    """
    until = settings.get("until")
    settings = {key: value for key, value in settings.items() if key != "until"}
    rules = PROTOCOLS.get(protocol)
    data = rules.open(folder, options, split=split)
    with time_limit(until):
        check_time(Path(run).name)
        return str(rules.evaluate(run, data, options, out=out, **settings).folder(out))
