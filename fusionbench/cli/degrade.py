"""``fusionbench degrade``: one's own pairs with a known damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import json_option, out_option
from fusionbench.cli.range_options import range_options
from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.core.image_ranges import Range

_PLACE = click.Path(path_type=Path)


@click.command("degrade", short_help="Degrade pairs of images with a known truth.")
@click.argument("a", type=_PLACE)
@click.argument("b", type=_PLACE)
@click.option(
    "--family",
    "families",
    type=Names("degradations", plugin="degradations"),
    multiple=True,
    metavar="NAME",
    help="What happens to the pairs, such as shift/1; repeatable. See `fusionbench list degradations`.",
)
@click.option(
    "--severity", "severities", type=int, multiple=True, metavar="1..5", help="How much; repeatable. [default: 3]"
)
@click.option("--all", "everything", is_flag=True, help="All families, at all severities unless some are named.")
@click.option(
    "--suite",
    type=Names("suites", files=True),
    metavar="SUITE",
    help="All that a suite of degraded pairs gives a method, such as ivif-tno-robust; by its own families and seed.",
)
@click.option("-s", "--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of what is drawn. [default: 0]")
@out_option("Folder of the degraded pairs; with --all also a .png, a sheet of the first pair and nothing else.")
@click.option("--sheet", type=_PLACE, metavar="FILE", help="Also draw the first pair at these severities to this PNG.")
@click.option(
    "--objects",
    type=_PLACE,
    metavar="DIR",
    help="Pictures whose objects occlude/2 shows, cut out by their alpha or else by their edges.",
)
@click.option("--strict", is_flag=True, help="Refuse when an image lacks its partner.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
@json_option("Print folders and warnings as JSON.")
@range_options("a", "b")
def degrade_command(
    a: Path,
    b: Path,
    families: tuple[str, ...],
    severities: tuple[int, ...],
    everything: bool,
    suite: str | None,
    seed: int,
    out: Path | None,
    sheet: Path | None,
    objects: Path | None,
    strict: bool,
    force: bool,
    as_json: bool,
    range_a: Range | None,
    range_b: Range | None,
) -> None:
    """Degrade A (thermal) and B (visible): two folders of images paired by stem, or two files.

    Example: fusionbench degrade ir visible --family shift/1 --severity 3 -o shifted

    The degraded pairs are PNGs of 8 bits in OUT/a and OUT/b, colour as it is; the true field of displacements, and what
    was lost, lie beside them. The same names, seed and family give the same bits everywhere.

    A sheet of every family at every severity:

    Example: fusionbench degrade ir visible --all -o sheet.png

    With --suite the pairs that a method is to fuse for that suite: OUT/clean/a, OUT/shift-1-severity-3/a and so on.
    `fusionbench score --suite` takes the fused images in folders of the same names.

    Example: fusionbench degrade tno/ir tno/vi --suite ivif-tno-robust -o inputs
    """
    from fusionbench.core.progress import say
    from fusionbench.evaluation.degrade_files import degrade_files

    if suite is not None:
        if out is None or any((families, severities, everything, seed, sheet, objects, range_a, range_b)):
            raise UsageError(
                "--suite decides what is done to the pairs: it takes A, B, --out, --strict and --force alone"
            )
        from fusionbench.evaluation.robust_rows import write_suite_inputs

        folders = write_suite_inputs(suite, a, b, out, strict=strict, force=force)
        click.echo(
            json.dumps({"folders": list(map(str, folders))}, indent=1) if as_json else "\n".join(map(str, folders))
        )
        return
    if everything and families:
        raise UsageError("--all takes every family: leave out --family")
    if not everything and not families:
        raise UsageError("Missing --family: name one of `fusionbench list degradations`, or take --all")
    if out is not None and out.suffix.lower() == ".png" and not out.is_dir():
        if sheet is not None:
            raise UsageError(f"{out} and {sheet}: two sheets; leave out --sheet, or name a folder with --out")
        out, sheet = None, out
    chosen = severities or ((1, 2, 3, 4, 5) if everything else (3,))
    done = degrade_files(
        a,
        b,
        out,
        families,
        chosen,
        seed=seed,
        strict=strict,
        force=force,
        sheet=sheet,
        range_a=range_a,
        range_b=range_b,
        objects=objects,
    )
    for warning in done.warnings:
        say(f"warning: {warning}")
    if as_json:
        click.echo(json.dumps(done.to_json(), indent=1))
        return
    for name, folder in done.folders.items():
        click.echo(f"{folder}: {done.pairs} pairs, {name.replace(' ', ' at severity ')}")
    if done.sheet is not None:
        click.echo(str(done.sheet))
