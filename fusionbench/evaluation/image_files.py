"""Score image files: pair them by stem, read them, compute the metrics, summarise.

scores = score_files("ir", "vi", "fused", dialect="cddfuse")
scores.values["vif"]            # (n,) float64, one per image, in the order of scores.ids
scores.summary["vif"].mean
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from fusionbench.core.cpus import core_count
from fusionbench.core.crashes import is_out_of_memory, who_exited
from fusionbench.core.errors import CannotMeasure, DataError, SizesDiffer, UsageError, refuse_all, some
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import SUFFIXES, DecodedImage, fit_ranges, read_image
from fusionbench.core.io import digest, utf8
from fusionbench.core.progress import progress
from fusionbench.core.types import Metric
from fusionbench.data.alignment import AlignmentCheck, sample_of
from fusionbench.evaluation.image_rows import (
    SOURCE_SIDES,
    Triple,
    missing_text,
    pair_by_stem,
    pair_files,
    pair_sides,
    sides_given,
)
from fusionbench.evaluation.kept_files import KeptFiles, Scored
from fusionbench.evaluation.order_hint import more_fused, order_hint
from fusionbench.evaluation.scores import Scores, interval_of
from fusionbench.metrics.dialects import STANDARD, get_dialect, grey_rule
from fusionbench.metrics.facts import fact_lines, facts
from fusionbench.metrics.inputs import choose_for, measure_row
from fusionbench.metrics.undefined import NotAvailable, grouped
from fusionbench.results.schema import summarise

if TYPE_CHECKING:
    import torch

_NO_RANGES = Ranges()


class HasId(Protocol):
    """A row of images that is named."""

    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=HasId)


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
    unfinished: str | Path | None = None,
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
        unfinished: folder that holds what is scored until all is, so that a call that was stopped goes on; not on a
            cluster.

    Raises:
        DataError: unreadable images, sizes that differ (nothing is resized), or with ``strict`` missing partners.
        UsageError: unknown metric, dialect, range or device, no such device here, or a metric that needs other images.
        CannotMeasure: out of memory.
    """
    ranges = Ranges.parse(range_a, range_b, range_fused)
    where = find_scoring_device(device, jobs, scheduler)
    jobs = jobs if where is None else 1
    places = sides_given(a, b, more, target, fused)
    sides = [side for side in SOURCE_SIDES if side in places]
    chosen = choose_for(metrics, dialect, len(sides), target is not None)
    rows, missing = pair_sides(places)
    if missing and strict:
        raise DataError(f"{missing_text(missing)}; add them, or leave out --strict")
    ranges = fit_rows(ranges, rows)
    check = AlignmentCheck() if len(sides) == 2 else None
    kept = KeptFiles(unfinished if scheduler is None else None, rows, chosen, ranges, where)
    scored, notes = _run(rows, chosen, thread_count(jobs, len(rows)), ranges, scheduler, where, check, kept)
    options = [f"--{side}" for side in sides]
    told = _warnings(notes), [missing_text(missing)] if missing else []
    found = collect([row.id for row in rows], scored, chosen, dialect, sides, options, target is not None)
    found.warnings = told[0] + found.warnings + told[1] + (check.lines if check else [])
    found.missing, found.ranges = missing, ranges.texts()
    return found


def collect(
    ids: Sequence[str],
    scored: Sequence[Scored],
    metrics: Sequence[Metric],
    dialect: str,
    sides: Sequence[str],
    names: Sequence[str],
    target: bool = False,
) -> Scores:
    """Scores of rows that were scored one by one.

    Args:
        ids: names of the images.
        sides, names: the sources, and what warnings call them.
        target: whether there is one.
    """
    table = {m.name: np.array([row.values[m.name] for row in scored], np.float64) for m in metrics}
    why = {m.name: grouped((i, row.missing.get(m.name)) for i, row in zip(ids, scored, strict=True)) for m in metrics}
    found_facts = zip(ids, (row.facts for row in scored), strict=True)
    found = get_dialect(dialect)
    return Scores(
        ids=list(ids),
        values=table,
        metrics=list(metrics),
        dialect=STANDARD if found is None else found.id,
        summary={m.name: summarise(table[m.name], m.better, m.unit, why[m.name]) for m in metrics},
        warnings=fact_lines(found_facts, len(ids), names, of_pairs=bool(sides)),
        not_available={i: row.missing for i, row in zip(ids, scored, strict=True) if row.missing},
        inputs=("fused", *sides, *(("target",) if target else ())),
        grey="bt601" if found is None else found.grey,
        sources_sha256=digest([row.sources_sha256 for row in scored]),
        looks_fused=order_hint([row.looks_fused for row in scored]),
    )


def find_scoring_device(device: str, jobs: int | None, scheduler: str | None) -> torch.device | None:
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
    row: Triple,
    metrics: Sequence[Metric],
    ranges: Ranges = _NO_RANGES,
    device: torch.device | None = None,
    check: AlignmentCheck | None = None,
) -> Scored:
    """Values of one row, and what there is to know about them; ``check`` looks at its two sources.

    Raises:
        DataError: naming the file.
    """
    images, files = read_row(row, ranges), row.files
    if check is not None:
        check.add(images["a"].grey(), images["b"].grey())
    scored = score_decoded(row.id, images, metrics, device)
    scored.notes.update({str(files[side]): image.note for side, image in images.items() if image.note})
    if images["fused"].format == "JPEG":
        scored.notes[str(row.fused)] = "JPEG"
    return scored


def score_decoded(
    name: str, images: Mapping[str, DecodedImage], metrics: Sequence[Metric], device: torch.device | None = None
) -> Scored:
    """Values of one row, and what there is to know about them; side -> image, of one size.

    Raises:
        DataError: images that no metric can score.
    """
    values: dict[str, float] = {}
    missing: dict[str, NotAvailable] = {}
    remarkable: list[str] = []
    total = hashlib.sha256()
    for rule in dict.fromkeys(map(grey_rule, metrics)):  # one, unless somebody mixes records of several dialects
        grey = {side: image.grey(rule) for side, image in images.items()}
        sources = [grey[side] for side in SOURCE_SIDES if side in grey]
        some_metrics = [metric for metric in metrics if grey_rule(metric) == rule]
        try:
            found, why = measure_row(grey["fused"], sources, some_metrics, name, grey.get("target"), device)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        values, missing = values | found, missing | why
        remarkable = remarkable or facts(grey["fused"], sources)
        for side in sorted(grey.keys() - {"fused"}):
            total.update(f"{side} {grey[side].shape}".encode())
            total.update(np.ascontiguousarray(grey[side]).data)
    return Scored(values, missing, remarkable, {}, total.hexdigest(), more_fused(grey))


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
    require_one_size(row.id, images)
    return images


def require_one_size(name: str, images: Mapping[str, DecodedImage]) -> None:
    """Refuse images of a row that differ in size; nothing is resized.

    Raises:
        SizeMismatchError: they do.
    """
    sizes = {side: image.pixels.shape[:2] for side, image in images.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{side} {h}×{w}" for side, (h, w) in sizes.items())
        raise SizesDiffer(f"{name}: sizes differ ({listed})")


def _run(
    rows: Sequence[Triple],
    metrics: Sequence[Metric],
    jobs: int,
    ranges: Ranges,
    scheduler: str | None,
    device: torch.device | None = None,
    check: AlignmentCheck | None = None,
    kept: KeptFiles | None = None,
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

    sample = {rows[place].id for place in sample_of(len(rows))}

    def score(row: Triple) -> Scored:
        return score_triple(row, metrics, ranges, device, check if row.id in sample else None)

    for row in [] if kept is None else rows[: len(kept.scored)]:
        if check is not None and row.id in sample:  # what an earlier call found displaced is told by this one
            images = read_row(row, ranges)
            check.add(images["a"].grey(), images["b"].grey())
    return score_each(rows, jobs, score, lambda row: read_row(row, ranges), kept)


def score_each(
    rows: Sequence[Row],
    jobs: int,
    score: Callable[[Row], Scored],
    look: Callable[[Row], object],
    kept: KeptFiles | None = None,
) -> tuple[list[Scored], dict[str, str]]:
    """Every row scored, in order, in threads; and the notes of all of them.

    Args:
        score, look: scores a row; only reads it, to see what else is wrong once something is.
        kept: of these rows, what an earlier call scored.

    Raises:
        DataError: all rows that cannot be scored, on one line.
        CannotMeasure: out of memory.
    """
    import cv2  # noqa: F401 - before there are threads: its loader takes its module away for a moment
    from joblib import Parallel, delayed

    scored = [] if kept is None else list(kept.scored)
    notes = {path: note for one in scored for path, note in one.notes.items()}
    problems: list[DataError] = []
    nothing = Scored({}, {}, [], {})

    def attempt(row: Row) -> tuple[Scored, list[str]]:
        try:
            if problems:  # nothing will be scored
                look(row)
                return nothing, []
            files = [] if kept is None else kept.digests(row)  # type: ignore[arg-type]  # they are its rows
            return score(row), files
        except DataError as error:
            problems.append(error)
            return nothing, []
        except SystemExit as error:  # a metric's own code: it would end the command without a word
            raise CannotMeasure(f"{row.id}: {who_exited(error)}: that is no value of a metric") from error
        except Exception as error:
            if is_out_of_memory(error):
                raise CannotMeasure(f"{row.id}: out of memory while scoring it; try --jobs 1") from error
            raise

    # Threads: NumPy and OpenCV drop the interpreter's lock, and nothing is copied between processes.
    pool = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    whole = True  # every row so far is scored
    with progress("scoring", len(rows), "images", len(scored)) as task:
        for found, files in pool(delayed(attempt)(row) for row in rows[len(scored) :]):
            scored.append(found)
            notes.update(found.notes)
            whole = whole and found is not nothing
            if kept is not None and whole:
                kept.add(found, files)
            task.advance()
    if kept is not None:
        kept.write() if problems else kept.remove()
    refuse_all(problems, f"{len(problems)} of {len(rows)} rows cannot be scored")
    return scored, notes


def thread_count(jobs: int | None, rows: int) -> int:
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
    "collect",
    "find_scoring_device",
    "interval_of",
    "missing_text",
    "note_lines",
    "pair_by_stem",
    "pair_files",
    "pair_sides",
    "require_one_size",
    "score_decoded",
    "score_each",
    "score_files",
    "score_triple",
    "thread_count",
]
