"""``fusionbench score``: fused images against their sources, or against a target."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.cluster_options import cluster_options
from fusionbench.cli.console import terminal_width
from fusionbench.cli.names import Names
from fusionbench.cli.options import Former, device_option, jobs_option, json_option, option, out_option, setting
from fusionbench.cli.range_options import range_options
from fusionbench.cli.renamed_options import keep_images_option
from fusionbench.core.errors import UsageError
from fusionbench.core.io import escaped
from fusionbench.core.text import csv_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusionbench.core.image_ranges import Range
    from fusionbench.evaluation.image_files import Scores
    from fusionbench.results.schema import Result, Score

_PLACE = click.Path(path_type=Path)


@click.command("score")
@click.option("--a", type=_PLACE, help="First source (infrared, CT, PET): an image or a folder.")
@click.option("--b", type=_PLACE, help="Second source (visible, MRI): an image or a folder.")
@click.option("--c", type=_PLACE, help="Third source, for metrics that are defined for any number.")
@click.option("--d", type=_PLACE, help="Fourth source.")
@click.option("--e", type=_PLACE, help="Fifth source.")
@click.option("--f", type=_PLACE, help="Sixth source.")
@click.option(
    "--target", type=_PLACE, metavar="PATH", help="The known truth: an image or a folder, with or without sources."
)
@click.option(
    "--fused", required=True, type=_PLACE, metavar="PATH", help="What to score: an image or a folder, paired by stem."
)
@click.option(
    "--metrics",
    type=Names("metrics", several=True, plugin="metrics"),
    metavar="NAMES",
    help="Comma-separated names, FILE.py:METRIC for yours, or all. [default: the eight of the field's tables]",
)
@click.option("--dialect", metavar="NAME", help="Whose definitions, for example cddfuse. [default: standard/1]")
@click.option(
    "--suite",
    type=Names("suites", files=True),
    metavar="SUITE",
    help="Score as a row of this suite of pairs (ivif-tno, or a .toml) and write its result.",
)
@click.option(
    "--name", metavar="NAME", help="With --suite: what the method is called in folders, for example my-method."
)
@click.option("--title", help="With --suite: what tables call it. [default: its name]")
@click.option("--note", default="", help="With --suite: where the images are from.")
@out_option("Write the values per image to this CSV file as well; with --suite: root of results [results].")
@option("--csv", "csv_path", type=_PLACE, hidden=True, cls=Former, now="-o FILE.csv")
@keep_images_option("With --suite: keep the images for the board's pages [where the licence allows redistribution].")
@json_option("Print JSON with full float64 values.")
@jobs_option("Images at a time [the processors at hand].", default=None, setting=None)
@device_option("cpu, cuda, cuda:1, or auto [cpu].", default="cpu", setting=None)
@cluster_options("Score folders")
@click.option("--strict", is_flag=True, help="Refuse when an image lacks its partner.")
@range_options("a", "b", "fused")
def score_command(
    a: Path | None,
    b: Path | None,
    c: Path | None,
    d: Path | None,
    e: Path | None,
    f: Path | None,
    target: Path | None,
    fused: Path,
    metrics: str | None,
    dialect: str | None,
    suite: str | None,
    name: str | None,
    title: str | None,
    note: str,
    out: Path | None,
    keep_images: bool | None,
    as_json: bool,
    csv_path: Path | None,
    jobs: int | None,
    device: str,
    scheduler: str | None,
    strict: bool,
    range_a: Range | None,
    range_b: Range | None,
    range_fused: Range | None,
) -> None:
    """Score fused images against their sources, or against a known target.

    Example: fusionbench score --a ir --b vi --fused out --dialect cddfuse

    Images are PNG, JPEG, BMP, TIFF, WebP or PNM; colour is scored by its BT.601 luma. Only standard/1 is ranked;
    the other dialects reproduce the numbers of papers.

    Example: fusionbench score --a thermal --b vi --fused out --range-a 14bit

    Example: fusionbench score --fused out --target truth

    Against a known truth there are PSNR, SSIM and MSE. Three to six sources have the metrics that are defined for any
    number.

    Example: fusionbench score --a uv --b vi --c ir --fused out

    With --suite the images become a row of that suite's table, in a result beside those of `fusionbench run`.

    Example: fusionbench score --a tno/ir --b tno/vi --fused out --suite ivif-tno --name my-method

    Thousands of images can be scored by the workers of a Dask cluster that sees the folders, to the same bits.

    Example: fusionbench score --a ir --b vi --fused out --scheduler tcp://host:8786
    """
    from fusionbench.core.progress import say

    if scheduler is not None and (jobs is not None or suite is not None):
        option = "--suite is scored" if suite is not None else "--jobs are threads"
        raise UsageError(f"{option} on this machine: leave it out, or --scheduler")
    more = _further(a, b, {"c": c, "d": d, "e": e, "f": f}, target)
    if suite is not None:
        if more or target is not None or a is None or b is None:
            raise UsageError("--suite is a table of pairs: it takes --a, --b and --fused")
        if metrics is not None or dialect is not None or csv_path is not None:
            raise UsageError("--suite decides metrics and dialects and writes images.csv; leave out --metrics and such")
        if device != "cpu":
            raise UsageError("--suite is scored on the CPU, to the same bits everywhere: leave out --device")
        if name is None:
            raise UsageError("--suite needs a name for the method, for example --name my-method")
        if jobs is not None and jobs < 1:
            raise UsageError(f"--jobs must be at least 1, got {jobs}")
        from fusionbench.evaluation.external import score_outputs

        root = out or Path(setting("results_root"))
        result = score_outputs(
            suite,
            a,
            b,
            fused,
            name=name,
            title=title,
            note=note,
            out=root,
            strict=strict,
            jobs=jobs,
            keep_images=keep_images,
            range_a=range_a,
            range_b=range_b,
            range_fused=range_fused,
        )
        _show_result(result, root, as_json)
        return
    if name or title or note or keep_images is not None:
        raise UsageError("--name, --title, --note and --keep-images belong to a result: add --suite")
    csv_path = out or csv_path
    from fusionbench.evaluation.image_files import score_files

    names = [name.strip() for name in metrics.split(",") if name.strip()] if metrics is not None else None
    how: dict[str, Any] = {"range_a": range_a, "range_b": range_b, "range_fused": range_fused, "scheduler": scheduler}
    how |= {"more": more, "target": target, "jobs": jobs, "strict": strict, "device": device}
    if csv_path is not None:
        how["unfinished"] = csv_path.with_name(f"{csv_path.name}.unfinished")
    scores = score_files(a, b, fused, names, dialect or "standard/1", **how)
    for warning in scores.warnings:
        say(f"warning: {warning}")
    if csv_path is not None:
        from fusionbench.core.io import write_bytes

        write_bytes(csv_path, _csv(scores).encode())
        say(f"values per image: {csv_path}")
    if as_json:
        click.echo(json.dumps(scores.to_json(), indent=1, allow_nan=False))
    else:
        click.echo(_table(scores))


def _further(a: Path | None, b: Path | None, more: Mapping[str, Path | None], target: Path | None) -> list[Path]:
    """The sources after the second one, given without a gap and with the ones before them."""
    given = {"a": a, "b": b, **more}
    last = max((place for place, found in enumerate(given.values()) if found is not None), default=-1)
    lacking = [f"--{side}" for side, found in [*given.items()][: last + 1] if found is None]
    if last == 0:
        lacking = ["--b"]
    if not lacking and last < 0 and target is None:
        raise UsageError("Give the sources with --a and --b, or the known truth with --target")
    if lacking:
        raise UsageError(f"Missing {' and '.join(lacking)}: sources are --a, --b, --c and so on, without a gap")
    return [place for place in more.values() if place is not None]


def _csv(scores: Scores) -> str:
    """A line an image; a cell is empty where there is no value, and the last column says why."""
    names = [metric.name for metric in scores.metrics]
    rows = [["id", *names, "not_available"]]
    for row, name in enumerate(scores.ids):
        missing = scores.not_available.get(name, {})
        # repr of a float is the shortest text that reads back to the same float64
        cells = ["" if metric in missing else repr(float(scores.values[metric][row])) for metric in names]
        rows.append([name, *cells, "; ".join(f"{metric}: {why.reason}" for metric, why in missing.items())])
    return csv_text(rows)


def _table(scores: Scores) -> str:
    """Values per image, their mean and half the 95 % interval of the mean, in aligned columns."""
    columns = {m.name: (m.unit, scores.values[m.name], scores.summary[m.name]) for m in scores.metrics}
    return _aligned(scores.ids, columns, scores.measured_by)


def _aligned(ids: list[str], columns: Mapping[str, tuple[str, Any, Score]], dialect: str) -> str:
    """A table with a line an image. ``columns``: name -> unit, values and their summary."""
    from fusionbench.evaluation.image_files import interval_of

    rows = [["", *columns], ["", *(f"[{unit}]" for unit, _, _ in columns.values())]]
    for place, name in enumerate(ids):
        line = [float(values[place]) for _, values, _ in columns.values()]
        rows.append([escaped(name), *(f"{value:.4f}" if math.isfinite(value) else "n/a" for value in line)])
    if len(ids) > 1:
        means, halves = [], []
        for _, values, score in columns.values():
            found = interval_of(values, score)
            means.append("n/a" if score.mean is None else f"{score.mean:.4f}")
            halves.append("" if found is None else f"{(found[1] - found[0]) / 2:.4f}")
        rows += [["mean", *means], ["± (95 %)", *halves]]
        if any(score.n != len(ids) for _, _, score in columns.values()):
            rows.append(["images", *(str(score.n) for _, _, score in columns.values())])
    lines = [line for block in _blocks(rows, terminal_width()) for line in block]
    head = f"{len(ids)} image" + ("s" if len(ids) != 1 else "") + f", {dialect}"
    return "\n".join([head, *lines, *_why_not({name: score for name, (_, _, score) in columns.items()}, len(ids))])


def _blocks(rows: list[list[str]], width: int | None) -> list[list[str]]:
    """Rows of cells as lines, in as many blocks of columns below each other as fit a terminal of ``width`` columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    blocks: list[list[str]] = []
    begin = 1
    while begin < len(widths):
        end = begin + 1
        while end < len(widths) and (width is None or widths[0] + sum(w + 2 for w in widths[begin : end + 1]) <= width):
            end += 1
        cells = [[row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(begin, end))] for row in rows]
        blocks.append(["  ".join(row).rstrip() for row in cells])
        begin = end
    return blocks


def _why_not(scores: Mapping[str, Score], images: int) -> list[str]:
    """A line for every reason why metrics have no value, with the metrics, the images, and what becomes of the mean."""
    from fusionbench.results.schema import not_available

    told: dict[tuple[str, bool, tuple[str, ...], int], list[str]] = {}
    for name, score in scores.items():
        for found in not_available(score):
            key = found["reason"], found["cause"] != "fused", tuple(map(str, found["images"])), found["n"]
            told.setdefault(key, []).append(name)
    lines = []
    for (reason, fair, named, count), metrics in told.items():
        where = ", ".join(map(escaped, named)) + (f" and {count - len(named)} more" if count > len(named) else "")
        rule = ""
        if images > 1 and count < images:
            rule = "; left out of the mean" if fair else "; no mean, because this is the method's doing"
        lines.append(f"n/a: {', '.join(metrics)} of {where}: {reason}{rule}")
    return lines


def _show_result(result: Result, out: Path, as_json: bool) -> None:
    """The result as JSON, or a table for each of its dialects; its folder is talk there."""
    import msgspec

    from fusionbench.core.progress import say
    from fusionbench.results.image_tables import read_table

    folder = result.folder(out)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), **msgspec.to_builtins(result)}, indent=1, allow_nan=False))
        return
    values = read_table(result, folder / "result.json")
    tables = []
    for dialect in result.identity.protocol.params["dialects"]:
        tail = "" if dialect == "standard/1" else "@" + dialect.partition("/")[0]
        keys = [key for key in values if key in result.scores and key.partition("@")[2] == tail[1:]]
        columns = {k.partition("@")[0]: (result.scores[k].unit, values[k], result.scores[k]) for k in keys}
        about = "ranked" if not tail else "to stand beside published rows"
        tables.append(_aligned([str(name) for name in values["id"]], columns, f"{dialect} ({about})"))
    click.echo("\n\n".join(tables))
    say(f"result: {folder}")
