"""Runs that are scored on the workers of a Dask cluster, each as a job with the folder of its result."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.core.cluster import run_on_cluster
from fusionbench.core.errors import CannotMeasure, UsageError
from fusionbench.core.progress import progress
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
        RunsFailed: with the results of the others.
    """
    if not protocol.trains_on_dataset:
        raise UsageError(f"{protocol.key} measures the time of each image on one machine: leave out --scheduler")
    folder, place = protocol.dataset_folder(data).absolute(), out.absolute()
    tasks = [(str(run.absolute()), protocol.key, str(folder), options, split, str(place), settings) for run in runs]
    failed: dict[int, str] = {}
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
            elif outcome.error is not None:
                failed[outcome.index] = describe_error(outcome.error, log(outcome.index))
            else:
                made[outcome.index] = load(outcome.value)
            bar.advance(1)
    results = [made[index] for index in sorted(made)]
    if failed:
        raise RunsFailed({runs[index]: failed[index] for index in sorted(failed)}, results)
    return results


def evaluate_run(
    run: str, protocol: str, folder: str, options: Any, split: str | None, out: str, settings: dict[str, Any]
) -> str:
    """Score a run on the data set in ``folder``; what a worker runs. The result's folder."""
    rules = PROTOCOLS.get(protocol)
    data = rules.open(folder, options, split=split)
    return str(rules.evaluate(run, data, options, out=out, **settings).folder(out))
