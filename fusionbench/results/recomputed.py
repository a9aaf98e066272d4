"""Means that nobody can write by hand: what a result states about its scores, computed again from its per-image table.

A ``result.json`` holds mean, deviation, number and interval of each score, and how many images reach the full range, so
that people and programs can read them without the table. Nothing that ranks, compares or judges believes them: they are
replaced by those of the table, and a result in which they differ by more than rounding has been edited.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.results.consistency import check_scores
from fusionbench.results.full_range import FullRange, full_range_of
from fusionbench.results.image_tables import per_image
from fusionbench.results.schema import Result, Score, not_available, summarise

STATED = "stated only: the result has no per-image values for it"
ROUNDING = 1e-9  # of the largest value; sums in another order differ by less than a millionth of this


def recompute(result: Result, table: Mapping[str, np.ndarray]) -> None:
    """Replace mean, sd, n and ci95 of every score, and ``full_range``, by those of the per-image table.

    Left as they are: scores without a column, which are :data:`STATED`, those whose mean is None because the column
    lacks values, and counts of the full range where the table, of an earlier version, has no columns for them.

    Args:
        table: per-image columns (n,), as :func:`fusionbench.results.image_tables.read_table` gives them.

    Raises:
        DataError: the table has another number of images than the identity, a stated value is not that of its column,
            a column's score is missing, or its mean is, although the images have values.

    Example:
        >>> import numpy as np
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.results.recomputed import recompute
        >>> pairs = open_pairs("pairs-demo", "all", None, limit=2)
        >>> model = create_model("copy-a", ImageSpec(1, 256, 256, views=2))
        >>> result = evaluate_pairs(model, pairs, out=None, device="cpu")
        >>> try:
        ...     recompute(result, {"id": np.array(["a", "b"]), "sd": np.array([1.0, 2.0])})
        ... except Exception as error:
        ...     print(str(error)[:53], "1.5 by its per-image table" in str(error))
        score sd: its mean is stated as 47.644889, but is 1.5 True
    """
    images = len(table["id"])
    if images != result.identity.dataset.n:
        raise DataError(f"its per-image table has {images} images, its identity {result.identity.dataset.n}")
    check_scores(result, table)
    _check_full_range(result, table)
    for key, score in result.scores.items():
        values = per_image(table, key, score)
        if score.mean is None:
            _check_unmeasured(table, key, score, values)
            continue
        if values is None:
            continue
        expected, largest = _summary(key, score, values)
        for name in ("mean", "sd", "n", "ci95"):
            stated, found = getattr(score, name), getattr(expected, name)
            if stated is not None and not _same(stated, found, largest):
                raise DataError(
                    f"score {key}: its {name} is stated as {_text(stated)}, but is {_text(found)} by its per-image "
                    "table; it was edited by hand: score again"
                )
            setattr(score, name, found)


def _check_unmeasured(table: Mapping[str, np.ndarray], key: str, score: Score, values: np.ndarray | None) -> None:
    """Refuse a score without a mean where its images give one: nobody can take a bad score out of the ranking."""
    if values is None:  # bits whose number of values the file withholds are known by the nats they are made of
        values = table.get(key.replace("_bpd@", "@", 1))
    if values is None:
        return
    has = int(np.count_nonzero(np.isfinite(values)))
    fair = sum(found["n"] for found in not_available(score) if found["cause"] != "fused")  # as summarise leaves out
    if has and len(values) - has in (0, fair):
        raise DataError(
            f"score {key}: has no mean, although its per-image table has {has} values and lacks none that a mean "
            "needs; it was edited by hand: score again"
        )
    stated = {"sd": score.sd is not None, "ci95": score.ci95 is not None, "n": score.n not in (has, len(values))}
    if wrong := [name for name, is_wrong in stated.items() if is_wrong]:
        raise DataError(
            f"score {key}: its {wrong[0]} is stated as {_text(getattr(score, wrong[0]))}, but it has no mean, and "
            f"{has} values in its per-image table; it was edited by hand: score again"
        )


def _check_full_range(result: Result, table: Mapping[str, np.ndarray]) -> None:
    found = full_range_of(table)
    if found is None or found == result.full_range:
        return
    stated = result.full_range
    told = f"stated as {_counts(stated)}" if isinstance(stated, FullRange) else "missing"
    raise DataError(
        f"full_range is {told}, but is {_counts(found)} by its per-image table; it was edited by hand: score again"
    )


def _counts(found: FullRange) -> str:
    return f"{found.full} full images and {found.sources} with a full source of {found.images}"


def _summary(key: str, score: Score, values: np.ndarray) -> tuple[Score, float]:
    """The summary of a column and its largest absolute value, both of the images that have one."""
    finite = np.isfinite(values)
    missing = len(values) - int(np.count_nonzero(finite))
    if missing:
        if missing == len(values):
            raise DataError(f"score {key}: has a mean, although no image has a value; score again")
        # that rows lack a value for the same images is seen to where they are compared
        values = values[finite]
    return summarise(values, score.better, score.unit), float(np.abs(values).max())


def _same(stated: Any, found: Any, largest: float) -> bool:
    if isinstance(stated, int) or found is None:
        return bool(stated == found)
    if isinstance(stated, tuple):
        return all(_same(one, other, largest) for one, other in zip(stated, found, strict=True))
    return math.isclose(stated, found, rel_tol=ROUNDING, abs_tol=ROUNDING * largest)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    return f"{value:.9g}" if isinstance(value, float) else str(value)
