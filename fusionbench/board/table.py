"""The cells of a benchmark's table in the order on the page, and their notes on demand.

The page carries texts only. Notes (intervals, numbers of images) and what draws their whiskers are in a separate file
that is loaded when a reader first points at the table; with 200 models they are most of the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fusionbench.board.agreement import MEAN_RANK
from fusionbench.board.order import column_on_show
from fusionbench.board.page_model import Benchmark, BoardRow, Cell, Column, ColumnGroup

NOTHING = Cell("", None)
LEVELS = 7  # classes h0 … h5 of the style sheet; the last level has no colour
FIRST = "first"


@dataclass(frozen=True)
class Slot:
    """One cell.

    Attributes:
        text, rank: the number, and the ranks that the row may have.
        mark: the element around the number: ``b`` first for sure, ``u`` may be first.
        tag: the definition of a published number, where it is not the one that ranks; ``at``: where it is sorted.
        inline: the note is in the page: it gives the reason for what is missing.
        bar: mean with its interval, for the whiskers.
    """

    text: str
    rank: str
    mark: str
    classes: str
    note: str
    inline: bool
    tag: str = ""
    at: str = ""
    bar: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Head:
    """The head of a column. ``kind``: ``k`` a metric, ``d`` a definition or number of inputs, ``c`` a cost."""

    key: str
    of: str
    kind: str
    title: str
    unit: str
    sort: str
    about: str
    off: bool = False
    arrow: str = ""


def heads(benchmark: Benchmark, costs: Mapping[str, tuple[str, str]], mean_rank: bool) -> list[Head]:
    """The heads of all columns after the name, in the order of :func:`slots`."""
    found = []
    if mean_rank:
        about = "mean of the ranks over all metrics on show, with its 95 % interval"
        found.append(Head(MEAN_RANK, MEAN_RANK, "", "mean rank", "", "lower", about, off=True))
    for group in benchmark.groups:
        about = f"{group.better} is better"
        unit = "" if group.unit == "1" else group.unit
        for column in _columns(group):
            if column.rank_key:
                title = group.title if column.label in ("", "value", "mean") else f"{group.title}, {column.label}"
                head = Head(column.key, group.metric, "k", title, unit, column.better, about, group.hidden, group.arrow)
            else:
                own = column.unit if column.unit not in (group.unit, "1") else ""
                title = f"{group.title} {column.label}"
                head = Head(column.key, group.metric, "d", title, own, column.better, about, group.hidden, group.arrow)
            found.append(head)
    about = "metrics on which the model is better than every trivial row of its part of the table"
    found.append(Head("beats", "beats", "", "beats trivial", "", "none", about))
    for key, (title, about) in benchmark.downstream.items():
        found.append(Head(key, "", "", title, "downstream", "higher", about))
    return found + [Head(name, "costs", "c", label, "", "lower", about) for name, (label, about) in costs.items()]


def _columns(group: ColumnGroup) -> list[Column]:
    """The column that ranks first."""
    return sorted(group.columns, key=lambda column: not column.rank_key)


def slots(row: BoardRow, benchmark: Benchmark, costs: Mapping[str, object], mean_rank: bool) -> list[Slot]:
    """All cells of a row after its name."""
    line: list[Slot] = []
    published = row.kind == "published"
    definition = definition_of(row, benchmark)
    if mean_rank:
        line.append(_slot(row.mean_rank or NOTHING, "off", bar=_bar(row, MEAN_RANK, row.mean_rank)))
    for group in benchmark.groups:
        off = " off" if group.hidden else ""
        for column in _columns(group):
            if not column.rank_key:
                cell = row.cells[column.key]
                line.append(_slot(cell, f"d{off}", bar=_bar(row, column.key, cell)))
            elif published:
                line.append(_printed(row, group, definition, off))
            else:
                line.append(_measured(row, benchmark, group, off))
    beyond = f"{row.beyond_copying} beyond the best copy of each image" if row.beyond_copying else ""
    line.append(_slot(Cell(row.beats, None, beyond), ""))
    line += [_slot(row.downstream.get(key, NOTHING), "") for key in benchmark.downstream]
    return line + [_slot(row.cost.get(name, NOTHING), "c") for name in costs]


def _measured(row: BoardRow, benchmark: Benchmark, group: ColumnGroup, off: str) -> Slot:
    """A number of ours with the ranks that it may have."""
    cell, rank = row.cells[group.ranking.key], row.ranks.get(group.metric, NOTHING)
    cell = replace(cell, note="; ".join(filter(None, [cell.note, rank.note])))
    heat, ranks = _heat(row, benchmark, group), _ranks(row, benchmark, group)
    return _slot(cell, heat + off, rank=ranks, bar=_bar(row, group.ranking.key, cell))


def _printed(row: BoardRow, group: ColumnGroup, definition: str, off: str) -> Slot:
    """A number of a paper, with its definition where that is another one."""
    column = column_on_show(row, group)
    cell = row.cells[column.key]
    if column.rank_key:
        return _slot(cell, off, inline=cell.value is not None)
    at = row.stand_ins.get(group.metric)
    tag = ", ".join(_tags(column, group, definition))
    return _slot(cell, off, inline=True, tag=tag, at="" if at is None else f"{at:.6g}")


def definition_of(row: BoardRow, benchmark: Benchmark) -> str:
    """The definition of all numbers of a published row, where it is one that does not rank; else nothing."""
    if row.kind != "published":
        return ""
    shown = [column_on_show(row, group) for group in benchmark.shown]
    labels = {column.label for column in shown if not column.rank_key and row.cells[column.key].value is not None}
    return labels.pop() if len(labels) == 1 else ""


def _tags(column: Column, group: ColumnGroup, definition: str) -> list[str]:
    """What a published number is called beside it: its definition unless the row says it, its unit if it is another."""
    return [column.label] * (column.label != definition) + [column.unit] * (column.unit != group.unit)


def _ranks(row: BoardRow, benchmark: Benchmark, group: ColumnGroup) -> str:
    """The ranks that a row may have; the word where it alone may be first."""
    found = row.rank_sets.get(group.metric)
    if found is None:
        return ""
    if found == (1, 1):
        rivals = (other.rank_sets.get(group.metric, (0, 0)) for other in benchmark.kind(row.kind) if other is not row)
        if all(low != 1 for low, _ in rivals):
            return FIRST
    return row.ranks[group.metric].text


def _heat(row: BoardRow, benchmark: Benchmark, group: ColumnGroup) -> str:
    """The class of the middle of the ranks that a row may have, among those of its part."""
    found = row.rank_sets.get(group.metric)
    rows = sum(group.metric in other.rank_sets for other in benchmark.kind(row.kind)) if found else 0
    if found is None or rows < 2:
        return ""
    level = int((sum(found) / 2 - 1) / (rows - 1) * LEVELS)
    return f"h{level}" if level < LEVELS - 1 else ""


def _bar(row: BoardRow, key: str, cell: Cell | None) -> tuple[float, float, float] | None:
    if cell is None or cell.value is None or row.kind == "published":
        return None
    low, high = row.intervals.get(key, (cell.value, cell.value))
    return (cell.value, low, high) if math.isfinite(low) and math.isfinite(high) else (cell.value,) * 3


def _slot(
    cell: Cell,
    classes: str,
    *,
    rank: str = "",
    inline: bool = False,
    tag: str = "",
    at: str = "",
    bar: tuple[float, float, float] | None = None,
) -> Slot:
    mark = "b" if rank == FIRST else "u" if rank == "1" or rank.startswith("1–") else ""
    inline = bool(cell.note) and (inline or (cell.value is None and bool(cell.text)))
    return Slot(cell.text, rank, mark, classes.strip(), cell.note, inline, tag, at, bar)


def cell_notes(benchmark: Benchmark, lines: Mapping[str, list[Slot]]) -> dict[str, object]:
    """What is loaded on demand: row -> note of every cell after the name, and row -> place -> mean, low and high."""
    rows = [row for row in benchmark.rows if row.kind != "published"]
    return {
        "notes": {
            row.slug: ["" if slot.inline else slot.note for slot in lines[row.slug]]
            for row in benchmark.rows
            if any(slot.note and not slot.inline for slot in lines[row.slug])
        },
        "bars": {
            row.slug: {
                str(n): [float(f"{value:.6g}") for value in slot.bar]
                for n, slot in enumerate(lines[row.slug])
                if slot.bar is not None
            }
            for row in rows
        },
        "lines": {row.part: row.slug for row in benchmark.kind("bound") if row.part},
    }
