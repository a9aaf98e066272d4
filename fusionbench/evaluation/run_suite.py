"""Runs a suite: opens its data, trains the rows that are trained, scores all of them, draws their sheets.

A suite goes on where it stopped: a finished data set, run or result is found by its identity and not made again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from fusionbench.core.deprecation import renamed_parameter
from fusionbench.core.errors import DataError, FusionbenchError, UsageError, unknown_name
from fusionbench.core.image_ranges import Range
from fusionbench.core.io import require_folder
from fusionbench.core.time_limit import parse_duration, stop_before, time_limit
from fusionbench.evaluation.jobs import Rows, learns, run_folder, run_log, run_rows, run_settings, train_row
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.protocols.base import BaseProtocol, ScoredRow, flag, others_options
from fusionbench.evaluation.suites import Suite, SuiteModel, check_budget, load_suite
from fusionbench.results.schema import Result, load


@renamed_parameter("keep_pictures", "keep_images", removed_in="0.3")
def run_suite(
    name_or_path: str | Path | Suite,
    *,
    data_root: str | Path = "data",
    source_dir: str | Path | None = None,
    out: str | Path = "results",
    runs: str | Path | None = None,
    device: str = "auto",
    budget: str | None = None,
    jobs: int = 0,
    models: list[str] | None = None,
    seeds: list[int] | None = None,
    draws: int | None = None,
    limit: int | None = None,
    sheets: bool = False,
    strict: bool = False,
    keep_images: bool | None = None,
    range_a: Range | str | None = None,
    range_b: Range | str | None = None,
    scheduler: str | None = None,
    precision: str = "auto",
    compile: bool = False,
    stop_after: str | None = None,
) -> list[Result]:
    """Make the data set when it is missing, train every model that is not trained, score what is not scored.

    Args:
        runs: where training runs lie; ``runs`` beside ``out`` when None.
        budget: cuts every training short (``60s``, ``5%``); such results are marked.
        jobs: processes; 0 is one a core, at most one a row, and one in all on a GPU. 1 runs all rows in this process,
            where a crash in native code ends everything.
        models: only these rows, by their keys or the names of their models; a model of a Python file of the user's own
            (:mod:`fusionbench.core.plugin_files`) is a row more.
        seeds: only these of their training seeds; rows that have none of them are left out.
        draws: replaces K of the protocol.
        limit: score only the first so many images; part of the identity.
        sheets: draw the sheets of every model that is not trivial, where they are missing.
        strict: refuse images of pairs without a partner instead of leaving them out.
        keep_images: write single images of pairs for the pages; None: where the source may be passed on.
        range_a, range_b: which values of the image files of pairs are black and white, instead of the suite's ranges.
        scheduler: address of a Dask scheduler (``tcp://host:8786``): rows that learn run on its workers instead of in
            processes on this machine; they must see ``data_root``, ``out`` and ``runs`` under the same names.
        precision, compile: of training, see :func:`fusionbench.train`.
        stop_after: time of this call (``90s``, ``9m``). Rows stop after a step, or a chunk of images that is scored;
            the same call goes on, to the results that a call without it has.

    Returns the results in the order of the suite, seeds within a row.

    Raises:
        RowsFailed: rows failed or their processes died, and all others are finished; it has their results.
        RowsUnfinishedError: ``stop_after`` is over before all rows are done; it has the results of those that are.
        UsageError, DataError: nothing can be run at all, such as an option that the suite's protocol does not have.
    """
    until = None if stop_after is None else time.time() + parse_duration(stop_after)
    if scheduler is not None and jobs:
        raise UsageError("Jobs are processes on this machine; leave them out with a Dask scheduler")
    suite = name_or_path if isinstance(name_or_path, Suite) else load_suite(name_or_path)
    protocol = PROTOCOLS.get(suite.protocol.name)
    references = [name for name in protocol.references if models is None or name in models]
    others = None if models is None else [name for name in models if name not in references]
    rows = [] if others == [] and references else _choose(suite, others, seeds, protocol.references)
    texts = {key: str(Range.of(value)) for key, value in (("range_a", range_a), ("range_b", range_b)) if value}
    options = {"draws": draws, "limit": limit, **texts}
    choice = keep_images or "keep_images" in protocol.takes  # none are kept where there is no choice
    takes = {"strict": strict or None, "keep_images": keep_images if choice else None}
    suite = _with_options(suite, protocol, options, takes)
    trained = [
        (row, seed) for row in rows if protocol.trains_on_dataset or learns(row) for seed in row.seeds or suite.seeds
    ]
    if not protocol.trains_on_dataset:
        _check_training(suite, trained, budget)
    check_budget(budget)
    root, source_dir = Path(data_root), None if source_dir is None else Path(source_dir)
    with time_limit(until):
        given = {"strict": strict} if "strict" in protocol.takes else {}
        data = protocol.open_suite(suite, data_root=root, source_dir=source_dir, **given)
        _ = data.identity  # looks at what is scored: what is wrong with an image is told before anything is trained
        require_folder(out)
        settings = run_settings(Path(), out, runs, device, budget, precision, compile)
        if protocol.trains_on_dataset:
            settings["folder"] = str(protocol.dataset_folder(data))
            done = run_rows(suite, trained, settings, jobs, train_and_score, scheduler)
            scored = _loaded(suite, rows, done, settings)
        else:
            done = Rows(suite.name)
            if trained:
                folder = training_folder(suite, root)
                protocol.before_training(suite, data, folder)
                settings["folder"] = str(folder)
                done = run_rows(suite, trained, settings, jobs, train_row, scheduler)
            extra = {key: value for key, value in takes.items() if key == "keep_images" and key in protocol.takes}
            scored = _score_here(suite, rows, protocol, data, done, settings, extra, references)
        if sheets and scored and not done.unfinished:  # what is drawn is of all of them
            for one in scored:
                protocol.draw_row(one.model, data, one.result, Path(out))
            protocol.draw_suite(suite, scored, data, Path(out), whole=rows == suite.models)
    return done.finish([one.result for one in scored])


def _with_options(suite: Suite, protocol: BaseProtocol, options: Mapping[str, Any], takes: Mapping[str, Any]) -> Suite:
    """The suite with options of the command line in place of its own.

    Raises:
        UsageError: options that its protocol does not have.
    """
    given = {key: value for key, value in options.items() if value is not None}
    named = [*given, *(key for key, value in takes.items() if value is not None)]
    refused = others_options(protocol, set(named))
    if refused:
        flags = ", ".join(flag(option) for option in named if option in refused)
        raise UsageError(f"{suite.name} {protocol.lacks}: leave out {flags}")
    return msgspec.structs.replace(suite, protocol=msgspec.structs.replace(suite.protocol, **given))


def _choose(
    suite: Suite, models: list[str] | None, seeds: list[int] | None, references: Sequence[str] = ()
) -> list[SuiteModel]:
    rows = _named_rows(suite, models, references) if models else list(suite.models)
    if seeds is None:
        return rows
    own = {row.key: row.seeds or suite.seeds for row in rows}
    for seed in seeds:
        if not any(seed in found for found in own.values()):
            have = ", ".join(str(seed) for seed in sorted({seed for found in own.values() for seed in found}))
            raise UsageError(f"{suite.name}: no row of these has the seed {seed}; they have {have}")
    chosen = {key: [seed for seed in found if seed in seeds] for key, found in own.items()}
    return [msgspec.structs.replace(row, seeds=chosen[row.key]) for row in rows if chosen[row.key]]


def _named_rows(suite: Suite, names: list[str], references: Sequence[str] = ()) -> list[SuiteModel]:
    """The rows with these keys, or else of these models, each once; a model of the user's own file is a new row."""
    from fusionbench.models import MODELS

    known = {row.key: row for row in suite.models}
    rows: dict[str, SuiteModel] = {}
    for name in names:
        found = [known[name]] if name in known else [row for row in suite.models if row.name == name]
        if not found and MODELS.is_file(name):
            presets = list(MODELS.get(name).PRESETS)
            found = [SuiteModel(name=name, preset="tiny" if "tiny" in presets else presets[0])]
        if not found:
            raise unknown_name(f"row of {suite.name}", name, {*known, *(row.name for row in suite.models), *references})
        rows |= {row.key: row for row in found}
    return list(rows.values())


def _check_training(suite: Suite, trained: list[tuple[SuiteModel, int]], budget: str | None) -> None:
    if trained and suite.train is None:
        raise UsageError(
            f"{trained[0][0].key} has to be trained, and {suite.name} names no data set to train on: "
            'add a line such as train = "roadscene-patches" to the suite, above its tables'
        )
    if budget is not None and not trained:
        raise UsageError(f"{suite.name}: no row of these is trained; leave out the budget")


def train_and_score(suite: Suite, row: SuiteModel, seed: int, settings: dict[str, Any], threads: int | None) -> str:
    """Train and score one row with one seed on the data set in ``settings["folder"]``; the result's folder.

    Raises:
        UnfinishedError: the time was over before.
    """
    run = train_row(suite, row, seed, settings, threads)
    protocol, options = PROTOCOLS.get(suite.protocol.name), suite.protocol
    data = protocol.open(settings["folder"], options, split=suite.split)
    with time_limit(settings["until"]):
        result = protocol.evaluate(run, data, options, out=settings["out"], device=settings["device"], title=row.title)
    return str(result.folder(settings["out"]))


def _loaded(suite: Suite, rows: list[SuiteModel], done: Rows, settings: dict[str, Any]) -> list[ScoredRow]:
    """The rows that :func:`train_and_score` finished, in the order of the suite."""
    return [
        ScoredRow(row, seed, run_folder(suite, row, seed, settings["runs"], settings["budget"]), load(folder))
        for row in rows
        for seed in row.seeds or suite.seeds
        if (folder := done.made.get((row.key, seed))) is not None
    ]


def _score_here(
    suite: Suite,
    rows: list[SuiteModel],
    protocol: BaseProtocol,
    data: Any,
    done: Rows,
    settings: dict[str, Any],
    extra: dict[str, Any],
    references: Sequence[str] = (),
) -> list[ScoredRow]:
    """Score rows one after the other, then the protocol's references; what fails joins ``done``. A row that is not
    trained has the first seed only.
    """

    def score(row: SuiteModel, seed: int) -> None:
        stop_before(f"{row.key}, seed {seed}")
        model: Any
        params: dict[str, Any] | None = None
        if row.name in references:
            model = protocol.reference(row.name, data)
        elif learns(row):
            model = done.made[row.key, seed]
        else:
            model, params = protocol.create(row, data), row.model_parameters
        found = protocol.evaluate_all(
            model,
            data,
            suite.protocol,
            params=params,
            out=settings["out"],
            device=settings["device"],
            title=row.title,
            **extra,
        )
        scored.extend(ScoredRow(row, seed, model, result) for result in found)

    scored: list[ScoredRow] = []
    for row in rows:
        for seed in (row.seeds or suite.seeds)[: None if learns(row) else 1]:
            if (row.key, seed) not in done.failed and (row.key, seed) not in done.unfinished:  # in training
                done.attempt((row.key, seed), partial(score, row, seed), run_log(suite, row, seed, settings))
    for row in (SuiteModel(name=name) for name in references):
        done.attempt((row.key, 0), partial(score, row, 0), run_log(suite, row, 0, settings))
    return scored


def training_folder(suite: Suite, data_root: str | Path) -> Path:
    """The data set that the suite's rows are trained on: made when its source is embedded, else found.

    Raises:
        UsageError: no such recipe.
        DataError: it is not below ``data_root`` and cannot be made without somebody's files.
    """
    from fusionbench.data.build import build_dataset
    from fusionbench.data.dataset import open_dataset
    from fusionbench.data.recipes import load_recipe

    assert suite.train is not None
    recipe = load_recipe(suite.train)
    if _is_embedded(recipe.source.name):
        return build_dataset(recipe, None, Path(data_root))
    place = Path(data_root) / suite.train
    try:
        return open_dataset(place).folder
    except DataError as error:
        if place.is_dir():
            raise
        raise DataError(
            f"{place}: {suite.name} trains on this data set and it is not there; make it with `fusionbench generate "
            f"{suite.train} --source-dir DIR --out {data_root}`, or choose rows that do not learn with --models"
        ) from error


def _is_embedded(source: str) -> bool:
    """Whether a source needs no folder."""
    from fusionbench.sources import SOURCES

    try:
        SOURCES.get(source)(None)
    except FusionbenchError:
        return False
    return True
