"""Data sets behind URLs, and those with recipe shards: opened like those of a folder, fetched or made on first use.

The manifest is fetched whenever the data set is opened, and checked as a local one is. A shard is fetched when it is
first used, into the cache of :mod:`fusionbench.data.remote_cache`, and is used only when its sha256 is that of the
manifest. A manifest is trusted as far as its URL; who needs more compares :attr:`Dataset.id` with the cited one.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusionbench.core import progress
from fusionbench.core.errors import DataError
from fusionbench.core.io import read_bounded, write_bytes, write_json
from fusionbench.core.urls import join_url, shown_url
from fusionbench.data.arrays import Arrays
from fusionbench.data.dataset import Dataset
from fusionbench.data.recipe_shards import restore_shard
from fusionbench.data.recipes import ViewMaker
from fusionbench.data.remote_cache import FRESH, Cache
from fusionbench.data.remote_ranges import open_ranges
from fusionbench.data.remote_store import Store, StoreError
from fusionbench.data.shards.manifest import FILE, MAX_BYTES, Manifest, ShardEntry, StoredEntry, read_manifest
from fusionbench.data.shards.reader import Shard

OFFLINE = "FUSIONBENCH_OFFLINE"
ORIGIN = "origin.json"  # beside a manifest in the cache: the URL that it is from
_DEPTH = 3  # folders below an URL in which a data set is looked for: name, version, hash


class CachedDataset(Dataset):
    """A data set whose shards come into the cache before they are read: the part that all of them have in common."""

    def __init__(self, folder: Path, manifest: Manifest, cache: Cache | None = None) -> None:
        super().__init__(folder, manifest)
        self.cache = Cache() if cache is None else cache
        self.verified = True
        self._makers: dict[str, ViewMaker] = {}
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what is open: memory maps would be copied."""
        gone = {"recipe", "spec"}
        empty: dict[str, Any] = {"_arrays": {}, "_headers": {}, "_makers": {}, "_scratch": None}
        return {key: value for key, value in self.__dict__.items() if key not in gone} | empty

    def fetch(self, entry: ShardEntry, path: Path, size: int, sha256: str) -> None:
        """Put the file of a shard to ``path``, checked."""
        raise NotImplementedError

    def fresh(self) -> Dataset:
        """The same with an empty cache of its own, so that everything is fetched and checked again."""
        self.cache.root.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=FRESH, dir=self.cache.root)
        other: CachedDataset = type(self).__new__(type(self))
        other.__dict__ |= {**self.__getstate__(), "cache": Cache(scratch.name), "_scratch": scratch}
        return other

    def shard_file(self, entry: ShardEntry) -> Path:
        write = functools.partial(self._arrive, entry)
        return self.cache.ensure(entry.file_sha256, entry.bytes, write)

    def _arrive(self, entry: ShardEntry, path: Path) -> None:
        if not isinstance(entry.stored, StoredEntry):
            return self.fetch(entry, path, entry.bytes, entry.file_sha256)
        split = next(name for name, split in self.manifest.splits.items() if entry in split.shards)
        if split not in self._makers:
            self._makers[split] = self.view_maker(split)
        arrived = path.with_name(f".{path.name}.arrived.tmp")
        try:
            self.fetch(entry, arrived, entry.stored.bytes, entry.stored.file_sha256)
            restore_shard(self.recipe, self._makers[split], arrived, entry, path)
        finally:
            arrived.unlink(missing_ok=True)

    def arrays(self, split: str) -> Arrays:
        if split not in self._arrays:
            missing = [e for e in self.split(split).shards if not self.cache.path(e.file_sha256).exists()]
            if len(missing) > 1 and not self._by_ranges():
                with progress.progress(f"fetch {self.name} {split}", len(missing), "shards") as bar:
                    for entry in missing:
                        self.shard_file(entry)
                        bar.advance()
        return super().arrays(split)

    def _by_ranges(self) -> bool:
        return False


class StoredDataset(CachedDataset):
    """A data set in a folder whose shards are recipe shards: whole ones are made of them in the cache."""

    def fetch(self, entry: ShardEntry, path: Path, size: int, sha256: str) -> None:
        content = read_bounded(self.folder / entry.file, size, "shard")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise DataError(
                f"{self.folder / entry.file}: its sha256 is not that of {FILE}; damaged or replaced; not used"
            )
        write_bytes(path, content)


class RemoteDataset(CachedDataset):
    """A data set behind an URL.

    Args:
        folder: the folder in the cache that has its manifest.
        partial: read samples by ranges of bytes, which no digest covers; ``verified`` is False from then on.
    """

    def __init__(self, folder: Path, manifest: Manifest, store: Store, cache: Cache, partial: bool = False) -> None:
        super().__init__(folder, manifest, cache)
        self.store, self.partial = store, partial

    @property
    def location(self) -> str:
        """The URL, without secrets."""
        return self.store.shown

    def _by_ranges(self) -> bool:
        return self.partial

    def fetch(self, entry: ShardEntry, path: Path, size: int, sha256: str) -> None:
        if offline():
            raise StoreError(
                f"{self.store.place(entry.file)}: not in the cache, and {OFFLINE} is set", unreachable=True
            )
        self.store.fetch(entry.file, path, size, sha256)

    def open_entry(self, entry: ShardEntry) -> Shard:
        whole = not self.partial or isinstance(entry.stored, StoredEntry)
        if whole or self.cache.get(entry.file_sha256, entry.bytes) is not None:
            return super().open_entry(entry)
        self.verified = False
        return open_ranges(self.store, entry)


# how the data sets of this process were opened, by their folder in the cache: what is not written down there
_OPENED: dict[Path, tuple[str, bool, Mapping[str, Any]]] = {}


def offline() -> bool:
    """Whether ``FUSIONBENCH_OFFLINE`` says to use the cache alone."""
    return os.environ.get(OFFLINE, "").lower() not in ("", "0", "false", "no")


def open_remote(
    url: str, partial: bool = False, options: Mapping[str, Any] | None = None, cache: Cache | None = None
) -> RemoteDataset:
    """The data set behind ``url``: a version folder, or on stores that can list files one that holds exactly one.

    Where nobody answers, or with ``FUSIONBENCH_OFFLINE``, the manifest of the last time is used.

    Args:
        options: keyword arguments for fsspec's file system.

    Raises:
        StoreError: not there, no access, or nobody answers and it was never opened before.
        DataError: not a manifest, or a damaged one; or several data sets below the URL.
        UsageError: a protocol that is not known, or whose library is not installed.
    """
    store, cache = Store(url, options), Cache() if cache is None else cache
    folder = _folder(cache, url)
    if offline():
        return _remembered(folder, store, cache, partial, f"{OFFLINE} is set")
    try:
        try:
            content = store.read(FILE, MAX_BYTES)
        except StoreError as error:
            if not error.missing:
                raise
            store = Store(join_url(url, _only(store, error)), options)
            content = store.read(FILE, MAX_BYTES)
    except StoreError as error:
        if error.unreachable and (folder / FILE).is_file():
            progress.say(f"note: {error}; the manifest of the last time is used")
            return _remembered(folder, store, cache, partial, str(error))
        raise
    manifest = _remember(folder, store, content)
    _OPENED[folder] = (store.url, partial, dict(options or {}))
    return RemoteDataset(folder, manifest, store, cache, partial)


def reopen(folder: Path) -> RemoteDataset | None:
    """The data set whose manifest lies in ``folder`` of the cache, from there alone; None for any other folder.

    So a remote data set can be handed to another process by the name of a folder, as one on disk is. Secrets of an URL
    are not written down: they are known in the process that opened it, and in those forked from it.
    """
    cache = Cache()
    folder = Path(folder).absolute()
    if folder.parent != cache.root / "sets":  # a folder that is not of the cache opens no connections
        return None
    url, partial, options = _OPENED.get(folder, ("", False, {}))
    url = url or _origin(folder)
    return RemoteDataset(folder, read_manifest(folder), Store(url, options), cache, partial)


def _folder(cache: Cache, url: str) -> Path:
    return cache.root / "sets" / hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()[:32]


def _only(store: Store, error: StoreError) -> str:
    """The one data set below a URL that has no manifest itself."""
    found = store.find(FILE, _DEPTH)
    if not found:
        hint = "; name the folder that has it" if store.is_http else ""
        raise StoreError(f"{store.shown}: no data set is here: {FILE} was not found{hint}", missing=True) from error
    if len(found) > 1:
        raise DataError(f"{store.shown}: {len(found)} data sets are in here; name one of {', '.join(found[:4])}")
    return found[0]


def _remember(folder: Path, store: Store, content: bytes) -> Manifest:
    """Check a manifest and keep it for the next time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as scratch:
        write_bytes(Path(scratch) / FILE, content)
        manifest = _checked(Path(scratch), store.shown)
    before = None
    with contextlib.suppress(DataError):
        before = read_manifest(folder).id
    if before not in (None, manifest.id):
        progress.say(f"note: {store.shown}: another data set than the last time (id {before}, now {manifest.id})")
    write_json(folder / ORIGIN, {"url": shown_url(store.url)})
    write_bytes(folder / FILE, content)
    return manifest


def _checked(folder: Path, place: str) -> Manifest:
    try:
        return read_manifest(folder)
    except DataError as error:
        raise DataError(str(error).replace(str(folder), place)) from error


def _remembered(folder: Path, store: Store, cache: Cache, partial: bool, why: str) -> RemoteDataset:
    if not (folder / FILE).is_file():
        raise StoreError(f"{store.shown}: not in the cache, and {why}", unreachable=True)
    if (origin := _origin(folder)) != store.shown:  # the folder below the URL in which it was found
        store = Store(origin, store.options)
    return RemoteDataset(folder, read_manifest(folder), store, cache, partial)


def _origin(folder: Path) -> str:
    try:
        url = json.loads(read_bounded(folder / ORIGIN, 1 << 16, "note"))["url"]
    except (DataError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{folder / ORIGIN}: does not say where the data set is from; open its URL again") from error
    if not isinstance(url, str):
        raise DataError(f"{folder / ORIGIN}: does not say where the data set is from; open its URL again")
    return url
