"""In which order a table is read: metrics as the papers have them, rows by what all metrics say, numbers told apart."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from fusionbench.board.page_model import Benchmark, BoardRow, Cell, Column, ColumnGroup, Kind
from fusionbench.board.published_rows import reproduces
from fusionbench.results.comparison import SECONDARY, metric_order

MORE_PLACES = 3  # digits more, at most, where equal texts would contradict the ranks beside them


def in_papers_order(metrics: Iterable[str], columns: Sequence[str]) -> list[str]:
    """Metrics in the order of the protocol's ``columns`` (patterns of score keys), those it does not name behind.

    Example:
        >>> from fusionbench.board.order import in_papers_order
        >>> in_papers_order(["cc", "en", "mi", "zz", "sd"], ("en", "sd", "mi", "cc"))
        ['en', 'sd', 'mi', 'cc', 'zz']
    """

    def place(metric: str) -> tuple[bool, int, tuple[bool, str, tuple[int, int, str]]]:
        named = (n for n, column in enumerate(columns) if fnmatch.fnmatchcase(metric, column.partition("@")[0]))
        return metric in SECONDARY, next(named, len(columns)), metric_order(metric)

    return sorted(metrics, key=place)


def in_order(rows: Sequence[BoardRow], groups: Sequence[ColumnGroup]) -> list[BoardRow]:
    """Rows by their kind; within one, models before trivial rows, by the mean of the ranks that they have.

    No metric comes first in that: a model that does one thing well and the others badly does not open the page. Rows
    without any rank are in the order of the first metric that they have.
    """
    shown = [group for group in groups if not group.hidden]

    def place(row: BoardRow) -> tuple[int, bool, float, list[tuple[bool, float]], str]:
        values = [(group.better, row.cells[group.ranking.key].value) for group in shown]
        signed = [(v is None, 0.0 if v is None else v if better == "lower" else -v) for better, v in values]
        first = get_args(Kind).index(row.kind)
        if row.kind == "bound":
            return first, False, 0.0, [], row.title
        return first, row.family == "trivial", mean_place(row, shown), signed, row.title

    return sorted(rows, key=place)


def mean_place(row: BoardRow, groups: Sequence[ColumnGroup]) -> float:
    """Mean of a row's ranks over those of ``groups`` that it has; infinite without any."""
    ranks = [rank for group in groups if (rank := row.ranks.get(group.metric, Cell("", None)).value) is not None]
    return sum(ranks) / len(ranks) if ranks else math.inf


def place_among(row: BoardRow, models: Sequence[BoardRow], benchmark: Benchmark) -> int:
    """How many of ``models`` stand above a published row: by the mean rank over the metrics that the paper has."""
    groups = [group for group in benchmark.shown if group.metric in row.stand_ins]
    if not groups:
        return len(models)
    ranked = [one for one in benchmark.rows if one.kind == row.part]
    values = {group.metric: [one.cells[group.ranking.key].value for one in ranked] for group in groups}

    def place(one: BoardRow) -> float:
        """Mean of the ranks among the measured rows and the published one."""
        places = []
        for group in groups:
            at, theirs = row.stand_ins[group.metric], None if one is row else row.stand_ins[group.metric]
            mine = at if one is row else one.cells[group.ranking.key].value
            if mine is not None:
                rivals = [*values[group.metric], theirs]
                places.append(1 + sum(value is not None and _is_better(value, mine, group) for value in rivals))
        return sum(places) / len(places) if places else math.inf

    mine = place(row)
    return sum(place(one) <= mine for one in models)


def _is_better(value: float, other: float, group: ColumnGroup) -> bool:
    return value < other if group.better == "lower" else value > other


def add_stand_ins(published: Sequence[BoardRow], rows: Sequence[BoardRow], groups: Sequence[ColumnGroup]) -> None:
    """Where every published number stands among the measured ones of its metric, for the order of rows alone.

    A paper's row is shown among the ranked models, or among stretched ones where our own run of its model is only
    there.
    A number in the definition that ranks stands for itself. One in another definition, or of another average, stands
    where it is among the measured rows in that definition, between the same two neighbours.
    """
    for row in published:
        ours = {one.kind for one in rows if one.entry is not None and reproduces(one, row)} & {"ranked", "stretched"}
        parts: list[Kind] = ["ranked", "stretched"] if ours != {"stretched"} else ["stretched"]
        models = {one.kind for one in rows if one.family != "trivial"}
        row.part = next((kind for kind in parts if kind in models), None)
        ranked = [one for one in rows if one.kind == row.part]
        for group in groups:
            column = column_on_show(row, group)
            value = row.cells[column.key].value
            if value is None:
                continue
            if column.rank_key:
                row.stand_ins[group.metric] = value
                continue
            pairs = [(one.cells[column.key].value, one.cells[group.ranking.key].value) for one in ranked]
            known = np.array(sorted((a, b) for a, b in pairs if a is not None and b is not None), np.float64)
            if len(known) > 1:
                row.stand_ins[group.metric] = float(np.interp(value, known[:, 0], known[:, 1]))


def column_on_show(row: BoardRow, group: ColumnGroup) -> Column:
    """The column whose number a row shows for a metric: the one that ranks, else the first that it has."""
    ranking = group.ranking
    if row.kind != "published" or row.cells[ranking.key].value is not None:
        return ranking
    averages = [column for column in group.columns if not column.label.startswith("N=")]
    return next((column for column in averages if row.cells[column.key].value is not None), ranking)


def tell_apart(rows: Sequence[BoardRow], column: Column) -> None:
    """Give equal texts of a column more digits where their ranks differ for sure: 0.56, rank 1, and 0.56, rank 2."""
    alike: dict[str, list[BoardRow]] = {}
    for row in rows:
        alike.setdefault(row.cells[column.key].text.partition(" ")[0], []).append(row)
    for text, group in alike.items():
        pairs = [(a, b) for n, a in enumerate(group) for b in group[:n] if _disjoint(a, b, column.metric)]
        if not pairs:
            continue
        places = len(text.partition(".")[2])
        for more in range(places + 1, places + 1 + MORE_PLACES):
            texts = {row.slug: f"{row.cells[column.key].value:.{more}f}" for row in group}
            if all(texts[a.slug] != texts[b.slug] for a, b in pairs):
                break
        for row in group:
            cell = row.cells[column.key]
            row.cells[column.key] = replace(cell, text=texts[row.slug] + cell.text.removeprefix(text))


def _disjoint(a: BoardRow, b: BoardRow, metric: str) -> bool:
    """Whether one of two rows is better for sure."""
    if metric not in a.rank_sets or metric not in b.rank_sets:
        return False
    (low, high), (other_low, other_high) = a.rank_sets[metric], b.rank_sets[metric]
    return high < other_low or other_high < low
