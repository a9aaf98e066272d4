"""Checks a data set on disk: files and contents against the manifest, and samples regenerated from their index."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import DataError
from fusionbench.core.io import file_sha256
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.finished import require_same_source
from fusionbench.data.sample_builders import SampleBuilder, sample_builder
from fusionbench.data.shard_layout import open_source
from fusionbench.data.shards.manifest import FILE, ShardEntry
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import array_digests, content_digest

MAX_PROBLEMS = 100  # reported one by one; a data set that is wrong everywhere needs no longer list
_BLOCK = 256  # samples regenerated at once


@dataclass
class VerifyProblem:
    """One thing that is not as it should be."""

    file: str
    what: str
    array: str | None = None
    split: str | None = None
    index: int | None = None

    def __str__(self) -> str:
        where = self.file + (f", {self.array}" if self.array else "")
        where += f", sample {self.index} of {self.split}" if self.index is not None else ""
        return f"{where}: {self.what}"


@dataclass
class VerifyReport:
    """What was checked and what was wrong. ``ok`` when nothing was."""

    folder: str
    name: str
    id: str
    shards: int = 0
    bytes: int = 0
    samples: int = 0
    regenerated: int = 0
    coverage: dict[str, list[float]] = field(default_factory=dict)
    problems: list[VerifyProblem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {"ok": self.ok, **asdict(self)}


def verify_dataset(
    folder: str | Path | Dataset,
    regenerate: int | Literal["all"] = 0,
    source_dir: str | Path | None = None,
    files: bool = True,
    content: bool = True,
) -> VerifyReport:
    """Check the data set in ``folder``.

    Args:
        regenerate: number of samples to make again from their index, spread evenly over all splits, or "all".
        source_dir: folder of the upstream files, for ``regenerate``; not needed for embedded sources. Its files are
            compared with those that were recorded when the data set was built here.
        files: compare size and sha256 of every shard file.
        content: compare the digest of every array, and the shard's own header.

    Raises:
        DataError: not a data set, a manifest that contradicts itself, or a source that has changed since.
        UsageError: samples are to be regenerated and the source is missing.
    """
    dataset = folder if isinstance(folder, Dataset) else open_dataset(folder)
    manifest = dataset.manifest
    report = VerifyReport(str(dataset.folder), manifest.name, manifest.id)
    report.coverage = {split: manifest.splits[split].coverage for split in dataset.splits}
    source = open_source(dataset.recipe, source_dir, fresh=True) if regenerate or source_dir is not None else None
    if source is not None:
        require_same_source(dataset.recipe, source, dataset.folder, manifest)
    entries = [(split, entry) for split in dataset.splits for entry in manifest.splits[split].shards]
    entries += [(split, entry) for split in dataset.splits if (entry := manifest.splits[split].cutouts) is not None]
    with progress.progress(f"verify {manifest.name}", len(entries), "shards") as bar:
        for split, entry in entries:
            _check_shard(report, dataset, split, entry, files, content)
            bar.advance()
    if source is not None and regenerate:
        builder = sample_builder(dataset.recipe, source)
        total = sum(dataset.size(split) for split in dataset.splits)
        count = total if regenerate == "all" else min(int(regenerate), total)
        wanted = np.unique(np.linspace(0, total - 1, count).astype(np.int64))
        with progress.progress("make samples again", len(wanted), "samples") as bar:
            offset = 0
            for split in dataset.splits:
                size = dataset.size(split)
                mine = wanted[(wanted >= offset) & (wanted < offset + size)] - offset
                _regenerate(report, dataset, builder, split, mine, bar)
                offset += size
    return report


def _check_shard(
    report: VerifyReport, dataset: Dataset, split: str, entry: ShardEntry, files: bool, content: bool
) -> None:
    def wrong(what: str, array: str | None = None) -> None:
        report.problems.append(VerifyProblem(entry.file, what, array=array))

    path = dataset.folder / entry.file
    before = len(report.problems)
    if not path.is_file():
        return wrong("missing; `fusionbench generate --force` makes it again")
    size = path.stat().st_size
    if size != entry.bytes:
        wrong(f"{size} bytes instead of {entry.bytes}")
    elif files and file_sha256(path) != entry.file_sha256:
        wrong("its bytes have changed (sha256 differs from the manifest)")
    if content or len(report.problems) > before:  # for a changed file, say what in it has changed
        try:
            shard = open_shard(path)
        except DataError as error:
            return wrong(str(error).removeprefix(f"{path}: "))
        found = array_digests(shard.arrays)
        if shard.arrays.keys() != entry.arrays.keys():
            wrong(f"it holds {', '.join(shard.arrays)} instead of {', '.join(entry.arrays)}")
        else:
            for name, expected in entry.arrays.items():
                if found[name] != expected:
                    wrong("its values have changed (sha256 differs from the manifest)", name)
            if content_digest(shard.arrays, entry.arrays) != entry.content_sha256:
                wrong("types or shapes of its arrays differ from the manifest")
        expected_header = {
            "content_sha256": entry.content_sha256,
            "recipe_sha256": dataset.manifest.recipe_sha256,
            "split": split,
            "start": entry.start,
        }
        different = [key for key, value in expected_header.items() if shard.header.get(key) != value]
        if different:
            wrong(f"its header differs from {FILE} in {', '.join(different)}")
        if entry in dataset.split(split).shards:
            report.samples += len(shard)
    report.shards += 1
    report.bytes += size


def _regenerate(
    report: VerifyReport,
    dataset: Dataset,
    builder: SampleBuilder,
    split: str,
    samples: np.ndarray,
    bar: progress.Task,
) -> None:
    starts = [entry.start for entry in dataset.split(split).shards]
    try:
        stored = dataset.arrays(split).columns if len(samples) else {}
    except DataError as error:
        if report.ok:
            report.problems.append(VerifyProblem(str(error).partition(":")[0], str(error).partition(": ")[2]))
        return
    bank = None
    cutouts = dataset.split(split).cutouts
    if cutouts is not None and len(samples) and (made_again := builder.cutouts(split)) is not None:
        arrays = made_again[0]
        bank = arrays["cutouts"]
        for name, found in array_digests(arrays).items():
            if cutouts.arrays.get(name) != found:
                report.problems.append(VerifyProblem(cutouts.file, "differs from the cut-outs made again", name, split))
    rows = builder.sample_index(split) if len(samples) else np.empty(0, np.int64)
    if len(samples) and len(rows) != dataset.size(split):
        what = f"{split} has {dataset.size(split)} samples, and {len(rows)} are made of this source"
        report.problems.append(VerifyProblem(FILE, what, split=split))
        return
    for entry in dataset.split(split).shards if len(samples) else ():
        facts = builder.facts(split, rows[entry.start : entry.start + entry.n])
        header = open_shard(dataset.folder / entry.file).header
        for key in [key for key, value in facts.items() if header.get(key) != value]:
            report.problems.append(VerifyProblem(entry.file, f"{key} in its header differ from those made again"))
    for at in range(0, len(samples), _BLOCK):
        block = samples[at : at + _BLOCK]
        made, _ = builder.arrays(split, block, rows[block], bank)
        for name in sorted(made.keys() | stored.keys()):
            if name not in made or name not in stored:
                report.problems.append(VerifyProblem(FILE, f"array {name!r} is stored or made, not both", name, split))
                continue
            same = _same(stored[name][block], made[name])
            for index in block[~same][: MAX_PROBLEMS - len(report.problems)].tolist():
                file = dataset.split(split).shards[int(np.searchsorted(starts, index, side="right")) - 1].file
                report.problems.append(VerifyProblem(file, "differs from the sample made again", name, split, index))
        report.regenerated += len(block)
        bar.advance(len(block))


def _same(one: Any, two: Any) -> np.ndarray:
    """Which samples of two arrays, or of two lists of images, are equal: bool (n,)."""
    if isinstance(one, list):
        return np.array([np.array_equal(a, b) for a, b in zip(one, two, strict=True)], bool)
    result: np.ndarray = (one == two).reshape(len(one), -1).all(axis=1)
    return result
