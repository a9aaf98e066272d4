"""``fusionbench explain``: which definition gives this number."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.range_options import range_options

if TYPE_CHECKING:
    from fusionbench.core.image_ranges import Range

_PLACE = click.Path(path_type=Path)


@click.command("explain", short_help="Find the definition of a metric that gives a published number.")
@click.argument("metric")
@click.argument("number")
@click.option("--a", required=True, type=_PLACE, help="First source: an image or a folder.")
@click.option("--b", required=True, type=_PLACE, help="Second source: an image or a folder.")
@click.option("--fused", required=True, type=_PLACE, help="The fused image, or the folder of them.")
@click.option("--top", default=8, show_default=True, type=click.IntRange(1), help="How many candidates to show.")
@click.option("--json", "as_json", is_flag=True, help="All candidates as JSON.")
@range_options("a", "b", "fused")
def explain_command(
    metric: str,
    number: str,
    a: Path,
    b: Path,
    fused: Path,
    top: int,
    as_json: bool,
    range_a: Range | None,
    range_b: Range | None,
    range_fused: Range | None,
) -> None:
    """Find which definition of METRIC gives NUMBER on these images (their mean, for folders).

    Tries every dialect, other windows and ranges, sum against mean, bits against nats, stretched images, JPEG, and
    colour as channels, truncated luma or luma on 16..235, and ranks them by distance. Give NUMBER with the digits it
    was printed with.

    Example: fusionbench explain ssim 1.03 --a ir --b vi --fused out
    """
    from fusionbench.core.image_ranges import Ranges
    from fusionbench.core.progress import progress, say
    from fusionbench.evaluation.explain import explain
    from fusionbench.evaluation.image_files import pair_files

    rows, missing = pair_files(a, b, fused)
    if missing:
        say(f"warning: {len(missing)} stems lack a partner and are left out: {', '.join(list(missing)[:8])}")
    with progress("explaining", len(rows), "images") as task:
        candidates = explain(metric, number, rows, task=task, ranges=Ranges(range_a, range_b, range_fused))
    if as_json:
        shown = [dataclasses.asdict(candidate) for candidate in candidates]
        content = {"metric": metric, "number": number, "images": len(rows), "candidates": shown}
        click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
        return
    for candidate in candidates[:top]:
        name = f"{candidate.metric} in {candidate.dialect}" + (f", {candidate.slip}" if candidate.slip else "")
        click.echo(f"{'=' if candidate.agrees else ' '} {candidate.value:<12.6g} {candidate.difference:+.2g}  {name}")
        if candidate.note and candidate.agrees:
            click.echo(f"{'':15s} {candidate.note}")
    if not candidates or not candidates[0].agrees:
        say(f"nothing known gives {number}; the images, their order or the set may differ")
