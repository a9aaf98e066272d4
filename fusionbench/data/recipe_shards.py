"""Recipe shards: what cannot be made again, without what can. A third of the bytes for two views, less for more.

The views of a target, and their parameters, follow from recipe, seed and sample. A recipe shard has the targets, labels
and numbers alone; on arrival the others are made, and the whole shard is written as a build would write it. Shards are
byte-stable, so the sha256 of that file is the one in the manifest, whoever makes it and where: the data set, its ``id``
and all its digests are those of the whole form. A machine that makes other bytes is refused, not believed.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import file_sha256, write_bytes, write_json
from fusionbench.data import card
from fusionbench.data.dataset import Dataset
from fusionbench.data.recipes import AnyRecipe, ViewMaker
from fusionbench.data.shards import croissant
from fusionbench.data.shards.manifest import (
    FORMAT_STORED,
    Manifest,
    ShardEntry,
    StoredEntry,
    write_manifest,
)
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import write_shard

MADE = ("params", "views")  # arrays that are made on arrival
_ADDED = ("format", "content_sha256", "arrays")  # what writing a shard adds to its header


def strip_dataset(dataset: Dataset, out: str | Path) -> Path:
    """Write ``dataset`` into the folder ``out`` with recipe shards, and return it. It is the same data set.

    Splits whose views came with the source, and banks of cut-outs, are copied as they are.

    Raises:
        UsageError: registered pairs, or no split whose views are made; or ``out`` is not empty.
        DataError: a damaged data set, or no space.
    """
    recipe, folder = dataset.recipe, Path(out)
    made = [split for split in dataset.splits if recipe.made_views(split)]
    if not made:
        raise UsageError(f"{dataset.name}: its views came with the source; recipe shards are for views that are made")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: not empty; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    splits = dict(dataset.manifest.splits)
    with progress.progress(
        f"strip {dataset.name}", sum(len(split.shards) for split in splits.values()), "shards"
    ) as bar:
        for name, split in splits.items():
            shards = []
            for entry in split.shards:
                path = dataset.shard_file(entry)
                if file_sha256(path) != entry.file_sha256:  # nothing damaged is passed on
                    raise DataError(f"{path}: its bytes have changed; see `fusionbench verify`")
                if name in made:
                    shards.append(_strip(path, folder, entry))
                else:
                    write_bytes(folder / entry.file, path.read_bytes())
                    shards.append(entry)
                bar.advance()
            if split.cutouts is not None:
                write_bytes(folder / split.cutouts.file, dataset.shard_file(split.cutouts).read_bytes())
            splits[name] = msgspec.structs.replace(split, shards=shards)
    manifest = msgspec.structs.replace(dataset.manifest, format=FORMAT_STORED, splits=splits)
    _write_card(dataset, manifest, folder)
    write_json(folder / croissant.FILE, croissant.croissant(manifest), indent=1)
    write_manifest(folder, manifest)
    return folder


def _write_card(dataset: Dataset, manifest: Manifest, folder: Path) -> None:
    """The card, whose preview is of whole shards, also where the data set came without one."""
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as scratch:
        for split in manifest.splits.values():
            shutil.copyfile(dataset.shard_file(split.shards[0]), Path(scratch) / split.shards[0].file)
        card.write_card(Path(scratch), manifest)
        for name in (card.FILE, card.PREVIEW):
            write_bytes(folder / name, (Path(scratch) / name).read_bytes())


def _strip(path: Path, folder: Path, entry: ShardEntry) -> ShardEntry:
    shard = open_shard(path)
    kept = {name: np.asarray(array) for name, array in shard.arrays.items() if name not in MADE}
    header = {key: value for key, value in shard.header.items() if key not in _ADDED}
    written = write_shard(folder / entry.file, kept, header)
    stored = StoredEntry(bytes=written["bytes"], file_sha256=written["file_sha256"])
    return msgspec.structs.replace(entry, stored=stored)


def restore_shard(recipe: AnyRecipe, maker: ViewMaker, stored: Path, entry: ShardEntry, path: Path) -> None:
    """Make the views of the recipe shard ``stored`` and write the whole shard to ``path``.

    Args:
        maker: that of the split, with its bank of cut-outs where it has one.
        entry: the manifest's.

    Raises:
        DataError: it is not the recipe shard of this entry, or the views made here are not those of the data set.
    """
    shard = open_shard(stored)
    expected = {name: rule for name, rule in recipe.stored.items() if name not in MADE}
    for name, (dtype, shape) in expected.items():
        found = shard.arrays.get(name)
        if found is None or found.shape[1:] != shape or found.dtype != dtype or len(found) != entry.n:
            raise DataError(f"{stored}: {name!r} is not {dtype} {shape} a sample, as the recipe says; not used")
    if entry.arrays.keys() - shard.arrays.keys() != set(MADE):
        raise DataError(f"{stored}: it does not hold what its recipe shard should; not used")
    dtype, shape = recipe.stored["views"]
    if entry.n * int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize > entry.bytes:  # before it takes memory
        raise DataError(f"{stored}: views of {entry.n} samples are larger than the shard should be; not used")
    samples = np.arange(entry.start, entry.start + entry.n)
    arrays = {name: np.asarray(array) for name, array in shard.arrays.items()}
    arrays["params"] = maker.params(samples)
    arrays["views"] = maker.make_views(arrays["targets"], samples, params=arrays["params"])
    header = {key: value for key, value in shard.header.items() if key not in _ADDED}
    scratch = path.with_name(f".{path.name}.made.tmp")
    try:
        written = write_shard(scratch, arrays, header)
        if written["file_sha256"] != entry.file_sha256:
            raise DataError(
                f"{stored}: the views made of it are not those of the data set: it was changed, or this machine makes "
                "others (`fusionbench verify --self-test` tells)"
            )
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
