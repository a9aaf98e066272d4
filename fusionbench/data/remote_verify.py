"""``verify`` of a data set behind an URL: what is there now is read and checked, whatever the cache has."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fusionbench.core import progress
from fusionbench.core.errors import DataError
from fusionbench.data.remote import RemoteDataset, open_remote
from fusionbench.data.remote_cache import VERIFY
from fusionbench.data.remote_store import StoreError
from fusionbench.data.shards.manifest import FILE, ShardEntry
from fusionbench.data.verify import VerifyProblem, VerifyReport, verify_dataset

# beside the shards; a web server does not tell which of them there are
_BESIDE = ("README.md", "croissant.json", "manifest.sha256", "preview.png", "provenance.intoto.jsonl")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_MAX_BESIDE = 64 << 20  # bytes of a file that is no shard


def verify_url(
    url: str,
    regenerate: int | Literal["all"] = 0,
    source_dir: str | Path | None = None,
    files: bool = True,
    content: bool = True,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> VerifyReport:
    """:func:`fusionbench.data.verify.verify_dataset` for the data set behind ``url``.

    Without ``content`` and ``regenerate`` the files are read as a stream, hashed, and not kept. Otherwise the data set
    is copied into a scratch folder beside the cache first, and removed afterwards.

    Raises:
        StoreError: the store fails; files that it does not have are problems in the report.
        DataError: not a data set, or no space for the copy.
    """
    dataset = open_remote(url, options=options)
    if not content and not regenerate:
        return _hashed(dataset)
    dataset.cache.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=VERIFY, dir=dataset.cache.root) as scratch:
        _copy(dataset, Path(scratch))
        report = verify_dataset(scratch, regenerate, source_dir, files=files, content=content, **more)
        for problem in report.problems:
            problem.what = problem.what.replace(scratch, dataset.location)
    report.folder = dataset.location
    return report


def _entries(dataset: RemoteDataset) -> list[ShardEntry]:
    splits = dataset.manifest.splits.values()
    banks = [split.cutouts for split in splits if split.cutouts is not None]
    return [*(entry for split in splits for entry in split.shards), *banks]


def _hashed(dataset: RemoteDataset) -> VerifyReport:
    manifest = dataset.manifest
    report = VerifyReport(dataset.location, manifest.name, manifest.id)
    report.coverage = {name: split.coverage for name, split in manifest.splits.items()}
    entries = _entries(dataset)
    with progress.progress(f"verify {manifest.name}", len(entries), "shards") as bar:
        for entry in entries:
            size, sha256 = entry.on_disk
            try:
                dataset.store.check(entry.file, size, sha256)
            except DataError as error:
                if isinstance(error, StoreError) and not (error.missing or error.short):
                    raise
                missing = isinstance(error, StoreError) and error.missing
                what = "missing" if missing else str(error).removeprefix(f"{dataset.store.place(entry.file)}: ")
                report.problems.append(VerifyProblem(entry.file, what))
            report.shards += 1
            report.bytes += size
            bar.advance()
    return report


def _copy(dataset: RemoteDataset, folder: Path) -> None:
    entries = _entries(dataset)
    total, free = sum(entry.on_disk[0] for entry in entries), shutil.disk_usage(folder).free
    if total > free:
        raise DataError(
            f"{folder}: {total:,} bytes do not fit into the {free:,} that are free; `verify --files` needs no space"
        )
    names = dataset.store.names()
    beside = (
        list(_BESIDE) if names is None else [name for name in names if _NAME.fullmatch(name)][: 2 * len(entries) + 99]
    )
    sizes = (
        dict.fromkeys(beside, _MAX_BESIDE) | {entry.file: entry.on_disk[0] for entry in entries} | {FILE: _MAX_BESIDE}
    )
    with progress.progress(f"fetch {dataset.name}", len(sizes), "files") as bar:
        for name, limit in sizes.items():
            try:
                dataset.store.copy(name, folder / name, limit)
            except StoreError as error:
                if not error.missing:
                    raise
            bar.advance()
