"""Score picture files: pair them by stem, read them, compute the metrics, summarise.

scores = score_files("ir", "vi", "fused", dialect="cddfuse")
scores.values["vif"]            # (n,) float64, one per image, in the order of scores.ids
scores.summary["vif"].mean
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.contracts import Metric
from fusionbench.crashes import is_out_of_memory
from fusionbench.errors import CannotMeasure, DataError, UsageError
from fusionbench.imread import SUFFIXES, Picture, pictures_in, read_picture
from fusionbench.metrics.dialects import STANDARD, get_dialect
from fusionbench.progress import progress
from fusionbench.result import Score, summarise

_SHOWN = 8  # names listed in a message before the rest is counted


@dataclass(frozen=True)
class Triple:
    """One row to score: a fused picture and its two sources."""

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
        summary: metric -> mean, sd and 95 % interval; without a mean where a value is not finite.
        warnings: what the reader should know about the files.
        missing: stem -> the folders that lack it; these were not scored.
    """

    ids: list[str]
    values: dict[str, np.ndarray]
    metrics: list[Metric]
    dialect: str
    summary: dict[str, Score] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values at full precision; what is not finite is null."""
        return {
            "dialect": self.dialect,
            "versions": {metric.name: metric.version for metric in self.metrics},
            "units": {metric.name: metric.unit for metric in self.metrics},
            "images": [
                {"id": name, **{m.name: _finite(self.values[m.name][row]) for m in self.metrics}}
                for row, name in enumerate(self.ids)
            ],
            "mean": {name: score.mean for name, score in self.summary.items()},
            "sd": {name: score.sd for name, score in self.summary.items()},
            "ci95": {name: list(score.ci95) if score.ci95 else None for name, score in self.summary.items()},
            "n": len(self.ids),
            "warnings": self.warnings,
            "missing": self.missing,
        }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def pair_files(a: Path, b: Path, fused: Path) -> tuple[list[Triple], dict[str, list[str]]]:
    """Rows of three files, or of three folders paired by stem, and what has no partner: stem -> folders lacking it.

    Raises:
        DataError: missing files, folders without pictures, or no stem that all three have.
        UsageError: files and folders mixed.
    """
    places = {"a": Path(a), "b": Path(b), "fused": Path(fused)}
    for place in places.values():
        if not place.exists():
            raise DataError(f"{place}: no such file or folder")
    folders = [place.is_dir() for place in places.values()]
    if not any(folders):
        return [Triple(places["fused"].stem, places["fused"], places["a"], places["b"])], {}
    if not all(folders):
        raise UsageError("--a, --b and --fused must be three files or three folders, not some of each")
    found = {name: pictures_in(place) for name, place in places.items()}
    stems = sorted(set().union(*found.values()))
    missing = {
        stem: lacking for stem in stems if (lacking := [name for name, files in found.items() if stem not in files])
    }
    whole = [stem for stem in stems if stem not in missing]
    if not whole:
        examples = ", ".join(f"{name}: {next(iter(files.values())).name}" for name, files in found.items())
        raise DataError(f"No stem is in all three folders ({examples}); rename the files so that their stems agree")
    return [Triple(stem, *(found[name][stem] for name in ("fused", "a", "b"))) for stem in whole], missing


def score_files(
    a: str | Path,
    b: str | Path,
    fused: str | Path,
    metrics: Sequence[str | Metric] | None = None,
    dialect: str = STANDARD,
    *,
    jobs: int | None = None,
    strict: bool = False,
) -> Scores:
    """Score picture files, or folders of them paired by stem.

    Args:
        a, b: sources (infrared and visible, say), each a file or a folder.
        fused: the fused picture or the folder of them.
        metrics: names; None takes the eight of the field's tables, ``["all"]`` all that the dialect has.
        jobs: images at a time; None takes the processors at hand.
        strict: refuse instead of leaving out what has no partner.

    Raises:
        DataError: unreadable pictures, sizes that differ (nothing is resized), or with ``strict`` missing partners.
        UsageError: unknown metric or dialect.
        CannotMeasure: out of memory.
    """
    from fusionbench.metrics.engine import choose

    chosen = choose(metrics, dialect)
    rows, missing = pair_files(Path(a), Path(b), Path(fused))
    if missing and strict:
        raise DataError(f"{_missing_text(missing)}; add them, or leave out --strict")
    values, notes = _run(rows, chosen, _count(jobs, len(rows)))
    table = {m.name: np.array([row[m.name] for row in values], np.float64) for m in chosen}
    found = get_dialect(dialect)
    return Scores(
        ids=[row.id for row in rows],
        values=table,
        metrics=chosen,
        dialect=STANDARD if found is None else found.id,
        summary={m.name: summarise(table[m.name], m.better, m.unit) for m in chosen},
        warnings=_warnings(notes) + ([_missing_text(missing)] if missing else []),
        missing=missing,
    )


def score_triple(row: Triple, metrics: Sequence[Metric]) -> tuple[dict[str, float], dict[str, str]]:
    """Values of one row, and file -> remark for what was found while reading.

    Raises:
        DataError: naming the file.
    """
    from fusionbench.metrics.engine import SourcePair

    pictures = _read(row)
    grey = {name: picture.grey()[None] for name, picture in pictures.items()}
    try:
        values = SourcePair(grey["a"], grey["b"], metrics, ids=[row.id], lasting=False).score(grey["fused"])
    except DataError as error:
        raise DataError(f"{row.id}: {error}") from error
    notes = {str(getattr(row, name)): picture.note for name, picture in pictures.items() if picture.note}
    if pictures["fused"].format == "JPEG":
        notes[str(row.fused)] = "JPEG"
    return {name: float(value[0]) for name, value in values.items()}, notes


def _read(row: Triple) -> dict[str, Picture]:
    """The three pictures of a row, of one size."""
    pictures = {name: read_picture(path) for name, path in (("fused", row.fused), ("a", row.a), ("b", row.b))}
    sizes = {name: picture.pixels.shape[:2] for name, picture in pictures.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {h}×{w}" for name, (h, w) in sizes.items())
        raise DataError(f"{row.id}: sizes differ ({listed}); images that are scored together must have one size")
    return pictures


def _run(rows: Sequence[Triple], metrics: Sequence[Metric], jobs: int) -> tuple[list[dict[str, float]], dict[str, str]]:
    from joblib import Parallel, delayed

    values, notes = [], {}
    problems: list[str] = []

    def attempt(row: Triple) -> tuple[dict[str, float], dict[str, str]]:
        try:
            if problems:  # nothing will be scored: only see what else is wrong
                _read(row)
                return {}, {}
            return score_triple(row, metrics)
        except DataError as error:
            problems.append(str(error))
            return {}, {}
        except Exception as error:
            if is_out_of_memory(error):
                raise CannotMeasure(f"{row.id}: out of memory while scoring it; try --jobs 1") from error
            raise

    # Threads: NumPy and OpenCV drop the interpreter's lock, and nothing is copied between processes.
    pool = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    with progress("scoring", len(rows), "images") as task:
        for value, remarks in pool(delayed(attempt)(row) for row in rows):
            values.append(value)
            notes.update(remarks)
            task.advance()
    if problems:
        head = f"{len(problems)} of {len(rows)} rows cannot be scored: "
        raise DataError(problems[0] if len(problems) == 1 else head + _some(sorted(problems), "; "))
    return values, notes


def _count(jobs: int | None, rows: int) -> int:
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {jobs}")
    return max(1, min(jobs or len(os.sched_getaffinity(0)), rows))


def _warnings(notes: dict[str, str]) -> list[str]:
    remarks: dict[str, list[str]] = {}
    for path, note in sorted(notes.items()):
        remarks.setdefault(note, []).append(Path(path).name)
    texts = []
    for note, names in remarks.items():
        if note == "JPEG":
            texts.append(
                f"{len(names)} fused files are JPEG ({_some(names)}): compression changes EN, SF and VIF; save PNG"
            )
        else:
            texts.append(f"{len(names)} files: {note} ({_some(names)})")
    return texts


def _missing_text(missing: dict[str, list[str]]) -> str:
    names = [f"{stem} (not in {', '.join(lacking)})" for stem, lacking in missing.items()]
    return f"{len(missing)} stems lack a partner and were not scored: {_some(names)}"


def _some(names: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return between.join(names[:_SHOWN]) + more


__all__ = ["SUFFIXES", "Scores", "Triple", "pair_files", "score_files", "score_triple"]
