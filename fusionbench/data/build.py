"""Recipe × source → shards: parallel, resumable, and the same bytes for any number of workers.

A shard is a fixed range of samples made by one process from nothing but the recipe, the source and its number, so
workers never name or cut files. A finished shard is noted in ``.build/``; a build is "make what is not noted or not
intact", which is also how it resumes. The manifest is written last.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import CannotMeasure, DataError, Rejected
from fusionbench.core.interfaces import Source, has_pairs
from fusionbench.core.interrupts import check_interrupt
from fusionbench.core.io import digest, write_json
from fusionbench.core.locks import lock
from fusionbench.core.parallel import WorkerLost
from fusionbench.core.workers import Death
from fusionbench.data import self_test as selftest
from fusionbench.data.build_shards import JOURNAL, ShardOutcome, UnreadError, build_shard, read_note, reading
from fusionbench.data.build_shards import make_arrays as make_arrays  # was here in the first release
from fusionbench.data.card import write_card
from fusionbench.data.preprocessing import pixels_digest
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.refused import is_small, leave_out_refused, refusal, refusal_reasons
from fusionbench.data.sample_builders import sample_builder
from fusionbench.data.shard_layout import (
    CRASHED,
    ShardPlan,
    open_source,
    plan_cutouts,
    plan_shards,
    run_away,
    scan_source,
    task_root,
    with_states,
    worker_count,
)
from fusionbench.data.shards import croissant
from fusionbench.data.shards.manifest import (
    FILE,
    CutoutGate,
    Manifest,
    ShardEntry,
    SourceEntry,
    SplitEntry,
    identity,
    read_manifest,
    write_manifest,
)
from fusionbench.sources.file_notes import tell_notes

WORKERS_LOG = "workers.log"  # in the journal: what worker processes print
ROUNDS = 3  # an engine whose worker was killed loses what was running; the rest of the work is tried again


def build_dataset(
    recipe: AnyRecipe,
    source_dir: str | Path | None = None,
    out: str | Path = "data",
    jobs: int = 1,
    force: bool = False,
    scheduler: str | None = None,
    skip_refused: bool = False,
) -> Path:
    """Build the data set of ``recipe`` below ``out`` and return its folder; finished ones are left alone.

    Args:
        recipe: from :func:`fusionbench.data.recipes.load_recipe`.
        source_dir: folder of the upstream files; None for embedded sources.
        out: root; the folder is ``<out>/<name>/<version>/<first 12 of the recipe's hash>``.
        jobs: worker processes, on which the bytes do not depend; 0: one a core, or none for a small data set.
        force: make all shards again.
        scheduler: address of a Dask scheduler (``tcp://host:8786``) whose workers make the shards instead of processes
            on this machine; they must see ``source_dir`` and ``out`` under the same names.
        skip_refused: read every file first and leave out those that are refused, which makes another recipe and data
            set of it (:func:`fusionbench.data.refused.leave_out_refused`).

    Raises:
        UsageError, DataError: bad source, no space, and so on; what is finished stays and the same call goes on.
        CannotMeasure: a worker died, and a second one over the same shard; what is finished stays, too.
        Rejected: the result is not what the recipe expects.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench import build_dataset
        >>> from fusionbench.data.recipes import load_recipe
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     built = build_dataset(load_recipe("fusiondigits"), out=folder)
        ...     print(built.relative_to(folder).parts[:2], (built / "manifest.json").is_file())
        ('fusiondigits', '1.0.0') True
    """
    if skip_refused:
        recipe = leave_out_refused(recipe, open_source(recipe, source_dir, fresh=True))
    folder = recipe.folder(Path(out))
    if (folder / FILE).is_file() and not force:
        read_manifest(folder)
        return folder
    check_interrupt()
    # everything that can be refused is refused before the folder is made
    selftest.require()
    source = open_source(recipe, source_dir, fresh=not skip_refused)
    if not skip_refused and is_small(source, recipe) and (error := refusal(recipe, source, bar=False)):
        raise error
    try:
        _probe(recipe, source)
        builder = sample_builder(recipe, source)
        with reading():
            scan_source(recipe, builder, source_dir, jobs, scheduler)
            plans = with_states(recipe, source, plan_shards(recipe, builder))
        with lock(folder / JOURNAL / "lock", wait=False) as held:
            if held:
                return _build(recipe, source_dir, folder, plans, jobs, force, scheduler)
        progress.say(f"{folder}: another build is at work here; waiting for it")
        with lock(folder / JOURNAL / "lock"):
            return _build(recipe, source_dir, folder, plans, jobs, False, scheduler)
    except UnreadError as error:
        raise (refusal(recipe, source) or DataError(str(error))) from error


def _build(
    recipe: AnyRecipe,
    source_dir: str | Path | None,
    folder: Path,
    plans: list[ShardPlan],
    jobs: int,
    force: bool,
    scheduler: str | None,
) -> Path:
    if (folder / FILE).is_file() and not force:
        return folder
    source = open_source(recipe, source_dir)
    _sweep(folder)
    banks = with_states(recipe, source, [plan_cutouts(recipe, split) for split in recipe.banks])
    for plan in banks:  # before the shards, which are made from them
        if force or read_note(recipe, folder, plan) is None:
            progress.say(f"{recipe.name}: cutting out the occluders of {plan.split}")
            _raise(build_shard(recipe, str(source_dir) if source_dir is not None else None, folder, plan))
    remarks: dict[str, str] = {}
    notes = {} if force else {plan: note for plan in plans if (note := read_note(recipe, folder, plan))}
    if notes and len(notes) < len(plans):
        progress.say(f"{recipe.name}: {len(notes)} of {len(plans)} shards are there; making the others")
    with progress.progress(recipe.name, len(plans), "shards", done=len(notes)) as bar:
        deaths: dict[ShardPlan, Death] = {}
        for _ in range(ROUNDS):
            todo = [plan for plan in plans if plan not in notes]
            if not todo:
                break
            last = bool(deaths)  # what killed a worker gets another one, alone; and never a third
            written = set()
            with contextlib.closing(
                _run(recipe, source_dir, folder, todo, jobs, bar, scheduler, **({"alone": True} if last else {}))
            ) as outcomes:
                for outcome in outcomes:
                    if outcome.death is not None:
                        deaths[outcome.plan] = outcome.death
                        continue
                    _raise(outcome)
                    remarks |= outcome.notes
                    written.add(outcome.plan)
            notes.update({plan: note for plan in todo if (note := read_note(recipe, folder, plan, plan in written))})
            if last:
                break
    missing = [plan for plan in plans if plan not in notes]
    if missing:
        _sweep(folder)
        raise CannotMeasure(_lost(folder, missing, len(plans), deaths))
    tell_notes(source_dir, remarks)
    _sweep(folder)  # of workers that were killed on the way
    for stray in {*folder.glob(f"{recipe.name}-{recipe.version}-*.h5")} - {
        folder / plan.file for plan in [*banks, *plans]
    }:
        stray.unlink()  # of a build that was stopped before files were added to the source or removed
    now = with_states(recipe, source, [*banks, *plans])
    if [plan.state for plan in now] != [plan.state for plan in [*banks, *plans]]:
        raise DataError(
            f"{source_dir}: files were changed while the data set was made from them; no {FILE} was written; run the "
            "same command again, which makes again what is concerned"
        )
    _finish(recipe, source, folder, banks, plans, notes)
    return folder


def _lost(folder: Path, missing: list[ShardPlan], count: int, deaths: dict[ShardPlan, Death]) -> str:
    """One line on the shards whose workers died."""
    names = ", ".join(plan.file for plan in missing[:3]) + (" and others" if len(missing) > 3 else "")
    death = next((deaths[plan] for plan in missing if plan in deaths), None)
    how = "killed; try fewer --jobs if memory is short" if death is None else death.text(CRASHED)
    many = f"{len(missing)} of {count} shards are missing" if len(missing) > 1 else "one shard is missing"
    return f"{folder}: {many}, the worker that made {names} {how}; finished shards are kept, the same command goes on"


def _sweep(folder: Path) -> None:
    """Remove what killed builds and workers left half written; only for who holds the lock."""
    for leftover in [*folder.glob(".*.tmp"), *(folder / JOURNAL).glob(".*.tmp")]:
        leftover.unlink(missing_ok=True)


def _raise(outcome: ShardOutcome) -> None:
    if outcome.bug:
        raise RuntimeError(f"building {outcome.plan.file} failed:\n{outcome.bug}")
    if outcome.error:
        raise (UnreadError if outcome.unread else DataError)(f"{outcome.plan.file}: {outcome.error}")


def _run(
    recipe: AnyRecipe,
    source_dir: str | Path | None,
    folder: Path,
    todo: list[ShardPlan],
    jobs: int,
    bar: progress.Task,
    scheduler: str | None = None,
    alone: bool = False,
) -> Generator[ShardOutcome, None, None]:
    """ShardOutcomes of making the shards ``todo``; ``alone``: one at a time, yet not in this process."""
    root, started, samples = task_root(source_dir, scheduler), time.monotonic(), 0
    folder = folder if scheduler is None else folder.absolute()
    jobs = worker_count(jobs, sum(plan.stop - plan.start for plan in todo) * recipe.work, len(todo))
    tasks = [(recipe, root, folder, plan) for plan in todo]
    log = folder / JOURNAL / WORKERS_LOG
    try:
        with contextlib.closing(
            run_away(build_shard, tasks, 1 if alone else jobs, scheduler, log=log, isolated=alone)
        ) as outcomes:
            for outcome in outcomes:
                samples += outcome.plan.stop - outcome.plan.start
                rate = samples * recipe.image_spec.views / max(time.monotonic() - started, 1e-6)
                bar.advance(1, f"{rate:,.0f} views/s")
                yield outcome
    except WorkerLost as lost:
        if not alone:
            progress.say(f"{recipe.name}: a worker was lost; making its shards again")
        for index, death in lost.deaths.items():
            yield ShardOutcome(todo[index], death=death)


def _probe(recipe: AnyRecipe, source: Source) -> None:
    """Compare the first decoded source images with the digests in the recipe, before anything is written."""
    for split, expected in recipe.expect.probe.items():
        with reading():
            found = probe(source, split)
        if found != expected:
            raise DataError(
                f"The first images of {source.name!r} ({split}) differ from those this recipe is made for: other "
                "files, or a library that decodes them differently (JPEG needs libjpeg-turbo: Pillow 9, OpenCV)"
            )


def probe(source: Source, split: str, count: int = 16) -> str:
    """Hex sha256 of the first ``count`` decoded images, or pairs, of a source's split."""
    first = np.arange(min(count, source.length(split)))
    if has_pairs(source):
        return pixels_digest(source.read_pairs(split, first))
    images = source.read(split, first)
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()


def _finish(
    recipe: AnyRecipe,
    source: Source,
    folder: Path,
    banks: list[ShardPlan],
    plans: list[ShardPlan],
    notes: dict[ShardPlan, dict[str, Any]],
) -> None:
    splits: dict[str, SplitEntry] = {}
    fingerprints = {}
    pixels = recipe.image_spec.height * recipe.image_spec.width
    for split in recipe.splits:
        mine = [plan for plan in plans if plan.split == split]
        shards = [ShardEntry(**notes[plan]["entry"]) for plan in mine]
        n = sum(shard.n for shard in shards)
        covered = np.sum([notes[plan]["covered"] for plan in mine], axis=0).tolist()
        coverage = [round(count / (n * pixels), 6) for count in covered]
        bank = next((read_note(recipe, folder, plan) for plan in banks if plan.split == split), None)
        cutouts, agreement = (ShardEntry(**bank["entry"]), bank.get("cutouts_iou")) if bank else (None, None)
        gate = CutoutGate(**bank["cutouts_gate"]) if bank and bank.get("cutouts_gate") else msgspec.UNSET
        splits[split] = SplitEntry(
            n=n, shards=shards, coverage=coverage, cutouts=cutouts, cutouts_iou=agreement, cutouts_gate=gate
        )
        fingerprints[split] = digest([shard.source_sha256 for shard in shards])
    refused = refusal_reasons(recipe)
    manifest = Manifest(
        format="fusionbench.dataset/1",
        name=recipe.name,
        version=recipe.version,
        title=recipe.title,
        id=identity(splits, refused),
        recipe=recipe.spec,
        recipe_sha256=recipe.hash,
        seed=recipe.seed,
        source=SourceEntry(
            name=source.name,
            title=source.title,
            licence=source.licence,
            citation=source.citation,
            homepage=source.homepage,
            redistributable=source.redistributable,
            fingerprint=fingerprints,
        ),
        splits=splits,
        refused=refused or msgspec.UNSET,
    )
    if recipe.expect.id is not None and manifest.id != recipe.expect.id:
        raise Rejected(
            f"{folder}: the data set came out as {manifest.id[:12]}… and not as {recipe.expect.id[:12]}…, which the "
            f"recipe expects: the source or a library differs; no {FILE} was written"
        )
    write_json(folder / croissant.FILE, croissant.croissant(manifest), indent=1)
    write_card(folder, manifest)
    write_manifest(folder, manifest)  # last: it makes the folder a data set
