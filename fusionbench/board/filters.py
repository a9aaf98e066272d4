"""What readers can narrow a board to: rows of one page, and on the first page the benchmarks that have such rows.

Only filters that would leave something out are offered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fusionbench.board.page_model import NEEDS, Benchmark, BoardRow, Column, ColumnGroup

Filter = tuple[str, str, list[tuple[str, str]]]  # name, label, (value, text) of every choice


def row_filters(benchmark: Benchmark) -> list[Filter]:
    """Filters of one table: family, status, needs, measured metrics, training."""
    rows = benchmark.measured
    found = _shared(rows)
    lacking = [g for g in benchmark.groups if not g.hidden and any(_lacks(row, g) for row in rows)]
    if lacking:
        found.append(("has", "Measured", [(group.metric, group.title) for group in lacking]))
    runs = [("3", "3 training runs or more")] if any(row.runs >= 3 for row in rows) else []
    full = [("full", "not cut short")] if benchmark.kind("cut") else []
    if runs or full:
        found.append(("runs", "Training", full + runs))
    return found


def board_filters(benchmarks: Sequence[Benchmark]) -> list[Filter]:
    """Filters of the first page: track and data set, and which rows a benchmark should have."""
    tracks, names = (
        {one.track: one.track_title for one in benchmarks},
        {one.first.identity.dataset.name for one in benchmarks},
    )
    found = _filter("track", "Track", sorted(tracks.items()))
    found += _filter("dataset", "Data set", ((value, value) for value in sorted(names)))
    return found + _shared([row for one in benchmarks for row in one.measured])


def _shared(rows: Sequence[BoardRow]) -> list[Filter]:
    needs = {need for row in rows for need in row.needs}
    return [
        *_filter("family", "Family", ((value, value) for value in sorted({row.family for row in rows}))),
        *_filter("status", "Status", ((value, value) for value in sorted({row.status for row in rows}))),
        *_filter("needs", "Needs", ((value, text) for value, text in NEEDS.items() if value in needs)),
    ]


def _filter(name: str, label: str, choices: Iterable[tuple[str, str]]) -> list[Filter]:
    values = list(choices)
    return [(name, label, values)] if len(values) > 1 else []


def _lacks(row: BoardRow, group: ColumnGroup) -> bool:
    """Whether a row lacks a metric that others have; definitions that only papers used do not count."""

    def wanted(column: Column) -> bool:
        return column.rank_key or "@" not in column.key or column.key.partition("@")[2].isdecimal()

    return any(row.cells[column.key].value is None for column in group.columns if wanted(column))
