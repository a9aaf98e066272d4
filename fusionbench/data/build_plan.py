"""What a build would make and what is there of it, without making anything but a few samples to time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.data.build_shards import JOURNAL
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.refused import leave_out_refused
from fusionbench.data.sample_builders import build_bank, sample_builder
from fusionbench.data.shard_layout import open_source, plan_shards
from fusionbench.data.shards.manifest import FILE, read_manifest
from fusionbench.data.shards.ragged import pack_arrays

_TIMED = 64  # samples built to estimate the time


@dataclass(frozen=True)
class Plan:
    """``bytes``: of the arrays; ``seconds``: estimate for one process; ``missing``: shards that are not there yet."""

    name: str
    version: str
    folder: str
    splits: dict[str, int]
    shards: int
    bytes: int
    seconds: float
    missing: list[str]
    finished: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_dataset(
    recipe: AnyRecipe, source_dir: str | Path | None = None, out: str | Path = "data", skip_refused: bool = False
) -> Plan:
    """What :func:`fusionbench.data.build.build_dataset` with the same arguments would do.

    Raises:
        UsageError, DataError: as a build would before it starts.
    """
    source = open_source(recipe, source_dir)
    if skip_refused:
        recipe = leave_out_refused(recipe, source)
    builder = sample_builder(recipe, source)
    start = time.perf_counter()
    plans = plan_shards(recipe, builder)
    seconds = time.perf_counter() - start  # for patches it reads every pair
    folder = recipe.folder(Path(out))
    splits: dict[str, int] = {}
    total_bytes = 0
    for split in recipe.splits:
        splits[split] = sum(plan.stop - plan.start for plan in plans if plan.split == split)
        start = time.perf_counter()
        bank = build_bank(builder, split)
        seconds += time.perf_counter() - start
        count = min(_TIMED, splits[split])
        rows = builder.sample_index(split)
        builder.arrays(split, np.arange(1), rows[:1], bank)  # opens files and loads libraries
        start = time.perf_counter()
        arrays, _ = builder.arrays(split, np.arange(count), rows[:count], bank)
        seconds += (time.perf_counter() - start) / count * splits[split]
        total_bytes += sum(array.nbytes for array in pack_arrays(arrays).values()) // count * splits[split]
        total_bytes += bank.nbytes if bank is not None else 0
    missing = [plan.file for plan in plans if not _noted(folder, plan.file)]
    finished = (folder / FILE).is_file()
    return Plan(
        recipe.name,
        recipe.version,
        str(folder),
        splits,
        len(plans),
        total_bytes,
        seconds,
        [] if finished else missing,
        finished,
    )


def _noted(folder: Path, file: str) -> bool:
    return (folder / file).is_file() and (folder / JOURNAL / f"{file}.json").is_file()


def status(root: str | Path) -> list[dict[str, Any]]:
    """The data sets below ``root``, finished or begun: name, version, folder, state, shards, bytes, id,
    manifest_sha256.

    Raises:
        DataError: no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    folders = {path.parent for pattern in (FILE, JOURNAL) for path in root.rglob(pattern)}
    rows = []
    for folder in sorted(folders):
        shards = sorted(folder.glob("*.h5"))
        row: dict[str, Any] = {
            "folder": str(folder),
            "state": "begun",
            "shards": len(shards),
            "bytes": sum(path.stat().st_size for path in shards),
            "name": folder.parent.parent.name,
            "version": folder.parent.name,
            "id": None,
            "manifest_sha256": None,
        }
        if (folder / FILE).is_file():
            try:
                manifest = read_manifest(folder)
                row.update(state="finished", name=manifest.name, version=manifest.version, id=manifest.id)
                row["manifest_sha256"] = manifest.manifest_sha256
            except DataError as error:
                row.update(state=f"damaged: {error}")
        rows.append(row)
    return rows
