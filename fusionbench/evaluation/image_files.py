"""Score image files: pair them by stem, read them, compute the metrics, summarise.

scores = score_files("ir", "vi", "fused", dialect="cddfuse")
scores.values["vif"]            # (n,) float64, one per image, in the order of scores.ids
scores.summary["vif"].mean
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.cpus import core_count
from fusionbench.core.crashes import is_out_of_memory
from fusionbench.core.errors import CannotMeasure, DataError, SizesDiffer, UsageError, refuse_all, some
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import SUFFIXES, DecodedImage, GreyRule, fit_ranges, read_image
from fusionbench.core.io import utf8
from fusionbench.core.progress import progress
from fusionbench.core.types import Metric
from fusionbench.evaluation.image_rows import (
    SOURCE_SIDES,
    Triple,
    missing_text,
    pair_by_stem,
    pair_files,
    pair_sides,
)
from fusionbench.metrics.dialects import STANDARD, get_dialect, grey_rule
from fusionbench.metrics.facts import fact_lines, facts
from fusionbench.metrics.inputs import choose_for, measure_row
from fusionbench.metrics.undefined import NotAvailable, grouped
from fusionbench.results.bootstrap import mean_interval
from fusionbench.results.schema import Score, not_available, summarise

if TYPE_CHECKING:
    import torch

_NO_RANGES = Ranges()


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
        inputs: the sides that were scored: ``fused``, the sources ``a``, ``b``, …, and ``target``.
        grey: how colour files became grey.
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
    inputs: tuple[str, ...] = ("fused", "a", "b")
    grey: GreyRule = "bt601"

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The 95 % interval of a mean, the one that tables show (:func:`fusionbench.results.bootstrap.mean_interval`).

        None where there is no mean, or one image only.
        """
        return interval_of(self.values[metric], self.summary[metric])

    def to_json(self) -> dict[str, Any]:
        """Plain values at full precision; what is not finite is null, with the reason in ``not_available``."""
        return {
            "dialect": self.dialect,
            "inputs": list(self.inputs),
            "grey": self.grey,
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


def score_files(
    a: str | Path | None,
    b: str | Path | None,
    fused: str | Path,
    metrics: Sequence[str | Metric] | None = None,
    dialect: str = STANDARD,
    *,
    more: Sequence[str | Path] = (),
    target: str | Path | None = None,
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
        a, b: sources (infrared and visible, say), each a file or a folder; both None to score against a target alone.
        fused: the fused image or the folder of them.
        metrics: names; None takes the eight of the field's tables as far as the images allow, and with a target those
            against it; ``["all"]`` takes all that the dialect has.
        more: the third source and further ones, up to six in all; by metrics that are defined for any number.
        target: the known truth, a file or a folder; by metrics against it.
        jobs: images at a time; None takes the processors at hand.
        strict: refuse instead of leaving out what has no partner.
        range_a, range_b, range_fused: which values are black and white, as text or a range (docs/images.md).
        scheduler: address of a Dask scheduler (``tcp://host:8786``) whose workers score instead; they must see the
            files under the same names.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``; a GPU's values are within 1e-9 (relative) of the CPU's.

    Raises:
        DataError: unreadable images, sizes that differ (nothing is resized), or with ``strict`` missing partners.
        UsageError: unknown metric, dialect, range or device, no such device here, or a metric that needs other images.
        CannotMeasure: out of memory.
    """
    ranges = Ranges.parse(range_a, range_b, range_fused)
    where = _device(device, jobs, scheduler)
    jobs = jobs if where is None else 1
    places = _places(a, b, more, target, fused)
    sides = [side for side in SOURCE_SIDES if side in places]
    chosen = choose_for(metrics, dialect, len(sides), target is not None)
    rows, missing = pair_sides(places)
    if missing and strict:
        raise DataError(f"{missing_text(missing)}; add them, or leave out --strict")
    ranges = fit_rows(ranges, rows)
    scored, notes = _run(rows, chosen, _count(jobs, len(rows)), ranges, scheduler, where)
    table = {m.name: np.array([row.values[m.name] for row in scored], np.float64) for m in chosen}
    ids = [row.id for row in rows]
    why = {m.name: grouped((i, row.missing.get(m.name)) for i, row in zip(ids, scored, strict=True)) for m in chosen}
    found_facts, options = zip(ids, (row.facts for row in scored), strict=True), [f"--{side}" for side in sides]
    told = fact_lines(found_facts, len(rows), options, of_pairs=bool(sides))
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
        inputs=("fused", *sides, *(("target",) if target is not None else ())),
        grey="bt601" if found is None else found.grey,
    )


def _places(
    a: str | Path | None,
    b: str | Path | None,
    more: Sequence[str | Path],
    target: str | Path | None,
    fused: str | Path,
) -> dict[str, Path]:
    """Side -> file or folder of those that are given; the fused images come last, as they name a row of files."""
    if len(more) > len(SOURCE_SIDES) - 2:
        raise UsageError(f"{2 + len(more)} sources: at most {len(SOURCE_SIDES)} are scored together")
    if (a is None) != (b is None) or (a is None and (target is None or more)):
        raise UsageError("Fused images are scored against --a and --b, against --target, or against all of them")
    sources = dict(zip(SOURCE_SIDES, (a, b, *more), strict=False))
    every = {**sources, "target": target, "fused": fused}
    return {side: Path(place) for side, place in every.items() if place is not None}


@dataclass(frozen=True)
class Scored:
    """One row: ``values`` by metric, NaN where ``missing`` says why there is none; the ``facts`` of its images, and
    ``notes``: file -> remark for what was found while reading.
    """

    values: dict[str, float]
    missing: dict[str, NotAvailable]
    facts: list[str]
    notes: dict[str, str]


def _device(device: str, jobs: int | None, scheduler: str | None) -> torch.device | None:
    """The GPU to score on; None for the CPU, which takes no torch."""
    if device == "cpu":
        return None
    from fusionbench.training.runtime import find_device

    where = find_device(device)
    if where.type == "cpu":
        return None
    if scheduler is not None or jobs not in (None, 1):
        raise UsageError(f"--device {device} scores one image at a time in this process: leave out --jobs and such")
    return where


def score_triple(
    row: Triple, metrics: Sequence[Metric], ranges: Ranges = _NO_RANGES, device: torch.device | None = None
) -> Scored:
    """Values of one row, and what there is to know about them.

    Raises:
        DataError: naming the file.
    """
    images, files = read_row(row, ranges), row.files
    values: dict[str, float] = {}
    missing: dict[str, NotAvailable] = {}
    remarkable: list[str] = []
    for rule in dict.fromkeys(map(grey_rule, metrics)):  # one, unless somebody mixes records of several dialects
        grey = {side: image.grey(rule) for side, image in images.items()}
        sources = [grey[side] for side in SOURCE_SIDES if side in grey]
        some_metrics = [metric for metric in metrics if grey_rule(metric) == rule]
        try:
            found, why = measure_row(grey["fused"], sources, some_metrics, row.id, grey.get("target"), device)
        except DataError as error:
            raise DataError(f"{row.id}: {error}") from error
        values, missing = values | found, missing | why
        remarkable = remarkable or facts(grey["fused"], sources)
    notes = {str(files[side]): image.note for side, image in images.items() if image.note}
    if images["fused"].format == "JPEG":
        notes[str(row.fused)] = "JPEG"
    return Scored(values, missing, remarkable, notes)


def fit_rows(ranges: Ranges, rows: Sequence[Triple]) -> Ranges:
    """The ranges that the images of each side share: what ``auto`` and ``set:percentile`` find in all of them.

    Raises:
        DataError: an unreadable image, or values in which nothing is found.
    """
    sides = ("a", "b", "fused")
    return fit_ranges(ranges, {side: [row.files[side] for row in rows if side in row.files] for side in sides})


def read_row(row: Triple, ranges: Ranges = _NO_RANGES) -> dict[str, DecodedImage]:
    """The images of a row by side, of one size: ``fused``, ``a`` and ``b``, and what else it has.

    Raises:
        DataError: an unreadable image, or sizes that differ.
    """
    images = {
        side: read_image(path, getattr(ranges, side, None), option=f"--range-{side}" if hasattr(ranges, side) else "")
        for side, path in row.files.items()
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


__all__ = [
    "SUFFIXES",
    "Scored",
    "Scores",
    "Triple",
    "missing_text",
    "note_lines",
    "pair_by_stem",
    "pair_files",
    "pair_sides",
    "score_files",
    "score_triple",
]
