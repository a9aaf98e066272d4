"""Compares a result with the one that was made again: values image by image, means, and what they were made with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fusionbench.core.types import Tolerance
from fusionbench.evaluation.reproduction.outcome import ScoreDifference
from fusionbench.results.baseline import tolerance_of
from fusionbench.results.clipping import clipped_mean
from fusionbench.results.full_range import FullRange, full_range_of
from fusionbench.results.image_tables import per_image
from fusionbench.results.input_means import PAPER_MEAN
from fusionbench.results.schema import Result, Score

Table = Mapping[str, np.ndarray]
_SHOWN = 12  # packages whose versions differ that are listed
_UNKNOWN = "not recorded"
_CLIPPED = 1e-3  # share of pixels: a processor that rounds otherwise moves a few between levels


def score_differences(
    then: Result, table: Table | None, now: Result, made: Table, *, partial: bool = False, training: float | None = None
) -> dict[str, ScoreDifference]:
    """Every score of ``then`` -> its difference from ``now``; and ``full_range`` where only one of them is stretched.

    Args:
        table, made: per-image tables of the same images in the same order; None where the result has no table.
        partial: the tables are of the first images only, so that means, and the paper's mean, whose weights depend on
            the number of images, are not compared.
        training: the weights were trained again, and are others: compare means only, with this relative tolerance.
    """
    found: dict[str, ScoreDifference] = {}
    for key, score in then.scores.items():
        if partial and key.endswith(f"@{PAPER_MEAN}"):
            continue
        other = now.scores.get(key)
        column = None if table is None else per_image(table, key, score)
        again = None if other is None else per_image(made, key, other)
        tolerance = tolerance_of(key, score)
        if training is not None:
            tolerance = Tolerance(tolerance.atol, max(training, tolerance.rtol), "trained again")
            column = None
        difference = _difference(score, other, column, again, made["id"], tolerance, partial)
        if difference is not None:
            found[key] = difference
    if training is None and (moved := _full_range_difference(then, table, now, made, partial)) is not None:
        found["full_range"] = moved
    if training is None and table is not None and (moved := _clipped_difference(table, made)) is not None:
        found["clipped"] = moved
    return found


def _full_range_difference(
    then: Result, table: Table | None, now: Result, made: Table, partial: bool
) -> ScoreDifference | None:
    """Counts by which the row is ranked elsewhere: stretched then and not now, or the other way; else None."""
    one, other = None if table is None else full_range_of(table), full_range_of(made)
    if one is None and not partial and isinstance(then.full_range, FullRange):
        one = then.full_range  # of an earlier version, whose table has no columns for it
    if one is None or other is None or one.stretched == other.stretched:
        return None
    return ScoreDifference(
        same=False,
        identical=False,
        values=other.images,
        largest=float(abs(other.full - one.full)),
        then=float(one.full),
        now=float(other.full),
    )


def _clipped_difference(table: Table, made: Table) -> ScoreDifference | None:
    """The mean share of clipped pixels where it is another one now; None where it is the same or was not measured."""
    then, now = clipped_mean(table), clipped_mean(made)
    if then is None or now is None or set(made["id"]) != set(table["id"]) or abs(then - now) <= _CLIPPED:
        return None
    values = len(made["id"])
    return ScoreDifference(same=False, identical=False, values=values, largest=abs(then - now), then=then, now=now)


def _difference(
    score: Score,
    other: Score | None,
    column: np.ndarray | None,
    again: np.ndarray | None,
    ids: np.ndarray,
    tolerance: Tolerance,
    partial: bool,
) -> ScoreDifference | None:
    """None where a partial comparison has no values to compare."""
    limits: dict[str, Any] = {"atol": float(tolerance.atol), "rtol": float(tolerance.rtol)}
    if other is None:
        return ScoreDifference(same=False, identical=False, values=0, largest=None, then=score.mean, **limits)
    same = identical = True
    largest: float | None = 0.0
    image, values = "", 0
    if column is not None:
        if again is None or len(again) != len(column):
            return ScoreDifference(same=False, identical=False, values=0, largest=None, then=score.mean, **limits)
        values = len(column)
        gone = np.isfinite(column) != np.isfinite(again)
        distance = np.where(np.isfinite(column) & np.isfinite(again), np.abs(again - column), 0.0)
        allowed = tolerance.atol + tolerance.rtol * np.abs(np.where(np.isfinite(column), column, 0.0))
        same = not gone.any() and bool((distance <= allowed).all())
        identical = not gone.any() and not distance.any()
        place = int(np.argmax(gone)) if gone.any() else int(np.argmax(distance))
        largest = None if gone.any() else float(distance[place])
        image = "" if identical else str(ids[place])
    elif partial:
        return None
    means: dict[str, Any] = {"then": None, "now": None}
    if not partial:
        means = {"then": score.mean, "now": other.mean}
        if score.mean is None or other.mean is None:
            same, identical = same and score.mean is other.mean, identical and score.mean is other.mean
            largest = largest if score.mean is other.mean else None
        else:
            moved = abs(other.mean - score.mean)
            same = same and moved <= tolerance.atol + tolerance.rtol * abs(score.mean)
            identical = identical and (moved == 0 if column is None else True)  # a mean follows from its images
            if column is None:
                largest = moved
    return ScoreDifference(
        same=same, identical=identical, values=values, largest=largest, image=image, **means, **limits
    )


def environment_differences(then: Result, now: Result) -> dict[str, tuple[str, str]]:
    """What the two results were made with that differs: name -> (then, now). What neither recorded is left out.

    Example:
        >>> from fusionbench.evaluation.reproduction.differences import environment_differences
        >>> from fusionbench.results.schema import DatasetIdentity, Identity, ModelIdentity
        >>> from fusionbench.results.schema import ProtocolIdentity, Result
        >>> identity = Identity(
        ...     model=ModelIdentity(name="average", version="1"),
        ...     dataset=DatasetIdentity(name="tno", version="1.0.0", split="test", id="", n=1, ids_sha256=""),
        ...     protocol=ProtocolIdentity(name="pairs", version="1", seed=0),
        ...     metrics={},
        ... )
        >>> made = [Result(id="", status="verified", identity=identity, scores={}) for _ in range(2)]
        >>> made[0].provenance, made[1].provenance = {"host": {"threads": 1}}, {"host": {"threads": 4}}
        >>> environment_differences(*made)
        {'threads': ('1', '4')}
    """
    one, other = _facts(then), _facts(now)
    found = {
        name: (one.get(name, _UNKNOWN), other.get(name, _UNKNOWN))
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name) and not name.startswith("package ")
    }
    packages = [name for name in dict.fromkeys([*one, *other]) if name.startswith("package ")]
    if not any(name in one for name in packages):
        return found | ({"packages": (_UNKNOWN, f"{len(packages)} packages")} if packages else {})
    changed = [name for name in packages if one.get(name) != other.get(name)]
    found |= {name: (one.get(name, "not installed"), other.get(name, "not installed")) for name in changed[:_SHOWN]}
    if len(changed) > _SHOWN:
        found["further packages"] = (f"{len(changed) - _SHOWN} in other versions", "")
    return found


def _facts(result: Result) -> dict[str, str]:
    """What a result's provenance says it was made with, as texts. A file says it, so any type may stand anywhere."""
    provenance = result.provenance
    environment, host = _table(provenance.get("environment")), _table(provenance.get("host"))
    code = _table(environment.get("code"))
    found: dict[str, object] = {
        "fusionbench": provenance.get("fusionbench"),
        "commit": code.get("commit"),
        "uncommitted changes": code.get("dirty"),
        "operating system": host.get("os"),
        "kernel": environment.get("os"),
        "machine": environment.get("machine", host.get("machine")),
        "processor": environment.get("cpu"),
        "python": str(environment.get("python", host.get("python")) or "").rpartition(" ")[2] or None,
        "device": host.get("device"),
        "gpu": host.get("gpu"),
        "precision": provenance.get("precision"),
        "threads": host.get("threads"),
        "torch": host.get("torch"),
        "numpy": host.get("numpy"),
        "compiled": provenance.get("compiled"),
    }
    packages = environment.get("packages")
    for entry in packages.split() if isinstance(packages, str) else ():
        name, _, version = entry.partition("==")
        found[f"package {name}"] = version
    return {name: str(value)[:200] for name, value in found.items() if value is not None and value != ""}


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def largest_difference(scores: Mapping[str, ScoreDifference]) -> tuple[str, ScoreDifference] | None:
    """The score that is furthest beyond, or nearest to, its tolerance; None where all are identical.

    Example:
        >>> from fusionbench.evaluation.reproduction.differences import largest_difference
        >>> from fusionbench.evaluation.reproduction.outcome import ScoreDifference
        >>> near = ScoreDifference(same=True, identical=False, values=3, largest=1e-9, atol=1e-6)
        >>> far = ScoreDifference(same=False, identical=False, values=3, largest=0.5, atol=1e-6)
        >>> largest_difference({"sd": near, "vif": far})[0]
        'vif'
    """

    def share(one: ScoreDifference) -> float:
        if one.largest is None:
            return math.inf
        return one.largest / max(one.atol + one.rtol * abs(one.then or 0.0), 1e-300)

    moved = {key: one for key, one in scores.items() if not one.identical}
    return max(moved.items(), key=lambda item: (not item[1].same, share(item[1]))) if moved else None
