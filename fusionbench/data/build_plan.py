"""What a build would make and what is there of it, without making anything but a few samples to time and measure.

Memory of a process is its resident size with libraries and source open, as in a worker, its cut-outs, and what making
the arrays of the largest shard allocates at its peak. That is measured with :mod:`tracemalloc`, to which NumPy and
OpenCV report their arrays, over as many samples as take half a second, and extrapolated to the shard.
"""

from __future__ import annotations

import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.urls import join_url, shown_url, url_of
from fusionbench.data.build_shards import JOURNAL
from fusionbench.data.file_digests import CACHE, DigestCache
from fusionbench.data.finished import (
    DESCRIPTIONS,
    FinishedState,
    damaged_files,
    inspect_finished,
    is_finished,
    shards_to_make,
)
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.refused import leave_out_refused
from fusionbench.data.remote_state import inspect_url, list_remote
from fusionbench.data.sample_builders import SampleBuilder, build_bank, sample_builder
from fusionbench.data.shard_layout import open_source, plan_shards, worker_count
from fusionbench.data.shards.manifest import DIGEST_FILE, FILE, read_manifest
from fusionbench.data.shards.ragged import pack_arrays
from fusionbench.synth import kernel

_TIMED = 64  # samples built to estimate the time
_MEASURED = 0.5  # seconds of samples built to estimate memory
_LIBRARIES = 150 << 20  # bytes of a process with NumPy, OpenCV and HDF5 where the system does not tell


@dataclass(frozen=True)
class Plan:
    """What would be made, and what is there.

    Attributes:
        bytes: of the arrays.
        seconds: estimate for one process.
        files: that the folder would hold; those of the journal not counted.
        missing: shards that would be made; of a finished data set, those that are damaged or whose source has changed.
        finished: there and intact, its source unchanged.
        processes: that would work at once; memory_per_process, memory: bytes at the peak, of one and of all together.
        damaged: file -> what is wrong, of a finished data set.
        changed: what has changed in the source since then, with both fingerprints; "" where nothing has.
    """

    name: str
    version: str
    folder: str
    splits: dict[str, int]
    shards: int
    bytes: int
    seconds: float
    missing: list[str]
    finished: bool
    files: int
    processes: int
    memory_per_process: int
    memory: int
    damaged: dict[str, str]
    changed: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_dataset(
    recipe: AnyRecipe,
    source_dir: str | Path | None = None,
    out: str | Path = "data",
    skip_refused: bool = False,
    jobs: int = 0,
) -> Plan:
    """What :func:`fusionbench.data.build.build_dataset` with the same arguments would do.

    Raises:
        UsageError, DataError: as a build would before it starts.
    """
    url = url_of(out)
    if url is None:
        is_finished(recipe.folder(Path(out)))  # a path that the system refuses
    source = open_source(recipe, source_dir, fresh=True)
    if skip_refused:
        recipe = leave_out_refused(recipe, source)
    builder = sample_builder(recipe, source)
    start = time.perf_counter()
    plans = plan_shards(recipe, builder)
    seconds = time.perf_counter() - start  # for patches it reads every pair
    folder = recipe.folder(Path(out))
    splits = {split: sum(plan.stop - plan.start for plan in plans if plan.split == split) for split in recipe.splits}
    total_bytes, resident, peak = 0, 0, 0
    spec = recipe.image_spec
    kernel.compiled(sum(splits.values()) * spec.views * spec.height * spec.width * spec.channels)  # if a build loads it
    for split in recipe.splits:
        start = time.perf_counter()
        bank = build_bank(builder, split)
        seconds += time.perf_counter() - start
        make = _make_samples(builder, split, bank)
        count = min(_TIMED, splits[split])
        make(1)  # opens files and loads libraries
        resident = max(resident, _resident())
        start, cpu = time.perf_counter(), time.process_time()
        arrays = make(count)
        seconds += (time.perf_counter() - start) / count * splits[split]
        each = max((time.process_time() - cpu) / count, 1e-7)  # of this process, however busy others keep the machine
        total_bytes += sum(array.nbytes for array in pack_arrays(arrays).values()) // count * splits[split]
        total_bytes += bank.nbytes if bank is not None else 0
        largest = max(plan.stop - plan.start for plan in plans if plan.split == split)
        peak = max(peak, _peak(make, largest, min(largest, max(count, int(_MEASURED / each)))))
    there = _there(recipe, source_dir, folder) if url is None else _there_remote(recipe, source_dir, url)
    missing = there.missing
    if missing is None:
        missing = [plan.file for plan in plans] if url else shards_to_make(recipe, source, folder, plans)
    missing += [name for name in there.damaged if name.endswith(".h5") and name not in missing]
    process = resident + peak
    processes = worker_count(jobs, sum(splits.values()) * recipe.work, len(plans))
    return Plan(
        recipe.name,
        recipe.version,
        str(folder) if url is None else shown_url(join_url(url, recipe.folder(Path()).as_posix())),
        splits,
        len(plans),
        total_bytes,
        seconds,
        missing,
        there.finished,
        len(plans) + len(recipe.banks) + len((*DESCRIPTIONS, DIGEST_FILE, FILE)),
        processes,
        process,
        process if processes == 1 else resident + processes * process,
        there.damaged,
        there.changed,
    )


@dataclass(frozen=True)
class _There:
    """What is there already; ``missing`` is None where it follows from the shards that were made."""

    finished: bool = False
    missing: list[str] | None = None
    damaged: dict[str, str] = field(default_factory=dict)
    changed: str = ""


def _there(recipe: AnyRecipe, source_dir: str | Path | None, folder: Path) -> _There:
    found = inspect_finished(recipe, source_dir, folder, fresh=False)
    if found is None:
        return _There()
    return _There(found.intact, [] if found.change is None else None, found.damaged, str(found.refusal() or ""))


def _there_remote(recipe: AnyRecipe, source_dir: str | Path | None, url: str) -> _There:
    found = inspect_url(recipe, source_dir, url)
    if found is None:
        return _There()
    damaged = dict.fromkeys(found.damaged, "missing or of another size")
    return _There(found.change is None and not damaged, [], damaged, str(found.refusal() or ""))


def _make_samples(builder: SampleBuilder, split: str, bank: np.ndarray | None) -> Callable[[int], dict[str, Any]]:
    rows = builder.sample_index(split)
    return lambda count: builder.arrays(split, np.arange(count), rows[:count], bank)[0]


def _peak(make: Callable[[int], object], largest: int, count: int) -> int:
    """Bytes that making the ``largest`` shard allocates at its peak, from making ``count`` samples and half of them.

    What every sample adds is the difference of the two: chunks of a fixed size are worked on one after the other.
    """
    whole = _traced(make, count)
    if count in (1, largest):
        return whole * largest // count
    half = count // 2
    slope = max(0, whole - _traced(make, half)) / (count - half)
    return int(whole + slope * (largest - count))


def _traced(make: Callable[[int], object], count: int) -> int:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        make(count)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def _resident() -> int:
    """Resident bytes of this process: now, or where the system tells only that, at most so far."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return _LIBRARIES
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def status(root: str | Path) -> list[dict[str, Any]]:
    """The data sets below ``root``, finished, begun or damaged: name, version, folder, state, shards, bytes, id,
    manifest_sha256.

    Sizes of all files are compared, and the bytes of those that have changed since ``generate`` last looked at them.
    ``root`` may be an URL: finished data sets, and sizes of shards.

    Raises:
        DataError: no such folder, or a store that cannot be read.
        UsageError: an URL of an unknown protocol.
    """
    if (url := url_of(root)) is not None:
        return list_remote(url)
    root = Path(root)
    try:
        there = root.is_dir()
    except (OSError, ValueError):  # a name that the system refuses
        there = False
    if not there:
        raise DataError(f"{str(root)[:200]}: no such folder")
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
                cache = DigestCache(folder / JOURNAL / CACHE)
                found = FinishedState(folder, manifest, damaged_files(folder, manifest, cache, known_only=True))
                if not found.intact:
                    row.update(state=f"damaged: {found.damage}; `fusionbench generate` repairs it")
            except DataError as error:
                row.update(state=f"damaged: {error}")
        rows.append(row)
    return rows
