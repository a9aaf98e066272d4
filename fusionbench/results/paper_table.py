"""The table of a paper: chosen columns and rows, best and second marked, ties by the simultaneous test, notes below.

It is a comparison (:mod:`fusionbench.results.comparison`) of the rows on show, so marks and ties hold for what a reader
sees; :mod:`fusionbench.results.paper_texts` writes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fusionbench.core.errors import UsageError
from fusionbench.results import bootstrap as stats
from fusionbench.results.comparison import Comparison, Entry, compare_entries, read_entries
from fusionbench.results.number_texts import mean_places
from fusionbench.results.paper_columns import PaperColumn, choose_columns
from fusionbench.results.paper_cost import cost_of
from fusionbench.results.paper_notes import (
    Notes,
    caption_of,
    cost_note,
    definition_notes,
    printed_caveats,
    printed_note,
    row_notes,
    undefined_note,
)
from fusionbench.results.paper_rows import ChosenRow, choose_rows, printed_rows
from fusionbench.results.result_set import Results, read_results
from fusionbench.results.schema import Result
from fusionbench.results.tables import notes as comparison_notes
from fusionbench.results.tables import order
from fusionbench.results.tiers import APART, HEADINGS, TIERS, Tier, Tiers, heading_of, ranked_groups

Spread = Literal["none", "interval", "runs"]
Trivial = Literal["ranked", "unranked", "without"]
Stretched = Literal["apart", "without", "only"]
MAX_DIGITS = 10
_MOST_UNASKED = 4  # places after the point where nobody says how many
_SHORT: dict[Tier, str] = {"stretched": "Stretched to the full range", "predictions": "Submitted predictions"}
PRINTED_HEADING = "As printed in papers"


@dataclass(frozen=True)
class TableOptions:
    """How a table looks.

    Attributes:
        digits: places after the point by the name of a column, under "" those of the others; without, as many as the
            intervals of a column deserve.
        spread: what follows a ±: nothing, half the interval of the mean, or the deviation over training runs.
        trivial: whether trivial rows are ranked with the others, take no marks, or are left out.
        stretched: rows of images that were stretched to the full range, which are ranked apart.
    """

    digits: Mapping[str, int] = field(default_factory=dict)
    spread: Spread = "none"
    trivial: Trivial = "ranked"
    stretched: Stretched = "apart"
    published: bool = False
    tiers: Tiers = APART
    level: float = stats.LEVEL
    resamples: int = stats.RESAMPLES


@dataclass(frozen=True)
class PaperCell:
    """A number as text, "" where there is none; its place among the rows that it is ranked with; marks of notes."""

    text: str
    spread: str = ""
    place: Literal["best", "second", ""] = ""
    tied: bool = False
    notes: tuple[str, ...] = ()
    value: float | None = None


@dataclass(frozen=True)
class PaperRow:
    title: str
    kind: Literal["trivial", "method", "printed"]
    cells: list[PaperCell]
    notes: tuple[str, ...]
    ids: list[str]


@dataclass(frozen=True)
class PaperPart:
    """Rows between two rules. ``heading`` is "" where none is needed; ``notes`` are its marks."""

    heading: str
    rows: list[PaperRow]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaperTable:
    """What is written.

    Attributes:
        head_notes: the marks of each column.
        notes: mark, or "" for the whole table, and text of each note.
        caveats: what is said about printed rows.
        remarks: what a comparison says about these rows, for who writes the paper.
    """

    columns: list[PaperColumn]
    head_notes: list[tuple[str, ...]]
    parts: list[PaperPart]
    notes: list[tuple[str, str]]
    caption: str
    caveats: list[str]
    remarks: list[str]
    dataset: str


def make_paper_table(
    paths: Results, *, metrics: Sequence[str] = (), rows: Sequence[str] = (), options: TableOptions | None = None
) -> PaperTable:
    """The table of results (files, or folders of them).

    Args:
        metrics: columns in their order, see :func:`fusionbench.results.paper_columns.choose_columns`.
        rows: rows in their order, see :func:`fusionbench.results.paper_rows.choose_rows`.

    Raises:
        UsageError: a name that fits nothing, or no row or score to show.
        DataError, NotComparableError: as :func:`fusionbench.results.comparison.compare_results`.

    Example:
        >>> import tempfile
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.results.paper_table import make_paper_table
        >>> pairs = open_pairs("pairs-demo", "all", None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("copy-a", "copy-b"):
        ...         model = create_model(name, ImageSpec(1, 256, 256, views=2))
        ...         _ = evaluate_pairs(model, pairs, out=folder, device="cpu")
        ...     table = make_paper_table(folder, metrics=["SD", "Q^{AB/F}"], rows=["copy-b=Visible", "copy-a"])
        >>> [(row.title, row.cells[0].text, row.cells[0].place) for part in table.parts for row in part.rows]
        [('Visible', '57', 'best'), ('copy of source A', '53', 'second')]
    """
    options = options or TableOptions()
    found = read_results(paths)
    entries = [entry for entry in read_entries(found) if _is_shown(entry, options)]
    if not entries:
        raise UsageError("no row is left: every one is trivial or stretched, and those are left out")
    columns = choose_columns(metrics, entries)
    keys = [column.key for column in columns if column.kind == "score"]
    if not keys:
        raise UsageError("--metrics names no score; a table of costs alone ranks nothing: name one, for example EN")
    digits = {
        column.key: places
        for name, places in options.digits.items()
        for column in ([] if name == "" else choose_columns([name], entries))
    }
    options = replace(options, digits=digits | {"": options.digits[""]} if "" in options.digits else digits)
    given = [one.result for one in found if one.result.status == "published"]
    printed = printed_rows(entries, given) if options.published else []
    chosen = choose_rows(rows, entries, printed, usual=range(len(entries)))
    shown = [row.entry for row in chosen if row.entry is not None]
    comparison = _compare(shown, keys, options)
    if not any(name.strip() for name in rows):
        place = {id(comparison.entries[i]): number for number, i in enumerate(order(comparison))}
        chosen = sorted(chosen, key=lambda row: len(place) if row.entry is None else place[id(row.entry)])
    return _Maker(columns, comparison, _ranked(comparison, keys, options), chosen, options).table()


def _is_shown(entry: Entry, options: TableOptions) -> bool:
    if entry.trivial and options.trivial == "without":
        return False
    return options.stretched == "apart" or (entry.tier == "stretched") == (options.stretched == "only")


def _compare(entries: list[Entry], keys: Sequence[str], options: TableOptions) -> Comparison:
    level, resamples = options.level, options.resamples
    return compare_entries(entries, scores=keys, resamples=resamples, level=level, tiers=options.tiers)


def _ranked(comparison: Comparison, keys: Sequence[str], options: TableOptions) -> Comparison:
    """The comparison that marks come from: without trivial rows, where these take none."""
    methods = [entry for entry in comparison.entries if not entry.trivial]
    if options.trivial == "ranked" or len(methods) in (0, len(comparison.entries)):
        return comparison
    return _compare(methods, [key for key in keys if any(key in (*e.values, *e.lacking) for e in methods)], options)


@dataclass
class _Maker:
    columns: list[PaperColumn]
    comparison: Comparison
    ranked: Comparison
    chosen: list[ChosenRow]
    options: TableOptions
    notes: Notes = field(default_factory=Notes)

    def table(self) -> PaperTable:
        entries = self.comparison.entries
        heads = definition_notes(self.columns, self.comparison, self.notes)
        heads = [marks + self._cost_marks(column) for marks, column in zip(heads, self.columns, strict=True)]
        present: list[Tier] = [tier for tier in TIERS if any(entry.tier == tier for entry in entries)]
        groups = [group for group in ranked_groups(self.options.tiers) if any(entry.tier in group for entry in entries)]
        parts: list[PaperPart] = []
        for group in groups:
            members = [row for row in self.chosen if row.entry is not None and row.entry.tier in group]
            heading = ""
            marks: tuple[str, ...] = ()
            if len(groups) > 1 or group[0] != TIERS[0]:
                heading = _SHORT.get(group[0]) or heading_of(group, present)
                marks = (self.notes.mark(HEADINGS[group[0]]),) if group[0] in _SHORT else ()
            for kind in ("trivial", "method"):
                rows = [
                    self._measured(row, row.entry)
                    for row in members
                    if row.entry is not None and row.entry.trivial == (kind == "trivial")
                ]
                if rows:
                    parts.append(PaperPart(heading, rows, marks))
                    heading, marks = "", ()
        theirs = [self._printed(row, row.printed) for row in self.chosen if row.printed is not None]
        if theirs:
            parts.append(PaperPart(PRINTED_HEADING, theirs))
        return PaperTable(
            self.columns,
            heads,
            parts,
            self.notes.lines,
            caption_of(self.comparison, self.columns, parts, self.options),
            printed_caveats([row.printed for row in self.chosen if row.printed is not None]),
            comparison_notes(self.comparison),
            entries[0].results[0].identity.dataset.name,
        )

    def _cost_marks(self, column: PaperColumn) -> tuple[str, ...]:
        note = cost_note(column, self.comparison.entries)
        return (self.notes.mark(note),) if note else ()

    def _measured(self, row: ChosenRow, entry: Entry) -> PaperRow:
        marks = tuple(self.notes.mark(text) for text in row_notes(entry))
        cells = [self._cell(column, entry) for column in self.columns]
        ids = [result.id for result in entry.results]
        return PaperRow(row.title, "trivial" if entry.trivial else "method", cells, marks, ids)

    def _cell(self, column: PaperColumn, entry: Entry) -> PaperCell:
        if column.kind == "cost":
            return _cost_cell(column, entry)
        i = _place(self.comparison, entry)
        found = self.comparison.scores[column.key][i]
        if found is None:
            why = self.comparison.not_ranked.get(column.key, {}).get(i)
            text = undefined_note(column.key, entry, why or "")
            return PaperCell("n/a", notes=(self.notes.mark(text),)) if why else PaperCell("")
        places, spread = self._places(column.key), ""
        half = (found.high - found.low) / 2
        if self.options.spread == "interval" and math.isfinite(half):
            spread = f"{half:.{places}f}"
        if self.options.spread == "runs" and found.run_sd is not None:
            spread = f"{found.run_sd:.{places}f}"
        place, tied = self._standing(column.key, entry)
        return PaperCell(f"{found.mean:.{places}f}", spread, place, tied, value=found.mean)

    def _standing(self, key: str, entry: Entry) -> tuple[Literal["best", "second", ""], bool]:
        """Best or second by the mean, and whether the test cannot tell it from the best."""
        if key not in self.ranked.scores or entry.cut or not any(one is entry for one in self.ranked.entries):
            return "", False
        group = next(group for group in ranked_groups(self.options.tiers) if entry.tier in group)
        column = zip(self.ranked.entries, self.ranked.scores[key], strict=True)
        rows = {id(one): row for one, row in column if row is not None and one.tier in group and not one.cut}
        row = rows.get(id(entry))
        if row is None or len(rows) < 2:
            return "", False
        if row.rank == 1:
            return "best", False
        second = min(other.rank for other in rows.values() if other.rank > 1)
        return "second" if row.rank == second else "", row.tied

    def _places(self, key: str) -> int:
        asked = self.options.digits.get(key, self.options.digits.get(""))
        if asked is not None:
            return asked
        rows = [row for row in self.comparison.scores[key] if row is not None]
        return min(_MOST_UNASKED, max(map(mean_places, rows), default=2))

    def _printed(self, row: ChosenRow, result: Result) -> PaperRow:
        keys = {column.key for column in self.columns}
        used = [_printed_key(column, result, keys) for column in self.columns]
        note = printed_note(result, list(zip(self.columns, used, strict=True)))
        cells = []
        for key in used:
            score = None if key is None else result.scores[key]
            if score is None or score.mean is None:
                cells.append(PaperCell(""))
                continue
            places = score.extra.get("places")
            text = f"{score.mean:.{places}f}" if isinstance(places, int) and 0 <= places <= 18 else f"{score.mean:g}"
            cells.append(PaperCell(text, value=score.mean))
        return PaperRow(row.title, "printed", cells, (self.notes.mark(note),), [result.id])


def _place(comparison: Comparison, entry: Entry) -> int:
    return next(i for i, one in enumerate(comparison.entries) if one is entry)


def _printed_key(column: PaperColumn, result: Result, shown: set[str]) -> str | None:
    """The printed score for a column: by its own definition, else by another one that has no column of its own."""
    if column.kind == "cost":
        return None
    if column.key in result.scores:
        return column.key
    if column.column and not column.dialect:
        return None
    others = [key for key in result.scores if key.partition("@")[0] == column.metric and key not in shown]
    return others[0] if others else None


def _cost_cell(column: PaperColumn, entry: Entry) -> PaperCell:
    """Mean over the runs of a row, to three digits; nothing where it is not known."""
    value = cost_of(entry, column.key)
    if value is None:
        return PaperCell("")
    places = 0 if not value else min(6, max(0, 2 - math.floor(math.log10(abs(value)))))
    return PaperCell(f"{value:,.{places}f}".replace(",", ""), value=value)


def table_data(table: PaperTable) -> dict[str, Any]:
    """The table as JSON-ready data: what was chosen, and every number with its marks."""
    columns = [
        {"key": column.key, "head": column.symbol.label, "better": column.better, "unit": column.unit}
        for column in table.columns
    ]
    rows = [
        {
            "title": row.title,
            "kind": row.kind,
            "part": place,
            "ids": row.ids,
            "notes": list(row.notes),
            "cells": {
                column.key: {"text": c.text, "value": c.value, "spread": c.spread, "place": c.place, "tied": c.tied}
                for column, c in zip(table.columns, row.cells, strict=True)
            },
        }
        for place, part in enumerate(table.parts)
        for row in part.rows
    ]
    notes = [{"mark": mark, "text": text} for mark, text in table.notes]
    return {
        "columns": columns,
        "rows": rows,
        "notes": notes,
        "caption": table.caption,
        "remarks": table.caveats + table.remarks,
    }
