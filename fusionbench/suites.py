"""Suites: TOML files that say data set × models × protocol, and the function that runs them.

A suite goes on where it stopped: a finished data set, run or result is found by its identity and not made again.
"""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fusionbench.errors import DataError, UsageError, unknown_name
from fusionbench.files import read_bounded, shipped_folder
from fusionbench.progress import progress, say
from fusionbench.result import Result, load

MAX_BYTES = 1 << 20
Count = Annotated[int, msgspec.Meta(ge=1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9+._-]{0,63}$")]


class _Part(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    pass


class SuiteProtocol(_Part, frozen=True):
    """How to score. ``limit``: only the first images of the split.

    ``masked/1`` is :class:`fusionbench.evaluate.Protocol`; ``pairs/1`` is
    :class:`fusionbench.evaluate_pairs.PairsProtocol`, which has ``stretch`` and no draws.
    """

    name: Literal["masked/1", "pairs/1"] = "masked/1"
    stretch: bool = False
    draws: Count = 100
    seed: int = 0
    paper_batch: Count = 32
    limit: Count | None = None


class SuiteModel(_Part, frozen=True):
    """One row: a registered model with a preset.

    ``label`` and ``title`` tell rows of one model apart; ``params`` and ``training`` replace parameters of the preset;
    ``seeds`` those of the suite.
    """

    name: Name
    preset: str | None = None
    label: Name | None = None
    title: Annotated[str, msgspec.Meta(max_length=60)] | None = None
    params: dict[str, Any] = {}
    training: dict[str, Any] = {}
    seeds: list[int] | None = None

    @property
    def key(self) -> str:
        """What the row is called: in folders, and in ``--models``."""
        return self.label or self.name


class Suite(_Part, frozen=True):
    """A validated suite. ``published``: the data set whose published rows stand beside these.

    ``dataset`` is a recipe, or a source of registered pairs where the protocol is ``pairs/1``.
    """

    format: Literal["fusionbench.suite/1"]
    name: Name
    title: str
    dataset: Name
    models: Annotated[list[SuiteModel], msgspec.Meta(min_length=1)]
    description: str = ""
    split: Name = "test"
    seeds: Annotated[list[int], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=lambda: [0])
    protocol: SuiteProtocol = SuiteProtocol()
    published: str | None = None


def list_suites() -> list[str]:
    """Names of the shipped suites."""
    return sorted(path.stem for path in shipped_folder("benchmarks").glob("*.toml"))


def load_suite(name_or_path: str | Path) -> Suite:
    """A shipped suite by name, or one from a ``.toml`` file.

    Raises:
        UsageError: unknown name, with a suggestion.
        DataError: a file that is no suite: key and reason.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in list_suites():
            raise unknown_name("suite", str(name_or_path), list_suites())
        path = shipped_folder("benchmarks") / f"{name_or_path}.toml"
    try:
        body = tomllib.loads(read_bounded(path, MAX_BYTES, "suite").decode())
        suite = msgspec.convert(body, Suite)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise DataError(f"{path}: not a suite: {error}") from error
    if suite.protocol.stretch and suite.protocol.name != "pairs/1":
        raise DataError(f"{path}: not a suite: `protocol.stretch` belongs to the protocol pairs/1")
    keys = [model.key for model in suite.models]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise DataError(f"{path}: two rows are called {twice[0]!r}; give one of them a label")
    return suite


def run_suite(
    name_or_path: str | Path,
    *,
    data_root: str | Path = "data",
    source_dir: str | Path | None = None,
    out: str | Path = "results",
    runs: str | Path | None = None,
    device: str = "auto",
    budget: str | None = None,
    jobs: int = 0,
    models: list[str] | None = None,
    draws: int | None = None,
    limit: int | None = None,
    sheets: bool = False,
    strict: bool = False,
    keep_pictures: bool | None = None,
) -> list[Result]:
    """Make the data set when it is missing, train every model that is not trained, score what is not scored.

    Args:
        runs: where training runs lie; ``runs`` beside ``out`` when None.
        budget: cuts every training short (``60s``, ``5%``); such results are marked.
        jobs: processes; 0 is one a core, at most one a row, and one in all on a GPU.
        models: only these rows.
        draws: replaces K of the protocol.
        limit: score only the first so many images; part of the identity.
        sheets: draw the sheets of every model that is not trivial, where they are missing.
        strict: refuse pictures of pairs without a partner instead of leaving them out.
        keep_pictures: write single pictures of pairs for the pages; None: where the source may be passed on.

    Returns the results in the order of the suite, seeds within a row.
    """
    suite = load_suite(name_or_path)
    rows = _choose(suite, models)
    if limit is not None:
        suite = msgspec.structs.replace(suite, protocol=msgspec.structs.replace(suite.protocol, limit=limit))
    if suite.protocol.name == "pairs/1":
        from fusionbench.pair_suites import run_pair_suite

        if budget is not None or draws is not None:
            raise UsageError(f"{suite.name} neither trains nor draws: leave out the budget and the samples")
        return run_pair_suite(
            suite,
            rows,
            source_dir=source_dir,
            out=out,
            device=device,
            sheets=sheets,
            strict=strict,
            keep_pictures=keep_pictures,
        )
    if strict or keep_pictures is not None:
        raise UsageError(f"{suite.name} has no registered pairs: --strict and --keep-pictures are about those")
    if budget is not None:
        from fusionbench.schedule import Budget

        Budget.parse(budget)  # a wrong one is told before anything is made
    folder = _dataset_folder(suite, Path(data_root), source_dir)
    runs = Path(out).parent / "runs" if runs is None else Path(runs)
    settings = {"folder": str(folder), "out": str(out), "runs": str(runs), "device": device, "budget": budget}
    if draws is not None:
        suite = msgspec.structs.replace(suite, protocol=msgspec.structs.replace(suite.protocol, draws=draws))
    work = [(row, seed) for row in rows for seed in row.seeds or suite.seeds]
    jobs = jobs or _default_jobs(device, len(work))
    learning = [(row, seed) for row, seed in work if _learns(row)]
    found: dict[tuple[str, int], Result] = {}
    for row, seed in work:
        if jobs == 1 or len(learning) < 2 or not _learns(row):
            found[row.key, seed] = load(_one(suite, row, seed, settings, None))
    left = [(row, seed) for row, seed in learning if (row.key, seed) not in found]
    left.reverse()  # suites end with their largest models, and the longest job should begin first
    for (row, seed), result in zip(left, _parallel(suite, left, settings, jobs), strict=True):
        found[row.key, seed] = result
    if sheets:
        _draw_sheets(suite, found, rows, settings)
    return [found[row.key, seed] for row, seed in work]


def _draw_sheets(
    suite: Suite, found: dict[tuple[str, int], Result], rows: list[SuiteModel], settings: dict[str, Any]
) -> None:
    from fusionbench.data import open_dataset
    from fusionbench.sheets import has_sheets, save_sheets

    dataset = open_dataset(settings["folder"])
    for row in rows:
        for seed in row.seeds or suite.seeds:
            result = found[row.key, seed]
            if result.family != "trivial" and not has_sheets(result, settings["out"]):
                folder = run_folder(suite, row, seed, settings["runs"], settings["budget"])
                save_sheets(folder, dataset, result, settings["out"])


def _learns(row: SuiteModel) -> bool:
    """Whether a row takes time to train: it has a loss."""
    from fusionbench.models import MODELS

    return hasattr(MODELS.get(row.name), "loss")


def _choose(suite: Suite, models: list[str] | None) -> list[SuiteModel]:
    known = {row.key: row for row in suite.models}
    for key in models or []:
        if key not in known:
            raise unknown_name(f"row of {suite.name}", key, known)
    return [known[key] for key in models] if models else list(suite.models)


def _dataset_folder(suite: Suite, root: Path, source_dir: str | Path | None) -> Path:
    """The finished data set of the suite's recipe, built when missing (a finished one is found, not made again)."""
    from fusionbench.build import build_dataset
    from fusionbench.recipes import load_recipe

    recipe = load_recipe(suite.dataset)
    return build_dataset(recipe, None if source_dir is None else Path(source_dir), root)


def _one(suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any], threads: int | None) -> str:
    """Train and score one row with one seed; the result's folder."""
    import torch

    from fusionbench.data import open_dataset
    from fusionbench.evaluate import Protocol, evaluate
    from fusionbench.train import train

    if threads is not None:
        from fusionbench import progress as talk

        talk.QUIET = True
        torch.set_num_threads(threads)
    dataset = open_dataset(settings["folder"])
    run = train(
        row.name,
        dataset,
        out=run_folder(suite, row, seed, settings["runs"], settings["budget"]),
        preset=row.preset,
        device=settings["device"],
        budget=settings["budget"],
        seed=seed,
        params=row.params,
        training=row.training,
    )
    protocol = Protocol(suite.protocol.draws, suite.protocol.seed, suite.protocol.paper_batch)
    result = evaluate(
        run,
        dataset,
        split=suite.split,
        protocol=protocol,
        out=settings["out"],
        device=settings["device"],
        limit=suite.protocol.limit,
        title=row.title,
    )
    return str(result.folder(settings["out"]))


def run_folder(suite: Suite, row: SuiteModel, seed: int, runs: str | Path, budget: str | None = None) -> Path:
    """Where a row of a suite is trained; runs with a budget lie apart."""
    short = "" if budget is None else "-" + re.sub(r"[^0-9a-z.]+", "", budget.replace("%", "percent"))
    return Path(runs) / suite.name / f"{row.key}-seed{seed}{short}"


def _default_jobs(device: str, count: int) -> int:
    import torch

    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else max(1, min(_cores(), count))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parallel(suite: Suite, work: list[tuple[SuiteModel, int]], settings: dict[str, Any], jobs: int) -> list[Result]:
    """Rows as processes with an equal share of the cores: faster than threads for networks of this size."""
    from joblib import Parallel, delayed

    if not work:
        return []
    if settings["device"] not in ("auto", "cpu"):
        raise UsageError("Several jobs share the cores of a CPU; use --jobs 1 on a GPU")
    threads = max(1, _cores() // jobs)
    folders = [run_folder(suite, row, seed, settings["runs"], settings["budget"]) for row, seed in work]
    say(f"{suite.name}: {len(work)} rows in {jobs} processes: {', '.join(dict.fromkeys(row.key for row, _ in work))}")
    tasks = (delayed(_one)(suite, row, seed, settings, threads) for row, seed in work)
    with _following(folders, sum(_planned(row, settings) for row, _ in work)):
        return [load(folder) for folder in Parallel(n_jobs=jobs, backend="loky", batch_size=1)(tasks)]


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
