"""A board's table as CSV, Markdown, LaTeX and BibTeX, with the rows of papers, marked as what they are."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

from fusionbench.board.citations import bibtex, tex
from fusionbench.board.order import column_on_show
from fusionbench.board.page_model import Benchmark, BoardRow, Column
from fusionbench.board.pages import Files
from fusionbench.board.values import script
from fusionbench.core.text import csv_text, in_markdown_table, one_line
from fusionbench.results.comparison import Comparison, compare_entries
from fusionbench.results.tables import as_csv, as_latex, as_markdown

MARK = "as published"
HEADING = "As published: not measured by us, not ranked"


def add_downloads(files: Files, benchmark: Benchmark) -> dict[str, str]:
    """The comparison in four forms, the tie rule applied and published rows behind; file -> what it is called."""
    rows = (row for row in benchmark.rows if row.kind != "replaced")
    entries = [row.entry for row in rows if row.entry is not None and row.entry.results[0].per_image]
    if not entries:
        return {}
    comparison = _in_order_of_page(compare_entries(entries), benchmark)  # titles are the page's, maybe anonymous
    made, texts = {}, {}
    for suffix, label, text in (
        ("csv", "CSV", with_papers_csv(as_csv(comparison), benchmark)),
        ("md", "Markdown", as_markdown(comparison) + papers_markdown(comparison, benchmark)),
        ("tex", "LaTeX", with_papers_latex(as_latex(comparison), comparison, benchmark)),
        ("bib", "BibTeX", bibtex(benchmark)),
    ):
        name = f"data/{benchmark.slug}.{suffix}"
        files[name], made[name], texts[name] = text.encode(), label, text
    files[f"data/{benchmark.slug}/exports.js"] = script(texts)
    return made


def _in_order_of_page(comparison: Comparison, benchmark: Benchmark) -> Comparison:
    """The comparison with its scores in the order of the page's columns."""
    places = {column.key: place for place, column in enumerate(benchmark.columns)}
    keys = sorted(comparison.scores, key=lambda key: places.get(key, len(places)))
    return replace(
        comparison,
        scores={key: comparison.scores[key] for key in keys},
        better={key: comparison.better[key] for key in keys},
        unit={key: comparison.unit[key] for key in keys},
    )


def _in_italics(printed: str, column: Column | None, unit: str) -> str:
    """A printed number for LaTeX, with its unit where the head of its column has another one."""
    if not printed:
        return "--"
    other = f"\\,{tex(column.unit)}" if column is not None and column.unit not in (unit, "1") else ""
    return f"\\textit{{{tex(printed)}{other}}}"


def with_papers_csv(text: str, benchmark: Benchmark) -> str:
    """A table of :func:`as_csv` with a line for every printed number: its tier is ``published``, its note the paper."""
    names = next(csv.reader(io.StringIO(text)))
    lines: list[list[object]] = []
    for row in benchmark.kind("published"):
        for column in benchmark.columns:
            cell = row.cells[column.key]
            if cell.value is None or row.published is None:
                continue
            known = {
                "model": row.published.model,
                "title": row.title,
                "score": column.key,
                "unit": column.unit,
                "better": column.better,
                "mean": cell.text,
                "ranked": False,
                "note": f"{MARK}: {row.published.paper.title}, {row.published.paper.url}",
                "tier": "published",
            }
            lines.append([known.get(name) for name in names])
    return text + csv_text(lines) if lines else text


def _printed(row: BoardRow, benchmark: Benchmark, key: str) -> tuple[str, Column | None]:
    """What a paper printed for a score, or for its metric in another definition; with that one's column."""
    group = next((group for group in benchmark.groups if group.metric == key.partition("@")[0]), None)
    if group is None:
        return "", None
    column = column_on_show(row, group)
    return row.cells[column.key].text, None if column.key == key else column


def _definition(column: Column) -> str:
    return column.label + (f", {column.unit}" if column.unit not in ("", "1") else "")


def papers_markdown(comparison: Comparison, benchmark: Benchmark) -> str:
    """A table of the published rows below that of :func:`as_markdown`; nothing without any."""
    rows = benchmark.kind("published")
    if not rows:
        return ""
    heads = [in_markdown_table(key).replace("\\_", "_") for key in comparison.better]
    lines = ["", f"**{HEADING}**", "", "| model | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for row in rows:
        texts = []
        for key in comparison.better:
            text, other = _printed(row, benchmark, key)
            texts.append((f"{text} ({in_markdown_table(_definition(other))})" if other else text) if text else "–")
        where = f"{row.title} ({MARK}, {row.note})"
        lines.append(f"| *{in_markdown_table(where)}* | " + " | ".join(texts) + " |")
    return "\n".join([*lines, ""])


def with_papers_latex(text: str, comparison: Comparison, benchmark: Benchmark) -> str:
    """A table of :func:`as_latex` with the published rows below a rule, in italics; definitions are in a comment."""
    rows = benchmark.kind("published")
    if not rows:
        return text
    lines = ["\\midrule", f"\\multicolumn{{{1 + len(comparison.better)}}}{{l}}{{\\emph{{{tex(HEADING)}}}}} \\\\"]
    told = []
    for row in rows:
        keys = list(comparison.better)
        found = [_printed(row, benchmark, key) for key in keys]
        texts = [
            _in_italics(printed, column, comparison.unit[key])
            for key, (printed, column) in zip(keys, found, strict=True)
        ]
        where = tex(f"{row.title} ({row.note})")
        lines.append(" & ".join([f"\\textit{{{where}}}", *texts]) + " \\\\")
        other = {f"{column.metric}: {_definition(column)}": None for printed, column in found if printed and column}
        told += [one_line(f"% {MARK}: {row.title}: {'; '.join(other)}")] if other else []
    body, _, end = text.rpartition("\\bottomrule")
    return "\n".join(told) + ("\n" if told else "") + body + "\n".join([*lines, "\\bottomrule"]) + end
