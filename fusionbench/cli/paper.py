"""``fusionbench paper``: the table and the figures of a paper."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fusionbench.cli.figure_options import (
    inches,
    kind_of_figure,
    look_options,
    spare_records,
    split_names,
    split_places,
    whole_numbers,
)
from fusionbench.cli.range_options import range_options
from fusionbench.core.errors import UsageError

_PLACE = click.Path(path_type=Path)
_TABLES = {".tex": "tex", ".md": "md", ".csv": "csv"}


@click.group("paper", short_help="Write the table and draw the figures of a paper.")
def paper_command() -> None:
    """Write the table of a paper from results, and draw its figures from images, results and runs.

    Example: fusionbench paper table results/tno --metrics EN,SD,VIF,Qabf -o table.tex
    """


@paper_command.command("table", short_help="Results as a table: LaTeX, Markdown or CSV.")
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
@click.option(
    "--level", metavar="SHARE", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.999), help="Of intervals."
)
@click.option("--resamples", metavar="N", default=10_000, show_default=True, type=click.IntRange(100, 1_000_000))
@click.option("--two-columns", is_flag=True, help="LaTeX: over both columns of a page (table*).")
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
    two_columns: bool,
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
    if out is not None:
        spare_records(out)
    if not re.fullmatch(r"[A-Za-z0-9:._-]{0,80}", label):
        raise UsageError(f"--label {label!r}: letters, digits and :._- are what LaTeX takes as a label")
    options = TableOptions(digits=_digits(digits), **look)
    table = make_paper_table(results, metrics=split_names(metrics), rows=split_names(rows), options=options)
    text = table_text(table, form, wide=two_columns, floating=floating, label=label)
    if out is not None:
        write_bytes(out, text.encode())
    if form == "tex" and (letters := foreign_letters(text)):
        say(f"note: pdflatex has no letters {letters}; use lualatex, or other titles (--rows NAME=TITLE)")
    if form == "tex" and (about := inches_wide(table)) > (room := inches("double" if two_columns else "single")):
        say(
            f"note: the table is about {about:.1f} in wide and the text {room} in: shorten titles (--rows NAME=TITLE), "
            f"show fewer columns{'' if two_columns else ', take --two-columns'} or put \\small before it"
        )
    if as_json:
        click.echo(json.dumps({"file": None if out is None else str(out), **table_data(table)}, ensure_ascii=False))
    else:
        click.echo(text if out is None else str(out), nl=out is not None)
        for line in [*([] if out is None else [table.caption]), *table.caveats, *table.remarks]:
            say(line)


def _digits(values: Sequence[str]) -> dict[str, int]:
    """Places after the point by the name of a column, under "" those of the others."""
    found: dict[str, int] = {}
    for text in split_names(values):
        name, _, number = text.rpartition("=")
        if not (number.isascii() and number.isdigit() and int(number) <= 10):
            raise UsageError(f"--digits {text!r}: give a number from 0 to 10, or NAME=NUMBER, as in --digits VIF=3")
        found[name.strip()] = int(number)
    return found


@paper_command.command("figure", short_help="Sources and fused images side by side, with zooms.")
@click.option("-o", "--out", required=True, type=_PLACE, help="figure.pdf, .svg or .png.")
@click.option("--methods", multiple=True, required=True, metavar="NAMES", help="In order: models (gtf, "
              "gradient-domain@natural), run folders, file.py:Class, folders of images; TITLE=NAME.")  # fmt: skip
@click.option("--a", type=_PLACE, help="First sources: an image or a folder.")
@click.option("--b", type=_PLACE, help="Second sources, the visible ones: an image or a folder.")
@click.option(
    "-d", "--data", metavar="SET", help="Instead of --a and --b: a source, a folder of one, or a data set of pairs."
)
@click.option("--source-dir", metavar="DIR", type=_PLACE, help="Folder of the files of --data.")
@click.option("--split", metavar="SPLIT", help="Of --data. [default: test]")
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
@click.option("--metrics", "scores", multiple=True, metavar="NAMES", help="Below each fused image, e.g. EN,Qabf.")
@click.option(
    "--per-line", "columns", metavar="N", type=click.IntRange(min=1), help="Images in a line. [default: all of a pair]"
)
@click.option("--transpose", is_flag=True, help="A pair a column instead of a row.")
@click.option("--labels", type=click.Choice(["below", "above", "none"]), default="below", show_default=True,
              help="Where the methods' names stand.")  # fmt: skip
@click.option("--letters", is_flag=True, help="(a), (b), … before the names.")
@click.option("--stems", is_flag=True, help="Also the names of the pairs.")
@look_options
@click.option(
    "--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:1 [auto: a GPU when there is one]."
)
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

    Example: fusionbench paper figure --data pairs-demo --methods average,guided-filter --metrics EN,Qabf -o demo.pdf
    """
    from fusionbench.evaluation.paper.grid import GridOptions
    from fusionbench.evaluation.paper.pair_figure import PairFigure, draw_pair_figure

    kind = kind_of_figure(out)
    titles = split_names([names])
    if len(titles) != 2:
        raise UsageError(f"--names {names!r}: give two, as in --names Infrared,Visible")
    wanted = PairFigure(
        methods=split_places(methods),
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
        out=out,
    )
    content, record = draw_pair_figure(wanted, kind, GridOptions(width=inches(width), **look))
    _finish(out, content, record, as_json)


@paper_command.command("samples", short_help="Inputs, target and draws of a masked set.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("-o", "--out", required=True, type=_PLACE, help="samples.pdf, .svg or .png.")
@click.option(
    "-d",
    "--data",
    metavar="SET",
    required=True,
    help="Folder of the data set of masked views, or its name below data/.",
)
@click.option("--ids", default="0", show_default=True, metavar="NUMBERS", help="Samples in their order.")
@click.option("--inputs", default="", metavar="NUMBERS", help="Numbers of inputs, a line each. [default: all for one "
              "sample, 1 for several]")  # fmt: skip
@click.option("--draws", default=3, show_default=True, type=click.IntRange(1, 20), help="Draws on show.")
@click.option("--mean-of", default=100, show_default=True, type=click.IntRange(0, 1000),
              help="Draws that the mean before them is of; 0 shows none.")  # fmt: skip
@click.option("-s", "--seed", metavar="N", default=0, show_default=True, type=int, help="Of the draws.")
@click.option("--split", metavar="SPLIT", default="test", show_default=True)
@look_options
@click.option("--json", "as_json", is_flag=True, help="Print what was drawn as JSON.")
def paper_samples(
    runs: tuple[str, ...],
    out: Path,
    data: str,
    ids: str,
    inputs: str,
    width: str,
    as_json: bool,
    **look: Any,
) -> None:
    """Draw samples of a masked set: inputs, target, and the mean and draws of each RUN (a run folder, or TITLE=RUN).

    Draws are those that an evaluation with the same seed makes.

    Example: fusionbench paper samples runs/cvae runs/fusionvae --data fusionmnist --ids 0,7 --inputs 0,1,2 -o fig.pdf
    """
    from fusionbench.data.dataset import open_dataset
    from fusionbench.evaluation.paper.samples import SampleOptions, draw_sample_figure

    kind = kind_of_figure(out)
    options = SampleOptions(
        ids=whole_numbers("--ids", ids), inputs=whole_numbers("--inputs", inputs), width=inches(width), **look
    )
    content, record = draw_sample_figure(runs, open_dataset(data), kind, options)
    _finish(out, content, record, as_json)


@paper_command.command("curves", short_help="Learning curves of runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("-o", "--out", required=True, type=_PLACE, help="curves.pdf, .svg or .png.")
@click.option("--value", "values", multiple=True, metavar="NAMES", help="Names in the runs' logs, a plot each. "
              "[default: the first loss that all have]")  # fmt: skip
@click.option("--x", "across", type=click.Choice(["step", "epoch"]), default="step", show_default=True)
@click.option("--log", is_flag=True, help="Values in powers of ten.")
@click.option("--smooth", default=1, show_default=True, type=click.IntRange(1, 10_000),
              help="Mean over so many lines of the log.")  # fmt: skip
@click.option(
    "--height", metavar="INCHES", type=click.FloatRange(0.5, 40), help="Inches. [default: two thirds of a plot's width]"
)
@look_options
@click.option("--json", "as_json", is_flag=True, help="Print what was drawn as JSON.")
def paper_curves(
    runs: tuple[str, ...],
    out: Path,
    values: tuple[str, ...],
    across: Any,
    log: bool,
    smooth: int,
    width: str,
    as_json: bool,
    **look: Any,
) -> None:
    """Draw learning curves from the logs of each RUN (a run folder, or TITLE=RUN); runs of one title have one colour.

    Example: fusionbench paper curves runs/cvae-seed0 runs/cvae-seed1 runs/fusionvae --smooth 9 -o curves.pdf
    """
    from fusionbench.evaluation.paper.learning_curves import HEADS, learning_curves
    from fusionbench.evaluation.paper.plots import PlotOptions, plot_curves

    kind, options = kind_of_figure(out), PlotOptions(width=inches(width), **look)
    panels = learning_curves(runs, split_names(values), across=across, smooth=smooth)
    content = plot_curves(panels, HEADS[across], kind, options, log=log)
    shown = [{"value": name, "curves": [[curve.group, len(curve.x)] for curve in curves]} for name, curves in panels]
    _finish(out, content, {"x": across, "smooth": smooth, "panels": shown}, as_json)


@paper_command.command("cost", short_help="Quality against parameters, time or memory.")
@click.argument("results", nargs=-1, required=True, type=_PLACE)
@click.option("-o", "--out", required=True, type=_PLACE, help="cost.pdf, .svg or .png.")
@click.option("--metric", required=True, help="The score, e.g. VIF or nll_bpd@mean.")
@click.option("--against", type=click.Choice(["params", "time", "memory", "hours"]), default="params",
              show_default=True, help="Parameters, time or memory of fusing an image, hours of training.")  # fmt: skip
@click.option("--rows", multiple=True, metavar="NAMES", help="As of `paper table`. [default: all]")
@click.option("--stretched", is_flag=True, help="Rows of images stretched to the full range, instead of the others.")
@click.option(
    "--level", metavar="SHARE", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.999), help="Of intervals."
)
@click.option("--resamples", metavar="N", default=10_000, show_default=True, type=click.IntRange(100, 1_000_000))
@click.option(
    "--height", metavar="INCHES", type=click.FloatRange(0.5, 40), help="Inches. [default: two thirds of the width]"
)
@look_options
@click.option("--json", "as_json", is_flag=True, help="Print the points as JSON.")
def paper_cost(
    results: tuple[Path, ...],
    out: Path,
    metric: str,
    against: str,
    rows: tuple[str, ...],
    stretched: bool,
    level: float,
    resamples: int,
    width: str,
    as_json: bool,
    **look: Any,
) -> None:
    """Draw a score of RESULTS against what rows cost, with the intervals of the scores.

    Filled points, on the dashed line, are rows that no other beats for less; trivial rows are grey.

    Example: fusionbench paper cost results/tno --metric Qabf --against time -o cost.pdf
    """
    from dataclasses import asdict

    from fusionbench.evaluation.paper.plots import PlotOptions, plot_cost
    from fusionbench.results.paper_cost import cost_plot

    kind, options = kind_of_figure(out), PlotOptions(width=inches(width), **look)
    plot = cost_plot(
        results, metric, against, rows=split_names(rows), stretched=stretched, level=level, resamples=resamples
    )
    unit = f" ({plot.up.unit_shown})" if plot.up.unit_shown else ""
    under = f", {plot.up.under}" if plot.up.under else ""
    content = plot_cost(plot.points, plot.across.symbol.label, plot.up.symbol.mathtext + under + unit, kind, options)
    notes = [f"left out: {title}: {why}" for title, why in plot.left_out.items()] + [plot.note] * bool(plot.note)
    record = {"metric": plot.up.key, "against": against, "points": [asdict(one) for one in plot.points]}
    _finish(out, content, {**record, "left_out": plot.left_out, "notes": notes}, as_json)


def _finish(out: Path, content: bytes, record: dict[str, Any], as_json: bool) -> None:
    """Write a figure, and say what was drawn."""
    from fusionbench.core.io import write_bytes
    from fusionbench.core.progress import say

    write_bytes(out, content)
    if as_json:
        click.echo(json.dumps({"file": str(out), **record}, ensure_ascii=False))
        return
    click.echo(str(out))
    for line in record.get("notes", []):
        say(line)
