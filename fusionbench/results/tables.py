"""Comparisons as text: terminal, Markdown, CSV, LaTeX and plain data.

A tie with the best carries a mark in every form, so that a copied table keeps the rule.

Example:
    >>> import tempfile
    >>> from fusionbench import create_model
    >>> from fusionbench.results.comparison import compare_results
    >>> from fusionbench.core.types import ImageSpec
    >>> from fusionbench.evaluation.pairs import evaluate_pairs
    >>> from fusionbench.evaluation.pair_sets import open_pairs
    >>> from fusionbench.results.tables import as_csv, as_data, as_latex, as_markdown, as_tables, label, legend, order
    >>> pairs = open_pairs("pairs-demo", "all", None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("copy-a", "copy-b"):
    ...         model = create_model(name, ImageSpec(1, 256, 256, views=2))
    ...         _ = evaluate_pairs(model, pairs, out=folder, device="cpu")
    ...     comparison = compare_results([folder], scores=["sf"])
    >>> for line in as_markdown(comparison).splitlines()[:4]:
    ...     print(line)
    | model | sf ↑ (grey levels) |
    |---|---|
    | copy of source B (trivial) | 18.3 [13.9, 22.8] (–) |
    | copy of source A (trivial) | 6.8 [5.6, 7.9] (–) |
    >>> [label(comparison.entries[i]) for i in order(comparison)], legend(comparison)[:22]
    (['copy of source B (trivial)', 'copy of source A (trivial)'], '3 images of pairs-demo')
    >>> as_csv(comparison).splitlines()[0].split(",")[:6], as_latex(comparison).count("tabular")
    (['model', 'title', 'runs', 'trivial', 'cut', 'score'], 2)
    >>> as_data(comparison)["rows"][0]["name"], as_tables(comparison, width=100)[0].row_count
    ('copy-b', 3)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionbench.core.text import csv_text, in_latex, in_markdown_table, one_line
from fusionbench.results.booktabs import booktabs, table_line
from fusionbench.results.bootstrap import ScoreRow
from fusionbench.results.clipping import clipped_mark
from fusionbench.results.comparison import Comparison, Entry
from fusionbench.results.copy_bounds import BOUND_NOTE, BOUND_TITLE, Bound
from fusionbench.results.input_tables import by_inputs as by_inputs  # it was here, and is read from here
from fusionbench.results.number_texts import decimals as decimals  # they were here, and are read from here
from fusionbench.results.number_texts import mean_places
from fusionbench.results.number_texts import number as number
from fusionbench.results.number_texts import rank_text as rank_text
from fusionbench.results.number_texts import spread_text as spread_text
from fusionbench.results.rank_notes import rank_notes
from fusionbench.results.schema import left_out
from fusionbench.results.tiers import APART, TIERS, TOGETHER_NOTE, Tier, heading_of, ranked_groups

if TYPE_CHECKING:
    from rich.table import Table

ARROW = {"higher": "↑", "lower": "↓"}


def order(comparison: Comparison) -> list[int]:
    """Entries from best to worst by the first score that they have; runs cut short come last.

    Groups that are ranked apart come one after the other (:func:`fusionbench.results.tiers.ranked_groups`).
    """
    group_of = {tier: place for place, group in enumerate(ranked_groups(comparison.tiers)) for tier in group}

    def place(i: int) -> tuple[int, bool, list[float], str]:
        rows = [column[i] for column in comparison.scores.values()]
        places = [float("inf") if row is None else float(row.rank) for row in rows]
        entry = comparison.entries[i]
        return group_of[entry.tier], entry.cut, places, entry.title

    return sorted(range(len(comparison.entries)), key=place)


@dataclass(frozen=True)
class _Section:
    """Rows that are ranked against each other: why they stand apart, their places, and what copying reaches there."""

    heading: str
    members: list[int]
    bounds: dict[str, Bound]


def _sections(comparison: Comparison) -> list[_Section]:
    """The tables of a comparison, in :func:`order`; one without a heading where all rows are of the first group."""
    places = order(comparison)
    present: list[Tier] = [tier for tier in TIERS if any(entry.tier == tier for entry in comparison.entries)]
    sections = []
    for group in ranked_groups(comparison.tiers):
        members = [i for i in places if comparison.entries[i].tier in group]
        alone = group[0] == TIERS[0] and len(members) == len(places)
        heading = "" if alone else heading_of(group, present)
        bounds = next((comparison.bounds[tier] for tier in group if tier in comparison.bounds), {})
        sections += [_Section(heading, members, bounds)] if members else []
    return sections


def label(entry: Entry) -> str:
    """Title with what a reader must know: who submitted it, number of runs, cut short, trivial, stretched, clipped."""
    notes = [f"by {entry.signature}"] if entry.signature else []
    notes += [f"{len(entry.results)} runs"] if len(entry.results) > 1 else []
    notes += [f"{entry.readers} readers"] if entry.readers > 1 else []
    notes += ["cut short"] if entry.cut else []
    notes += ["trivial"] if entry.trivial else []
    notes += ["stretched"] if entry.tier == "stretched" else []
    notes += filter(None, [clipped_mark(entry.clipped)])
    return entry.title + (f" ({', '.join(notes)})" if notes else "")


def legend(comparison: Comparison) -> str:
    """What the marks mean."""
    text = (
        f"{comparison.images} images of {comparison.dataset}, protocol {comparison.protocol}. Intervals of "
        f"{comparison.level:.0%} from {comparison.resamples} paired resamples of the images"
        + (" and training runs" if any(len(entry.results) >= 3 for entry in comparison.entries) else "")
        + (", and the readers that were trained on them" if any(e.readers > 1 for e in comparison.entries) else "")
        + ("; ± standard deviation over training runs" if any(len(e.results) > 1 for e in comparison.entries) else "")
        + ("; ± standard deviation over readers" if any(e.readers > 1 for e in comparison.entries) else "")
        + "; * not separable from the best; ranks hold for all rows at once, runs cut short are not ranked."
        + (f" {TOGETHER_NOTE}" if _together(comparison) else "")
        + (f" {BOUND_TITLE}: {BOUND_NOTE}; no row, and not ranked." if comparison.bounds else "")
    )
    return " ".join(text.split())


def _together(comparison: Comparison) -> bool:
    """Whether rows of different tiers are ranked against each other."""
    return comparison.tiers != APART and len({entry.tier for entry in comparison.entries} - {"stretched"}) > 1


def notes(comparison: Comparison) -> list[str]:
    """Why cells say n/a, which scores are from fewer images than the others, and what rows replace; a line each."""
    lines = []
    for key, n in comparison.counted.items():
        if 0 < n < comparison.images:
            scores = [entry.results[0].scores[key] for entry in comparison.entries if key in entry.results[0].scores]
            why = "; ".join(dict.fromkeys(one.reason for score in scores for one in left_out(score)))
            left = f"{comparison.images - n} have no value for any row" + (f": {why}" if why else "")
            lines.append(f"{key}: from {n} of {comparison.images} images; {left}")
    told: dict[tuple[int, str], list[str]] = {}
    for key, reasons in comparison.not_ranked.items():
        for i, reason in reasons.items():
            told.setdefault((i, reason), []).append(key)
    for (i, reason), keys in sorted(told.items()):
        lines.append(f"{comparison.entries[i].title}: {', '.join(keys)} n/a: {reason}")
    lines += [f"{entry.title}: {remark}" for entry in comparison.entries for remark in entry.about]
    return [one_line(line) for line in lines + rank_notes(comparison)]


def as_data(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON-ready data, rows from best to worst by the first score."""
    rows = []
    for i in order(comparison):
        entry = comparison.entries[i]
        scores: dict[str, Any] = {}
        for key, column in comparison.scores.items():
            row = column[i]
            if row is not None:
                hide = entry.cut or not row.ranked
                hidden = dict.fromkeys(("rank", "rank_low", "rank_high", "tied")) if hide else {}
                hidden |= {name: None for name, value in vars(row).items() if value in (math.inf, -math.inf)}
                bound = comparison.bounds.get(entry.tier, {}).get(key)
                beyond = None if bound is None else bound.passed_by(row.mean)
                ranked = row.ranked and not entry.cut
                scores[key] = {**vars(row), "ranked": ranked, **hidden, "beyond_copying": beyond}
        rows.append(
            {
                "name": entry.results[0].identity.model.name,
                "title": entry.title,
                "params": entry.results[0].identity.model.params,
                "ids": [result.id for result in entry.results],
                "runs": len(entry.results),
                "readers": entry.readers,
                "trivial": entry.trivial,
                "cut": entry.cut,
                "status": entry.results[0].status,
                "tier": entry.tier,
                "stretched": entry.results[0].stretched,
                "clipped": entry.clipped,
                **entry.provenance,
                "scores": scores,
                "not_available": {key: why[i] for key, why in comparison.not_ranked.items() if i in why},
            }
        )
    return {
        "dataset": comparison.dataset,
        "protocol": comparison.protocol,
        "images": comparison.images,
        "level": comparison.level,
        "resamples": comparison.resamples,
        "tiers": comparison.tiers,
        "better": comparison.better,
        "unit": comparison.unit,
        "n": comparison.counted,
        "best_copy": {
            tier: {key: {"mean": bound.mean, "images": bound.images} for key, bound in bounds.items()}
            for tier, bounds in comparison.bounds.items()
        },
        "rows": rows,
    }


def _cells(comparison: Comparison, i: int, cell: Callable[[ScoreRow, bool], list[str]], empty: list[str]) -> list[str]:
    cut = comparison.entries[i].cut
    texts = []
    for key, column in comparison.scores.items():
        row = column[i]
        texts += cell(row, cut) if row is not None else ["n/a"] if i in comparison.not_ranked.get(key, {}) else empty
    return texts


def as_tables(comparison: Comparison, width: int) -> list[Table]:
    """Tables for a terminal of ``width`` letters, as many below each other as keep every number whole.

    Each of the :func:`sections` has tables of its own, with its heading as their title.
    """
    from rich.console import Console

    console = Console(width=1 << 16)  # to measure, as wide as it wants to be
    tables: list[Table] = []
    for section in _sections(comparison):
        keys = list(comparison.better)
        while keys:
            count = len(keys)
            while count > 1 and console.measure(_table(comparison, keys[:count], section)).maximum > width:
                count -= 1
            tables.append(_table(comparison, keys[:count], section))
            tables[-1].title = section.heading or None
            keys = keys[count:]
    return tables


def _table(comparison: Comparison, keys: Sequence[str], section: _Section) -> Table:
    """A rich table of some scores of some entries."""
    from rich.markup import escape
    from rich.table import Table

    def cell(row: ScoreRow, cut: bool) -> list[str]:
        mean, low, high = number(row)
        star = " " if cut or not row.tied or not row.ranked else "*"
        text = f"{mean}{spread_text(row)} [dim]\\[{low}, {high}][/dim]{star}"
        best = row.rank == 1 and row.ranked and not cut
        return ["–" if cut else rank_text(row), f"[bold]{text}[/bold]" if best else text]

    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", title_style="bold")
    table.add_column("model", no_wrap=True)
    for key in keys:
        unit = comparison.unit[key]
        head = f"{key} {ARROW[comparison.better[key]]}" + (f" ({unit})" if unit not in ("", "1") else "")
        table.add_column("rank", justify="right", style="dim", no_wrap=True)
        table.add_column(escape(head), justify="right", no_wrap=True)
    for i in section.members:
        entry = comparison.entries[i]
        found = [(comparison.scores[key][i], i in comparison.not_ranked.get(key, {})) for key in keys]
        cells = [t for row, lacks in found for t in (cell(row, entry.cut) if row else ["", "n/a" if lacks else "–"])]
        table.add_row(escape(one_line(label(entry))), *cells, style="bright_black" if entry.trivial else "")
    if any(key in section.bounds for key in keys):
        cells = [text for key in keys for text in ("", _bound_text(comparison, section, key) + " ")]
        table.add_row(BOUND_TITLE, *cells, style="italic bright_black")
    return table


def _bound_text(comparison: Comparison, section: _Section, key: str) -> str:
    """What copying reaches, with as many digits as the rows have; a dash where there is no bound."""
    bound = section.bounds.get(key)
    if bound is None:
        return "–"
    rows = [row for i in section.members if (row := comparison.scores[key][i]) is not None]
    return f"{bound.mean:.{max(map(mean_places, rows), default=3)}f}"


def as_markdown(comparison: Comparison) -> str:
    """A Markdown table with its legend; one for each of the :func:`sections`, below its heading."""

    def cell(row: ScoreRow, cut: bool) -> list[str]:
        mean, low, high = number(row)
        marks = "" if cut else f"{' *' if row.tied and row.ranked else ''} ({rank_text(row)})"
        return [f"{mean}{spread_text(row)} [{low}, {high}]{marks}"]

    heads = [
        f"{_in_head(key)} {ARROW[better]} ({_in_head(comparison.unit[key])})"
        for key, better in comparison.better.items()
    ]
    lines: list[str] = []
    for section in _sections(comparison):
        lines += [""] if lines else []
        lines += [f"**{in_markdown_table(section.heading)}**", ""] if section.heading else []
        lines += ["| model | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
        for i in section.members:
            name = in_markdown_table(label(comparison.entries[i]))
            lines.append(f"| {name} | " + " | ".join(_cells(comparison, i, cell, ["–"])) + " |")
        if section.bounds:
            texts = [_bound_text(comparison, section, key) for key in comparison.better]
            lines.append(f"| *{BOUND_TITLE}* | " + " | ".join(texts) + " |")
    told = ["* " + in_markdown_table(line) for line in notes(comparison)]
    return "\n".join([*lines, "", _in_head(legend(comparison)), "", *told, *([""] if told else [])])


def _in_head(text: str) -> str:
    """Text for Markdown whose underscores stay as they are: between letters, as in ``mse_min``, they mean nothing."""
    return in_markdown_table(text).replace("\\_", "_")


def as_csv(comparison: Comparison) -> str:
    """One line per model and score; one without a value has empty numbers and a reason."""
    numbers = ["mean", "low", "high", "rank", "rank_low", "rank_high", "tied", "run_sd"]
    numbers += ["difference", "difference_low", "difference_high", "ranked", "needed_images", "note"]
    names = ["model", "title", "runs", "trivial", "cut"]
    whose_names = ["submitter", "tier", "submission", "clipped", "id", "params"]
    rows: list[list[Any]] = [[*names, "score", "unit", "better", *numbers, "images", "not_available", *whose_names]]
    for row, place in zip(as_data(comparison)["rows"], order(comparison), strict=True):
        submissions = [result.submission.id for result in comparison.entries[place].results if result.submission]
        about = [row[name] for name in ("name", *names[1:])]
        params = json.dumps(row["params"], ensure_ascii=False, sort_keys=True)
        whose = [row["submitter"], row["tier"], " ".join(submissions), row["clipped"], " ".join(row["ids"]), params]
        for key, score in row["scores"].items():
            images = comparison.counted.get(key, comparison.images)
            kind = [key, comparison.unit[key], comparison.better[key]]
            rows.append([*about, *kind, *(score[name] for name in numbers), images, None, *whose])
        for key, reason in row["not_available"].items():
            kind = [key, comparison.unit[key], comparison.better[key]]
            rows.append([*about, *kind, *[None] * len(numbers), None, reason, *whose])
    return csv_text(rows)


def as_latex(comparison: Comparison) -> str:
    """A booktabs table: best and everything tied with it in bold, trivial rows in grey (package xcolor)."""

    def cell(row: ScoreRow, cut: bool) -> list[str]:
        places = mean_places(row)
        half = (row.high - row.low) / 2
        text = f"{row.mean:.{places}f} \\pm " + (f"{half:.{places}f}" if math.isfinite(half) else "\\infty")
        if row.run_sd is not None:
            text += f"\\ (\\sigma_{{{row.runs}}} = {spread_text(row).removeprefix(' ± ')})"
        return [f"$\\mathbf{{{text}}}$" if row.tied and row.ranked and not cut else f"${text}$"]

    arrows = {"higher": "$\\uparrow$", "lower": "$\\downarrow$"}
    heads = [f"{in_latex(key)} {arrows[better]}" for key, better in comparison.better.items()]
    about = one_line(legend(comparison)).replace("; * not separable", "; bold: not separable")
    groups = []
    for section in _sections(comparison):
        group = []
        if section.heading:
            group.append(f"\\multicolumn{{{1 + len(heads)}}}{{l}}{{\\emph{{{in_latex(section.heading)}}}}} \\\\")
        for i in section.members:
            cells = [in_latex(label(comparison.entries[i])), *_cells(comparison, i, cell, ["--"])]
            if comparison.entries[i].trivial:
                cells = [f"\\textcolor{{gray}}{{{text}}}" for text in cells]
            group.append(table_line(cells))
        if section.bounds:
            texts = [_bound_text(comparison, section, key).replace("–", "--") for key in comparison.better]
            group.append(table_line([f"\\emph{{{in_latex(BOUND_TITLE)}}}", *texts]))
        groups.append(group)
    comments = [f"% {about}", *(f"% {one_line(line)}" for line in notes(comparison))]
    table = booktabs("l" + "r" * len(heads), [table_line(["model", *heads])], groups)
    return "\n".join([*comments, *table, ""])
