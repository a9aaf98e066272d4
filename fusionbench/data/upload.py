"""Data sets on object stores: built in a local scratch folder, sent through fsspec, the manifest last.

Object stores have no rename, but an object appears whole or not at all. So the order of the writes is what keeps a
stopped upload from looking finished: shards and descriptions first, ``manifest.json`` when they are all there. What is
finished is left alone, as in a folder; files of it that are missing or of another size are sent again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

from fusionbench.core import progress
from fusionbench.core.errors import DataError, FusionbenchError
from fusionbench.core.urls import join_url, shown_url, url_of
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipe_shards import strip_dataset
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.refused import leave_out_refused
from fusionbench.data.remote_state import inspect_url, remember_source
from fusionbench.data.remote_store import open_system, read_failure
from fusionbench.data.shard_layout import open_source
from fusionbench.data.shards.manifest import FILE, Manifest, read_manifest

Form = Literal["whole", "targets"]


def is_url(out: str) -> bool:
    """Whether a destination is an fsspec URL (``s3://bucket/data``) and not a folder."""
    return url_of(out) is not None


def build_to_url(
    recipe: AnyRecipe,
    source_dir: str | Path | None,
    url: str,
    jobs: int = 0,
    skip_refused: bool = False,
    form: Form = "whole",
) -> tuple[str, Manifest]:
    """Build the data set of ``recipe``, send it to ``<url>/<name>/<version>/<hash>`` and return that and its manifest.

    Args:
        url: any that fsspec knows; the library of its protocol (s3fs, gcsfs, …) must be installed.
        jobs, skip_refused: as for :func:`fusionbench.data.build.build_dataset`.
        form: ``targets`` sends recipe shards (:mod:`fusionbench.data.recipe_shards`), whose views are made on arrival.

    Raises:
        UsageError: an unknown protocol, or views that cannot be left out.
        DataError: as a build; or the store refuses, and then no manifest was written; or what is finished there is
            damaged, or another data set, or was built from a source that has changed.
    """
    store, root = open_system(url)
    if skip_refused and not url.startswith(("http://", "https://")):  # before the folder's name is known
        recipe = leave_out_refused(recipe, open_source(recipe, source_dir, fresh=True))
    state = inspect_url(recipe, source_dir, url)
    if state is not None and (error := state.refusal()):
        raise error
    found, damaged = (None, []) if state is None else (state.manifest, state.damaged)
    below = recipe.folder(Path()).as_posix()
    there, shown = f"{root.rstrip('/')}/{below}", shown_url(join_url(url, below))
    try:
        if found is not None and not damaged:
            return shown, found
        with tempfile.TemporaryDirectory(prefix="fusionbench-") as scratch:
            folder = built = Path(build_dataset(recipe, source_dir, scratch, jobs))
            if form == "targets" if found is None else found.has_stored:
                folder = strip_dataset(open_dataset(folder), Path(scratch) / "targets")
            manifest = read_manifest(folder)
            if found is not None:
                if manifest != found:
                    raise DataError(
                        f"{shown}: {len(damaged)} files are missing or cut ({', '.join(damaged[:3])}), and what is "
                        f"made now is another data set (id {found.id[:12]}, now {manifest.id[:12]}); nothing was sent"
                    )
                progress.say(f"{shown}: {len(damaged)} files are missing or cut; sending them again")
                _send(store, [folder / name for name in damaged], there, shown)
            else:
                files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != FILE)
                _send(store, files, there, shown)
                store.put_file(str(folder / FILE), f"{there}/{FILE}")
            remember_source(built, shown)
            return shown, manifest
    except FusionbenchError:
        raise
    except Exception as error:  # every store has other exceptions
        raise DataError(
            f"{shown}: cannot write ({read_failure(error).reason}); no {FILE} was written; run the same command again"
        ) from error


def _send(store: Any, files: list[Path], there: str, shown: str) -> None:
    store.makedirs(there, exist_ok=True)  # nothing to do on stores without folders
    with progress.progress(f"send to {shown}", len(files), "files") as bar:
        for path in files:
            store.put_file(str(path), f"{there}/{path.name}")
            bar.advance()
    _check(store, files, there, shown)


def _check(store: Any, files: list[Path], there: str, shown: str) -> None:
    """Before the manifest says that they are there: are all files there, whole?"""
    store.invalidate_cache()
    for path in files:
        size, expected = store.size(f"{there}/{path.name}"), path.stat().st_size
        if size != expected:
            raise DataError(f"{shown}/{path.name}: {size} bytes arrived of {expected}; run the same command again")
