"""``fusionbench paper``: the table and the figures of a paper."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fusionbench.core.errors import UsageError

_PLACE = click.Path(path_type=Path)
_TABLES = {".tex": "tex", ".md": "md", ".csv": "csv"}


@click.group("paper", short_help="Write the table and draw the figures of a paper.")
def paper_command() -> None:
    """Write the table of a paper from results, and draw its figures from images, results and runs.

    Example: fusionbench paper table results/tno --metrics EN,SD,VIF,Qabf -o table.tex
    """


@paper_command.command("table")
@click.argument("results", nargs=-1, required=True, type=_PLACE)
@click.option("-o", "--out", type=_PLACE, help="table.tex, .md or .csv. [default: LaTeX on stdout]")
@click.option("--metrics", multiple=True, metavar="NAMES", help="Columns in their order: EN,SD,Qabf,VIF@cddfuse,time; "
              "also params, memory and hours. [default: those of `compare`]")  # fmt: skip
@click.option("--rows", multiple=True, metavar="NAMES", help="Rows in their order, by model, title or id; NAME=TITLE "
              "renames. [default: all, best first]")  # fmt: skip
@click.option("--published", is_flag=True, help="Also the numbers that papers print, unranked, with their source.")
@click.option("--digits", multiple=True, metavar="N|NAME=N", help="Digits after the point, of all or of one column. "
              "[default: as many as the intervals deserve]")  # fmt: skip
@click.option("--spread", type=click.Choice(["none", "interval", "runs"]), default="none", show_default=True,
              help="What follows ±: half the interval of the mean, or the deviation over training runs.")  # fmt: skip
@click.option("--trivial", type=click.Choice(["ranked", "unranked", "without"]), default="ranked", show_default=True,
              help="Copies, averages and constants: ranked with the others, without marks, or left out.")  # fmt: skip
@click.option("--stretched", type=click.Choice(["apart", "without", "only"]), default="apart", show_default=True,
              help="Rows of images stretched to the full range, which are ranked apart.")  # fmt: skip
@click.option("--tiers", type=click.Choice(["apart", "together"]), default="apart", show_default=True,
              help="Submitted predictions apart, or ranked with the others.")  # fmt: skip
@click.option("--level", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.999), help="Of intervals.")
@click.option("--resamples", default=10_000, show_default=True, type=click.IntRange(100, 1_000_000))
@click.option("--width", type=click.Choice(["single", "double"]), default="single", show_default=True,
              help="LaTeX: over one column of a page, or both (table*).")  # fmt: skip
@click.option("--float/--no-float", "floating", default=True, show_default=True,
              help="LaTeX: a table with caption and label, or what stands in one.")  # fmt: skip
@click.option("--label", default="", help="LaTeX: the label. [default: tab:DATASET]")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers, their marks and what was chosen as JSON.")
def paper_table(
    results: tuple[Path, ...],
    out: Path | None,
    metrics: tuple[str, ...],
    rows: tuple[str, ...],
    digits: tuple[str, ...],
    width: str,
    floating: bool,
    label: str,
    as_json: bool,
    **look: Any,
) -> None:
    """Write the table of RESULTS (result files, or folders of them) as a paper prints it.

    Best bold, second underlined, * what the simultaneous test cannot tell from the best; trivial rows above a rule;
    notes below for other definitions and printed numbers; a caption with data, protocol and the meaning of the marks.
    LaTeX needs the package booktabs and nothing else.

    Example: fusionbench paper table results/tno --metrics EN,SD,SF,VIF,Qabf --rows gtf,densefuse,mine=Ours -o tab.tex

    Example: fusionbench paper table results/tno --metrics EN@cddfuse,VIF@cddfuse --published --digits 2 -o tab.md
    """
    from fusionbench.core.io import write_bytes
    from fusionbench.core.progress import say
    from fusionbench.results.paper_table import TableOptions, make_paper_table, table_data
    from fusionbench.results.paper_texts import foreign_letters, table_text

    form: Any = "tex" if out is None else _TABLES.get(out.suffix.lower())
    if form is None:
        raise UsageError(f"{out}: a table is written as {', '.join(_TABLES)}; choose such a name")
    if not re.fullmatch(r"[A-Za-z0-9:._-]{0,80}", label):
        raise UsageError(f"--label {label!r}: letters, digits and :._- are what LaTeX takes as a label")
    options = TableOptions(digits=_digits(digits), **look)
    table = make_paper_table(results, metrics=split_names(metrics), rows=split_names(rows), options=options)
    text = table_text(table, form, wide=width == "double", floating=floating, label=label)
    if out is not None:
        write_bytes(out, text.encode())
    if form == "tex" and (letters := foreign_letters(text)):
        say(f"note: pdflatex has no letters {letters}; use lualatex, or other titles (--rows NAME=TITLE)")
    if as_json:
        click.echo(json.dumps({"file": None if out is None else str(out), **table_data(table)}, ensure_ascii=False))
    else:
        click.echo(text if out is None else str(out), nl=out is not None)
        for line in [*([] if out is None else [table.caption]), *table.caveats, *table.remarks]:
            say(line)


def split_names(values: Sequence[str]) -> list[str]:
    """Names of an option that may be repeated, each with commas between names."""
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _digits(values: Sequence[str]) -> dict[str, int]:
    """Places after the point by the name of a column, under "" those of the others."""
    found: dict[str, int] = {}
    for text in split_names(values):
        name, _, number = text.rpartition("=")
        if not (number.isascii() and number.isdigit() and int(number) <= 10):
            raise UsageError(f"--digits {text!r}: give a number from 0 to 10, or NAME=NUMBER, as in --digits VIF=3")
        found[name.strip()] = int(number)
    return found
