"""The charts of the pages: scores by the number of inputs, by the number of draws, and against cost."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from fusionbench.board.charts import COLOURS, Point, Series, chart
from fusionbench.board.page_model import COST, Benchmark, BoardRow, ColumnGroup
from fusionbench.board.published_rows import reproduces
from fusionbench.core.errors import DataError
from fusionbench.core.io import read_bounded
from fusionbench.evaluation.curves import COLUMNS
from fusionbench.results.input_means import MAX_VIEWS, subsample

MAX_CURVES = 1 << 20  # bytes of a curves.csv: some 20,000 lines
MAX_TICKS = 9  # numbers below an axis that do not touch
CURVES = "curves.csv"


@dataclass(frozen=True)
class View:
    """One chart under a caption."""

    caption: str
    svg: Markup


def by_number_of_inputs(row: BoardRow, benchmark: Benchmark) -> list[View]:
    """Each score that has a column for every number of inputs: this row, the papers' and the best trivial row."""
    views = []
    for group in benchmark.groups:
        if group.hidden or sum(column.label.startswith("N=") for column in group.columns) < 2:
            continue
        assert row.entry is not None
        series = [_inputs(row, group, row.title, "c0")]
        for other in benchmark.kind("published"):
            if reproduces(row, other):
                series.append(_inputs(other, group, f"{other.title} as published", "paper"))
        trivial = _best_trivial(benchmark, group)
        if trivial is not None and trivial is not row:
            series.append(_inputs(trivial, group, f"{trivial.title} (best trivial)", "grey"))
        counts = [float(column.label[2:]) for column in group.columns if column.label.startswith("N=")]
        ticks = counts[:: math.ceil(len(counts) / MAX_TICKS)]
        if series[0].points:
            caption = f"{group.title} by number of inputs, {group.better} is better"
            views.append(View(caption, chart(caption, series, x="inputs N", y=_titled(group), ticks=ticks)))
    return views


def _titled(group: ColumnGroup) -> str:
    """Title of a metric with its unit, for an axis."""
    return group.title + (f" ({group.unit})" if group.unit not in ("", "1") else "")


def _inputs(row: BoardRow, group: ColumnGroup, label: str, kind: str) -> Series:
    points = []
    for column in group.columns:
        value = row.cells[column.key].value
        if value is None or not column.label.startswith("N="):
            continue
        low, high = row.intervals.get(column.key, (None, None))
        points.append(Point(float(column.label[2:]), value, low, high))
    return Series(label, points, kind)


def _best_trivial(benchmark: Benchmark, group: ColumnGroup) -> BoardRow | None:
    key = next((column.key for column in group.columns if column.rank_key), group.columns[0].key)
    sign = 1 if group.better == "lower" else -1
    rows = [row for row in benchmark.kind("ranked") if row.family == "trivial"]
    known = [(sign * value, row.slug, row) for row in rows if (value := row.cells[key].value) is not None]
    return min(known)[2] if known else None


def by_draws(folder: Path) -> list[View]:
    """NLL and MSE_min of the first 1, 2, 4, … K draws from the ``curves.csv`` beside a result; none without one.

    Raises:
        DataError: a damaged file.
    """
    path = folder / CURVES
    if not path.exists():
        return []
    rows = read_curves(path)
    counts = sorted({row[1] for row in rows})
    every = sorted({row[0] for row in rows})
    shown = subsample(every, COLOURS)  # a colour for each number of inputs, which many views would run out of
    some = f" ({len(shown)} of {len(every)} numbers of inputs)" if len(shown) < len(every) else ""
    views = []
    captions = ("NLL (nats) by number of draws", "MSE_min by number of draws: the best of K")
    for place, (caption, y) in enumerate(zip(captions, ("NLL (nats)", "MSE_min"), strict=True), 2):
        series = [
            Series(f"N = {inputs}", [Point(row[1], row[place]) for row in rows if row[0] == inputs], f"c{n}")
            for n, inputs in enumerate(shown)
        ]
        ticks = counts[:: max(1, math.ceil(len(counts) / MAX_TICKS))]
        svg = chart(caption, series, x="draws K", y=y, log=True, ticks=ticks)
        views.append(View(caption + some + ", lower is better", svg))
    return views


def read_curves(path: Path) -> list[tuple[int, int, float, float]]:
    """Rows (N, K, NLL in nats, MSE_min) of a ``curves.csv``, in order of N and K.

    Raises:
        DataError: too large, another header, or a line that is not two counts and two finite numbers.
    """
    text = read_bounded(path, MAX_CURVES, "curves").decode("utf-8", "replace")
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise DataError(f"{path}: the first line is not {','.join(COLUMNS)}; write it again with evaluate --curves")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        try:
            inputs, draws, *values = int(line[0]), int(line[1]), float(line[2]), float(line[3])
            good = len(line) == len(COLUMNS) and 0 <= inputs <= MAX_VIEWS and draws > 0
            good = good and all(map(math.isfinite, values))
        except (ValueError, IndexError):
            good = False
        if not good:
            raise DataError(f"{path}: line {number} is damaged; write it again with evaluate --curves")
        rows.append((inputs, draws, values[0], values[1]))
    return sorted(rows)


def against_cost(benchmark: Benchmark) -> list[View]:
    """Every score that ranks against every cost that at least two models have; each point leads to its model."""
    views = []
    for group in benchmark.groups:
        column = next((column for column in group.columns if column.rank_key), None)
        if group.hidden or column is None:
            continue
        for cost, (label, about) in COST.items():
            points: dict[str, list[Point]] = {"c0": [], "grey": []}
            for row in benchmark.kind("ranked"):
                value, paid = row.cells[column.key].value, row.cost.get(cost)
                if value is not None and paid is not None and paid.value:
                    href = f"models/{benchmark.slug}-{row.slug}.html"
                    kind = "grey" if row.family == "trivial" else "c0"
                    points[kind].append(Point(paid.value, value, name=row.title, href=href))
            if sum(map(len, points.values())) < 2:
                continue
            series = [
                Series("models", points["c0"], "c0", False),
                Series("trivial rows", points["grey"], "grey", False),
            ]
            caption = f"{group.title} against {about}, {group.better} is better"
            views.append(View(caption, chart(caption, series, x=label, y=_titled(group), log=True)))
    return views
