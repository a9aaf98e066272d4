"""The cells of a benchmark's table in the order on the page, and their notes on demand.

The page carries texts only. Notes (intervals, numbers of images) are in a separate file that is loaded when a
reader first points at the table; with 200 models they are most of the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusionbench.board.page_model import Benchmark, BoardRow, Cell

NOTHING = Cell("", None)


@dataclass(frozen=True)
class Slot:
    """One cell: its text, the element that marks it (``b`` best, ``mark`` tied), its classes, its note."""

    text: str
    mark: str
    classes: str
    note: str
    inline: bool  # the note is in the page: it gives the reason for what is missing


def slots(row: BoardRow, benchmark: Benchmark, costs: Mapping[str, object], mean_rank: bool) -> list[Slot]:
    """All cells of a row after its name."""
    line: list[Slot] = []
    published = row.kind == "published"
    if mean_rank:
        line.append(_slot(row.mean_rank or NOTHING, "f off"))
    for group in benchmark.groups:
        off = " off" if group.hidden else ""
        line.append(_slot(row.ranks.get(group.metric, NOTHING), f"f r{off}", rank=True))
        for column in group.columns:
            line.append(_slot(row.cells[column.key], ("k" if column.rank_key else "") + off, inline=published))
    beyond = f"{row.beyond_copying} beyond the best copy of each image" if row.beyond_copying else ""
    line.append(_slot(Cell(row.beats, None, beyond), "f"))
    return line + [_slot(row.cost.get(name, NOTHING), "f") for name in costs]


def _slot(cell: Cell, classes: str, rank: bool = False, inline: bool = False) -> Slot:
    mark = "b" if cell.best and not rank else "mark" if cell.tied else ""
    inline = bool(cell.note) and (inline or (cell.value is None and bool(cell.text)))
    return Slot(cell.text, mark, classes.strip(), cell.note, inline)


def cell_notes(benchmark: Benchmark, lines: Mapping[str, list[Slot]]) -> dict[str, list[str]]:
    """Row -> note of every cell after the name, for the file that is loaded on demand."""
    return {
        row.slug: [slot.note for slot in lines[row.slug]]
        for row in benchmark.rows
        if row.kind != "published" and any(slot.note for slot in lines[row.slug])
    }
