"""The line of a table that rows have to pass: what copying a source reaches, image by image."""

from __future__ import annotations

from collections.abc import Sequence

from fusionbench.board.page_model import BoardRow, Cell, ColumnGroup, Kind
from fusionbench.results.copy_bounds import BOUND_NOTE, BOUND_TITLE, copy_bounds
from fusionbench.results.entries import Entry
from fusionbench.results.tiers import Tier

KINDS: dict[Tier, Kind] = {"weights": "ranked", "stretched": "stretched", "predictions": "predictions"}


def add_bounds(rows: list[BoardRow], groups: Sequence[ColumnGroup], entries: Sequence[Entry]) -> None:
    """Add a row of the bound for every ranked group that has one, and count on how many metrics other rows pass it.

    Args:
        entries: all rows of the table; the bound is of their copies (:mod:`fusionbench.results.copy_bounds`).
    """
    keys = [column.key for group in groups for column in group.columns]
    for tier, bounds in copy_bounds(entries, keys).items():
        ranked = [row for row in rows if row.kind == KINDS[tier]]
        cells = {key: Cell("", None, "no bound: a copied source has no value") for key in keys}
        for key, bound in bounds.items():
            texts = [cell.text.partition(" ")[0] for row in ranked if (cell := row.cells[key]).value is not None]
            places = max((len(text.partition(".")[2]) for text in texts), default=3)
            note = f"{BOUND_NOTE}, {bound.images:,} images; no method, not ranked"
            cells[key] = Cell(f"{bound.mean:.{places}f}", bound.mean, note)
        for row in ranked:
            means = {key: mean for key in bounds if "@" not in key and (mean := row.cells[key].value) is not None}
            if means and row.family != "trivial":
                row.beyond_copying = (
                    f"{sum(bounds[key].passed_by(mean) for key, mean in means.items())} of {len(means)}"
                )
        title = BOUND_TITLE + (", stretched" if tier == "stretched" else "")
        rows.append(BoardRow("bound", "trivial", title, "", f"best-copy-{tier}", cells, {}, part=KINDS[tier]))
