"""One shard of a data set, from its plan to the file and the note on it that lets a build resume.

Everything here runs in worker processes as well; errors come back as values.
"""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, FusionbenchError
from fusionbench.core.io import file_sha256, write_json
from fusionbench.core.types import Source
from fusionbench.core.workers import Death
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.sample_builders import sample_builder
from fusionbench.data.shard_layout import CUTOUTS, ShardPlan, plan_cutouts, source_of_shard
from fusionbench.data.shards.ragged import pack_arrays
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import write_shard

JOURNAL = ".build"


@dataclass(frozen=True)
class ShardOutcome:
    """What a task came to: an error message for people (``unread``: it is of the source), one for us, the end of its
    worker, or none of them; notes by the path of the file.
    """

    plan: ShardPlan
    error: str = ""
    bug: str = ""
    unread: bool = False
    notes: dict[str, str] = field(default_factory=dict)
    death: Death | None = None  # of the worker


class UnreadError(DataError):
    """The first file of the source that a build could not use; what is told names all of them."""


def make_arrays(
    recipe: AnyRecipe, source: Source, split: str, samples: np.ndarray, bank: np.ndarray | None = None
) -> tuple[dict[str, Any], str]:
    """The arrays of ``samples`` (n,) of a split, and the digest of their source images: :meth:`SampleBuilder.arrays`.

    For many calls keep a builder (:func:`fusionbench.data.sample_builders.sample_builder`): its index may take
    reading every image.
    """
    builder = sample_builder(recipe, source)
    return builder.arrays(split, samples, builder.sample_index(split)[samples], bank)


def build_shard(recipe: AnyRecipe, source_dir: str | None, folder: Path, plan: ShardPlan) -> ShardOutcome:
    """Make one shard and note it in the journal; errors come back as values, so that no engine is aborted."""
    try:
        with contextlib.suppress(ImportError):
            import cv2

            cv2.setNumThreads(1)
        source = source_of_shard(recipe, source_dir, plan)
        builder = sample_builder(recipe, source)
        covered: list[int] = []
        agreement, gate = None, None
        facts: dict[str, Any] = {}
        arrays: dict[str, Any]
        if plan.rows is None:
            with reading():
                made = builder.cutouts(plan.split)
            assert made is not None  # the plan is that of a split with cut-outs
            arrays, source_sha256, agreement, gate = made
        else:
            bank = None
            if plan.split in recipe.banks:
                bank = open_shard(folder / plan_cutouts(recipe, plan.split).file).arrays["cutouts"]
            with reading():
                arrays, source_sha256 = builder.arrays(plan.split, np.arange(plan.start, plan.stop), plan.rows, bank)
            covered = builder.covered(plan.split, arrays, bank)
            facts = builder.facts(plan.split, plan.rows)
        count = len(arrays["index"])
        header = {
            **facts,
            "dataset": recipe.name,
            "version": recipe.version,
            "recipe_sha256": recipe.hash,
            "split": plan.split,
            "start": plan.start,
            "n": count,
        }
        written = write_shard(folder / plan.file, pack_arrays(arrays), header)
        note = {
            "entry": {
                "file": plan.file,
                "start": plan.start,
                "n": count,
                "source_sha256": source_sha256,
                **written,
            },
            "covered": covered,
            "cutouts_iou": agreement,
            "cutouts_gate": None if gate is None else msgspec.to_builtins(gate),
            "recipe_sha256": recipe.hash,
            "state": plan.state,
        }
        write_json(note_path(folder, plan), note)
        return ShardOutcome(plan, notes=source.notes.take() if hasattr(source, "notes") else {})
    except FusionbenchError as error:
        return ShardOutcome(plan, error=str(error), unread=isinstance(error, UnreadError))
    except MemoryError:
        return ShardOutcome(plan, error="out of memory; try fewer --jobs or a smaller shard_size in the recipe")
    except Exception:
        return ShardOutcome(plan, bug=traceback.format_exc())


@contextlib.contextmanager
def reading() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise UnreadError(str(error)) from error


def note_path(folder: Path, plan: ShardPlan) -> Path:
    return folder / JOURNAL / f"{plan.file}.json"


def read_note(recipe: AnyRecipe, folder: Path, plan: ShardPlan, written: bool = False) -> dict[str, Any] | None:
    """The journal's note on a shard, when the shard is there and intact.

    A shard that was ``written`` a moment ago, and hashed on its way to the disk, is not read back.
    """
    try:
        note = json.loads(note_path(folder, plan).read_bytes())
        entry = note["entry"]
        path = folder / plan.file
        made = recipe.made_views(plan.split)
        right = (
            note["recipe_sha256"] == recipe.hash
            and note.get("state", "") == plan.state  # of the files that it was made from
            and entry["file"] == plan.file
            and (plan.number == CUTOUTS or (entry["start"], entry["n"]) == (plan.start, plan.stop - plan.start))
            and (plan.number == CUTOUTS or len(note["covered"]) == made)
            and path.stat().st_size == entry["bytes"]
            and (written or file_sha256(path) == entry["file_sha256"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if right else None
