"""Rows of a suite as jobs: trained here or in processes that share the cores, each in a run folder of its own.

A row that fails, or whose process dies, never stops the others: what it came to is told when all are done.
"""

from __future__ import annotations

import contextlib
import math
import re
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.core.cpus import core_count
from fusionbench.core.crashes import is_out_of_memory, note_crash, signal_name, who_exited
from fusionbench.core.errors import CannotMeasure, FusionbenchError
from fusionbench.core.interrupts import check_interrupt
from fusionbench.core.progress import say
from fusionbench.core.time_limit import UnfinishedError, check_time, how_far, limit_now, time_is_up, time_limit
from fusionbench.core.worker_process import WorkerFault
from fusionbench.core.workers import Again, Death, TaskOutcome, run_in_workers
from fusionbench.evaluation.row_progress import follow_logs

if TYPE_CHECKING:
    from fusionbench.evaluation.suites import Suite, SuiteModel
    from fusionbench.results.schema import Result
    from fusionbench.training.run import Run

# suite, row, seed, settings and the threads of a worker (None in this process) to the folder of what was made
Work = Callable[["Suite", "SuiteModel", int, dict[str, Any], int | None], str]
Place = tuple[str, int]  # key of a row, and seed
PARTS = 4  # of a row's training, where rows take turns; each starts anew from a checkpoint, which takes about a second
WORTH = 400  # steps of a row below which turns would gain nothing


class RowsUnfinishedError(UnfinishedError):
    """The time was over before all rows were done; the same call goes on (exit code 75).

    Attributes:
        unfinished: row and seed -> how far it is.
        results: of the rows that are finished, in the order of the suite.
    """

    def __init__(self, suite: str, unfinished: dict[Place, str], results: Sequence[Result] = ()) -> None:
        count = len(unfinished)
        super().__init__(
            f"{suite}: the time is over, and {count} row{'s are' if count > 1 else ' is'} not finished; "
            "the same command goes on:"
        )
        self.details = [how_far(f"{key}, seed {seed}", text) for (key, seed), text in unfinished.items()]
        self.unfinished, self.results = unfinished, list(results)


class RowsFailed(CannotMeasure):
    """Rows of a suite failed, the others are finished (exit code 3).

    Attributes:
        failed: row and seed -> what went wrong, in one line.
        results: of the rows that are finished, in the order of the suite.
    """

    def __init__(self, suite: str, failed: dict[Place, str], results: Sequence[Result] = ()) -> None:
        lines = [f"{key}, seed {seed}: {text}" for (key, seed), text in failed.items()]
        if len(lines) == 1:
            super().__init__(f"{suite}: the row {lines[0]}")
        else:
            super().__init__(f"{suite}: {len(lines)} rows failed:")
            self.details = lines
        self.failed, self.results = failed, list(results)


@dataclass
class Rows:
    """What became of the rows: the folder that was made for each, or why it failed, or how far it came in time."""

    suite: str
    made: dict[Place, str] = field(default_factory=dict)
    failed: dict[Place, str] = field(default_factory=dict)
    unfinished: dict[Place, str] = field(default_factory=dict)

    def attempt(self, place: Place, work: Callable[[], Any], log: Path | None = None) -> Any:
        """What ``work`` returns; None where it fails, which is noted. ``log``: for the traceback of a bug."""
        try:
            return work()
        except UnfinishedError as error:
            self.unfinished[place] = str(error)
        except (Exception, SystemExit) as error:  # sys.exit in the code of a plugin is no success
            if log is not None and not isinstance(error, FusionbenchError):
                with contextlib.suppress(OSError):
                    log.parent.mkdir(parents=True, exist_ok=True)
                    with open(log, "a", encoding="utf-8") as stream:
                        traceback.print_exception(error, file=stream)
            self.fail(place, describe_error(error, log))
        return None

    def fail(self, place: Place, text: str) -> None:
        """Note a failure, and say so while the other rows go on."""
        self.failed[place] = text
        say(f"{self.suite}: the row {place[0]}, seed {place[1]}, failed: {text.partition('; ')[0]}")

    def finish(self, results: Sequence[Result]) -> list[Result]:
        """The results, where no row failed and all are finished.

        Raises:
            RowsFailed: with the results.
            RowsUnfinishedError: none failed, but the time was over; with the results.
        """
        if self.failed:
            raise RowsFailed(self.suite, self.failed, results)
        if self.unfinished:
            raise RowsUnfinishedError(self.suite, self.unfinished, results)
        return list(results)


def describe_error(error: BaseException, log: Path | None) -> str:
    """What went wrong, in one line; of a bug also where its traceback lies."""
    if isinstance(error, FusionbenchError):
        return " ".join(str(error).split())
    if is_out_of_memory(error):
        return "out of memory; try --jobs 1 or a smaller batch"
    if isinstance(error, WorkerFault):
        return f"{' '.join(str(error).split())[:200]}; traceback: {log}"
    said = (str(error).strip().splitlines() or [""])[0][:200]
    said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if isinstance(error, SystemExit):
        said = who_exited(error)
    return said if log is None else f"{said}; traceback: {log}"


def run_settings(
    folder: Path,
    out: str | Path,
    runs: str | Path | None,
    device: str,
    budget: str | None,
    precision: str = "auto",
    compile: bool = False,
) -> dict[str, Any]:
    """What a worker process is told: the data set's folder, where results and runs go, the device, the budget, how the
    rows are trained, and when the time is over."""
    runs = Path(out).parent / "runs" if runs is None else runs
    how = {"device": device, "budget": budget, "precision": precision, "compile": compile, "until": limit_now()}
    return {"folder": str(folder), "out": str(out), "runs": str(runs), **how}


def run_rows(
    suite: Suite,
    work: Sequence[tuple[SuiteModel, int]],
    settings: dict[str, Any],
    jobs: int,
    one: Work,
    scheduler: str | None = None,
) -> Rows:
    """Call ``one`` for every row and seed, for those that learn in worker processes; what became of each.

    Args:
        jobs: processes; 1: all rows in this process, where a crash in native code ends everything; 0: one a core, or a
            single one on a GPU (several can share one: small networks leave it idle between their kernels).
        one: picklable, and returns what :attr:`Rows.made` is to hold.
        scheduler: address of a Dask scheduler, on whose workers the rows that learn run instead.

    Raises:
        UsageError: a row that cannot be trained as it stands in the suite, or no such device; before any is.
    """
    from fusionbench.evaluation.cluster_rows import rows_on_cluster

    check_interrupt()
    rows = Rows(suite.name)
    learning = [(row, seed) for row, seed in work if learns(row)]
    steps = sum(_planned(row, settings) for row, _ in learning)
    for row, seed in work:
        if (jobs == 1 and scheduler is None) or not learns(row):
            made = rows.attempt(
                (row.key, seed), partial(one, suite, row, seed, settings, None), run_log(suite, row, seed, settings)
            )
            if made is not None:
                rows.made[row.key, seed] = made
    if scheduler is not None and learning:
        with contextlib.closing(rows_on_cluster(suite, learning, settings, scheduler, one, steps)) as outcomes:
            for row, seed, outcome in outcomes:
                _note(rows, suite, row, seed, settings, outcome)
    elif jobs != 1 and learning:
        jobs = min(jobs or _default_jobs(settings["device"], len(learning)), len(learning))
        _in_workers(rows, suite, learning, settings, jobs, one, steps)
    places = [(row.key, seed) for row, seed in work]
    rows.unfinished = {place: rows.unfinished[place] for place in places if place in rows.unfinished}
    rows.failed = {place: rows.failed[place] for place in places if place in rows.failed}
    return rows


def learns(row: SuiteModel) -> bool:
    """Whether a row takes time to train: it has a loss."""
    from fusionbench.models import MODELS

    return hasattr(MODELS.get(row.name), "loss")


def train_row(suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any], threads: int | None) -> str:
    """Train one row with one seed, with ``threads`` of a worker process; the run's folder.

    Raises:
        UnfinishedError: the time was over before its last step, or before its first.
    """
    with time_limit(settings["until"]):
        check_time(f"{row.key}, seed {seed}")
        return _finished(_train(suite, row, seed, settings, threads))


def _finished(run: Run) -> str:
    if not run.info.finished:
        raise UnfinishedError(f"stopped at step {run.info.steps} of {run.info.total_steps}")
    return str(run.folder)


def _train(
    suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any], threads: int | None, at_most: int | None = None
) -> Run:
    import torch

    from fusionbench.data.dataset import open_dataset
    from fusionbench.training.loop import train

    if threads is not None:
        torch.set_num_threads(threads)
    return train(
        row.name,
        open_dataset(settings["folder"]),
        out=run_folder(suite, row, seed, settings["runs"], settings["budget"]),
        preset=row.preset,
        device=settings["device"],
        precision=settings["precision"],
        compile=settings["compile"],
        budget=settings["budget"],
        seed=seed,
        params=row.params,
        training=row.training,
        at_most=at_most,
    )


def _in_parts(
    one: Work, suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any], threads: int | None
) -> str | Again:
    """A part of a row's training; with the last one what ``one`` makes of it."""
    steps = math.ceil(_planned(row, settings) / PARTS)
    with time_limit(settings["until"]):
        check_time(f"{row.key}, seed {seed}")
        run = _train(suite, row, seed, settings, threads, steps)
        if not run.info.finished and not time_is_up():
            return Again()
        _finished(run)
    return one(suite, row, seed, settings, threads)


def run_folder(suite: Suite, row: SuiteModel, seed: int, runs: str | Path, budget: str | None = None) -> Path:
    """Where a row of a suite is trained; runs with a budget lie apart.

    Suites that train on one data set share their runs: what is trained once is scored on many.
    """
    short = "" if budget is None else "-" + re.sub(r"[^0-9a-z.]+", "", budget.replace("%", "percent"))
    return Path(runs) / (suite.train or suite.name) / f"{row.key}-seed{seed}{short}"


def run_log(suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any]) -> Path:
    """What a row's worker process prints, beside its run folder."""
    folder = run_folder(suite, row, seed, settings["runs"], settings["budget"])
    return folder.with_name(f"{folder.name}.log")


def _default_jobs(device: str, count: int) -> int:
    import torch

    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else max(1, min(core_count(), count))


def _in_workers(
    rows: Rows,
    suite: Suite,
    work: list[tuple[SuiteModel, int]],
    settings: dict[str, Any],
    jobs: int,
    one: Work,
    steps: int,
) -> None:
    """Rows as processes with an equal share of the cores: faster than threads for networks of this size.

    A worker that is killed while others run may have paid for their memory: its row is tried once more, alone. One that
    crashes in native code would crash again, and is not.
    """
    from fusionbench.training.runtime import find_device
    from fusionbench.training.schedule import Budget

    if settings["device"] not in ("auto", "cpu"):
        find_device(settings["device"])  # one line, and not one of every row
    threads = max(1, core_count() // jobs)
    work = work[::-1]  # suites end with their largest models, and the longest job should begin first
    folders = [run_folder(suite, row, seed, settings["runs"], settings["budget"]) for row, seed in work]
    names = ", ".join(dict.fromkeys(row.key for row, _ in work))
    say(f"{suite.name}: {len(work)} rows in {jobs} process{'es' if jobs > 1 else ''}: {names}")

    # rows in turns, so that no core waits for the last row; not where seconds are counted, which turns would stretch
    timed = settings["budget"] is not None and Budget.parse(settings["budget"]).kind == "seconds"
    long = min(_planned(row, settings) for row, _ in work) >= WORTH
    in_turns = len(work) % jobs != 0 and len(work) > jobs and long and not timed
    function = partial(_in_parts, one) if in_turns else one

    def run(
        part: list[tuple[SuiteModel, int]], jobs: int
    ) -> Generator[tuple[SuiteModel, int, TaskOutcome], None, None]:
        tasks = [(suite, row, seed, settings, threads) for row, seed in part]
        logs = [run_log(suite, row, seed, settings) for row, seed in part]
        with contextlib.closing(
            run_in_workers(function, tasks, jobs, logs=logs.__getitem__, threads=threads)
        ) as outcomes:
            for outcome in outcomes:
                yield *part[outcome.index], outcome

    killed: list[tuple[SuiteModel, int]] = []
    with follow_logs(folders, steps):
        with contextlib.closing(run(work, jobs)) as outcomes:
            for row, seed, outcome in outcomes:
                death = outcome.death
                if death is not None and death.beside and signal_name(death.code) == "SIGKILL":
                    say(f"{suite.name}: {row.key} was killed, most likely for memory; it is tried again alone")
                    killed.append((row, seed))
                else:
                    _note(rows, suite, row, seed, settings, outcome)
        if killed:
            with contextlib.closing(run(killed, 1)) as outcomes:
                for row, seed, outcome in outcomes:
                    _note(rows, suite, row, seed, settings, outcome)


def _note(rows: Rows, suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any], outcome: TaskOutcome) -> None:
    place = row.key, seed
    if outcome.death is not None:
        _note_in_run(run_folder(suite, row, seed, settings["runs"], settings["budget"]), outcome.death)
        rows.fail(place, str(outcome.death))
    elif isinstance(outcome.error, UnfinishedError):
        rows.unfinished[place] = str(outcome.error)
    elif outcome.error is not None:
        rows.fail(place, describe_error(outcome.error, run_log(suite, row, seed, settings)))
    else:
        rows.made[place] = outcome.value


def _note_in_run(folder: Path, death: Death) -> None:
    """Leave the reason in the folder of a training that it cut short, for whoever asks for its model."""
    from fusionbench.training.run import read_run

    with contextlib.suppress(FusionbenchError):
        if not read_run(folder).info.finished:
            note_crash(folder, str(death))


def _planned(row: SuiteModel, settings: dict[str, Any]) -> int:
    from fusionbench.data.dataset import open_dataset
    from fusionbench.models import get_preset
    from fusionbench.training.loop import planned_steps
    from fusionbench.training.schedule import create_training

    training = create_training({**get_preset(row.name, row.preset).training, **row.training})
    return planned_steps(training, open_dataset(settings["folder"]).size("train"), settings["budget"])
