"""One shard of a data set, from its plan to the file and the note on it that lets a build resume.

Everything here runs in worker processes as well; errors come back as values.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, FusionbenchError
from fusionbench.core.io import file_sha256, read_bounded, write_json
from fusionbench.core.types import Source
from fusionbench.core.workers import Death
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.sample_builders import sample_builder
from fusionbench.data.shard_layout import CUTOUTS, ShardPlan, plan_cutouts, source_of_shard
from fusionbench.data.shards.ragged import pack_arrays
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import write_shard

JOURNAL = ".build"
MAX_NOTE = 1 << 20  # bytes


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
            "split": plan.split,
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


def read_note(
    recipe: AnyRecipe,
    folder: Path,
    plan: ShardPlan,
    written: bool = False,
    sha256: Callable[[Path], str] = file_sha256,
) -> dict[str, Any] | None:
    """The journal's note on a shard, when the shard is there and intact.

    A shard that was ``written`` a moment ago, and hashed on its way to the disk, is not read back; ``sha256`` gives the
    digest of any other.
    """
    note = _load(note_path(folder, plan))
    if note is None:
        return None
    try:
        entry = note["entry"]
        path = folder / plan.file
        right = (
            _is_of(recipe, plan, note)
            and entry["file"] == plan.file
            and path.stat().st_size == entry["bytes"]
            and (written or sha256(path) == entry["file_sha256"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if right else None


def _load(path: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(read_bounded(path, MAX_NOTE, "note"))
    except (DataError, ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) else None


def _is_of(recipe: AnyRecipe, plan: ShardPlan, note: dict[str, Any]) -> bool:
    """Whether a note is of the shard ``plan`` as it would be made now, whatever its file is called."""
    entry = note["entry"]
    if note["recipe_sha256"] != recipe.hash or note.get("state", "") != plan.state:  # of what it was made from
        return False
    if plan.number == CUTOUTS:
        return True
    same: bool = (entry["start"], entry["n"]) == (plan.start, plan.stop - plan.start)
    return same and len(note["covered"]) == recipe.made_views(plan.split)


def adopt_shards(recipe: AnyRecipe, folder: Path, plans: Sequence[ShardPlan], sha256: Callable[[Path], str]) -> int:
    """Give shards that are there under another name theirs: how many there are is in the names of all shards.

    Two names of one file, and the old one goes when the build is finished. Returns how many were found.
    """
    count = 0
    there = {}
    for path in sorted((folder / JOURNAL).glob("*.h5.json")):
        note = _load(path)
        with contextlib.suppress(KeyError, TypeError):  # a damaged note
            if note is not None:
                there[note["split"], note["entry"]["start"], note["state"]] = note
    for plan in plans:
        note = there.get((plan.split, plan.start, plan.state))
        try:
            if note is None or plan.number == CUTOUTS or not _is_of(recipe, plan, note):
                continue
            entry = note["entry"]
            path = folder / Path(entry["file"]).name
            if path.name == plan.file or path.stat().st_size != entry["bytes"] or sha256(path) != entry["file_sha256"]:
                continue
            _link(path, folder / plan.file)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it is made again
        write_json(note_path(folder, plan), {**note, "entry": {**entry, "file": plan.file}})
        count += 1
    return count


def _link(path: Path, name: Path) -> None:
    temporary = name.with_name(f".{name.name[:40]}.link.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # a file system without links
        shutil.copyfile(path, temporary)
    os.replace(temporary, name)


def refresh_note(recipe: AnyRecipe, folder: Path, plan: ShardPlan, entry: dict[str, Any]) -> None:
    """Bring the note of an older release on the shard ``entry`` up to date, once the source has been compared."""
    note = _load(note_path(folder, plan))
    if note is not None and note.get("entry") == entry and note.get("recipe_sha256") == recipe.hash:
        write_json(note_path(folder, plan), {**note, "split": plan.split, "state": plan.state})
