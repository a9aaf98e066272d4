"""``fusionbench explain``: which definition gives this number, or this row of numbers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import json_option
from fusionbench.cli.range_options import range_options
from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusionbench.core.image_ranges import Range, Ranges
    from fusionbench.evaluation.coincidence import PrintedNumber
    from fusionbench.evaluation.explain import Candidate
    from fusionbench.evaluation.image_files import Triple

_PLACE = click.Path(path_type=Path)


@click.command("explain", short_help="Find the definition of a metric that gives a published number, or row.")
@click.argument("numbers", nargs=-1, required=True, metavar="METRIC NUMBER | ROW")
@click.option("--a", required=True, type=_PLACE, metavar="PATH", help="First source: an image or a folder.")
@click.option("--b", required=True, type=_PLACE, metavar="PATH", help="Second source: an image or a folder.")
@click.option("--fused", required=True, type=_PLACE, metavar="PATH", help="The fused image, or the folder of them.")
@click.option(
    "--columns",
    type=Names("metrics", several=True),
    metavar="NAMES",
    help="Metrics of a row of bare numbers. [default: the eight of the field's tables]",
)
@click.option(
    "--top", default=8, show_default=True, type=click.IntRange(1), metavar="N", help="How many candidates to show."
)
@json_option("All candidates as JSON.")
@range_options("a", "b", "fused")
def explain_command(
    numbers: tuple[str, ...],
    a: Path,
    b: Path,
    fused: Path,
    columns: str | None,
    top: int,
    as_json: bool,
    range_a: Range | None,
    range_b: Range | None,
    range_fused: Range | None,
) -> None:
    """Find which definition gives a number, or a row of a table, on these images (their mean, for folders).

    Tries every dialect, other windows and ranges, sum against mean, bits against nats, stretched images, JPEG of three
    qualities, and colour as channels, by other weights, truncated or on 16..235, and ranks them by distance. Give
    numbers with the digits they were printed with. Each match comes with the chance of a coincidence: how many invented
    numbers would be matched as plainly.

    Example: fusionbench explain ssim 1.03 --a ir --b vi --fused out

    A row is explained as a whole: one dialect that gives all columns says more than a definition for each.

    Example: fusionbench explain EN=7.12,SD=46.00,SF=13.15,MI=2.19,SSIM=1.03 --a ir --b vi --fused out

    Bare numbers are those of --columns; & and | between them are passed over.

    Example: fusionbench explain "2.19 & 0.77 & 0.54" --columns mi,vif,qabf --a ir --b vi --fused out
    """
    from fusionbench.core.image_ranges import Ranges
    from fusionbench.core.progress import say
    from fusionbench.evaluation.coincidence import PrintedNumber
    from fusionbench.evaluation.definitions import scored_metric
    from fusionbench.evaluation.explain_row import parse_row
    from fusionbench.evaluation.image_files import pair_files

    named = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    single = len(numbers) == 2 and "=" not in "".join(numbers) and not _is_number(numbers[0])
    if single and named is not None:
        raise UsageError("--columns names the numbers of a row; leave it out, or METRIC")
    asked = {scored_metric(numbers[0]).name: PrintedNumber.parse(numbers[1])} if single else parse_row(numbers, named)
    rows, missing = pair_files(a, b, fused)
    if missing:
        say(f"warning: {len(missing)} stems lack a partner and are left out: {', '.join(list(missing)[:8])}")
    ranges = Ranges(range_a, range_b, range_fused)
    if single:
        _number(numbers[0], numbers[1], rows, ranges, top, as_json)
    else:
        _row(asked, rows, ranges, top, as_json)


def _is_number(text: str) -> bool:
    return any(letter.isdigit() for letter in text) and not text[:1].isalpha()


def _number(metric: str, number: str, rows: Sequence[Triple], ranges: Ranges, top: int, as_json: bool) -> None:
    from fusionbench.core.progress import progress, say
    from fusionbench.evaluation.coincidence import PrintedNumber
    from fusionbench.evaluation.explain import explain, verdict

    with progress("explaining", len(rows), "images") as task:
        candidates = explain(metric, number, rows, task=task, ranges=ranges)
    said = verdict(PrintedNumber.parse(number), candidates, len(candidates))
    if as_json:
        shown = [dataclasses.asdict(candidate) for candidate in candidates]
        content = {"metric": metric, "number": number, "images": len(rows), "verdict": said, "candidates": shown}
        click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
        return
    for line in _lines(candidates[:top]):
        click.echo(line)
    say(said)


def _lines(candidates: Sequence[Candidate], indent: str = "") -> list[str]:
    """A line a candidate, and one for what the dialect of an agreeing one does differently."""
    from fusionbench.evaluation.explain import share

    lines = []
    for candidate in candidates:
        chance = "" if candidate.chance is None else f"  [chance {share(candidate.chance)}]"
        sign = "=" if candidate.agrees else " "
        lines.append(f"{indent}{sign} {candidate.value:<12.6g} {candidate.difference:+.2g}  {candidate.name}{chance}")
        if candidate.note and candidate.agrees:
            lines.append(f"{indent}{'':15s} {candidate.note}")
    return lines


def _row(asked: dict[str, PrintedNumber], rows: Sequence[Triple], ranges: Ranges, top: int, as_json: bool) -> None:
    from fusionbench.core.progress import progress
    from fusionbench.evaluation.explain import share
    from fusionbench.evaluation.explain_row import explain_row

    with progress("explaining", len(rows), "images") as task:
        found = explain_row(asked, rows, task=task, ranges=ranges)
    if as_json:
        content = {
            "images": len(rows),
            "tried": found.tried,
            "verdict": found.verdict,
            "joint": [{"name": joint.name, **dataclasses.asdict(joint)} for joint in found.joint],
            "columns": [
                {
                    "metric": column.metric,
                    "number": column.number.text,
                    "verdict": column.verdict,
                    "candidates": [dataclasses.asdict(candidate) for candidate in column.candidates],
                }
                for column in found.columns
            ],
        }
        click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
        return
    click.echo(found.verdict)
    best = found.joint[0].ways if found.joint else {}
    for column in found.columns:
        plainest = column.candidates[0] if column.candidates and column.candidates[0].agrees else None
        if column.metric in best:
            told = f"= {best[column.metric]}"
        elif plainest is not None:
            told = f"~ {plainest.name}: {plainest.value:.6g}, by another way  [chance {share(plainest.chance or 1.0)}]"
        else:
            nearest = f"; nearest {column.candidates[0].value:.6g}" if column.candidates else ""
            told = f"  no known definition gives this{nearest}"
        click.echo(f"  {column.metric:<10s} {column.number.text:>9s}  {told}")
    if len(found.joint) > 1:
        click.echo("explanations of the row:")
    for joint in found.joint[:top] if len(found.joint) > 1 else []:
        click.echo(f"  {len(joint.matched)}/{len(asked)}  chance {share(joint.chance):<14s} {joint.name}")
