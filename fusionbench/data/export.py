"""Copies of a data set in other forms: folders of PNG, or WebDataset shards (extra ``export``).

An export is for other tools; the data set with its digests stays what is cited. ``export.json`` beside it says from
which one it was made. Images are lossless PNG.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fusionbench.core import progress
from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.images import encode_png
from fusionbench.core.io import write_bytes, write_json
from fusionbench.core.text import csv_text
from fusionbench.data.dataset import Dataset
from fusionbench.data.recipe_shards import strip_dataset

FORMS = ("png", "webdataset", "targets")
_BLOCK = 256


def export(dataset: Dataset, form: str, out: str | Path) -> Path:
    """Write ``dataset`` below ``out`` as ``form`` and return the folder.

    * ``png``: ``<split>/<index>-target.png``, ``<split>/<index>-view1.png`` … and ``<split>/labels.csv``;
    * ``webdataset``: ``<split>-000000.tar`` … with ``target.png``, ``view1.png`` …, ``cls`` for each index;
    * ``targets``: the data set itself with recipe shards (:mod:`fusionbench.data.recipe_shards`), same ``id``.

    Registered pairs have no target; their names are in the column ``name`` of ``labels.csv``, or in ``txt``.

    Raises:
        UsageError: an unknown form, a folder that is not empty, or a library that is not installed.
        DataError: a damaged data set, or no space.
    """
    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    if form == "targets":
        return strip_dataset(dataset, out)
    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: not empty; name another folder")
    write = {"png": _png, "webdataset": _webdataset}[form]
    total = sum(dataset.size(split) for split in dataset.splits)
    with progress.progress(f"export {dataset.name}", total, "samples") as bar:
        for split in dataset.splits:
            write(dataset, split, folder, bar)
    facts = {"name": dataset.name, "version": dataset.version, "id": dataset.id, "form": form}
    write_json(folder / "export.json", facts, indent=1)  # last: without it the export is not finished
    return folder


def _samples(dataset: Dataset, split: str, bar: progress.Task) -> Iterator[tuple[int, dict[str, bytes], str]]:
    """Index, images by name, and label or name of every sample."""
    arrays, labels = dataset.arrays(split), dataset.labels(split)
    told = dataset.names(split) or ([""] * dataset.size(split) if labels is None else [str(n) for n in labels.tolist()])
    for start in range(0, dataset.size(split), _BLOCK):
        part = slice(start, start + _BLOCK)
        views = arrays.views[part]
        targets = arrays.targets[part] if "targets" in arrays.columns else None
        clean = arrays.clean[part] if "clean" in arrays.columns else None
        for i in range(len(views)):
            images = {} if targets is None else {"target": encode_png(targets[i])}
            images |= {f"view{v}": encode_png(view) for v, view in enumerate(views[i], 1)}
            images |= {} if clean is None else {f"clean{v}": encode_png(view) for v, view in enumerate(clean[i], 1)}
            yield start + i, images, told[start + i]
        bar.advance(len(views))


def _png(dataset: Dataset, split: str, folder: Path, bar: progress.Task) -> None:
    rows = [["index", "label" if dataset.names(split) is None else "name"]]
    (folder / split).mkdir(parents=True, exist_ok=True)
    for index, images, label in _samples(dataset, split, bar):
        for name, content in images.items():
            # no fsync for each of many small files: export.json marks a finished export
            (folder / split / f"{index:06d}-{name}.png").write_bytes(content)
        rows.append([str(index), label])
    write_bytes(folder / split / "labels.csv", csv_text(rows).encode())


def _webdataset(dataset: Dataset, split: str, folder: Path, bar: progress.Task) -> None:
    try:
        import webdataset
    except ImportError as error:
        raise UsageError("--to webdataset needs the library: pip install 'fusionbench[export]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    pattern = str(folder / f"{split}-%06d.tar")
    told = "cls" if dataset.names(split) is None else "txt"
    # a fixed time, so that equal data make equal archives
    with webdataset.ShardWriter(pattern, maxcount=4096, verbose=0, mtime=0) as writer:
        for index, images, label in _samples(dataset, split, bar):
            sample = {"__key__": f"{index:06d}", **{f"{name}.png": content for name, content in images.items()}}
            if label:
                sample[told] = label.encode()
            writer.write(sample)
