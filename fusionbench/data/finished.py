"""Whether a data set that was finished is still what its manifest says, and its source what it was built from.

Cheap enough for every start of ``generate``: sizes and stamps of files, and digests only of those whose stamps are new
(:mod:`fusionbench.data.file_digests`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import DataError, some
from fusionbench.core.interfaces import Source
from fusionbench.core.io import digest, write_bytes
from fusionbench.data import card
from fusionbench.data.build_shards import JOURNAL, note_path, read_note, refresh_note
from fusionbench.data.file_digests import CACHE, DigestCache
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.sample_builders import SampleBuilder, sample_builder
from fusionbench.data.shard_layout import ShardPlan, open_source, plan_cutouts, plan_shards, with_states
from fusionbench.data.shards import croissant
from fusionbench.data.shards.manifest import FILE, Manifest, ShardEntry, read_manifest
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import array_digests
from fusionbench.data.source_files import labels_of
from fusionbench.data.source_record import (
    RECORD,
    SourceChange,
    SourceDigests,
    compare_records,
    is_recordable,
    read_source_record,
    record_of,
    write_source_record,
)
from fusionbench.sources import SOURCES

DESCRIPTIONS = (croissant.FILE, card.FILE, card.PREVIEW)
_SHOWN = 3


@dataclass(frozen=True)
class FinishedState:
    """What was found of a finished data set.

    Attributes:
        manifest: None when it is damaged.
        damaged: file -> what is wrong with it.
        change: of the source, None where it is unchanged or was not named.
    """

    folder: Path
    manifest: Manifest | None
    damaged: dict[str, str] = field(default_factory=dict)
    change: SourceChange | None = None

    @property
    def intact(self) -> bool:
        return not self.damaged and self.change is None

    @property
    def damaged_shards(self) -> list[str]:
        """Shards and banks of cut-outs that are damaged, in the order of the manifest."""
        return [name for name in self.damaged if name != FILE and name not in DESCRIPTIONS]

    @property
    def damage(self) -> str:
        """ "2 of 43 files are damaged: a.h5 (missing), b.h5 (its bytes have changed)"; "" of an intact one."""
        if not self.damaged:
            return ""
        total = len(_entries(self.manifest)) + 1 + len(DESCRIPTIONS) if self.manifest is not None else 0
        listed = some([f"{name} ({what})" for name, what in self.damaged.items()], ", ", _SHOWN)
        count = len(self.damaged)
        of = f"{count} of {total} files" if total else f"{count} {'file' if count == 1 else 'files'}"
        return f"{of} {'is' if count == 1 else 'are'} damaged: {listed}"

    def refusal(self) -> DataError | None:
        """The error for a source that has changed."""
        if self.change is None:
            return None
        change = self.change
        more = f"; {self.damage}, too" if self.damaged else ""
        return DataError(
            f"{self.folder}: the source has changed since this data set was built from it: {change.what} (fingerprint "
            f"{change.before[:12]}… then, {change.now[:12]}… now){more}; build what is concerned again with "
            "`generate --update`, all of it with --force, or another data set with another --out"
        )


def inspect_finished(
    recipe: AnyRecipe, source_dir: str | Path | None, folder: Path, fresh: bool = True
) -> FinishedState | None:
    """Compare a finished data set with its manifest, and a source that is named with what it was built from.

    Args:
        fresh: list the source's folder anew.

    Returns:
        None when the data set is not finished.

    Raises:
        UsageError, DataError: the source cannot be opened, or does not fit the recipe.
    """
    if not is_finished(folder):
        return None
    try:
        manifest = read_manifest(folder)
    except DataError as error:
        return FinishedState(folder, None, {FILE: str(error).removeprefix(f"{folder / FILE}: ")})
    cache = DigestCache(folder / JOURNAL / CACHE)
    damaged = damaged_files(folder, manifest, cache)
    change = None
    if source_dir is not None and is_recordable(SOURCES.get(recipe.source.name)):
        change = source_change(recipe, open_source(recipe, source_dir, fresh), folder, manifest, cache)
    cache.save()
    return FinishedState(folder, manifest, damaged, change)


def is_finished(folder: Path) -> bool:
    """Whether there is a manifest.

    Raises:
        DataError: a path that the system refuses, for example one that is too long.
    """
    try:
        os.stat(folder / FILE)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(folder)[:80]}…: {reason}; choose another --out") from error
    return True


def _entries(manifest: Manifest) -> list[ShardEntry]:
    entries = []
    for split in manifest.splits.values():
        entries += ([split.cutouts] if split.cutouts else []) + split.shards
    return entries


def cache_key(file: str) -> str:
    """Of a shard in the cache of digests."""
    return f"shard/{file}"


def damaged_files(folder: Path, manifest: Manifest, cache: DigestCache, known_only: bool = False) -> dict[str, str]:
    """File -> what is wrong with it.

    Args:
        known_only: read no file whose digest is not in the cache, so that nothing is read of a copied data set.
    """
    damaged: dict[str, str] = {}
    whole: dict[str, Path] = {}
    expected: dict[str, str] = {}
    for entry in _entries(manifest):
        path = folder / entry.file
        try:
            size = path.stat().st_size
        except OSError:
            damaged[entry.file] = "missing"
            continue
        expected_size, expected_sha256 = entry.on_disk
        if size != expected_size:
            damaged[entry.file] = f"{size:,} bytes instead of {expected_size:,}"
        elif not known_only or cache_key(entry.file) in cache:
            whole[cache_key(entry.file)], expected[cache_key(entry.file)] = path, expected_sha256
    for key, sha256 in cache.sha256_of(whole).items():
        if sha256 != expected[key]:
            damaged[whole[key].name] = "its bytes have changed"
    order = {entry.file: place for place, entry in enumerate(_entries(manifest))}
    damaged = dict(sorted(damaged.items(), key=lambda item: order[item[0]]))
    return damaged | {name: "missing" for name in DESCRIPTIONS if not (folder / name).is_file()}


def write_descriptions(folder: Path, manifest: Manifest) -> None:
    """Write what follows from the manifest and the shards: Croissant metadata, data card and preview."""
    write_bytes(folder / croissant.FILE, croissant.croissant_bytes(manifest))
    card.write_card(folder, manifest)


def source_change(
    recipe: AnyRecipe, source: Source, folder: Path, manifest: Manifest, cache: DigestCache, place: str = ""
) -> SourceChange | None:
    """What has changed in ``source`` since the data set in ``folder`` was built; None where nothing has.

    ``place`` is what messages call the data set, where ``folder`` has nothing of it but the record.

    The record of an older release, or of a data set that was copied, is missing: then pixels are compared with the
    manifest's ``source_sha256``, once.

    Raises:
        UsageError, DataError: the recipe and the source do not fit, or a file that cannot be read has to be.
    """
    if not is_recordable(source):
        return None
    digests = SourceDigests(source, cache)
    now = record_of(recipe, source, digests, manifest.id)
    before = read_source_record(folder / JOURNAL / RECORD, manifest.id)
    if before is not None:
        return compare_records(before, now)
    progress.say(f"{place or folder}: nothing is recorded of the source; comparing its images with the manifest, once")
    change = _compare_pixels(recipe, source, folder, manifest, digests)
    if change is None and os.access(folder, os.W_OK):
        write_source_record(folder / JOURNAL / RECORD, now)
    return change


def require_same_source(recipe: AnyRecipe, source: Source, folder: Path, manifest: Manifest) -> None:
    """Compare a source with what was recorded of it when the data set was built, where that is there; writes nothing.

    Raises:
        DataError: it has changed.
    """
    before = read_source_record(folder / JOURNAL / RECORD, manifest.id)
    if before is not None and is_recordable(source):
        digests = SourceDigests(source, DigestCache(folder / JOURNAL / CACHE))
        change = compare_records(before, record_of(recipe, source, digests, manifest.id))
        if (error := FinishedState(folder, manifest, change=change).refusal()) is not None:
            raise error


def _compare_pixels(
    recipe: AnyRecipe, source: Source, folder: Path, manifest: Manifest, digests: SourceDigests
) -> SourceChange | None:
    builder = sample_builder(recipe, source)
    plans = [plan_cutouts(recipe, split) for split in recipe.banks] + plan_shards(recipe, builder)
    plans = with_states(recipe, source, plans, digests)
    entries = {entry.file: entry for entry in _entries(manifest)}
    differing, found = [], {}
    with progress.progress(f"{recipe.name}: comparing the source", len(plans), "shards") as bar:
        for plan in plans:
            entry = entries.pop(plan.file, None)
            found[plan.file] = "" if entry is None else _source_sha256(builder, folder, plan, entry)
            if entry is None or found[plan.file] != entry.source_sha256:
                differing.append(plan.file)
            elif os.access(folder, os.W_OK):
                refresh_note(recipe, folder, plan, msgspec.to_builtins(entry))
            bar.advance()
    differing += entries
    if not differing:
        return None
    before = digest({entry.file: entry.source_sha256 for entry in _entries(manifest)})
    what = f"the images of {len(differing)} of {len(_entries(manifest))} shards ({some(differing, ', ', _SHOWN)})"
    return SourceChange(before, digest(found), what)


def _source_sha256(builder: SampleBuilder, folder: Path, plan: ShardPlan, entry: ShardEntry) -> str:
    """The digest of a shard's source images now; "" where something else of the source has changed, too."""
    if plan.rows is None:
        made = builder.cutouts(plan.split)
        return made[1] if made is not None and array_digests(made[0]) == entry.arrays else ""
    if (entry.start, entry.n) != (plan.start, plan.stop - plan.start):
        return ""
    found = builder.source_digest(plan.split, plan.rows)
    try:
        shard = open_shard(folder / entry.file)
    except DataError:  # it is damaged, which is another matter
        return found
    expected = _of_source(builder, plan)
    same = all(np.array_equal(shard.arrays[name], value) for name, value in expected.items() if name in shard.arrays)
    facts = builder.facts(plan.split, plan.rows)
    return found if same and all(shard.header.get(key) == value for key, value in facts.items()) else ""


def _of_source(builder: SampleBuilder, plan: ShardPlan) -> dict[str, np.ndarray]:
    """What a shard stores of the source beside pixels."""
    assert plan.rows is not None
    if plan.rows.ndim == 2:
        return {"pair": plan.rows[:, 0], "corner": plan.rows[:, 1:]}
    labels = labels_of(builder.source, builder.trials(plan.split)[0].split)
    return {} if labels is None else {"label": labels[plan.rows]}


def remember_shards(folder: Path, plans: list[ShardPlan], sha256: dict[str, str], cache: DigestCache) -> None:
    """Note the stamps of shards that were just made, so that the next look need not read them."""
    for plan in plans:
        cache.trust(cache_key(plan.file), folder / plan.file, sha256[plan.file], note_path(folder, plan))


def shards_to_make(recipe: AnyRecipe, source: Source, folder: Path, plans: list[ShardPlan]) -> list[str]:
    """Which shards a build would make: those that are missing, of another size, or of other source images."""
    if not (folder / JOURNAL).is_dir():
        return [plan.file for plan in plans]
    cache = DigestCache(folder / JOURNAL / CACHE)
    states = with_states(recipe, source, plans, SourceDigests(source, cache))
    cache.save()
    return [plan.file for plan in states if read_note(recipe, folder, plan, written=True) is None]
