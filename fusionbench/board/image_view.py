"""The page of single images: on which images rows disagree, and what every row scores on one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np

from fusionbench.board.page_model import Benchmark, BoardRow, Cell, ColumnGroup, Kind

MOST = 100  # images in the table of the page; all of them can be picked where scripts run


@dataclass(frozen=True)
class ImageLine:
    """One image. ``spread``: how far apart rows are on it, 1 as on the average image; ``best``: of each metric."""

    id: int | str
    spread: float
    best: dict[str, tuple[str, str]]  # metric -> text of the value, title of the row


def image_lines(benchmark: Benchmark) -> list[ImageLine]:
    """The images of a benchmark, those on which the ranked models are furthest apart first; at most ``MOST``.

    How far apart rows are on an image is the standard deviation of their values on it over the average of that over
    all images, averaged over the metrics on show; images that a metric cannot score for two rows count without it.
    """
    kinds = (
        benchmark.models("ranked"),
        benchmark.models("stretched"),
        benchmark.models("predictions"),
        benchmark.measured,
    )
    rows = next(([row for row in kind if _scored(row)] for kind in kinds if any(map(_scored, kind))), [])
    if not rows or rows[0].entry is None:
        return []
    ids = rows[0].entry.ids
    tables = {group.metric: _values(rows, group, len(ids)) for group in benchmark.shown}
    spread = _spread(list(tables.values()), len(ids))
    order = sorted(range(len(ids)), key=lambda i: (-spread[i], i))[:MOST]
    return [
        ImageLine(
            ids[i],
            float(spread[i]),
            {g.metric: best for g in benchmark.shown if (best := _best(rows, tables[g.metric][:, i], g))},
        )
        for i in order
    ]


def _scored(row: BoardRow) -> bool:
    return row.entry is not None and bool(row.entry.values)


def _values(rows: list[BoardRow], group: ColumnGroup, images: int) -> np.ndarray:
    """Values (rows, images), NaN where there is none."""
    found = np.full((len(rows), images), np.nan)
    for n, row in enumerate(rows):
        if row.entry is not None and group.ranking.key in row.entry.values:
            found[n] = row.entry.values[group.ranking.key].mean(axis=0)
    return found


def _spread(tables: list[np.ndarray], images: int) -> np.ndarray:
    total, metrics = np.zeros(images), np.zeros(images)
    for table in tables:
        count = np.isfinite(table).sum(axis=0)
        known = count > 1
        if not known.any():
            continue
        apart = np.zeros(images)
        apart[known] = np.nanstd(np.where(np.isfinite(table[:, known]), table[:, known], np.nan), axis=0)
        usual = apart[known].mean()
        if usual > 0:
            total[known] += apart[known] / usual
            metrics += known
    return np.divide(total, metrics, out=np.zeros(images), where=metrics > 0)


def _best(rows: list[BoardRow], values: np.ndarray, group: ColumnGroup) -> tuple[str, str] | None:
    if not np.isfinite(values).any():
        return None
    place = int(np.nanargmin(values) if group.better == "lower" else np.nanargmax(values))
    shown = rows[place].cells.get(group.ranking.key, Cell("", None)).text.partition(" ")[0]
    places = len(shown.partition(".")[2]) if shown.replace(".", "").lstrip("-").isdecimal() else 3
    return f"{values[place]:.{places}f}", rows[place].title


def rows_on_show(benchmark: Benchmark, known: set[str]) -> list[dict[str, str]]:
    """The rows whose values are beside the page, for its script."""
    return [
        {"slug": row.slug, "title": row.title, "note": row.note, "part": row.kind, "family": row.family}
        for row in sorted(benchmark.measured, key=lambda row: get_args(Kind).index(row.kind))
        if row.slug in known
    ]
