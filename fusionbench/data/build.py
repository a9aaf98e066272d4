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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import DataError, MeasurementError, UsageError, some
from fusionbench.core.interfaces import Source, has_pairs
from fusionbench.core.interrupts import check_interrupt
from fusionbench.core.locks import lock
from fusionbench.core.parallel import WorkerLost
from fusionbench.core.workers import Death
from fusionbench.data import self_test as selftest
from fusionbench.data.build_manifest import finish_dataset
from fusionbench.data.build_shards import (
    JOURNAL,
    ShardOutcome,
    UnreadError,
    adopt_shards,
    build_shard,
    note_path,
    read_note,
    reading,
)
from fusionbench.data.build_shards import make_arrays as make_arrays  # was here in the first release
from fusionbench.data.dataset_folder import DatasetFolder
from fusionbench.data.file_digests import CACHE, DigestCache
from fusionbench.data.finished import (
    FinishedState,
    cache_key,
    inspect_finished,
    remember_shards,
    write_descriptions,
)
from fusionbench.data.preprocessing import pixels_digest
from fusionbench.data.recipes import AnyRecipe, load_recipe
from fusionbench.data.refused import is_small, leave_out_refused, refusal
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
from fusionbench.data.shards.manifest import FILE, Manifest
from fusionbench.data.source_record import SourceDigests
from fusionbench.sources.file_notes import tell_notes

WORKERS_LOG = "workers.log"  # in the journal: what worker processes print
_NAMED = 8  # shards in one line
ROUNDS = 3  # an engine whose worker was killed loses what was running; the rest of the work is tried again


def build_dataset(
    recipe: AnyRecipe | str | Path,
    source_dir: str | Path | None = None,
    out: str | Path = "data",
    jobs: int = 1,
    force: bool = False,
    scheduler: str | None = None,
    skip_refused: bool = False,
    update: bool = False,
) -> DatasetFolder:
    """Build the data set of ``recipe`` below ``out`` and return its folder; finished ones are checked and left alone.

    The folder is a path that shows itself as its data set in a notebook, and opens it: ``build_dataset(...).dataset``.

    What is damaged of a finished one is made again (:mod:`fusionbench.data.finished`). Where the source that is named
    is not the one it was built from, that is an error without ``update`` or ``force``.

    Args:
        recipe: its name, a ``.toml`` file, or from :func:`fusionbench.data.recipes.load_recipe`.
        source_dir: folder of the upstream files; None for embedded sources.
        out: root; the folder is ``<out>/<name>/<version>/<first 12 of the recipe's hash>``.
        jobs: worker processes, on which the bytes do not depend; 0: one a core, or none for a small data set.
        force: make all shards again.
        scheduler: address of a Dask scheduler (``tcp://host:8786``) whose workers make the shards instead of processes
            on this machine; they must see ``source_dir`` and ``out`` under the same names.
        skip_refused: read every file first and leave out those that are refused, which makes another recipe and data
            set of it (:func:`fusionbench.data.refused.leave_out_refused`).
        update: where the source has changed, make again the shards that are concerned, and leave the others. The result
            is that of a build from nothing.

    Raises:
        UsageError, DataError: bad source, no space, and so on; what is finished stays and the same call goes on. Or
            the source has changed.
        CannotMeasure: a worker died, and a second one over the same shard; what is finished stays, too.
        Rejected: the result is not what the recipe expects.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench import build_dataset
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     built = build_dataset("fusiondigits", out=folder)
        ...     print(built.relative_to(folder).parts[:2], built.dataset.size("test"))
        ('fusiondigits', '1.0.0') 296
    """
    if update and force:
        raise UsageError("force makes everything again and update only what has changed: choose one of them")
    if isinstance(recipe, str | Path):
        recipe = load_recipe(recipe)
    if skip_refused:
        recipe = leave_out_refused(recipe, open_source(recipe, source_dir, fresh=True))
    folder = DatasetFolder(recipe.folder(Path(out)))
    check_interrupt()
    found = None if force else inspect_finished(recipe, source_dir, folder, fresh=not skip_refused)
    if found is not None:
        if not update and (error := found.refusal()):
            raise error
        if found.intact:
            _tidy(folder)
            return folder
        if found.manifest is not None and found.change is None and not found.damaged_shards:
            with lock(folder / JOURNAL / "lock"):  # no source is needed for it
                _sweep(folder)
                write_descriptions(folder, found.manifest)
            progress.say(f"{folder}: {found.damage}; written again")
            return folder
    # everything that can be refused is refused before the folder is made
    selftest.require()
    try:
        source = open_source(recipe, source_dir, fresh=not skip_refused)
    except UsageError as error:
        if found is not None and found.damaged and source_dir is None:
            raise DataError(f"{folder}: {found.damage}; name the source with --source-dir to repair it") from error
        raise
    if not skip_refused and is_small(source, recipe) and (refused := refusal(recipe, source, bar=False)):
        raise refused
    try:
        _probe(recipe, source)
        builder = sample_builder(recipe, source)
        with reading():
            scan_source(recipe, builder, source_dir, jobs, scheduler)
            banks = [plan_cutouts(recipe, split) for split in recipe.banks]
            plans = [*banks, *plan_shards(recipe, builder)]
        cache = DigestCache(folder / JOURNAL / CACHE)
        job = _Build(recipe, source_dir, source, Path(folder), jobs, scheduler, cache)
        plans = with_states(recipe, source, plans, SourceDigests(source, cache))
        with lock(folder / JOURNAL / "lock", wait=False) as held:
            if held:
                return DatasetFolder(_build(job, plans, force, update))
        progress.say(f"{folder}: another build is at work here; waiting for it")
        with lock(folder / JOURNAL / "lock"):
            return DatasetFolder(_build(job, plans, False, update))
    except UnreadError as error:
        raise (refusal(recipe, source) or DataError(str(error))) from error


@dataclass(frozen=True)
class _Build:
    """What all steps of one build have in common."""

    recipe: AnyRecipe
    source_dir: str | Path | None
    source: Source
    folder: Path
    jobs: int
    scheduler: str | None
    cache: DigestCache

    def sha256(self, path: Path) -> str:
        """Digest of a shard, which is read only when its stamp is new."""
        return self.cache.sha256(cache_key(path.name), path)


def _build(job: _Build, plans: list[ShardPlan], force: bool, update: bool) -> Path:
    """Finish, update or repair the data set; only for who holds the lock."""
    recipe, folder = job.recipe, job.folder
    found = None if force else inspect_finished(recipe, job.source_dir, folder, fresh=False)
    if found is not None:
        if not update and (error := found.refusal()):
            raise error
        if found.intact:
            return folder
    _sweep(folder)
    if found is not None and found.manifest is not None and found.change is None:
        _repair(job, plans, found, found.manifest)
        return folder
    if found is not None and found.damaged:
        progress.say(f"{folder}: {found.damage}; making it again")
    # from here on the folder is a build that was begun, which the same command finishes
    (folder / FILE).unlink(missing_ok=True)
    job.cache.save()
    notes: dict[ShardPlan, dict[str, Any]] = {}
    if not force:
        adopt_shards(recipe, folder, plans, job.sha256)
        notes = {plan: note for plan in plans if (note := read_note(recipe, folder, plan, sha256=job.sha256))}
    made = [plan.file for plan in plans if plan not in notes]
    if notes and made and found is None:
        progress.say(f"{recipe.name}: {len(notes)} of {len(plans)} shards are there; making the others")
    _make(job, plans, notes)
    for stray in {*folder.glob(f"{recipe.name}-{recipe.version}-*.h5")} - {folder / plan.file for plan in plans}:
        stray.unlink()  # of a build that was stopped before files were added to the source or removed
    for stray in {*(folder / JOURNAL).glob("*.h5.json")} - {note_path(folder, plan) for plan in plans}:
        stray.unlink()
    now = with_states(recipe, job.source, plans, SourceDigests(job.source, job.cache))
    if [plan.state for plan in now] != [plan.state for plan in plans]:
        raise DataError(
            f"{job.source_dir}: files were changed while the data set was made from them; no {FILE} was written; run "
            "the same command again, which makes again what is concerned"
        )
    finish_dataset(recipe, job.source, folder, notes, job.cache)
    if found is not None:
        names = f": {some(made, ', ', _NAMED)}" if made else ""
        progress.say(f"{recipe.name}: {len(made)} of {len(plans)} shards made again{names}")
    return folder


def _repair(job: _Build, plans: list[ShardPlan], found: FinishedState, manifest: Manifest) -> None:
    """Make the damaged files of a finished data set again, and nothing else; its manifest stays.

    Raises:
        DataError: they come out otherwise than the manifest says.
    """
    folder, damaged = job.folder, found.damaged_shards
    progress.say(f"{folder}: {found.damage}; making what is damaged again")
    todo = [plan for plan in plans if plan.file in damaged]
    notes: dict[ShardPlan, dict[str, Any]] = {}
    _make(job, todo, notes)
    files = {plan.file: notes[plan]["entry"]["file_sha256"] for plan in todo}
    wrong = [
        entry.file
        for split in manifest.splits.values()
        for entry in (*split.shards, *([split.cutouts] if split.cutouts else []))
        if entry.file in damaged and files.get(entry.file) != entry.file_sha256
    ]
    if wrong:
        raise DataError(
            f"{folder}: {some(wrong, ', ', _NAMED)}: made again, but not as {FILE} says: the source or a "
            "library differs; make all of it again with --force"
        )
    if found.damaged.keys() - set(damaged):
        write_descriptions(folder, manifest)
    remember_shards(folder, todo, files, job.cache)
    job.cache.save()
    progress.say(f"{folder}: repaired: {some(list(found.damaged), ', ', _NAMED)}")


def _make(job: _Build, plans: list[ShardPlan], notes: dict[ShardPlan, dict[str, Any]]) -> None:
    """Make the shards that are not in ``notes``, and add their notes.

    Raises:
        DataError: an unreadable source, a full disk, …
        MeasurementError: workers died.
    """
    recipe, folder, source_dir = job.recipe, job.folder, job.source_dir
    for plan in plans:  # banks of cut-outs before the shards that are made from them
        if plan.rows is None and plan not in notes:
            progress.say(f"{recipe.name}: cutting out the occluders of {plan.split}")
            _raise(build_shard(recipe, str(source_dir) if source_dir is not None else None, folder, plan))
            if note := read_note(recipe, folder, plan, written=True):
                notes[plan] = note
    remarks: dict[str, str] = {}
    scheduler, jobs = job.scheduler, job.jobs
    shards = [plan for plan in plans if plan.rows is not None]
    done = sum(plan in notes for plan in shards)
    with progress.progress(recipe.name, len(shards), "shards", done=done) as bar:
        deaths: dict[ShardPlan, Death] = {}
        for _ in range(ROUNDS):
            todo = [plan for plan in shards if plan not in notes]
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
        raise MeasurementError(_lost(folder, missing, len(plans), deaths))
    tell_notes(source_dir, remarks)
    _sweep(folder)  # of workers that were killed on the way


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


def _tidy(folder: Path) -> None:
    """Remove what a killed repair left in a finished data set, unless a build is at work there now."""
    if any(folder.glob(".*.tmp")):
        with contextlib.suppress(DataError, OSError), lock(folder / JOURNAL / "lock", wait=False) as held:
            if held:
                _sweep(folder)


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
