"""Suites: TOML files that say data set × models × protocol, and the function that runs them.

A suite goes on where it stopped: a finished data set, run or result is found by its identity and not made again.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fusionbench.core.errors import DataError, UsageError, unknown_name
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.io import read_bounded, shipped_folder
from fusionbench.core.text import Count
from fusionbench.core.text import SuiteName as Name
from fusionbench.evaluation.jobs import RowsFailed as RowsFailed
from fusionbench.evaluation.jobs import run_folder as run_folder
from fusionbench.evaluation.jobs import run_rows, run_settings, train_row
from fusionbench.results.schema import Result, load

MAX_BYTES = 1 << 20


class _Part(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    pass


class SuiteProtocol(_Part, frozen=True):
    """How to score. ``limit``: only the first images of the split.

    ``range_a``, ``range_b``: which values of the image files of pairs are black and white, as ``--range-a`` takes them.

    ``masked/1`` is :class:`fusionbench.evaluation.masked.Protocol`; ``pairs/1`` is
    :class:`fusionbench.evaluation.pairs.PairsProtocol`, which has ``stretch`` and no draws.
    """

    name: Literal["masked/1", "pairs/1"] = "masked/1"
    stretch: bool = False
    draws: Count = 100
    seed: int = 0
    paper_batch: Count = 32
    limit: Count | None = None
    range_a: str | None = None
    range_b: str | None = None


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

    ``dataset`` is a recipe, or a source of registered pairs where the protocol is ``pairs/1``; then ``train`` is the
    recipe whose split ``train`` the rows that learn are trained on.
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
    train: Name | None = None


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
    if suite.train is not None and suite.protocol.name != "pairs/1":
        raise DataError(f"{path}: not a suite: `train` belongs to the protocol pairs/1; others train on `dataset`")
    try:
        if Ranges.parse(suite.protocol.range_a, suite.protocol.range_b) and suite.protocol.name != "pairs/1":
            raise DataError(f"{path}: not a suite: `protocol.range_a` and `range_b` belong to the protocol pairs/1")
    except UsageError as error:
        raise DataError(f"{path}: not a suite: {error}") from error
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
    range_a: Range | str | None = None,
    range_b: Range | str | None = None,
) -> list[Result]:
    """Make the data set when it is missing, train every model that is not trained, score what is not scored.

    Args:
        runs: where training runs lie; ``runs`` beside ``out`` when None.
        budget: cuts every training short (``60s``, ``5%``); such results are marked.
        jobs: processes; 0 is one a core, at most one a row, and one in all on a GPU. 1 runs all rows in this process,
            where a crash in native code ends everything.
        models: only these rows.
        draws: replaces K of the protocol.
        limit: score only the first so many images; part of the identity.
        sheets: draw the sheets of every model that is not trivial, where they are missing.
        strict: refuse pictures of pairs without a partner instead of leaving them out.
        keep_pictures: write single pictures of pairs for the pages; None: where the source may be passed on.
        range_a, range_b: which values of the image files of pairs are black and white, instead of the suite's ranges.

    Returns the results in the order of the suite, seeds within a row.

    Raises:
        RowsFailed: rows failed or their processes died, and all others are finished; it has their results.
        UsageError, DataError: nothing can be run at all.
    """
    suite = load_suite(name_or_path)
    rows, ranges = _choose(suite, models), Ranges.parse(range_a, range_b)
    if limit is not None:
        suite = msgspec.structs.replace(suite, protocol=msgspec.structs.replace(suite.protocol, limit=limit))
    if suite.protocol.name == "pairs/1":
        from fusionbench.evaluation.pair_suites import run_pair_suite

        if draws is not None:
            raise UsageError(f"{suite.name} makes one image a pair and draws no samples: leave out --samples")
        return run_pair_suite(
            suite,
            rows,
            data_root=data_root,
            source_dir=source_dir,
            out=out,
            runs=runs,
            device=device,
            budget=budget,
            jobs=jobs,
            sheets=sheets,
            strict=strict,
            keep_pictures=keep_pictures,
            ranges=ranges,
        )
    if strict or keep_pictures is not None or ranges:
        options = "--strict, --keep-pictures, --range-a and --range-b"
        raise UsageError(f"{suite.name} has no registered pairs: {options} are about those")
    check_budget(budget)
    folder = _dataset_folder(suite, Path(data_root), source_dir)
    if draws is not None:
        suite = msgspec.structs.replace(suite, protocol=msgspec.structs.replace(suite.protocol, draws=draws))
    work = [(row, seed) for row in rows for seed in row.seeds or suite.seeds]
    settings = run_settings(folder, out, runs, device, budget)
    done = run_rows(suite, work, settings, jobs, _one)
    found = {place: load(made) for place, made in done.made.items()}
    if sheets:
        _draw_sheets(suite, found, rows, settings)
    return done.finish([found[row.key, seed] for row, seed in work if (row.key, seed) in found])


def check_budget(budget: str | None) -> None:
    """Tell of a wrong budget before anything is made.

    Raises:
        UsageError: not a budget.
    """
    if budget is not None:
        from fusionbench.training.schedule import Budget

        Budget.parse(budget)


def _draw_sheets(
    suite: Suite, found: dict[tuple[str, int], Result], rows: list[SuiteModel], settings: dict[str, Any]
) -> None:
    from fusionbench.data.dataset import open_dataset
    from fusionbench.evaluation.sheets import has_sheets, save_sheets

    dataset = open_dataset(settings["folder"])
    for row in rows:
        for seed in row.seeds or suite.seeds:
            result = found.get((row.key, seed))
            if result is not None and result.family != "trivial" and not has_sheets(result, settings["out"]):
                folder = run_folder(suite, row, seed, settings["runs"], settings["budget"])
                save_sheets(folder, dataset, result, settings["out"])


def _choose(suite: Suite, models: list[str] | None) -> list[SuiteModel]:
    known = {row.key: row for row in suite.models}
    for key in models or []:
        if key not in known:
            raise unknown_name(f"row of {suite.name}", key, known)
    return [known[key] for key in models] if models else list(suite.models)


def _dataset_folder(suite: Suite, root: Path, source_dir: str | Path | None) -> Path:
    """The finished data set of the suite's recipe, built when missing (a finished one is found, not made again)."""
    from fusionbench.data.build import build_dataset
    from fusionbench.data.recipes import load_recipe

    recipe = load_recipe(suite.dataset)
    return build_dataset(recipe, None if source_dir is None else Path(source_dir), root)


def _one(suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any], threads: int | None) -> str:
    """Train and score one row with one seed; the result's folder."""
    from fusionbench.data.dataset import open_dataset
    from fusionbench.evaluation.masked import Protocol, evaluate

    run = train_row(suite, row, seed, settings, threads)
    protocol = Protocol(suite.protocol.draws, suite.protocol.seed, suite.protocol.paper_batch)
    result = evaluate(
        run,
        open_dataset(settings["folder"]),
        split=suite.split,
        protocol=protocol,
        out=settings["out"],
        device=settings["device"],
        limit=suite.protocol.limit,
        title=row.title,
    )
    return str(result.folder(settings["out"]))
