"""Rows as points of a plot: a score against what the row costs, and which rows nothing beats for less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusionbench.core.errors import UsageError
from fusionbench.results import bootstrap as stats
from fusionbench.results.comparison import Entry, compare_entries, read_entries
from fusionbench.results.paper_columns import COSTS, PaperColumn, choose_columns
from fusionbench.results.paper_notes import cost_note
from fusionbench.results.paper_rows import choose_rows
from fusionbench.results.result_set import Results


@dataclass(frozen=True)
class CostPoint:
    """A row.

    Attributes:
        x, y: cost and score; ``low`` and ``high`` the interval of the score, None where it has none.
        best: no row has as good a score for as little, and is better in one of both.
    """

    title: str
    x: float
    y: float
    low: float | None
    high: float | None
    best: bool = False
    trivial: bool = False


@dataclass(frozen=True)
class CostPlot:
    """The points, the columns that their axes are, rows that are left out with why, and where costs were measured."""

    points: list[CostPoint]
    across: PaperColumn
    up: PaperColumn
    left_out: dict[str, str]
    note: str


def cost_plot(
    paths: Results,
    metric: str,
    against: str = "params",
    *,
    rows: Sequence[str] = (),
    stretched: bool = False,
    level: float = stats.LEVEL,
    resamples: int = stats.RESAMPLES,
) -> CostPlot:
    """Points of all comparable rows, or of those named.

    Args:
        against: ``params``, ``time``, ``memory`` or ``hours``.
        stretched: take the rows of images that were stretched to the full range, instead of those that were not.

    Raises:
        UsageError: a name that fits nothing.
        DataError, NotComparableError: as :func:`fusionbench.results.comparison.compare_results`.

    Example:
        >>> import tempfile
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.results.paper_cost import cost_plot
        >>> pairs = open_pairs("pairs-demo", "all", None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("copy-a", "copy-b"):
        ...         model = create_model(name, ImageSpec(1, 256, 256, views=2))
        ...         _ = evaluate_pairs(model, pairs, out=folder, device="cpu")
        ...     plot = cost_plot(folder, "SD", "params")
        >>> [(point.title, point.x, point.best) for point in plot.points]  # both have no parameters
        [('copy of source A', 0.0, False), ('copy of source B', 0.0, True)]
    """
    if against not in COSTS:
        raise UsageError(f"--against {against!r}: give {', '.join(COSTS)}")
    entries = [entry for entry in read_entries(paths) if (entry.tier == "stretched") == stretched]
    if not entries:
        if stretched:
            raise UsageError("no row is of stretched images; leave out --stretched")
        raise UsageError("every row is of stretched images; add --stretched to draw those")
    columns = choose_columns([metric, against], entries)
    if [column.kind for column in columns] != ["score", "cost"]:
        raise UsageError(f"--metric {metric!r}: give one score, for example VIF")
    up, across = columns
    chosen = choose_rows(rows, entries, [], usual=range(len(entries)))
    shown = [row.entry for row in chosen if row.entry is not None]
    comparison = compare_entries(shown, scores=[up.key], level=level, resamples=resamples)
    points, left_out = [], {}
    for row, entry, found in zip(chosen, shown, comparison.scores[up.key], strict=True):
        cost = cost_of(entry, against)
        if found is None or cost is None:
            left_out[row.title] = f"no value of {up.key}" if found is None else f"its result has no {COSTS[against][0]}"
            continue
        known = math.isfinite(found.low) and math.isfinite(found.high)
        low, high = (found.low, found.high) if known else (None, None)
        points.append(CostPoint(row.title, cost, found.mean, low, high, trivial=entry.trivial))
    sign = 1 if up.better == "higher" else -1
    points = [replace(point, best=not any(_beats(one, point, sign) for one in points)) for point in points]
    return CostPlot(points, across, up, left_out, cost_note(across, shown))


def cost_of(entry: Entry, name: str) -> float | None:
    """What a row costs, in the unit of the column's head: mean over its runs; None where a run does not say."""
    field, _, factor = COSTS[name]
    values = [result.cost.get(field) for result in entry.results]
    known = [float(value) * factor for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _beats(one: CostPoint, other: CostPoint, sign: int) -> bool:
    as_good = one.x <= other.x and sign * one.y >= sign * other.y
    return as_good and (one.x, one.y) != (other.x, other.y)
