"""A table for a paper as LaTeX (booktabs alone), Markdown and CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Literal

from fusionbench.core.text import csv_text, in_latex, in_markdown_table, one_line
from fusionbench.results.booktabs import booktabs, table_line
from fusionbench.results.paper_columns import PaperColumn
from fusionbench.results.paper_table import PaperCell, PaperRow, PaperTable

TableForm = Literal["tex", "md", "csv"]
_ARROWS = {"higher": "↑", "lower": "↓"}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
# Letters of texts that pdflatex has no glyph for in text; what it has (accents, –, ×, ±) stays as it is.
_SIGNS = {
    "↑": "$\\uparrow$",
    "↓": "$\\downarrow$",
    "≥": "$\\geq$",
    "≤": "$\\leq$",
    "−": "$-$",
    "±": "$\\pm$",
    "×": "$\\times$",
    "²": "$^{2}$",
    "–": "--",
    "—": "---",
    "…": "\\ldots{}",
    **{
        letter: f"$\\{name}$"
        for letter, name in zip(
            "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
            _GREEK.split(),
            strict=True,
        )
    },
}
_PLACES = {"best": "\\textbf", "second": "\\underline"}
_LATIN = 0x180  # the first letter that no usual font of pdflatex has


def latex_text(text: str) -> str:
    """Any text for LaTeX: harmless, and with signs that pdflatex has no letter for as mathematics.

    Example:
        >>> from fusionbench.results.paper_texts import latex_text
        >>> print(latex_text("β-VAE & co ↑"))
        $\\beta$-VAE \\& co $\\uparrow$
    """
    return "".join(_SIGNS.get(letter, letter) for letter in in_latex(text))


def foreign_letters(text: str) -> str:
    """The letters of a LaTeX text that pdflatex cannot set and xelatex or lualatex may, each once."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    return "".join(dict.fromkeys(one for one in "".join(lines) if ord(one) >= _LATIN and one not in "‘’“”•™"))


def table_text(
    table: PaperTable, form: TableForm, *, wide: bool = False, floating: bool = True, label: str = ""
) -> str:
    """The table as text.

    Args:
        wide: in LaTeX over both columns of a page.
        floating: in LaTeX a ``table`` with caption and label; else what stands in one, for an ``\\input``.
        label: of the table in LaTeX; "" is ``tab:`` and the data set.
    """
    if form == "csv":
        return _as_csv(table)
    return _as_markdown(table) if form == "md" else _as_latex(table, wide, floating, label)


def inches_wide(table: PaperTable) -> float:
    """About how wide the table is in LaTeX's type of 10 points: an estimate from the letters of its columns."""
    lengths = [max([6, *(len(row.title) + len(row.notes) for part in table.parts for row in part.rows)])]
    for i, (column, marks) in enumerate(zip(table.columns, table.head_notes, strict=True)):
        head = len(column.under or f"{column.symbol.base}{column.symbol.upper}{column.unit_shown}") + 2 + len(marks)
        cells = [row.cells[i] for part in table.parts for row in part.rows]
        lengths.append(max([head, *(len(cell.text) + (len(cell.spread) + 3 if cell.spread else 0) for cell in cells)]))
    return (sum(lengths) * 5.0 + 12 * len(lengths)) / 72.27


# LaTeX


def _as_latex(table: PaperTable, wide: bool, floating: bool, label: str) -> str:
    body = booktabs("l" + "r" * len(table.columns), _latex_heads(table), _latex_groups(table))
    for mark, text in table.notes:
        body += ["\\par\\smallskip"] if mark == table.notes[0][0] else []
        body.append(
            f"\\parbox{{\\linewidth}}{{\\raggedright {_latex_marks([mark] if mark else [])}{latex_text(text)}.}}\\par"
        )
    comments = [f"% {one_line(line)}" for line in ("needs \\usepackage{booktabs}", *table.caveats, *table.remarks)]
    if not floating:
        return "\n".join([*comments, f"% caption: {one_line(table.caption)}", *body, ""])
    name = "table*" if wide else "table"
    label = label or "tab:" + re.sub("[^a-z0-9:-]", "-", table.dataset.casefold())
    head = [
        f"\\begin{{{name}}}[t]",
        "\\centering",
        f"\\caption{{{latex_text(table.caption)}}}",
        f"\\label{{{label}}}",
        "\\smallskip",
    ]
    return "\n".join([*comments, *head, *body, f"\\end{{{name}}}", ""])


def _latex_marks(marks: Sequence[str], tied: bool = False) -> str:
    raised = ",".join((["*"] if tied else []) + [f"\\mathrm{{{mark}}}" for mark in marks])
    return f"$^{{{raised}}}$" if raised else ""


def _latex_heads(table: PaperTable) -> list[str]:
    """One line, or two where columns of one metric have numbers of inputs."""
    arrows = {better: latex_text(arrow) for better, arrow in _ARROWS.items()}
    blocks = [(metric, list(found)) for metric, found in groupby(range(len(table.columns)), _block_of(table))]
    if all(not table.columns[i].under for i in range(len(table.columns))):
        heads = []
        for column, marks in zip(table.columns, table.head_notes, strict=True):
            heads.append(_latex_head(column, arrows) + _latex_marks(marks))
        return [table_line(["Method", *heads])]
    first, rules, second = [""], [], ["Method"]
    for _, places in blocks:
        column, begin = table.columns[places[0]], places[0] + 2
        first.append(f"\\multicolumn{{{len(places)}}}{{c}}{{{_latex_head(column, arrows)}}}")
        if len(places) > 1:
            rules.append(f"\\cmidrule(lr){{{begin}-{begin + len(places) - 1}}}")
        second += [latex_text(table.columns[i].under) + _latex_marks(table.head_notes[i]) for i in places]
    return [table_line(first), *([" ".join(rules)] if rules else []), table_line(second)]


def _block_of(table: PaperTable) -> Callable[[int], str]:
    """Columns of one metric that differ in the number of inputs belong under one head."""

    def block(i: int) -> str:
        column = table.columns[i]
        return column.metric if column.under else f"{i}"

    return block


def _latex_head(column: PaperColumn, arrows: dict[str, str]) -> str:
    unit = f" ({latex_text(column.unit_shown)})" if column.unit_shown else ""
    symbol = latex_text(column.symbol.base) if column.kind == "cost" else column.symbol.latex
    return symbol + unit + (f" {arrows[column.better]}" if column.better else "")


def _latex_groups(table: PaperTable) -> list[list[str]]:
    groups = []
    for part in table.parts:
        group = []
        if part.heading:
            heading = f"\\emph{{{latex_text(part.heading)}}}{_latex_marks(part.notes)}"
            group.append(f"\\multicolumn{{{1 + len(table.columns)}}}{{l}}{{{heading}}} \\\\")
        for row in part.rows:
            title = latex_text(row.title) + _latex_marks(row.notes)
            # a row that begins with a bracket would be an argument of the \\ before it: in_latex has braces around it
            group.append(table_line([title, *map(_latex_cell, row.cells)]))
        groups.append(group)
    return groups


def _latex_cell(cell: PaperCell) -> str:
    if not cell.text:
        return "--"
    number = f"$-${cell.text[1:]}" if cell.text.startswith("-") else cell.text
    if cell.place:
        number = f"{_PLACES[cell.place]}{{{number}}}"
    spread = f" $\\pm$ {cell.spread}" if cell.spread else ""
    marks = _latex_marks(cell.notes, cell.tied)
    return number + spread + (f"\\rlap{{{marks}}}" if marks else "")  # which leaves digits below digits


# Markdown


def _as_markdown(table: PaperTable) -> str:
    heads = ["Method"]
    for column, marks in zip(table.columns, table.head_notes, strict=True):
        unit = f" ({in_markdown_table(column.unit_shown)})" if column.unit_shown else ""
        symbol = in_markdown_table(column.symbol.base) if column.kind == "cost" else column.symbol.html
        under = f", {in_markdown_table(column.under)}" if column.under else ""
        arrow = f" {_ARROWS[column.better]}" if column.better else ""
        heads.append(symbol + under + unit + arrow + _raised(marks))
    lines = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * len(table.columns)]
    for part in table.parts:
        kinds = {row.kind for row in part.rows}
        if part.heading or kinds == {"trivial"}:
            heading = in_markdown_table(part.heading or "Trivial") + _raised(part.notes)
            lines.append(f"| *{heading}* |" + " |" * len(table.columns))
        elif part is not table.parts[0]:
            lines.append("| *Methods* |" + " |" * len(table.columns))
        for row in part.rows:
            cells = [in_markdown_table(row.title) + _raised(row.notes), *map(_markdown_cell, row.cells)]
            lines.append(f"| {' | '.join(cells)} |")
    notes = []
    for mark, text in table.notes:
        notes += ["", (_raised((mark,)) + " " if mark else "") + in_markdown_table(text) + "."]
    remarks = ["", *(f"* {in_markdown_table(line)}" for line in table.caveats)] if table.caveats else []
    return "\n".join([*lines, "", in_markdown_table(table.caption), *notes, *remarks, ""])


def _raised(marks: Sequence[str], tied: bool = False) -> str:
    raised = ",".join((["\\*"] if tied else []) + list(marks))
    return f"<sup>{raised}</sup>" if raised else ""


def _markdown_cell(cell: PaperCell) -> str:
    if not cell.text:
        return "–"
    number = {"best": f"**{cell.text}**", "second": f"<ins>{cell.text}</ins>", "": cell.text}[cell.place]
    return number + (f" ± {cell.spread}" if cell.spread else "") + _raised(cell.notes, cell.tied)


# CSV


def _as_csv(table: PaperTable) -> str:
    """A line a row; beside each column of numbers one that says best, second or tied."""
    heads: list[Any] = ["method", "kind", "part"]
    for column in table.columns:
        heads += [column.key, *([f"{column.key} mark"] if column.better else [])]
    rows = [[*heads, "notes"]]
    texts = dict(table.notes)
    for part in table.parts:
        for row in part.rows:
            rows.append([row.title, row.kind, part.heading, *_csv_cells(table, row)])
            marks = dict.fromkeys([*part.notes, *row.notes, *(mark for cell in row.cells for mark in cell.notes)])
            rows[-1].append("; ".join(texts[mark] for mark in marks))
    return csv_text(rows)


def _csv_cells(table: PaperTable, row: PaperRow) -> list[str]:
    cells = []
    for column, cell in zip(table.columns, row.cells, strict=True):
        cells.append(cell.text + (f" ± {cell.spread}" if cell.spread else ""))
        if column.better:
            cells.append(" ".join(filter(None, [cell.place, "tied" if cell.tied else ""])))
    return cells
