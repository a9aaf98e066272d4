"""Rows of a suite as jobs: trained here or in processes that share the cores, each in a run folder of its own."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.core.cpus import core_count
from fusionbench.errors import UsageError
from fusionbench.progress import progress, say

if TYPE_CHECKING:
    from fusionbench.suites import Suite, SuiteModel

# suite, row, seed, settings and the threads of a worker (None in this process) to the folder of what was made
Work = Callable[["Suite", "SuiteModel", int, dict[str, Any], int | None], str]


def run_settings(
    folder: Path, out: str | Path, runs: str | Path | None, device: str, budget: str | None
) -> dict[str, Any]:
    """What a worker process is told: the data set's folder, where results and runs go, the device, the budget."""
    runs = Path(out).parent / "runs" if runs is None else runs
    return {"folder": str(folder), "out": str(out), "runs": str(runs), "device": device, "budget": budget}


def run_rows(
    suite: Suite, work: Sequence[tuple[SuiteModel, int]], settings: dict[str, Any], jobs: int, one: Work
) -> dict[tuple[str, int], str]:
    """Call ``one`` for every row and seed, for those that learn in ``jobs`` processes; what it returns for each."""
    jobs = jobs or _default_jobs(settings["device"], len(work))
    learning = [(row, seed) for row, seed in work if learns(row)]
    found: dict[tuple[str, int], str] = {}
    for row, seed in work:
        if jobs == 1 or len(learning) < 2 or not learns(row):
            found[row.key, seed] = one(suite, row, seed, settings, None)
    left = [(row, seed) for row, seed in learning if (row.key, seed) not in found]
    left.reverse()  # suites end with their largest models, and the longest job should begin first
    for (row, seed), made in zip(left, _parallel(suite, left, settings, jobs, one), strict=True):
        found[row.key, seed] = made
    return found


def learns(row: SuiteModel) -> bool:
    """Whether a row takes time to train: it has a loss."""
    from fusionbench.models import MODELS

    return hasattr(MODELS.get(row.name), "loss")


def train_row(suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any], threads: int | None) -> str:
    """Train one row with one seed, with ``threads`` of a worker process; the run's folder."""
    import torch

    from fusionbench.data import open_dataset
    from fusionbench.train import train

    if threads is not None:
        from fusionbench import progress as talk

        talk.QUIET = True
        torch.set_num_threads(threads)
    run = train(
        row.name,
        open_dataset(settings["folder"]),
        out=run_folder(suite, row, seed, settings["runs"], settings["budget"]),
        preset=row.preset,
        device=settings["device"],
        budget=settings["budget"],
        seed=seed,
        params=row.params,
        training=row.training,
    )
    return str(run.folder)


def run_folder(suite: Suite, row: SuiteModel, seed: int, runs: str | Path, budget: str | None = None) -> Path:
    """Where a row of a suite is trained; runs with a budget lie apart.

    Suites that train on one data set share their runs: what is trained once is scored on many.
    """
    short = "" if budget is None else "-" + re.sub(r"[^0-9a-z.]+", "", budget.replace("%", "percent"))
    return Path(runs) / (suite.train or suite.name) / f"{row.key}-seed{seed}{short}"


def _default_jobs(device: str, count: int) -> int:
    import torch

    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else max(1, min(core_count(), count))


def _parallel(
    suite: Suite, work: list[tuple[SuiteModel, int]], settings: dict[str, Any], jobs: int, one: Work
) -> list[str]:
    """Rows as processes with an equal share of the cores: faster than threads for networks of this size."""
    from joblib import Parallel, delayed

    if not work:
        return []
    if settings["device"] not in ("auto", "cpu"):
        raise UsageError("Several jobs share the cores of a CPU; use --jobs 1 on a GPU")
    threads = max(1, core_count() // jobs)
    folders = [run_folder(suite, row, seed, settings["runs"], settings["budget"]) for row, seed in work]
    say(f"{suite.name}: {len(work)} rows in {jobs} processes: {', '.join(dict.fromkeys(row.key for row, _ in work))}")
    tasks = (delayed(one)(suite, row, seed, settings, threads) for row, seed in work)
    with _following(folders, sum(_planned(row, settings) for row, _ in work)):
        return list(Parallel(n_jobs=jobs, backend="loky", batch_size=1)(tasks))


def _planned(row: SuiteModel, settings: dict[str, Any]) -> int:
    from fusionbench.data import open_dataset
    from fusionbench.models import get_preset
    from fusionbench.schedule import create_training
    from fusionbench.train import planned_steps

    training = create_training({**get_preset(row.name, row.preset).training, **row.training})
    return planned_steps(training, open_dataset(settings["folder"]).size("train"), settings["budget"])


@contextlib.contextmanager
def _following(folders: list[Path], steps: int) -> Iterator[None]:
    """A progress bar fed by the runs' logs, which the worker processes write."""
    import threading

    done = threading.Event()

    def follow() -> None:
        shown = 0
        with progress("train and score", steps, "steps") as bar:
            while not done.wait(1.0):
                states = [_last_row(folder) for folder in folders]
                total = sum(step for step, _ in states)
                note = ", ".join(f"{f.name} {loss}" for f, (step, loss) in zip(folders, states, strict=True) if step)
                if total > shown:
                    bar.advance(total - shown, note)
                    shown = total

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _last_row(folder: Path) -> tuple[int, str]:
    """Steps done and the latest loss, from the end of a run's log."""
    try:
        with open(folder / "log.csv", "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 2048))
            rows = [line.split(",") for line in stream.read().decode().splitlines()[1:]]
    except OSError:
        return 0, ""
    losses = [row for row in rows if len(row) == 4 and row[2].endswith("loss") and row[0].isdecimal()]
    return (int(losses[-1][0]), f"{float(losses[-1][3]):.4g}") if losses else (0, "")
