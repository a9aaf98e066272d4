"""Runs the suites of registered pairs: every row fuses every pair of a source's split, under ``pairs/1``.

Rows that learn are trained on the suite's ``train`` recipe first, in run folders as those of the other suites.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.images import FULL, read_image
from fusionbench.core.io import write_bytes
from fusionbench.core.progress import say
from fusionbench.evaluation.jobs import Rows, learns, run_log, run_rows, run_settings, train_row
from fusionbench.evaluation.pair_images import FUSED
from fusionbench.evaluation.pair_sets import NO_RANGES, PairSet, open_pairs
from fusionbench.evaluation.pairs import PairsProtocol, evaluate_pairs, fuse_pair
from fusionbench.evaluation.stored_pairs import holds_dataset
from fusionbench.evaluation.suites import Suite, SuiteModel, check_budget
from fusionbench.models import MODELS, get_preset
from fusionbench.results.schema import Result, load

SHEET, SHOWN = "sheet.png", 3  # the sheet of a suite, and the pairs on it


def suite_pairs(
    suite: Suite,
    source_dir: str | Path | None,
    *,
    data_root: str | Path = "data",
    strict: bool = False,
    ranges: Ranges = NO_RANGES,
) -> PairSet:
    """The pairs that a suite scores: of the files in ``source_dir``, or of a data set of whole pairs there.

    Without ``source_dir``: of the data set of the suite's name below ``data_root``, where there is one. ``ranges`` go
    before the suite's own.

    Raises:
        UsageError, DataError: as :func:`fusionbench.evaluation.pair_sets.open_pairs`.
    """
    if source_dir is None and holds_dataset(Path(data_root) / suite.dataset):
        source_dir = Path(data_root) / suite.dataset
    limit, ranges = suite.protocol.limit, suite_ranges(suite, ranges)
    return open_pairs(suite.dataset, suite.split, source_dir, limit=limit, strict=strict, ranges=ranges)


def suite_ranges(suite: Suite, given: Ranges = NO_RANGES) -> Ranges:
    """The ranges of both views: those ``given``, else the suite's."""
    return Ranges.parse(given.a or suite.protocol.range_a, given.b or suite.protocol.range_b)


def suite_protocol(suite: Suite) -> PairsProtocol:
    """The suite's protocol, with its options."""
    return PairsProtocol(stretch=suite.protocol.stretch)


def run_pair_suite(
    suite: Suite,
    rows: Sequence[SuiteModel],
    *,
    data_root: str | Path = "data",
    source_dir: str | Path | None = None,
    out: str | Path = "results",
    runs: str | Path | None = None,
    device: str = "auto",
    budget: str | None = None,
    jobs: int = 0,
    sheets: bool = False,
    strict: bool = False,
    keep_pictures: bool | None = None,
    ranges: Ranges = NO_RANGES,
) -> list[Result]:
    """Train the rows that learn, score what is not scored, and draw all of them side by side.

    Arguments as those of :func:`fusionbench.evaluation.suites.run_suite`. Rows are scored one after the other, so that
    no time is measured beside another row's.

    Raises:
        UsageError: a row that learns in a suite that does not train, or as :func:`suite_pairs`.
        DataError: a pair that cannot be read, or no data set to train on.
        RowsFailed: rows that could not be trained or scored; the others are finished.
    """
    learning = [(row, seed) for row in rows if learns(row) for seed in row.seeds or suite.seeds]
    if learning and suite.train is None:
        raise UsageError(
            f"{learning[0][0].key} has to be trained, and {suite.name} names no data set to train on: "
            'add a line such as train = "roadscene-patches" to the suite, above its tables'
        )
    if budget is not None and not learning:
        raise UsageError(f"{suite.name}: no row of these is trained; leave out the budget")
    check_budget(budget)
    pairs = suite_pairs(suite, source_dir, data_root=data_root, strict=strict, ranges=ranges)
    _ = pairs.identity  # looks at every pair: what is wrong with one is told before anything is trained
    done = Rows(suite.name)
    settings = run_settings(Path(), out, runs, device, budget)
    if learning:
        folder = training_folder(suite, data_root)
        _tell_seen(suite, pairs, folder)
        settings["folder"] = str(folder)
        done = run_rows(suite, learning, settings, jobs, train_row)

    def score(row: SuiteModel, seed: int) -> None:
        trained = learns(row)
        subject: Any = done.made[row.key, seed] if trained else create(row, pairs)
        result = evaluate_pairs(
            subject,
            pairs,
            protocol=suite_protocol(suite),
            params=None if trained else parameters(row),
            out=out,
            device=device,
            title=row.title,
            keep_pictures=keep_pictures,
        )
        scored.append((row, subject, result))

    scored: list[tuple[SuiteModel, Any, Result]] = []
    for row in rows:
        for seed in (row.seeds or suite.seeds) if learns(row) else suite.seeds[:1]:
            if (row.key, seed) not in done.failed:  # in training
                log = run_log(suite, row, seed, settings)
                done.attempt((row.key, seed), partial(score, row, seed), log)
    results = [result for _, _, result in scored]
    shown = {row.key: (row.title or _title(subject), subject) for row, subject, _ in reversed(scored)}  # first seeds
    if results and sheets:
        path, others = Path(out) / pairs.name / SHEET, _scored_beside(results[0], pairs, out)
        if _is_due(path, [*results, *others], out, whole=len(rows) == len(suite.models)):
            columns = [shown[row.key] for row in rows if row.key in shown]
            columns += [(result.title, result.folder(out) / FUSED) for result in others]
            write_bytes(path, side_by_side(columns, pairs, suite.protocol.stretch, suite.title))
    return done.finish(results)


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


def _tell_seen(suite: Suite, pairs: PairSet, folder: Path) -> None:
    """Say so when rows that learn are trained on pairs that they are scored on."""
    from fusionbench.data.dataset import open_dataset

    dataset = open_dataset(folder)
    if dataset.manifest.source.name == pairs.source.name:
        names = dataset.names("train") or []
        seen = {stem for name in names for stem in (name, name.rpartition("@")[0])} & set(pairs.stems)
        if seen:
            say(
                f"note: {len(seen)} of the {len(pairs)} pairs that {suite.name} scores are in {suite.train}: "
                "rows that learn have seen them"
            )


def _is_embedded(source: str) -> bool:
    """Whether a source needs no folder."""
    from fusionbench.sources import SOURCES

    try:
        SOURCES.get(source)(None)
    except FusionbenchError:
        return False
    return True


def parameters(row: SuiteModel) -> dict[str, Any]:
    """What the row's model is built with: its preset's parameters and the row's own."""
    return {**get_preset(row.name, row.preset).model, **row.params}


def create(row: SuiteModel, pairs: PairSet) -> Any:
    """The row's model; pairs may have any size, so that of the first one is as good as any."""
    return MODELS.get(row.name)(_spec(pairs), **parameters(row))


def _spec(pairs: PairSet) -> Any:
    from fusionbench.core.types import ImageSpec

    height, width = pairs.pair(0).shape[1:]
    return ImageSpec(1, height, width, 2)


def _title(subject: Any) -> str:
    """What a model object, or the model of a run folder, is called."""
    from fusionbench.training.run import read_run

    found = MODELS.get(read_run(subject).info.model).title if isinstance(subject, str | Path) else subject.title
    return str(found)


def _is_due(path: Path, results: Sequence[Result], out: str | Path, whole: bool) -> bool:
    """Whether a sheet is to be drawn: it is missing, or the whole suite was run and something on it is newer."""
    if not path.is_file():
        return True
    written = [(result.folder(out) / "result.json").stat().st_mtime for result in results]
    return whole and path.stat().st_mtime < max(written)


def _scored_beside(ours: Result, pairs: PairSet, out: str | Path) -> list[Result]:
    """Results of others' pictures of the same pairs under the same protocol, whose pictures were kept."""
    found = []
    for path in sorted((Path(out) / pairs.name).glob("*/*/result.json")):
        kept = all((path.parent / FUSED / f"{stem}.png").is_file() for stem in pairs.stems[:SHOWN])
        if kept and (result := load(path)).status == "scored":
            theirs, mine = result.identity, ours.identity
            if (theirs.dataset, theirs.protocol, path.parent) == (mine.dataset, mine.protocol, result.folder(out)):
                found.append(result)
    return found


def side_by_side(columns: Sequence[tuple[str, Any]], pairs: PairSet, stretch: bool, title: str) -> bytes:
    """A PNG: a line a pair, with view 0, view 1 and the fused image of every column.

    Args:
        columns: what each is called, and a model object, a run's folder or a folder of pictures.
    """
    from fusionbench.core.figures import pair_sheet
    from fusionbench.training.run import read_run

    made = []
    for _, value in columns:
        is_run = isinstance(value, str | Path) and (Path(value) / "run.json").is_file()
        made.append(read_run(value).load_model(_spec(pairs)) if is_run else value)
    lines = []
    for index in range(min(SHOWN, len(pairs))):
        pair, name = pairs.pair(index), f"{pairs.stems[index]}.png"
        fused = [
            read_image(one / name, FULL).grey() if isinstance(one, Path) else fuse_pair(one, pair, index, stretch)
            for one in made
        ]
        lines.append([*pair, *fused])
    return pair_sheet(lines, ["view 0", "view 1", *(name for name, _ in columns)], title=title)
