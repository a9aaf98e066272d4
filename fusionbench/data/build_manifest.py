"""The last step of a build: from the notes on its shards to the manifest that makes the folder a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fusionbench.core.errors import RejectedError
from fusionbench.core.interfaces import Source
from fusionbench.core.io import digest
from fusionbench.data.build_shards import JOURNAL
from fusionbench.data.file_digests import DigestCache
from fusionbench.data.finished import remember_shards, write_descriptions
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.refused import refusal_reasons
from fusionbench.data.shard_layout import ShardPlan
from fusionbench.data.shards.manifest import (
    FILE,
    CutoutGate,
    Manifest,
    ShardEntry,
    SourceEntry,
    SplitEntry,
    identity,
    write_manifest,
)
from fusionbench.data.source_record import RECORD, SourceDigests, is_recordable, record_of, write_source_record


def finish_dataset(
    recipe: AnyRecipe,
    source: Source,
    folder: Path,
    notes: dict[ShardPlan, dict[str, Any]],
    cache: DigestCache,
) -> None:
    """Describe the shards of ``notes``, banks of cut-outs among them, record the source, and write the manifest.

    Raises:
        RejectedError: the result is not what the recipe expects.
    """
    manifest = _manifest(recipe, source, notes)
    if recipe.expect.id is not None and manifest.id != recipe.expect.id:
        raise RejectedError(
            f"{folder}: the data set came out as {manifest.id[:12]}… and not as {recipe.expect.id[:12]}…, which the "
            f"recipe expects: the source or a library differs; no {FILE} was written"
        )
    write_descriptions(folder, manifest)
    remember_shards(
        folder, list(notes), {note["entry"]["file"]: note["entry"]["file_sha256"] for note in notes.values()}, cache
    )
    if is_recordable(source):
        write_source_record(
            folder / JOURNAL / RECORD, record_of(recipe, source, SourceDigests(source, cache), manifest.id)
        )
    cache.save()
    write_manifest(folder, manifest)  # last: it makes the folder a data set


def _manifest(recipe: AnyRecipe, source: Source, notes: dict[ShardPlan, dict[str, Any]]) -> Manifest:
    splits: dict[str, SplitEntry] = {}
    fingerprints = {}
    pixels = recipe.image_spec.height * recipe.image_spec.width
    for split in recipe.splits:
        mine = sorted((plan for plan in notes if plan.split == split), key=lambda plan: plan.number)
        bank = notes[mine.pop(0)] if mine[0].rows is None else None
        shards = [ShardEntry(**notes[plan]["entry"]) for plan in mine]
        n = sum(shard.n for shard in shards)
        covered = np.sum([notes[plan]["covered"] for plan in mine], axis=0).tolist()
        coverage = [round(count / (n * pixels), 6) for count in covered]
        cutouts, agreement = (ShardEntry(**bank["entry"]), bank.get("cutouts_iou")) if bank else (None, None)
        gate = CutoutGate(**bank["cutouts_gate"]) if bank and bank.get("cutouts_gate") else msgspec.UNSET
        splits[split] = SplitEntry(
            n=n, shards=shards, coverage=coverage, cutouts=cutouts, cutouts_iou=agreement, cutouts_gate=gate
        )
        fingerprints[split] = digest([shard.source_sha256 for shard in shards])
    refused = refusal_reasons(recipe)
    return Manifest(
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
