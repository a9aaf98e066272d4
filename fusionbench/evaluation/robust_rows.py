"""Rows of ``pairs-robust/1``: a model that is run here, or a folder of fused images for each condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError, some
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import encode_png, fit_ranges, images_in, read_image
from fusionbench.core.interfaces import can_fuse
from fusionbench.core.io import digest, file_sha256, utf8_names, write_bytes
from fusionbench.core.progress import progress, say
from fusionbench.evaluation.make_result import make_result, saved_result
from fusionbench.evaluation.pair_images import keeps_images
from fusionbench.evaluation.partial_scores import PartialScores
from fusionbench.evaluation.robust_sheet import KEPT, SHEET, condition_sheet
from fusionbench.evaluation.robustness import (
    PairConditions,
    ScoredPair,
    degraded_pair,
    fill_robust_result,
    metric_versions,
    score_conditions,
)
from fusionbench.evaluation.subject import EvaluatedModel, Scorable
from fusionbench.evaluation.unfinished_pairs import PairsToWrite, UnfinishedPairs, has_begun
from fusionbench.evaluation.watch_cost import CostWatch
from fusionbench.metrics.engine import choose
from fusionbench.results.robustness import CLEAN, DamageCondition
from fusionbench.results.schema import Identity, ModelIdentity, Origin, Result, save
from fusionbench.training.runtime import describe_host, launch

if TYPE_CHECKING:
    from fusionbench.evaluation.kept_rows import KeptRows
    from fusionbench.evaluation.pair_sets import PairSet
    from fusionbench.evaluation.protocols.base import BaseProtocol

Maker = Callable[
    [int, "DamageCondition | None", np.ndarray], np.ndarray
]  # index, condition (None: clean) and pair to fused


def evaluate_row(
    protocol: BaseProtocol,
    model: Scorable,
    pairs: PairSet,
    options: Any,
    *,
    out: str | Path | None = "results",
    device: str = "auto",
    title: str | None = None,
    params: dict[str, Any] | None = None,
    force: bool = False,
    keep_images: bool | None = None,
) -> Result:
    """Score a model object, or a run, and save the result below ``out``; one that lies there already is returned.

    Every pair is fused at its own size, clean and at every condition, and rounded as ``pairs/1`` does.

    Args:
        params: parameters that a model object was built with; part of the identity (a run knows its own).
        keep_images: a sheet of the first pair at every condition; None: where the source may be passed on.

    Raises:
        UsageError: a model that fuses nothing, or not pairs.
        DataError: a pair that cannot be read, degraded or scored.
    """
    import torch

    from fusionbench.evaluation.pairs import to_batch, to_luma

    runtime = launch(device, "fp32")
    _ = pairs.identity  # looks at every pair: one line says what is wrong with all of them
    subject = EvaluatedModel.of(model, protocol.spec(pairs), runtime.device, params)
    fuses = subject.model
    if not can_fuse(fuses):
        raise UsageError(f"{subject.title} has no fuse: the protocol {protocol.key} scores one fused image a pair")
    about: dict[str, Any] = {"title": title or subject.title, "family": subject.family, "model_code": subject.code}
    result = _result(protocol, pairs, options, subject.identity, subject.training, **about)
    if (found := saved_result(result, out, force or subject.unknown)) is not None:
        return found
    watch = CostWatch(runtime.device)

    def fuse(index: int, condition: DamageCondition | None, pair: np.ndarray) -> np.ndarray:
        with torch.no_grad(), watch.image(pair[0].size):
            fused = fuses.fuse(to_batch(pair, index, runtime.device))
        return to_luma(fused, stretch=False)

    keep = out is not None and keeps_images(pairs, keep_images)
    host = describe_host(runtime.device)
    partial = PartialScores.of([result], out, subject, protocol=protocol, host=host)
    kept = partial.rows("pairs", pairs.stems, ScoredPair, watch)
    sheet = result.folder(out) / SHEET if keep and out is not None else None
    table = _score(result, pairs, options, fuse, torch.get_num_threads(), kept, sheet)
    result.cost = subject.cost() | watch.cost()
    result.provenance |= {"host": describe_host(runtime.device), "precision": runtime.precision}
    result.provenance |= subject.provenance
    return _saved(result, table, out, partial)


def score_folders(
    protocol: BaseProtocol,
    fused: str | Path,
    pairs: PairSet,
    options: Any,
    *,
    name: str,
    title: str,
    note: str = "",
    out: str | Path | None = "results",
    keep_images: bool | None = None,
    strict: bool = False,
    jobs: int | None = None,
    range_fused: Range | str | None = None,
) -> Result:
    """Score what a method made elsewhere: ``fused/clean/`` and a folder for every condition, such as
    ``fused/shift-1-severity-3/``, of images paired by stem; status ``scored``.

    :func:`fusionbench.evaluation.robust_inputs.write_inputs` writes the degraded pairs in the same layout.

    Args:
        name, title: what the method is called in folders and on tables.
        note: where the images are from.
        strict: refuse an image that belongs to no pair.
        jobs: pairs at a time; None takes the number of cores that this process may use.
        range_fused: which values of the fused images are black and white; part of the identity.

    Raises:
        DataError: folders or images that lack, unreadable images, or such of another size.
    """
    import joblib

    place = Path(fused)
    folders = {CLEAN: place / CLEAN} | {str(one): place / one.folder for one in options.conditions}
    if lacking := [folder.name for folder in folders.values() if not folder.is_dir()]:
        raise DataError(
            f"{place}: {len(lacking)} of {len(folders)} folders of fused images are not here: {some(lacking)}; "
            "`fusionbench degrade --suite SUITE` writes the pairs to fuse, in folders of these names"
        )
    files: dict[str, dict[str, Path]] = {}
    for column, folder in folders.items():
        files[column] = utf8_names(images_in(folder))
        if missing := [stem for stem in pairs.stems if stem not in files[column]]:
            raise DataError(f"{folder}: {len(missing)} of {len(pairs)} pairs have no image here: {some(missing)}")
        if extra := sorted(files[column].keys() - set(pairs.source.stems(pairs.split))):
            text = f"{folder}: {len(extra)} images belong to no pair of {pairs.name}: {some(extra)}"
            if strict:
                raise DataError(f"{text}; take them away, or leave out --strict")
            say(f"warning: {text}; they are passed over")
    wanted = Range.of(range_fused)
    every = [files[column][stem] for column in folders for stem in pairs.stems]
    ranges = fit_ranges(replace(pairs.ranges, fused=wanted), {"fused": every})
    made_of = digest([[column, stem, file_sha256(files[column][stem])] for column in folders for stem in pairs.stems])
    identity = ModelIdentity(name=name, version="pictures", weights_sha256=made_of)
    about: dict[str, Any] = {"title": title, "status": "scored", "origin": Origin(kind="submission", note=note)}
    result = _result(protocol, pairs, options, identity, None, ranges, **about)
    if (found := saved_result(result, out)) is not None:
        return found

    def read(index: int, condition: DamageCondition | None, pair: np.ndarray) -> np.ndarray:
        path = files[CLEAN if condition is None else str(condition)][pairs.stems[index]]
        return read_image(path, ranges.fused, option="--range-fused").grey()

    keep = out is not None and keeps_images(pairs, keep_images)
    partial = PartialScores.of([result], out)
    kept = partial.rows("pairs", pairs.stems, ScoredPair)
    sheet = result.folder(out) / SHEET if keep and out is not None else None
    table = _score(result, pairs, options, read, jobs or joblib.cpu_count(), kept, sheet)
    return _saved(result, table, out, partial)


def _result(
    protocol: BaseProtocol,
    pairs: PairSet,
    options: Any,
    model: ModelIdentity,
    training: Any,
    ranges: Ranges | None = None,
    **about: Any,
) -> Result:
    """A result without scores. ``ranges``: those of a protocol with fused files."""
    rules = protocol.identity(options, pairs)
    if ranges is not None:
        rules.params |= ranges.params()
    versions = metric_versions(options.metrics)
    identity = Identity(model=model, dataset=pairs.identity, protocol=rules, metrics=versions, training=training)
    result = make_result(identity, **about)
    if pairs.missing:
        result.provenance["left_out"] = pairs.missing
    if pairs.alignment is not None:
        result.provenance["alignment"] = pairs.alignment.to_json()
    return result


def _score(
    result: Result,
    pairs: PairSet,
    options: Any,
    make: Maker,
    jobs: int,
    kept: KeptRows[ScoredPair],
    sheet: Path | None,
) -> dict[str, Any]:
    """Fill the scores of a result; its table per image.

    Args:
        kept: the scores of every pair.
        sheet: where that of the first pair is written.

    Raises:
        UnfinishedError: the time is over; the same call goes on.
    """
    import cv2  # noqa: F401 - before there are threads: its loader takes its module away for a moment
    from joblib import Parallel, delayed

    metrics, conditions = choose(options.metrics), options.conditions
    seen = [metric for metric in metrics if metric.name in options.seen]

    def conditions_of(index: int) -> PairConditions:
        pair = pairs.pair(index)
        made = {}
        for condition in conditions:
            degraded = degraded_pair(pairs, index, condition, options.seed)
            made[condition] = degraded, make(index, condition, degraded)
            bar.advance(1, f"{pairs.stems[index]}, {condition}")
        clean = make(index, None, pair)
        bar.advance()
        return PairConditions(pairs.stems[index], pair, clean, made)

    pool = Parallel(n_jobs=jobs, prefer="threads")
    if sheet is not None and not sheet.is_file():
        kept.forget()
    images = 1 + len(conditions)
    with progress(f"score {result.title}", images * len(pairs), "images", images * len(kept.rows)) as bar:
        while (begin := len(kept.rows)) < len(pairs):
            kept.stop_in_time(f"{result.title} on {pairs.name}")
            work = [conditions_of(index) for index in range(begin, min(len(pairs), begin + jobs))]
            if sheet is not None and not begin:
                write_bytes(sheet, condition_sheet(work[0], result.title))
            kept.add(pool(delayed(score_conditions)(one, metrics, seen) for one in work))
    if sheet is not None:
        result.pictures = {KEPT: SHEET}
    return fill_robust_result(result, pairs, kept.rows, metrics, seen, conditions)


def _saved(result: Result, table: dict[str, Any], out: str | Path | None, partial: PartialScores) -> Result:
    if out is None:
        result.remember(table=table)
    else:
        save(result, out, table)
    partial.remove()
    return result


def write_suite_inputs(
    suite: str | Path, a: str | Path, b: str | Path, out: str | Path, *, strict: bool = False, force: bool = False
) -> list[Path]:
    """Write what a suite of degraded pairs gives a method, of its pairs in two folders of any name; the folders made.

    A call that was stopped can be made again: all is written anew then, the same bytes.

    Raises:
        UsageError: a suite of another protocol, or ``out`` is not empty and not ``force``, also with other unfinished
            pairs.
        DataError: folders without the pairs of the suite.
    """
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.evaluation.suites import load_suite

    chosen, place = load_suite(suite), Path(out)
    options: Any = chosen.protocol
    if not hasattr(options, "conditions"):
        raise UsageError(f"{chosen.name} is scored under {options.name}, which degrades nothing; see ivif-tno-robust")
    if not force and place.exists() and not (place.is_dir() and has_begun(place)):
        raise UsageError(f"{place}: there is something already; choose another folder, or take --force")
    pairs = PROTOCOLS.get(options.name).open_images(chosen, Path(a), Path(b), strict=strict)
    folders = {CLEAN: CLEAN, **{f"{one.family} {one.severity}": one.folder for one in options.conditions}}
    sources = digest([pairs.identity.id, pairs.stems])  # reads all of them, before one is written
    wanted = PairsToWrite(folders=folders, seed=options.seed, ranges=pairs.ranges.texts(), sources_sha256=sources)
    begun = UnfinishedPairs.begin(place, wanted, force)
    write_inputs(pairs, options.conditions, place, options.seed)
    begun.finish()
    return [place / name for name in folders.values()]


def write_inputs(pairs: PairSet, conditions: Sequence[DamageCondition], out: str | Path, seed: int = 0) -> Path:
    """Write what a method gets, clean and at every condition: ``out/<condition>/a/<stem>.png`` and ``…/b/<stem>.png``.

    A file that is there is written again: the same bytes, unless it was changed.

    Raises:
        DataError: a pair that cannot be read or degraded, or a folder that cannot be written.

    Example:
        >>> import tempfile
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.robust_rows import write_inputs
        >>> from fusionbench.results.robustness import DamageCondition
        >>> pairs = open_pairs("pairs-demo", "all", limit=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = write_inputs(pairs, [DamageCondition("shift/1", 1)], folder)
        ...     print(sorted(path.relative_to(folder).as_posix() for path in made.glob("*/a/*")))
        ['clean/a/astronaut.png', 'shift-1-severity-1/a/astronaut.png']
    """
    place, steps = Path(out), 1 + len(conditions)
    with progress("write degraded pairs", len(pairs) * steps, "pairs") as bar:
        for index, stem in enumerate(pairs.stems):
            made = {CLEAN: pairs.pair(index)}
            for condition in conditions:
                made[condition.folder] = degraded_pair(pairs, index, condition, seed)
            for folder, pair in made.items():
                for side, pixels in zip("ab", pair, strict=True):
                    write_bytes(place / folder / side / f"{stem}.png", encode_png(pixels))
                bar.advance()
    return place
