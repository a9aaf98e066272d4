"""``fusionbench fuse``: fused images of one's own files."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.range_options import range_options
from fusionbench.core.errors import DataError, UsageError, some

if TYPE_CHECKING:
    from fusionbench.core.image_ranges import Range

_PLACE = click.Path(path_type=Path)


@click.command("fuse", short_help="Fuse two images, or two folders of them, with any method.")
@click.argument("method", required=False)
@click.option("--a", required=True, type=_PLACE, help="First source (infrared, CT, PET): an image or a folder.")
@click.option("--b", required=True, type=_PLACE, help="Second source (visible, MRI): an image or a folder.")
@click.option("-o", "--out", required=True, type=_PLACE, help="Folder of the fused images; for two files also a file.")
@click.option("--weights", type=_PLACE, help="Weights of a method that learns: a run folder, or a .safetensors file.")
@click.option("-p", "--preset", help="Preset of the method.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Parameter of the method; repeatable.")
@click.option(
    "--colour",
    type=click.Choice(["visible", "weighted", "none"]),
    default="visible",
    show_default=True,
    help="Colour of b, the weighted colours of both, or grey.",
)
@click.option("--bits", type=click.Choice(["8", "16"]), help="Depth of the fused images. [default: that of b]")
@click.option(
    "--format", "file_format", type=click.Choice(["png", "tiff", "jpeg"]), help="[png, or by the name of OUT]"
)
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG.")
@click.option("--tile", default="auto", metavar="auto|none|N", help="Side of tiles for large images. [default: auto]")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:1 [auto: a GPU when there is one].")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Pairs at a time. [default: the processors at hand]")
@click.option("--strict", is_flag=True, help="Refuse when an image lacks its partner.")
@click.option("--force", is_flag=True, help="Replace what is in OUT already.")
@click.option("--sheet", type=_PLACE, help="Also draw the first pairs with their fused images to this PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print outputs and problems as JSON.")
@range_options("a", "b")
def fuse_command(
    method: str | None,
    a: Path,
    b: Path,
    out: Path,
    weights: Path | None,
    preset: str | None,
    settings: tuple[str, ...],
    colour: Any,
    bits: str | None,
    file_format: Any,
    quality: int,
    tile: str,
    device: str,
    jobs: int | None,
    strict: bool,
    force: bool,
    sheet: Path | None,
    as_json: bool,
    range_a: Range | None,
    range_b: Range | None,
) -> None:
    """Fuse two images, or two folders of images paired by stem, with METHOD.

    Example: fusionbench fuse guided-filter --a ir --b visible -o fused

    METHOD is a model that needs no training (`fusionbench list models`), the folder of a trained run, file.py:Class,
    or a network by name with --weights. Without METHOD a classical one is taken. The colour is that of b, the depth
    too. Images in OUT that the same command made are kept.

    Example: fusionbench fuse runs/dae-fuse --a ir/01.png --b visible/01.jpg -o 01.png

    PET and MRI, both as they are coloured:

    Example: fusionbench fuse laplacian-pyramid --a pet --b mri -o fused --colour weighted --sheet sheet.png

    Exit code 2 where a pair could not be fused; the others are.
    """
    from fusionbench.cli.setting_options import parse_settings
    from fusionbench.core.progress import say
    from fusionbench.evaluation.fusing.folders import fuse_files
    from fusionbench.evaluation.fusing.methods import DEFAULT_METHOD

    with redirect_stdout(sys.stderr):  # what an own class prints is no result
        done = fuse_files(
            a,
            b,
            out,
            method or DEFAULT_METHOD,
            weights=weights,
            preset=preset,
            params=parse_settings(settings, "--set", "--set levels=5"),
            colour=colour,
            bits=None if bits is None else int(bits),
            tile=_tile(tile),
            device=device,
            file_format=file_format,
            quality=quality,
            jobs=jobs,
            strict=strict,
            force=force,
            sheet=sheet,
            range_a=range_a,
            range_b=range_b,
        )
    for warning in done.warnings:
        say(f"warning: {warning}")
    kept = sum(found.kept for found in done.outputs)
    if as_json:
        click.echo(json.dumps(done.to_json(), indent=1))
    else:
        made = len(done.outputs) - kept
        click.echo(f"{out}: {made} fused by {done.method}" + (f", {kept} kept" if kept else ""))
    if done.sheet is not None:
        say(f"sheet: {done.sheet}")
    if done.problems:
        total = len(done.problems) + len(done.outputs)
        if total == 1:
            raise DataError(next(iter(done.problems.values())))
        raise DataError(
            f"{len(done.problems)} of {total} pairs were not fused: {some(list(done.problems.values()), '; ')}"
        )


def _tile(text: str) -> Any:
    if text in ("auto", "none"):
        return text
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"--tile {text!r}: give auto, none or the side of a tile in pixels, for example --tile 512")
    return int(text)
