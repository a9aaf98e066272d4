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
from fusionbench.data.dataset import open_dataset
from fusionbench.data.remote import RemoteDataset, open_remote
from fusionbench.data.remote_cache import VERIFY
from fusionbench.data.remote_store import StoreError
from fusionbench.data.shards.manifest import FILE, ShardEntry
from fusionbench.data.verify import VerifyProblem, VerifyReport, verify_dataset, verify_description

# beside the shards; a web server does not tell which of them there are
_BESIDE = ("README.md", "croissant.json", "manifest.sha256", "preview.png", "provenance.intoto.jsonl")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_MAX_BESIDE, _MOST_BESIDE = 64 << 20, 99  # bytes of a file that is no shard, and how many of them are looked at


def verify_url(
    url: str,
    regenerate: int | Literal["all"] = 0,
    source_dir: str | Path | None = None,
    files: bool = True,
    content: bool = True,
    signer: str | Path | None = None,
    expect: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> VerifyReport:
    """:func:`fusionbench.data.verify.verify_dataset` for the data set behind ``url``.

    Without ``content`` and ``regenerate`` the shards are read as a stream, hashed, and not kept. Otherwise the data set
    is copied into a scratch folder beside the cache first, and removed afterwards. What lies beside the shards (the
    manifest, its digest, card and signature) always is.

    Raises:
        StoreError: the store fails; files that it does not have are problems in the report.
        DataError: not a data set, or no space for the copy.
    """
    dataset = open_remote(url, options=options)
    dataset.cache.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=VERIFY, dir=dataset.cache.root) as scratch:
        if content or regenerate:
            _copy(dataset, Path(scratch), _entries(dataset))
            report = verify_dataset(
                scratch, regenerate, source_dir, files=files, content=content, signer=signer, expect=expect
            )
        else:
            _copy(dataset, Path(scratch), [])
            report = verify_description(open_dataset(scratch), signer, expect)
            _hash_shards(report, dataset)
        for problem in report.problems:
            problem.what = problem.what.replace(scratch, dataset.location)
    report.folder = dataset.location
    return report


def _entries(dataset: RemoteDataset) -> list[ShardEntry]:
    splits = dataset.manifest.splits.values()
    banks = [split.cutouts for split in splits if split.cutouts is not None]
    return [*(entry for split in splits for entry in split.shards), *banks]


def _hash_shards(report: VerifyReport, dataset: RemoteDataset) -> None:
    entries = _entries(dataset)
    with progress.progress(f"verify {dataset.name}", len(entries), "shards") as bar:
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


def _copy(dataset: RemoteDataset, folder: Path, entries: list[ShardEntry]) -> None:
    """The files of a data set, with ``entries`` of its shards; of the others that are there, empty files."""
    total, free = sum(entry.on_disk[0] for entry in entries), shutil.disk_usage(folder).free
    if total > free:
        raise DataError(
            f"{folder}: {total:,} bytes do not fit into the {free:,} that are free; `verify --files` needs no space"
        )
    names = dataset.store.names()
    known = {entry.file for entry in _entries(dataset)}
    beside = list(_BESIDE)
    if names is not None:
        beside = [name for name in names if _NAME.fullmatch(name) and name not in known][:_MOST_BESIDE]
    if not entries:
        for name in beside:
            if name not in (*_BESIDE, FILE):
                (folder / name).touch()  # that it is there matters, not what is in it
        beside = [name for name in beside if name in _BESIDE]
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
