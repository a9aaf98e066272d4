"""Comparisons as HTML for notebooks; the other forms are in :mod:`fusionbench.results.tables`."""

from __future__ import annotations

from fusionbench.core.notebook import html_table
from fusionbench.results.bootstrap import ScoreRow
from fusionbench.results.comparison import Comparison
from fusionbench.results.copy_bounds import BOUND_TITLE
from fusionbench.results.number_texts import number, rank_text, spread_text
from fusionbench.results.tables import ARROW, _bound_text, _sections, label, legend, notes


def as_html(comparison: Comparison) -> str:
    """The tables that a terminal shows, one for each group of rows that is ranked apart; every text is escaped.

    Example:
        >>> import numpy as np
        >>> import fusionbench as fb
        >>> from fusionbench.results.html_tables import as_html
        >>> a, b = np.eye(48, dtype=np.uint8) * 200, np.full((48, 48), 90, np.uint8)
        >>> scores = {name: fb.score(image, a, b, ["sd"]) for name, image in {"<i>": a, "half": a // 2}.items()}
        >>> page = as_html(fb.compare(scores))
        >>> page.count("<tr>"), "<i>" in page, "&lt;i&gt;" in page
        (3, False, True)
    """
    heads = [text for key in comparison.better for text in ("rank", _head(comparison, key))]
    sections = _sections(comparison)
    pages = []
    for section in sections:
        rows = [_row(comparison, place) for place in section.members]
        if section.bounds:
            texts = (_bound_text(comparison, section, key) for key in comparison.better)
            rows.append([BOUND_TITLE, *(cell for text in texts for cell in ("", text))])
        last = [legend(comparison), *notes(comparison)] if section is sections[-1] else []
        pages.append(html_table(["model", *heads], rows, title=section.heading, notes=last))
    return "".join(pages)


def _head(comparison: Comparison, key: str) -> str:
    unit = comparison.unit[key]
    return f"{key} {ARROW[comparison.better[key]]}" + (f" ({unit})" if unit not in ("", "1") else "")


def _row(comparison: Comparison, place: int) -> list[str]:
    entry = comparison.entries[place]
    cells = [label(entry)]
    for key, column in comparison.scores.items():
        row = column[place]
        if row is None:
            cells += ["", "n/a" if place in comparison.not_ranked.get(key, {}) else "–"]
        else:
            cells += _cells(row, entry.cut)
    return cells


def _cells(row: ScoreRow, cut: bool) -> list[str]:
    mean, low, high = number(row)
    star = " *" if row.tied and row.ranked and not cut else ""
    return ["–" if cut else rank_text(row), f"{mean}{spread_text(row)} [{low}, {high}]{star}"]
