"""``fusionbench paper``: the table and the figures of a paper."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from fusionbench.cli.range_options import range_options
from fusionbench.core.errors import UsageError

_PLACE = click.Path(path_type=Path)
WIDTHS = {"single": 3.5, "double": 7.16}  # inches of a column and of the text of a two-column page (IEEE)
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
    from fusionbench.results.paper_texts import foreign_letters, inches_wide, table_text

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
    if form == "tex" and (about := inches_wide(table)) > (room := WIDTHS[width]):
        say(
            f"note: the table is about {about:.1f} in wide and the text {room} in: shorten titles (--rows NAME=TITLE), "
            f"show fewer columns{', take --width double' if width == 'single' else ''} or put \\small before it"
        )
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


def _look_options(command: Any) -> Any:
    """The options that every figure has."""
    decorate = [
        click.option(
            "--width",
            default="double",
            show_default=True,
            metavar="single|double|INCHES",
            help="Of the figure: 3.5 or 7.16 inches, or so many.",
        ),  # fmt: skip
        click.option(
            "--font-size",
            "points",
            default=8.0,
            show_default=True,
            type=click.FloatRange(4, 24),
            help="Points of labels.",
        ),  # fmt: skip
        click.option(
            "--font",
            "typeface",
            type=click.Choice(["serif", "sans"]),
            default="serif",
            show_default=True,
            help="As in Times, or without serifs; embedded in the file.",
        ),  # fmt: skip
        click.option(
            "--dpi",
            default=300.0,
            show_default=True,
            type=click.FloatRange(72, 1200),
            help="Most pixels an inch of images, and all of a PNG.",
        ),  # fmt: skip
    ]
    for option in reversed(decorate):
        command = option(command)
    return command


def inches(text: str) -> float:
    """A width: ``single``, ``double``, or a number of inches.

    Raises:
        UsageError: something else.
    """
    if text in WIDTHS:
        return WIDTHS[text]
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 1 <= found <= 40:
        raise UsageError(f"--width {text!r}: give single, double or 1 to 40 inches")
    return found


@paper_command.command("figure")
@click.option("-o", "--out", required=True, type=_PLACE, help="figure.pdf, .svg or .png.")
@click.option("--methods", multiple=True, required=True, metavar="NAMES", help="In their order: models (gtf, "
              "gradient-domain@metrics), run folders, file.py:Class, folders of fused images; TITLE=NAME renames.")  # fmt: skip
@click.option("--a", type=_PLACE, help="First sources: an image or a folder.")
@click.option("--b", type=_PLACE, help="Second sources, the visible ones: an image or a folder.")
@click.option("--data", help="Instead of --a and --b: a source, a folder of one, or a data set of pairs.")
@click.option("--source-dir", type=_PLACE, help="Folder of the files of --data.")
@click.option("--split", help="Of --data. [default: test]")
@click.option("--pairs", multiple=True, metavar="STEMS", help="Pairs in their order. [default: the first one]")
@click.option("--names", default="Source A,Source B", show_default=True, help="What both sources are called.")
@click.option("--colour", type=click.Choice(["auto", "visible", "weighted", "none"]), default="auto",
              show_default=True, help="Of b (or a, where b is grey), of both, or grey.")  # fmt: skip
@click.option("--zoom", multiple=True, metavar="X,Y,W,H", help="Window in pixels, of every pair or PAIR:X,Y,W,H; "
              "repeatable. [default: where the methods differ most]")  # fmt: skip
@click.option("--zooms", type=click.IntRange(0, 7), help="Windows to find in each pair. [default: 2, or 0 with --zoom]")
@click.option("--zoom-size", default=0.2, show_default=True, type=click.FloatRange(0.02, 0.5),
              help="Of windows that are found, as a part of the image.")  # fmt: skip
@click.option("--insets", type=click.Choice(["below", "corner"]), default="below", show_default=True,
              help="Where windows are shown.")  # fmt: skip
@click.option("--difference", metavar="a|b|TITLE", help="Also |fused − this|, below each fused image.")
@click.option("--scores", multiple=True, metavar="NAMES", help="Below each fused image, e.g. EN,Qabf.")
@click.option("--columns", type=click.IntRange(min=1), help="Images in a line. [default: all of a pair]")
@click.option("--transpose", is_flag=True, help="A pair a column instead of a row.")
@click.option("--labels", type=click.Choice(["below", "above", "none"]), default="below", show_default=True,
              help="Where the methods' names stand.")  # fmt: skip
@click.option("--letters", is_flag=True, help="(a), (b), … before the names.")
@click.option("--stems", is_flag=True, help="Also the names of the pairs.")
@_look_options
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:1 [auto: a GPU when there is one].")
@range_options("a", "b")
@click.option("--json", "as_json", is_flag=True, help="Print what was drawn, with windows and scores, as JSON.")
def paper_figure(
    out: Path,
    methods: tuple[str, ...],
    a: Path | None,
    b: Path | None,
    data: str | None,
    source_dir: Path | None,
    split: str | None,
    pairs: tuple[str, ...],
    names: str,
    colour: Any,
    zoom: tuple[str, ...],
    zooms: int | None,
    zoom_size: float,
    scores: tuple[str, ...],
    width: str,
    device: str,
    range_a: Any,
    range_b: Any,
    as_json: bool,
    **look: Any,
) -> None:
    """Draw sources and fused images of some pairs side by side, with zoomed windows, differences and scores.

    Methods fuse here, or their images lie in folders, paired by stem. All images of a pair show the same windows; those
    that are found are where the variance between the methods is largest.

    Example: fusionbench paper figure --a ir --b visible --pairs 01,05 --methods gtf,U2Fusion=u2/,Ours=ours/ -o fig.pdf

    Example: fusionbench paper figure --data pairs-demo --methods average,guided-filter --scores EN,Qabf -o demo.pdf
    """
    from fusionbench.core.io import require_folder, write_bytes
    from fusionbench.core.progress import say
    from fusionbench.core.vector_figures import figure_kind
    from fusionbench.evaluation.paper.grid import GridOptions
    from fusionbench.evaluation.paper.pair_figure import PairFigure, draw_pair_figure

    kind = figure_kind(out)
    require_folder(out.parent)
    titles = split_names([names])
    if len(titles) != 2:
        raise UsageError(f"--names {names!r}: give two, as in --names Infrared,Visible")
    wanted = PairFigure(
        methods=split_names(methods),
        a=a,
        b=b,
        data=data,
        root=source_dir,
        split=split,
        pairs=split_names(pairs),
        names=(titles[0], titles[1]),
        colour=colour,
        zooms=zoom,
        found=(0 if zoom else 2) if zooms is None else zooms,
        zoom_size=zoom_size,
        scores=split_names(scores),
        range_a=range_a,
        range_b=range_b,
        device=device,
    )
    with redirect_stdout(sys.stderr):  # what an own class prints is no result
        content, record = draw_pair_figure(wanted, kind, GridOptions(width=inches(width), **look))
    write_bytes(out, content)
    if as_json:
        click.echo(json.dumps({"file": str(out), **record}, ensure_ascii=False))
        return
    click.echo(str(out))
    for line in record["notes"]:
        say(line)
