"""Columns that a large table has in a file beside the page, since nobody sees them at first.

A page carries all its numbers and works without scripts as long as that is few bytes. With hundreds of rows the columns
that are folded away (definitions of other evaluators, metrics not on show, the mean rank) would be a quarter of the
page: they stand last then, and a script adds their cells when one of them is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusionbench.board.page_model import Benchmark
from fusionbench.board.table import Head, Slot, heads, slots

MOST_FOLDED, MOST_ROWS = 1000, 150  # folded cells in a page, some 18 kB, and rows of one that has any


@dataclass(frozen=True)
class TableLayout:
    """Columns and cells of a table.

    Attributes:
        heads: of all columns after the name.
        lines: all cells of each row, by its slug, in the order of ``heads``.
        shown: the cells that the page has.
        late: the number of columns that the page has, the name among them, where others come later; else 0.
    """

    heads: list[Head]
    lines: dict[str, list[Slot]]
    shown: dict[str, list[Slot]]
    late: int = 0

    @property
    def texts(self) -> dict[str, list[str | list[str]]]:
        """What comes later: texts of a row's cells by its slug, each with its note where that gives a reason."""
        return {
            slug: [[slot.text, slot.note] if slot.inline else slot.text for slot in line[self.late - 1 :]]
            for slug, line in self.lines.items()
        }


def lay_out(benchmark: Benchmark, costs: Mapping[str, tuple[str, str]], mean_rank: bool) -> TableLayout:
    """The table of a benchmark."""
    columns = heads(benchmark, costs, mean_rank)
    lines = {row.slug: slots(row, benchmark, costs, mean_rank) for row in benchmark.rows}
    folded = [head.off or head.kind == "d" for head in columns]
    if not any(folded) or (sum(folded) * len(lines) <= MOST_FOLDED and len(lines) <= MOST_ROWS):
        return TableLayout(columns, lines, lines)
    order = sorted(range(len(columns)), key=folded.__getitem__)
    count = len(columns) - sum(folded)
    moved = {slug: [line[place] for place in order] for slug, line in lines.items()}
    shown = {slug: line[:count] for slug, line in moved.items()}
    return TableLayout([columns[place] for place in order], moved, shown, 1 + count)
