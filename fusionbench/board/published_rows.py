"""Reference rows with numbers from papers: without a rank, with the gap to our own runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusionbench.board.page_model import Benchmark, BoardRow, Cell, Column, ColumnGroup, Published, slug
from fusionbench.metrics.dialects import DIALECTS
from fusionbench.results.comparison import title_of
from fusionbench.results.input_means import MEAN, PAPER_MEAN, is_count
from fusionbench.results.published import Paper, paper_of, plain_name
from fusionbench.results.published import beside as beside  # it was here, and is read from here
from fusionbench.results.schema import Result
from fusionbench.results.tracks import UNNAMED

# titles of columns; any other one shows its own name
COLUMN_TITLES = {MEAN: "mean", PAPER_MEAN: "paper’s mean", "": "value", UNNAMED: "unnamed evaluator"}


def column_title(key: str) -> str:
    """Head of a score's column."""
    column = key.partition("@")[2]
    return f"N={column}" if is_count(column) else COLUMN_TITLES.get(column, column)


def add_dialects(groups: Sequence[ColumnGroup], published: Sequence[Result]) -> None:
    """A column for every definition that only papers used, so that their numbers are separate from ours."""
    for group in groups:
        keys = {column.key for column in group.columns}
        for result in published:
            for key, score in result.scores.items():
                metric, _, dialect = key.partition("@")
                if metric == group.metric and key not in keys and dialect in (*DIALECTS, UNNAMED):
                    keys.add(key)
                    group.columns.append(Column(key, metric, column_title(key), score.better, score.unit, False))


def published_row(result: Result, groups: Sequence[ColumnGroup]) -> BoardRow:
    """A published result as a row.

    Raises:
        DataError: its paper cannot be shown.
    """
    paper = paper_of(result)
    cells: dict[str, Cell] = {}
    for column in (column for group in groups for column in group.columns):
        score = result.scores.get(column.key)
        if score is None or score.mean is None:
            cells[column.key] = Cell("", None, "not in the paper")
            continue
        places = score.extra.get("places")
        text = f"{score.mean:.{places}f}" if isinstance(places, int) and 0 <= places <= 18 else f"{score.mean:g}"
        note = f"{paper.title}, {score.extra.get('table', '')}"
        mean, sd = score.extra.get("runs_mean"), score.extra.get("runs_sd")
        if isinstance(mean, float) and isinstance(sd, float):
            note += f"; mean of its runs {mean:g} ± {sd:g}"
        cells[column.key] = Cell(text, score.mean, note)
    title = result.title.replace("+", " plus ")
    anchor = slug(f"published-{plain_name(result.identity.dataset.name)}-{title}") + f"-{result.id[:6]}"
    several = any("runs_mean" in score.extra for score in result.scores.values())
    caveats = tuple(filter(None, result.origin.note.split("\n")))
    where = Published(paper, result.identity.model.name, caveats, result.origin.submitter or "")
    note = paper.venue + (", best of its runs" if several else "")
    return BoardRow("published", "published", title_of(result), note, anchor, cells, {}, published=where)


def add_gaps(benchmark: Benchmark) -> None:
    """Tell beside every printed number how far our own runs of the model are from it."""
    for theirs in benchmark.kind("published"):
        for ours in (row for row in benchmark.rows if row.entry is not None and reproduces(row, theirs)):
            about = f"ours ({ours.title}{', cut short' if ours.kind == 'cut' else ''})"
            for key, cell in theirs.cells.items():
                mine = ours.cells[key]
                if cell.value is not None and mine.value is not None:
                    note = f"{cell.note}; {about} {mine.text}, gap {mine.value - cell.value:+.3g}"
                    theirs.cells[key] = replace(cell, note=note)


@dataclass(frozen=True)
class Gap:
    """A printed number beside our own; ``gap`` is ours minus theirs, ``verdict`` what that means in a word or two."""

    theirs: BoardRow
    ours: BoardRow
    column: Column
    printed: str
    measured: str
    gap: float
    verdict: str


def gaps(benchmark: Benchmark) -> list[Gap]:
    """Every printed number that a run of ours reproduces, in the order of the table."""
    found = []
    for theirs in benchmark.kind("published"):
        for ours in (row for row in benchmark.measured if reproduces(row, theirs)):
            for column in benchmark.columns:
                printed, mine = theirs.cells[column.key], ours.cells[column.key]
                if printed.value is not None and mine.value is not None:
                    gap = mine.value - printed.value
                    places = len(printed.text.partition(".")[2])
                    verdict = "better" if (gap < 0) == (column.better == "lower") else "worse"
                    if abs(gap) <= 0.5 * 10.0**-places:  # rounds to what the paper prints
                        verdict = "as printed"
                    found.append(Gap(theirs, ours, column, printed.text, mine.text, gap, verdict))
    return found


def reproduces(row: BoardRow, other: BoardRow) -> bool:
    """Whether a row of ours is of the model that a published row is about."""
    assert row.entry is not None
    if row.kind == "replaced":
        return False
    return other.published is not None and other.published.model == row.entry.results[0].identity.model.name


def papers(benchmark: Benchmark, anonymous: bool) -> list[tuple[Paper, list[str], tuple[str, ...], str]]:
    """Every paper of a page with the rows from it, its caveats, and who entered it (empty where that is hidden)."""
    found: dict[tuple[Paper, tuple[str, ...], str], list[str]] = {}
    for row in benchmark.kind("published"):
        if row.published is not None:
            who = "" if anonymous else row.published.entered_by
            found.setdefault((row.published.paper, row.published.caveats, who), []).append(row.title)
    return [(paper, rows, caveats, who) for (paper, caveats, who), rows in found.items()]
