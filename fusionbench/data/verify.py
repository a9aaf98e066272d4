"""Checks a data set on disk: everything in its folder against what it follows from.

Files and contents against the manifest; the manifest against its recipe, the source's registered description and the
shards; card, Croissant and preview against the manifest; samples against those regenerated from their index; and a
signature, where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import DataError, RejectedError
from fusionbench.core.io import file_sha256
from fusionbench.core.open_files import allow_open_files
from fusionbench.data import card
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.degrade_rules import DEGRADED, Degrader, problem_of_degraded
from fusionbench.data.finished import require_same_source
from fusionbench.data.manifest_checks import (
    compare_source,
    problem_of_preview,
    problems_beside,
    problems_of_manifest,
    remark_on_title,
)
from fusionbench.data.sample_builders import SampleBuilder, sample_builder
from fusionbench.data.shard_layout import open_source
from fusionbench.data.shards.manifest import DIGEST_FILE, FILE, ShardEntry
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import array_digests, content_digest
from fusionbench.data.signatures import check_signature, signers

_OTHER_SOURCE = "its source digest is not that of the images that the source has now"
MAX_PROBLEMS = 100  # reported one by one; a data set that is wrong everywhere needs no longer list
_PREFIX = 12  # letters of an id that are enough to tell data sets apart
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
    manifest_sha256: str = ""
    sizes_differ: bool = False  # a shard has another number of samples than the manifest says
    sources: int = 0  # shards whose source images were read again and are the same
    signers: list[str] = field(default_factory=list)  # ids of keys, as the envelope says
    signer: str | None = None  # the key whose signature was checked
    remarks: list[str] = field(default_factory=list)  # what could not be checked, or need not be wrong

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
    signer: str | Path | None = None,
    expect: str | None = None,
) -> VerifyReport:
    """Check the data set in ``folder``.

    Args:
        regenerate: number of samples to make again from their index, spread evenly over all splits, or "all".
        source_dir: folder of the upstream files, for ``regenerate``; not needed for embedded sources. Its files are
            compared with those that were recorded when the data set was built here.
        files: compare size and sha256 of every shard file.
        content: compare the digest of every array, what follows from the index and the recipe alone (parameters of
            views, coverage), and the preview.
        signer: public key (PEM) that must have signed the data set.
        expect: the ``id`` or ``manifest_sha256`` that it must have, or the first 12 letters of it or more.

    Raises:
        DataError: not a data set, a manifest that contradicts itself, a source that has changed since, or ``signer`` is
            no key.
        UsageError: samples are to be regenerated and the source is missing; a signature is to be checked and its
            library is missing.
    """
    dataset = (folder if isinstance(folder, Dataset) else open_dataset(folder)).fresh()
    manifest = dataset.manifest
    source = open_source(dataset.recipe, source_dir, fresh=True) if regenerate or source_dir is not None else None
    if source is not None:
        require_same_source(dataset.recipe, source, dataset.folder, manifest)
    report = verify_description(dataset, signer, expect)
    entries = [(split, entry) for split in dataset.splits for entry in manifest.splits[split].shards]
    entries += [(split, entry) for split in dataset.splits if (entry := manifest.splits[split].cutouts) is not None]
    with progress.progress(f"verify {manifest.name}", len(entries), "shards") as bar:
        for split, entry in entries:
            _check_shard(report, dataset, split, entry, files, content)
            bar.advance()
    if content:
        for split in dataset.splits:
            _check_params(report, dataset, split)
        wrong = {problem.file for problem in report.problems}
        if (what := problem_of_preview(dataset, wrong)) is not None:
            report.problems.append(VerifyProblem(card.PREVIEW, what))
    if source is not None and regenerate and not report.sizes_differ:
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


def verify_description(dataset: Dataset, signer: str | Path | None = None, expect: str | None = None) -> VerifyReport:
    """Everything in the folder of a data set but its shards: the report that :func:`verify_dataset` begins with.

    Arguments and errors as there.
    """
    manifest = dataset.manifest
    report = VerifyReport(str(dataset.folder), manifest.name, manifest.id, manifest_sha256=manifest.manifest_sha256)
    report.coverage = {split: manifest.splits[split].coverage for split in dataset.splits}
    _check_manifest(report, dataset, expect)
    _check_signature(report, dataset, signer)
    return report


def _check_manifest(report: VerifyReport, dataset: Dataset, expect: str | None) -> None:
    found = [*problems_of_manifest(dataset), *problems_beside(dataset)]
    wrong, report.remarks = compare_source(dataset.manifest, dataset.recipe.source.name)
    report.problems += [VerifyProblem(file, what) for file, what in [*found, *((FILE, what) for what in wrong)]]
    if (remark := remark_on_title(dataset.manifest)) is not None:
        report.remarks.append(remark)
    if not (dataset.folder / DIGEST_FILE).exists():
        report.remarks.append(f"no {DIGEST_FILE}: made by an earlier release, or removed")
    if expect is not None:
        known = (report.id, report.manifest_sha256)
        if len(expect) < _PREFIX or not any(one.startswith(expect.lower()) for one in known):
            what = f"its id is {known[0][:12]}… and its manifest_sha256 {known[1][:12]}…, not {expect}"
            report.problems.append(VerifyProblem(FILE, what))


def _check_signature(report: VerifyReport, dataset: Dataset, signer: str | Path | None) -> None:
    try:
        if signer is not None:
            report.signer = check_signature(dataset.folder, dataset.manifest, Path(signer))
        report.signers = signers(dataset.folder, dataset.manifest)
    except RejectedError as error:
        file, _, what = str(error).partition(": ")
        report.problems.append(VerifyProblem(file, what))
    if signer is None:
        unchecked = "(not checked; name its public key with --signer)"
        report.remarks += [f"signed by key {name} {unchecked}" for name in report.signers]


def _check_params(report: VerifyReport, dataset: Dataset, split: str) -> None:
    """Index and parameters of views, which need no source, and how many pixels the views see together."""
    entry, recipe = dataset.split(split), dataset.recipe
    if any(problem.file.startswith(f"{recipe.name}-{recipe.version}-{split}-") for problem in report.problems):
        return  # what is wrong with the shards has been said
    allow_open_files(len(entry.shards), recipe.name)
    shards = [dataset.open_entry(shard) for shard in entry.shards]
    made = split in recipe.splits and recipe.made_views(split) > 0
    maker = dataset.view_maker(split) if made else None
    degrader = recipe.stored_degrader(split) if split in recipe.splits else None
    covered = np.zeros(len(entry.coverage), np.int64)
    for shard, one in zip(shards, entry.shards, strict=True):
        samples = np.arange(one.start, one.start + one.n, dtype=np.int64)
        if not np.array_equal(shard.arrays.get("index", samples[:0]), samples):
            report.problems.append(VerifyProblem(one.file, "its samples are not numbered in order", "index", split))
        if degrader is not None and (problem := _problem_of_degraded(degrader, dataset, split, samples)) is not None:
            array, what = problem
            report.problems.append(VerifyProblem(one.file, what, array, split))
        if maker is None:
            continue
        params = shard.arrays.get("params", samples[:0])
        if not np.array_equal(params, maker.params(samples)):
            what = "not the parameters that follow from the recipe and the samples' numbers"
            report.problems.append(VerifyProblem(one.file, what, "params", split))
            return
        if len(covered) == recipe.made_views(split):
            covered += maker.covered(np.asarray(params))
    pixels = recipe.image_spec.height * recipe.image_spec.width
    coverage = [round(count / (entry.n * pixels), 6) for count in covered.tolist()]
    if maker is not None and len(coverage) == recipe.made_views(split) and coverage != entry.coverage:
        what = f"coverage of {split} is {entry.coverage}, its shards make it {coverage}"
        report.problems.append(VerifyProblem(FILE, what, split=split))


def _problem_of_degraded(
    degrader: Degrader, dataset: Dataset, split: str, samples: np.ndarray
) -> tuple[str, str] | None:
    """As :func:`fusionbench.data.degrade_rules.problem_of_degraded`, a few samples at a time."""
    columns = dataset.arrays(split).columns
    step = 1 if dataset.whole else _BLOCK
    for at in range(0, len(samples), step):
        some = samples[at : at + step]
        problem = problem_of_degraded(degrader, some, {name: columns[name][some] for name in DEGRADED})
        if problem is not None:
            return problem
    return None


def _check_shard(
    report: VerifyReport, dataset: Dataset, split: str, entry: ShardEntry, files: bool, content: bool
) -> None:
    def wrong(what: str, array: str | None = None) -> None:
        report.problems.append(VerifyProblem(entry.file, what, array=array))

    try:
        path = dataset.shard_file(entry)
    except DataError as error:
        return wrong(str(error).removeprefix(f"{dataset.folder / entry.file}: "))
    before = len(report.problems)
    if not path.is_file():
        return wrong("missing; `fusionbench generate` makes it again")
    size = path.stat().st_size
    if size != entry.bytes:
        wrong(f"{size} bytes instead of {entry.bytes}")
    elif files and file_sha256(path) != entry.file_sha256:
        wrong("its bytes have changed (sha256 differs from the manifest)")
    try:
        shard = open_shard(path)
    except DataError as error:
        return wrong(str(error).removeprefix(f"{path}: "))
    if len(shard) != entry.n:
        report.sizes_differ = True
        wrong(f"it holds {len(shard)} samples, {FILE} says {entry.n}")
    if content or len(report.problems) > before:  # for a changed file, say what in it has changed
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
        "arrays": entry.arrays,
        "content_sha256": entry.content_sha256,
        "dataset": dataset.manifest.name,
        "n": entry.n,
        "recipe_sha256": dataset.manifest.recipe_sha256,
        "split": split,
        "start": entry.start,
        "version": dataset.manifest.version,
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
        arrays, source_sha256, agreement, gate = made_again
        if source_sha256 != cutouts.source_sha256:
            report.problems.append(VerifyProblem(cutouts.file, _OTHER_SOURCE, split=split))
        if agreement != (stated := dataset.split(split).cutouts_iou):
            what = f"cutouts_iou of {split} is {stated}, of those made again {agreement}"
            report.problems.append(VerifyProblem(FILE, what, split=split))
        if (gate or msgspec.UNSET) != dataset.split(split).cutouts_gate:
            what = f"cutouts_gate of {split} is not what the gate makes of them again"
            report.problems.append(VerifyProblem(FILE, what, split=split))
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
        header = dataset.open_entry(entry).header
        for key in [key for key, value in facts.items() if header.get(key) != value]:
            report.problems.append(VerifyProblem(entry.file, f"{key} in its header differ from those made again"))
    for block, whole in _blocks(samples, dataset.split(split).shards):
        made, source_sha256 = builder.arrays(split, block, rows[block], bank)
        if whole is not None:
            report.sources += 1
            if source_sha256 != whole.source_sha256:
                report.problems.append(VerifyProblem(whole.file, _OTHER_SOURCE, split=split))
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


def _blocks(samples: np.ndarray, shards: Sequence[ShardEntry]) -> Iterator[tuple[np.ndarray, ShardEntry | None]]:
    """The samples, some at a time: those of a shard together with it where all of it is wanted, else a few."""
    for shard in shards:
        mine = samples[(samples >= shard.start) & (samples < shard.start + shard.n)]
        if len(mine) == shard.n:
            yield mine, shard
        else:
            for at in range(0, len(mine), _BLOCK):
                yield mine[at : at + _BLOCK], None


def _same(one: Any, two: Any) -> np.ndarray:
    """Which samples of two arrays, or of two lists of images, are equal: bool (n,)."""
    if isinstance(one, list):
        return np.array([np.array_equal(a, b) for a, b in zip(one, two, strict=True)], bool)
    result: np.ndarray = (one == two).reshape(len(one), -1).all(axis=1)
    return result
