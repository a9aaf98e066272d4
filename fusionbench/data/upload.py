"""Data sets on object stores: built in a local scratch folder, sent through fsspec, the manifest last.

Object stores have no rename, but an object appears whole or not at all. So the order of the writes is what keeps a
stopped upload from looking finished: shards and descriptions first, ``manifest.json`` when they are all there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fusionbench.core import progress
from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.refused import leave_out_refused
from fusionbench.data.shard_layout import open_source
from fusionbench.data.shards.manifest import FILE, Manifest, read_manifest


def is_url(out: str) -> bool:
    """Whether a destination is an fsspec URL (``s3://bucket/data``) and not a folder."""
    return "://" in out


def build_to_url(
    recipe: AnyRecipe, source_dir: str | Path | None, url: str, jobs: int = 0, skip_refused: bool = False
) -> tuple[str, Manifest]:
    """Build the data set of ``recipe``, send it to ``<url>/<name>/<version>/<hash>`` and return that and its manifest.

    Args:
        url: any that fsspec knows; the library of its protocol (s3fs, gcsfs, …) must be installed.
        jobs, skip_refused: as for :func:`fusionbench.data.build.build_dataset`.

    Raises:
        UsageError: an unknown protocol, or a data set that is finished there (it is never replaced).
        DataError: as a build; or the store refuses, and then no manifest was written.
    """
    store, root = _store(url)
    if skip_refused:  # before the folder's name is known
        recipe = leave_out_refused(recipe, open_source(recipe, source_dir, fresh=True))
    below = recipe.folder(Path()).as_posix()
    there, shown = f"{root.rstrip('/')}/{below}", f"{url.rstrip('/')}/{below}"
    try:
        if store.exists(f"{there}/{FILE}"):
            raise UsageError(f"{shown}: a finished data set is here; finished ones are never replaced")
        with tempfile.TemporaryDirectory(prefix="fusionbench-") as scratch:
            folder = build_dataset(recipe, source_dir, scratch, jobs)
            _send(store, folder, there, shown)
            return shown, read_manifest(folder)
    except FusionbenchError:
        raise
    except Exception as error:  # every store has other exceptions
        reason = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
        raise DataError(
            f"{shown}: cannot write ({reason}); no {FILE} was written; run the same command again"
        ) from error


def _store(url: str) -> tuple[Any, str]:
    import fsspec.core

    try:
        store, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{url}: {str(error).splitlines()[0]}") from error
    return store, str(root)


def _send(store: Any, folder: Path, there: str, shown: str) -> None:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != FILE)
    store.makedirs(there, exist_ok=True)  # nothing to do on stores without folders
    with progress.progress(f"send to {shown}", len(files) + 1, "files") as bar:
        for path in [*files, folder / FILE]:
            if path.name == FILE:
                _check(store, files, there, shown)
            store.put_file(str(path), f"{there}/{path.name}")
            bar.advance()


def _check(store: Any, files: list[Path], there: str, shown: str) -> None:
    """Before the manifest says that they are there: are all files there, whole?"""
    store.invalidate_cache()
    for path in files:
        size, expected = store.size(f"{there}/{path.name}"), path.stat().st_size
        if size != expected:
            raise DataError(f"{shown}/{path.name}: {size} bytes arrived of {expected}; run the same command again")
