"""What is there of a data set on an object store, read only: manifest, files, and whether the source is still the same.

A store has no journal. What a data set was built from is recorded in the cache of the machine that sent it; elsewhere
its images are compared with the manifest, once.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.core.io import write_bytes
from fusionbench.core.urls import join_url, shown_url
from fusionbench.data.build_shards import JOURNAL
from fusionbench.data.file_digests import CACHE, DigestCache
from fusionbench.data.finished import source_change
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.remote_cache import cache_root
from fusionbench.data.remote_store import Store, StoreError, open_system, read_failure
from fusionbench.data.shard_layout import open_source
from fusionbench.data.shards.manifest import FILE, MAX_BYTES, Manifest, ShardEntry, read_manifest
from fusionbench.data.source_record import RECORD, SourceChange, is_recordable
from fusionbench.sources import SOURCES

_RECORDS = "sources"  # in the cache
_DEPTH = 4  # folders below an URL in which data sets are looked for


@dataclass(frozen=True)
class RemoteState:
    """What was found of a finished data set behind an URL.

    Attributes:
        place: the URL without secrets.
        damaged: shards that are missing, or of another size.
        change: of the source, None where it is unchanged or was not named.
    """

    place: str
    manifest: Manifest
    damaged: list[str]
    change: SourceChange | None = None

    def refusal(self) -> DataError | None:
        """The error for a source that has changed."""
        if self.change is None:
            return None
        change = self.change
        return DataError(
            f"{self.place}: the source has changed since this data set was built from it: {change.what} (fingerprint "
            f"{change.before[:12]}… then, {change.now[:12]}… now); it is never replaced: name another URL with --out, "
            "or remove it there first"
        )


def inspect_url(recipe: AnyRecipe, source_dir: str | Path | None, url: str) -> RemoteState | None:
    """The data set of ``recipe`` below ``url``, its files by size, and a source that is named; nothing is sent there.

    Returns:
        None when it is not finished.

    Raises:
        UsageError: a web server, an unknown protocol, or a source that cannot be opened.
        DataError: the store cannot be read, what is there is no manifest, or the data set is another one.
    """
    if url.startswith(("http://", "https://")):
        raise UsageError(f"{shown_url(url)}: web servers are only read; name a store that can be written, as s3://…")
    store, root = open_system(url)
    below = recipe.folder(Path()).as_posix()
    there, shown = f"{root.rstrip('/')}/{below}", shown_url(join_url(url, below))
    try:
        store.invalidate_cache()
        manifest = _manifest(store, there, shown)
        damaged = [] if manifest is None else _damaged(store, manifest, there)
    except FusionbenchError:
        raise
    except Exception as error:  # every store has other exceptions
        raise DataError(f"{shown}: cannot read ({read_failure(error).reason}); run the same command again") from error
    if manifest is None:
        return None
    if manifest.recipe_sha256 != recipe.hash:
        raise DataError(f"{shown}: the data set here is of another recipe; it is never replaced: name another URL")
    return RemoteState(shown, manifest, damaged, _change(recipe, source_dir, manifest, shown))


def remember_source(folder: Path, place: str) -> None:
    """Keep the record of what the data set in ``folder`` was built from, which was sent to ``place``."""
    record = folder / JOURNAL / RECORD
    with contextlib.suppress(OSError, UsageError):  # without a cache, images are compared with the manifest
        if record.is_file():
            journal = _recorded(place) / JOURNAL
            journal.mkdir(parents=True, exist_ok=True)
            shutil.copy(record, journal / RECORD)


def _recorded(place: str) -> Path:
    return cache_root() / _RECORDS / hashlib.sha256(place.encode(errors="surrogatepass")).hexdigest()[:32]


def _change(recipe: AnyRecipe, source_dir: str | Path | None, manifest: Manifest, place: str) -> SourceChange | None:
    if source_dir is None or not is_recordable(SOURCES.get(recipe.source.name)):
        return None
    source = open_source(recipe, source_dir, fresh=True)
    with contextlib.ExitStack() as stack:
        try:
            folder = _recorded(place)
            (folder / JOURNAL).mkdir(parents=True, exist_ok=True)
        except (OSError, UsageError):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fusionbench-")))
        cache = DigestCache(folder / JOURNAL / CACHE)
        change = source_change(recipe, source, folder, manifest, cache, place)
        cache.save()
        return change


def _manifest(store: Any, there: str, shown: str) -> Manifest | None:
    """The manifest there, checked; None where there is none."""
    try:
        with store.open(f"{there}/{FILE}", "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        return _parsed(content, shown)
    except DataError as error:
        raise DataError(f"{error}; remove it there, and run the same command again") from error


def _parsed(content: bytes, shown: str) -> Manifest:
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as scratch:
        write_bytes(Path(scratch) / FILE, content)
        try:
            return read_manifest(Path(scratch))
        except DataError as error:
            raise DataError(str(error).replace(scratch, shown)) from error


def _entries(manifest: Manifest) -> list[ShardEntry]:
    splits = manifest.splits.values()
    return [entry for split in splits for entry in (*split.shards, *([split.cutouts] if split.cutouts else []))]


def _damaged(store: Any, manifest: Manifest, there: str) -> list[str]:
    """Shards of a finished data set that are missing there, or of another size."""
    listed = store.ls(there, detail=True)
    sizes = {str(facts["name"]).rstrip("/").rpartition("/")[2]: facts.get("size") for facts in listed}
    return sorted({entry.file for entry in _entries(manifest) if sizes.get(entry.file) != entry.on_disk[0]})


def list_remote(url: str) -> list[dict[str, Any]]:
    """The finished data sets at ``url`` and below, with the keys of :func:`fusionbench.data.build_plan.status`.

    Manifests are read and sizes of shards compared; nothing is written. Of a web server, which lists nothing, the one
    data set that ``url`` names is found, and its shards are not looked at.

    Raises:
        UsageError: an unknown protocol, or a library that is not installed.
        DataError: the store cannot be read.
    """
    store = Store(url)
    places = [""] if store.is_http else _places(store)
    return [_row(Store(join_url(url, place))) for place in places]


def _places(store: Store) -> list[str]:
    names = store.names() or []
    return ([""] if FILE in names else []) + store.find(FILE, _DEPTH)


def _row(store: Store) -> dict[str, Any]:
    parts = store.shown.rstrip("/").split("/")
    row: dict[str, Any] = {
        "folder": store.shown,
        "state": "finished",
        "shards": 0,
        "bytes": 0,
        "name": parts[-3] if len(parts) > 3 else parts[-1],
        "version": parts[-2] if len(parts) > 3 else "",
        "id": None,
        "manifest_sha256": None,
    }
    try:
        manifest = _parsed(store.read(FILE, MAX_BYTES), store.shown)
    except StoreError:
        raise
    except DataError as error:
        return row | {"state": f"damaged: {error}"}
    entries = _entries(manifest)
    row |= {"shards": len(entries), "bytes": sum(entry.on_disk[0] for entry in entries)}
    row |= {"name": manifest.name, "version": manifest.version}
    row |= {"id": manifest.id, "manifest_sha256": manifest.manifest_sha256}
    if not store.is_http:
        system, root = open_system(store.url)
        try:
            damaged = _damaged(system, manifest, root.rstrip("/"))
        except Exception as error:  # every store has other exceptions
            raise DataError(f"{store.shown}: cannot read ({read_failure(error).reason})") from error
        if damaged:
            row["state"] = (
                f"damaged: {len(damaged)} of {len(entries)} shards are missing or cut ({', '.join(damaged[:3])}); "
                "`fusionbench generate` sends them again"
            )
    return row
