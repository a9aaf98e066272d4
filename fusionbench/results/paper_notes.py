"""What a table for a paper says in words: its caption, and notes below it with the marks that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fusionbench.core.text import letters_of, one_line
from fusionbench.metrics.dialects import DIALECTS, STANDARD
from fusionbench.metrics.symbols import symbol_of
from fusionbench.results.bootstrap import MIN_RANKED
from fusionbench.results.clipping import clipped_mark
from fusionbench.results.comparison import Comparison, Entry, title_of
from fusionbench.results.paper_columns import PaperColumn
from fusionbench.results.published import paper_of
from fusionbench.results.schema import Result, not_available
from fusionbench.results.tracks import UNNAMED, has_dialects

if TYPE_CHECKING:
    from fusionbench.results.paper_table import PaperPart, TableOptions


@dataclass
class Notes:
    """Notes below a table, a letter each; what is said twice has one letter."""

    _marks: dict[str, str] = field(default_factory=dict)
    _general: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """The letter of a note, which is added where it is new: a to z, then aa, ab and so on."""
        if text not in self._marks:
            self._marks[text] = letters_of(len(self._marks))
        return self._marks[text]

    def add(self, text: str) -> None:
        """A note about the whole table, without a letter."""
        self._general.append(text)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Letter ("" for the whole table) and text, in the order of the letters."""
        return [*(("", one_line(text)) for text in self._general)] + [
            (letter, one_line(text)) for text, letter in self._marks.items()
        ]


def definition_notes(columns: Sequence[PaperColumn], comparison: Comparison, notes: Notes) -> list[tuple[str, ...]]:
    """The marks of the heads: whose definition a column is, and where it is from fewer images than the others."""
    scores = [column for column in columns if column.kind == "score"]
    dialects = {column.dialect for column in scores}
    alike = len(dialects) == 1 and "" not in dialects
    if alike:
        notes.add(_dialect_text(scores[0].dialect, [column.metric for column in scores]))
    marks: list[tuple[str, ...]] = []
    for column in columns:
        mine: list[str] = []
        if column.dialect and not alike:
            same = [one.metric for one in scores if one.dialect == column.dialect]
            mine.append(notes.mark(_dialect_text(column.dialect, same)))
        if column.kind == "score" and 0 < (n := comparison.counted.get(column.key, 0)) < comparison.images:
            mine.append(notes.mark(f"from {n} of {comparison.images} images, on which it has a value"))
        marks.append(tuple(mine))
    return marks


def _dialect_text(name: str, metrics: Sequence[str]) -> str:
    """Whose definitions these are, and how they differ from the standard ones."""
    if name == UNNAMED:
        return "The paper does not name its evaluator"
    dialect = DIALECTS[name]
    told = [
        f"{symbol_of(metric).label}: {dialect.metrics[metric].note}"
        for metric in dict.fromkeys(metrics)
        if metric in dialect.metrics and dialect.metrics[metric].note
    ]
    return "; ".join([f"As computed by the {dialect.title}", *told])


def printed_note(result: Result, columns: Sequence[tuple[PaperColumn, str | None]]) -> str:
    """Where the numbers of a printed row are from, and by whose definition they are where it is not the column's."""
    paper = paper_of(result)
    shown = [(column, result.scores[key], key.partition("@")[2]) for column, key in columns if key is not None]
    tables = dict.fromkeys(str(score.extra.get("table", "")) for _, score, _ in shown)
    authors = paper.authors.split(",")
    who = authors[0].strip() + (" et al." if len(authors) > 1 else "")
    text = f"Printed in {who}, {paper.venue} ({', '.join(filter(None, tables))})"
    others = {whose: [c.metric for c, _, one in shown if one == whose] for c, _, whose in shown if whose != c.column}
    for whose, metrics in others.items():
        said = _dialect_text(whose, metrics) if whose in (*DIALECTS, UNNAMED) else f"By {STANDARD}"
        text += f". {said}: not comparable with the column"
    units = [
        f"{column.symbol.label} in {score.unit}" for column, score, _ in shown if score.unit not in ("1", column.unit)
    ]
    return text + (f"; {', '.join(units)}" if units else "")


def row_notes(entry: Entry) -> list[str]:
    """What a reader must know of a measured row."""
    found = []
    if entry.signature:
        found.append(f"Submitted by {entry.signature}")
    if entry.cut:
        found.append("Training was cut short: not ranked")
    if len(entry.results) > 1:
        found.append(f"Mean over {len(entry.results)} training runs")
    if mark := clipped_mark(entry.clipped):
        found.append(f"{mark.replace('clipped ', '')} of its pixels are clipped, which raises SD, SF, SCD and VIF")
    return found


def undefined_note(key: str, entry: Entry, why: str) -> str:
    """Why a cell says n/a: the reasons without the images, which the result names."""
    scores = [result.scores[key] for result in entry.results if key in result.scores]
    reasons = dict.fromkeys(str(found["reason"]) for score in scores for found in not_available(score))
    return f"n/a: {'; '.join(reasons) or why}"


def cost_note(column: PaperColumn, entries: Sequence[Entry]) -> str:
    """Where a time or a memory was measured: whoever compares them must know; "" for what depends on no machine."""
    if column.key not in ("time", "memory", "hours") or column.kind != "cost":
        return ""
    cpus = sorted({machine_of(result) for entry in entries for result in entry.results if result.cost})
    if column.key == "hours":
        return "Of one training run"
    where = f"on {cpus[0]}" if len(cpus) == 1 else f"on different machines ({', '.join(cpus)}): do not compare them"
    return f"Per image, {where}" if cpus else ""


def machine_of(result: Result) -> str:
    """The device that a result's scores were made on, as far as it says."""
    host, environment = (result.provenance.get(name) for name in ("host", "environment"))
    host, environment = (one if isinstance(one, dict) else {} for one in (host, environment))
    found = host.get("gpu") or environment.get("cpu") or environment.get("machine")
    return one_line(str(found))[:60] if found else "a machine that is not recorded"


def caption_of(
    comparison: Comparison, columns: Sequence[PaperColumn], parts: Sequence[PaperPart], options: TableOptions
) -> str:
    """Data, protocol, definitions, what bold, underlined and marked numbers mean, what stands apart; sentences."""
    scores = [column for column in columns if column.kind == "score"]
    identity = comparison.entries[0].results[0].identity
    data, protocol = identity.dataset, identity.protocol
    dialects = {column.dialect for column in scores}
    names = [DIALECTS[name].id if name in DIALECTS else name or STANDARD for name in sorted(dialects)]
    definitions = f", definitions {' and '.join(names)}" if has_dialects(protocol.name) else ""
    text = [
        f"Means over the {data.n:,} images of {data.name} {data.version} ({data.split}), "
        f"protocol {protocol.name}/{protocol.version}{definitions}."
    ]
    arrows = {"higher": "↑ higher is better", "lower": "↓ lower is better"}
    text.append(", ".join(arrows[one] for one in arrows if any(column.better == one for column in scores)) + ".")
    rows = [row for part in parts for row in part.rows]
    ranked = [row for row in rows if row.kind != "printed"]
    cells = [cell for row in ranked for cell in row.cells]
    if any(cell.place for cell in cells):
        among = f"of {len(ranked)} rows" if len({part.heading for part in parts} - {""}) < 2 else "of their part"
        if options.trivial == "unranked" and any(row.kind == "trivial" for row in rows):
            among += " that are not trivial"
        text.append(f"Bold: best, underlined: second best {among}.")
    if any(cell.tied for cell in cells):
        runs = " and training runs" if any(len(entry.results) >= 3 for entry in comparison.entries) else ""
        text.append(
            f"* not separable from the best: simultaneous {comparison.level:.0%} intervals of all paired differences, "
            f"{comparison.resamples:,} resamples of the images{runs}."
        )
    if comparison.images < MIN_RANKED and any(cell.place for cell in cells):
        text.append(f"With fewer than {MIN_RANKED} images no difference can be tested.")
    if any(cell.spread for cell in cells):
        said = {"interval": f"half the {comparison.level:.0%} interval of the mean", "runs": "deviation over runs"}
        text.append(f"± {said[options.spread]}.")
    if any(row.kind == "trivial" for row in rows) and any(row.kind == "method" for row in rows):
        text.append("Trivial rows stand above a rule.")
    if any(row.kind == "printed" for row in rows):
        text.append("Printed rows are numbers of papers and take no marks.")
    return one_line(" ".join(text))


def printed_caveats(printed: Sequence[Result]) -> list[str]:
    """The papers of printed rows, and what their records say about them: each line once, with its rows."""
    rows: dict[str, list[str]] = {}
    for result in printed:
        paper = paper_of(result)
        where = f"printed in {paper.authors}: {paper.title}, {paper.venue}, {paper.url}"
        for line in filter(None, [where, *result.origin.note.split("\n")]):
            rows.setdefault(line, []).append(title_of(result))
    return [one_line(f"{', '.join(titles)}: {line}") for line, titles in rows.items()]
