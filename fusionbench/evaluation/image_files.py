"""Score image files: pair them by stem, read them, compute the metrics, summarise.

scores = score_files("ir", "vi", "fused", dialect="cddfuse")
scores.values["vif"]            # (n,) float64, one per image, in the order of scores.ids
scores.summary["vif"].mean
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.cpus import core_count
from fusionbench.core.crashes import is_out_of_memory
from fusionbench.core.errors import CannotMeasure, DataError, SizesDiffer, UsageError, refuse_all, some
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import SUFFIXES, DecodedImage, fit_ranges, images_in, read_image
from fusionbench.core.io import utf8, utf8_names
from fusionbench.core.progress import progress
from fusionbench.core.types import Metric
from fusionbench.metrics.dialects import STANDARD, get_dialect
from fusionbench.metrics.facts import fact_lines, facts
from fusionbench.metrics.undefined import NotAvailable, grouped, measure
from fusionbench.results.bootstrap import mean_interval
from fusionbench.results.schema import Score, not_available, summarise

if TYPE_CHECKING:
    import torch

_NO_RANGES = Ranges()


@dataclass(frozen=True)
class Triple:
    """One row to score: a fused image and its two sources."""

    id: str
    fused: Path
    a: Path
    b: Path


@dataclass
class Scores:
    """Values per image with what they were measured by.

    Attributes:
        ids: stems, sorted.
        values: metric -> float64 (n,).
        metrics: the records that were used, in order.
        dialect: ``standard/1`` or a dialect's id.
        summary: metric -> mean, sd and number of images, over the images that have a value; without a
            mean where the fused image is the cause (see :func:`fusionbench.results.schema.summarise`).
        warnings: what the reader should know about the files.
        missing: stem -> the folders that lack it; these were not scored.
        not_available: stem -> metric -> why it has no value there.
        ranges: side -> the range by which its values became 8 bits, where one was given; what ``auto`` found.
    """

    ids: list[str]
    values: dict[str, np.ndarray]
    metrics: list[Metric]
    dialect: str
    summary: dict[str, Score] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)
    not_available: dict[str, dict[str, NotAvailable]] = field(default_factory=dict)
    ranges: dict[str, str] = field(default_factory=dict)

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The 95 % interval of a mean, the one that tables show (:func:`fusionbench.results.bootstrap.mean_interval`).

        None where there is no mean, or one image only.
        """
        return interval_of(self.values[metric], self.summary[metric])

    def to_json(self) -> dict[str, Any]:
        """Plain values at full precision; what is not finite is null, with the reason in ``not_available``."""
        return {
            "dialect": self.dialect,
            "versions": {metric.name: metric.version for metric in self.metrics},
            "units": {metric.name: metric.unit for metric in self.metrics},
            "images": [
                {
                    "id": name,
                    **{m.name: _finite(self.values[m.name][row]) for m in self.metrics},
                    "not_available": {key: why.reason for key, why in self.not_available.get(name, {}).items()},
                }
                for row, name in enumerate(self.ids)
            ],
            "not_available": {name: found for name, score in self.summary.items() if (found := not_available(score))},
            "mean": {name: score.mean for name, score in self.summary.items()},
            "sd": {name: score.sd for name, score in self.summary.items()},
            "ci95": {name: list(limits) if (limits := self.interval(name)) else None for name in self.summary},
            "n": len(self.ids),
            "n_by_metric": {name: score.n for name, score in self.summary.items()},
            "warnings": self.warnings,
            "missing": self.missing,
            "ranges": self.ranges,
        }


def interval_of(values: np.ndarray, score: Score) -> tuple[float, float] | None:
    """The interval of a score's mean over those of its per-image values (n,) that are finite; None where it has none.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.image_files import interval_of
        >>> from fusionbench.results.schema import summarise
        >>> values = np.array([1.0, 3.0])
        >>> [round(end, 2) for end in interval_of(values, summarise(values, "higher", "1"))]
        [-10.71, 14.71]
    """
    finite = np.asarray(values, np.float64)[np.isfinite(values)]
    return None if score.mean is None or len(finite) < 2 else mean_interval(finite)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def pair_files(a: Path, b: Path, fused: Path) -> tuple[list[Triple], dict[str, list[str]]]:
    """Rows of three files, or of three folders paired by stem, and what has no partner: stem -> folders lacking it.

    Raises:
        DataError: missing files, folders without images, or no stem that all three have.
        UsageError: files and folders mixed.
    """
    rows, missing = pair_by_stem({"a": Path(a), "b": Path(b), "fused": Path(fused)})
    return [Triple(stem, files["fused"], files["a"], files["b"]) for stem, files in rows], missing


def pair_by_stem(places: Mapping[str, Path]) -> tuple[list[tuple[str, dict[str, Path]]], dict[str, list[str]]]:
    """The files that belong together, of files or of folders paired by stem: the one way to pair image files.

    Args:
        places: side ("a", "b", "fused") -> a file or a folder.

    Returns:
        Rows sorted by stem, each a stem and side -> file; and what has no partner: stem -> sides that lack it. The stem
        of files is the last side's.

    Raises:
        DataError: missing files, folders without images, or no stem that all of them have.
        UsageError: files and folders mixed.
    """
    count = {2: "two", 3: "three"}[len(places)]
    for place in places.values():
        if not place.exists():
            raise DataError(f"{place}: no such file or folder")
    folders = [place.is_dir() for place in places.values()]
    if not any(folders):
        return [(utf8(list(places.values())[-1].stem), dict(places))], {}
    if not all(folders):
        *options, last = (f"--{side}" for side in places)
        kinds = ", ".join(f"{place} is a {'folder' if place.is_dir() else 'file'}" for place in places.values())
        raise UsageError(f"{kinds}: {', '.join(options)} and {last} must be {count} files or {count} folders")
    found = {name: utf8_names(images_in(place)) for name, place in places.items()}
    stems = sorted(set().union(*found.values()))
    missing = {
        stem: lacking for stem in stems if (lacking := [name for name, files in found.items() if stem not in files])
    }
    whole = [stem for stem in stems if stem not in missing]
    if not whole:
        examples = ", ".join(f"{name}: {next(iter(files.values())).name}" for name, files in found.items())
        which = "both folders" if len(places) == 2 else f"all {count} folders"
        raise DataError(f"No stem is in {which} ({examples}); rename the files so that their stems agree")
    return [(stem, {name: files[stem] for name, files in found.items()}) for stem in whole], missing


def score_files(
    a: str | Path,
    b: str | Path,
    fused: str | Path,
    metrics: Sequence[str | Metric] | None = None,
    dialect: str = STANDARD,
    *,
    jobs: int | None = None,
    strict: bool = False,
    range_a: Range | str | None = None,
    range_b: Range | str | None = None,
    range_fused: Range | str | None = None,
    scheduler: str | None = None,
    device: str = "cpu",
) -> Scores:
    """Score image files, or folders of them paired by stem.

    Args:
        a, b: sources (infrared and visible, say), each a file or a folder.
        fused: the fused image or the folder of them.
        metrics: names; None takes the eight of the field's tables, ``["all"]`` all that the dialect has.
        jobs: images at a time; None takes the processors at hand.
        strict: refuse instead of leaving out what has no partner.
        range_a, range_b, range_fused: which values are black and white, as text or a range (docs/images.md).
        scheduler: address of a Dask scheduler (``tcp://host:8786``) whose workers score instead; they must see the
            files under the same names.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``; a GPU's values are within 1e-9 (relative) of the CPU's.

    Raises:
        DataError: unreadable images, sizes that differ (nothing is resized), or with ``strict`` missing partners.
        UsageError: unknown metric, dialect, range or device, or one that is not there.
        CannotMeasure: out of memory.
    """
    from fusionbench.metrics.engine import choose

    ranges = Ranges.parse(range_a, range_b, range_fused)
    chosen = choose(metrics, dialect)
    where = None
    if device != "cpu":  # which takes no torch
        from fusionbench.training.runtime import find_device

        where = find_device(device)
    if where is not None and where.type != "cpu":
        if scheduler is not None or jobs not in (None, 1):
            raise UsageError(f"--device {device} scores one image at a time in this process: leave out --jobs and such")
        jobs = 1
    rows, missing = pair_files(Path(a), Path(b), Path(fused))
    if missing and strict:
        raise DataError(f"{missing_text(missing)}; add them, or leave out --strict")
    ranges = fit_rows(ranges, rows)
    scored, notes = _run(rows, chosen, _count(jobs, len(rows)), ranges, scheduler, where)
    table = {m.name: np.array([row.values[m.name] for row in scored], np.float64) for m in chosen}
    ids = [row.id for row in rows]
    why = {m.name: grouped((i, row.missing.get(m.name)) for i, row in zip(ids, scored, strict=True)) for m in chosen}
    told = fact_lines(((i, row.facts) for i, row in zip(ids, scored, strict=True)), len(rows), ("--a", "--b"))
    found = get_dialect(dialect)
    return Scores(
        ids=ids,
        values=table,
        metrics=chosen,
        dialect=STANDARD if found is None else found.id,
        summary={m.name: summarise(table[m.name], m.better, m.unit, why[m.name]) for m in chosen},
        warnings=_warnings(notes) + told + ([missing_text(missing)] if missing else []),
        missing=missing,
        ranges=ranges.texts(),
        not_available={i: row.missing for i, row in zip(ids, scored, strict=True) if row.missing},
    )


@dataclass(frozen=True)
class Scored:
    """One row: ``values`` by metric, NaN where ``missing`` says why there is none; the ``facts`` of its images, and
    ``notes``: file -> remark for what was found while reading.
    """

    values: dict[str, float]
    missing: dict[str, NotAvailable]
    facts: list[str]
    notes: dict[str, str]


def score_triple(
    row: Triple, metrics: Sequence[Metric], ranges: Ranges = _NO_RANGES, device: torch.device | None = None
) -> Scored:
    """Values of one row, and what there is to know about them.

    Raises:
        DataError: naming the file.
    """
    images = read_row(row, ranges)
    grey = {name: image.grey() for name, image in images.items()}
    try:
        values, missing = measure(grey["fused"], grey["a"], grey["b"], metrics, row.id, device)
    except DataError as error:
        raise DataError(f"{row.id}: {error}") from error
    notes = {str(getattr(row, name)): image.note for name, image in images.items() if image.note}
    if images["fused"].format == "JPEG":
        notes[str(row.fused)] = "JPEG"
    return Scored(values, missing, facts(grey["fused"], (grey["a"], grey["b"])), notes)


def fit_rows(ranges: Ranges, rows: Sequence[Triple]) -> Ranges:
    """The ranges that the images of each side share: what ``auto`` and ``set:percentile`` find in all of them.

    Raises:
        DataError: an unreadable image, or values in which nothing is found.
    """
    return fit_ranges(ranges, {side: [getattr(row, side) for row in rows] for side in ("a", "b", "fused")})


def read_row(row: Triple, ranges: Ranges = _NO_RANGES) -> dict[str, DecodedImage]:
    """The three images of a row, ``fused``, ``a`` and ``b``, of one size.

    Raises:
        DataError: an unreadable image, or sizes that differ.
    """
    images = {
        side: read_image(getattr(row, side), getattr(ranges, side), option=f"--range-{side}")
        for side in ("fused", "a", "b")
    }
    sizes = {name: image.pixels.shape[:2] for name, image in images.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {h}×{w}" for name, (h, w) in sizes.items())
        raise SizesDiffer(f"{row.id}: sizes differ ({listed})")
    return images


def _run(
    rows: Sequence[Triple],
    metrics: Sequence[Metric],
    jobs: int,
    ranges: Ranges,
    scheduler: str | None,
    device: torch.device | None = None,
) -> tuple[list[Scored], dict[str, str]]:
    from fusionbench.evaluation.cluster_scores import score_on_cluster

    if scheduler is not None:
        found: list[Scored | DataError] = [DataError("")] * len(rows)
        with progress("scoring", len(rows), "images") as task:
            for place, one in score_on_cluster(rows, metrics, ranges, scheduler):
                found[place] = one
                task.advance()
        refused = [one for one in found if isinstance(one, DataError)]
        refuse_all(refused, f"{len(refused)} of {len(rows)} rows cannot be scored")
        done = [one for one in found if isinstance(one, Scored)]
        return done, {path: note for one in done for path, note in one.notes.items()}

    import cv2  # noqa: F401 - before there are threads: its loader takes its module away for a moment
    from joblib import Parallel, delayed

    scored, notes = [], {}
    problems: list[DataError] = []
    nothing = Scored({}, {}, [], {})

    def attempt(row: Triple) -> Scored:
        try:
            if problems:  # nothing will be scored: only see what else is wrong
                read_row(row, ranges)
                return nothing
            return score_triple(row, metrics, ranges, device)
        except DataError as error:
            problems.append(error)
            return nothing
        except Exception as error:
            if is_out_of_memory(error):
                raise CannotMeasure(f"{row.id}: out of memory while scoring it; try --jobs 1") from error
            raise

    # Threads: NumPy and OpenCV drop the interpreter's lock, and nothing is copied between processes.
    pool = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    with progress("scoring", len(rows), "images") as task:
        for row in pool(delayed(attempt)(row) for row in rows):
            scored.append(row)
            notes.update(row.notes)
            task.advance()
    refuse_all(problems, f"{len(problems)} of {len(rows)} rows cannot be scored")
    return scored, notes


def _count(jobs: int | None, rows: int) -> int:
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {jobs}")
    return max(1, min(jobs or core_count(), rows))


def _warnings(notes: dict[str, str]) -> list[str]:
    jpeg = {path: note for path, note in notes.items() if note == "JPEG"}
    texts = note_lines({path: note for path, note in notes.items() if path not in jpeg})
    if jpeg:
        names = some([utf8(Path(path).name) for path in sorted(jpeg)])
        texts.append(f"{len(jpeg)} fused files are JPEG ({names}): compression changes EN, SF and VIF; save PNG")
    return texts


def note_lines(notes: Mapping[str, str]) -> list[str]:
    """Notes of files, path -> note, as a line a note with the names of its files."""
    remarks: dict[str, list[str]] = {}
    for path, note in sorted(notes.items()):
        remarks.setdefault(note, []).append(utf8(Path(path).name))
    return [f"{len(names)} files: {note} ({some(names)})" for note, names in remarks.items()]


def missing_text(missing: Mapping[str, Sequence[str]], what: str = "scored") -> str:
    """One line about stems without a partner: stem -> sides that lack it. ``what`` was not done to them."""
    names = [f"{stem} (not in {', '.join(lacking)})" for stem, lacking in missing.items()]
    text = f"{len(missing)} stems lack a partner and were not {what}: {some(names)}"
    forms = [unicodedata.normalize("NFC", stem) for stem in missing]
    if len(set(forms)) < len(forms):
        text += "; some differ only in how accents are encoded (file systems of macOS do that): rename them alike"
    return text


__all__ = [
    "SUFFIXES",
    "Scored",
    "Scores",
    "Triple",
    "missing_text",
    "note_lines",
    "pair_by_stem",
    "pair_files",
    "score_files",
    "score_triple",
]
