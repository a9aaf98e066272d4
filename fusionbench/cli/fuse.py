"""``fusionbench fuse``: fused images of one's own files."""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import device_option, jobs_option, json_option, out_option
from fusionbench.cli.range_options import range_options
from fusionbench.core.errors import DataError, UsageError, some

if TYPE_CHECKING:
    from fusionbench.core.image_ranges import Range
    from fusionbench.evaluation.fusing.video_method import FusedVideo

_PLACE = click.Path(path_type=Path)


@click.command("fuse", short_help="Fuse two images, folders of them, or stacks of pictures, with any method.")
@click.argument("method", required=False, type=Names("models", files=True), metavar="[METHOD|RUN|FILE.py[:CLASS]]")
@click.argument("pictures", nargs=-1, type=_PLACE, metavar="[PICTURE...|FOLDER]")
@click.option("--a", type=_PLACE, metavar="PATH", help="First source (infrared, CT, PET): an image or a folder.")
@click.option("--b", type=_PLACE, metavar="PATH", help="Second source (visible, MRI): an image or a folder.")
@out_option("Folder of the fused images; for two files also a file.", required=True)
@click.option(
    "--demo", is_flag=True, help="Fuse three embedded pairs instead of --a and --b; OUT gets a folder of each."
)
@click.option("--video", is_flag=True, help="The sources are two videos, or two folders of numbered frames of one.")
@click.option("--rate", type=float, help="Frames a second of a video made of folders. [default: 25]")
@click.option(
    "--weights",
    type=_PLACE,
    metavar="PATH",
    help="Weights of a method that learns: a run folder, or a .safetensors file.",
)
@click.option("-p", "--preset", metavar="PRESET", help="Preset of the method.")
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
@device_option()
@jobs_option("Pairs at a time [the processors at hand].", default=None)
@click.option("--strict", is_flag=True, help="Refuse when an image lacks its partner.")
@click.option("--force", is_flag=True, help="Replace what is in OUT already.")
@click.option(
    "--sheet", type=_PLACE, metavar="FILE", help="Also draw the first pairs with their fused images to this PNG."
)
@json_option("Print outputs and problems as JSON.")
@range_options("a", "b")
@click.pass_context
def fuse_command(
    context: click.Context,
    method: str | None,
    pictures: tuple[Path, ...],
    a: Path | None,
    b: Path | None,
    out: Path,
    demo: bool,
    video: bool,
    rate: float | None,
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

    Example: fusionbench fuse --a ir --b visible -o fused

    METHOD is a model that needs no training (`fusionbench list models`), the folder of a trained run, file.py:Class,
    or a network by name with --weights; without it, gradient-domain. The colour is that of b, the depth too. Images in
    OUT that the same command made are kept.

    Example: fusionbench fuse runs/dae-fuse --a ir/01.png --b visible/01.jpg -o 01.png

    A first look, with nothing to fetch:

    Example: fusionbench fuse --demo -o demo

    PET and MRI, both as they are coloured:

    Example: fusionbench fuse --a pet --b mri -o fused --colour weighted --sheet sheet.png

    Two videos; .mkv and .avi are lossless, .mp4 and .mov are H.264, a name without ending is a folder of frames:

    Example: fusionbench fuse --video --a ir.mp4 --b visible.mp4 -o fused.mkv

    Pictures of one scene, focused or exposed differently, as many as there are; or a folder of such stacks:

    Example: fusionbench fuse near.jpg middle.jpg far.jpg -o sharp.jpg

    Exit code 2 where a pair could not be fused; the others are.
    """
    from fusionbench.cli.setting_options import parse_settings
    from fusionbench.core.progress import say
    from fusionbench.evaluation.fusing.folders import fuse_files
    from fusionbench.evaluation.fusing.methods import DEFAULT_METHOD

    if (a is None and b is None and not demo and (method is None or not pictures) and _is_picture(method)) or (
        pictures and _is_picture(method)
    ):
        pictures, method = (Path(str(method)), *pictures), None
    _refuse_options(context, demo, video, bool(pictures))
    if pictures:
        of_stacks = {
            "weights": weights,
            "preset": preset,
            "params": parse_settings(settings, "--set", "--set levels=5"),
        }
        of_stacks |= {"tile": _tile(tile), "device": device, "colour": colour != "none"}
        depth = None if bits is None else int(bits)
        _fuse_stacks(pictures, out, method, depth, file_format, quality, force, of_stacks, as_json)
        return
    sources = None
    if demo:
        from fusionbench.evaluation.fusing.demo import write_demo

        found = write_demo(out, force=force)
        sources = a, b = found.a, found.b
        out, sheet = found.fused, sheet or found.sheet
    if a is None or b is None:
        missing = " and ".join(f"--{side}" for side, given in (("a", a), ("b", b)) if given is None)
        raise UsageError(f"Missing {missing}: name the sources, or fuse three embedded pairs with --demo")
    if not video and (clips := [str(path) for path in (a, b) if path.suffix.lower() in _VIDEOS and path.is_file()]):
        raise UsageError(f"{clips[0]}: a video; add --video")
    shared: dict[str, Any] = {
        "weights": weights,
        "preset": preset,
        "params": parse_settings(settings, "--set", "--set levels=5"),
        "colour": colour,
        "tile": _tile(tile),
        "device": device,
        "force": force,
    }
    if video:
        from fusionbench.evaluation.fusing.video_method import fuse_videos_by

        made_video = fuse_videos_by(a, b, out, method or DEFAULT_METHOD, rate=rate, **shared)
        _show_video(made_video, as_json)
        return
    with _no_wait_for_threads():
        done = fuse_files(
            a,
            b,
            out,
            method or DEFAULT_METHOD,
            bits=None if bits is None else int(bits),
            file_format=file_format,
            quality=quality,
            jobs=jobs,
            strict=strict,
            sheet=sheet,
            range_a=range_a,
            range_b=range_b,
            **shared,
        )
    for warning in done.warnings:
        say(f"warning: {warning}")
    kept = sum(found.kept for found in done.outputs)
    if as_json:
        click.echo(json.dumps(done.to_json() | _sources_json(sources), indent=1))
    else:
        made = len(done.outputs) - kept
        click.echo(f"{out}: {made} fused by {done.method}" + (f", {kept} kept" if kept else ""))
    if sources is not None:
        say(f"sources: {sources[0]} (made from the colours, shows nothing about real sensors) and {sources[1]}")
    if done.sheet is not None:
        say(f"sheet: {done.sheet}")
    if done.problems:
        total = len(done.problems) + len(done.outputs)
        if total == 1:
            raise DataError(next(iter(done.problems.values())))
        raise DataError(
            f"{len(done.problems)} of {total} pairs were not fused: {some(list(done.problems.values()), '; ')}"
        )


_VIDEOS = (".mp4", ".mkv", ".avi", ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".ts")
_OF_IMAGES = ("bits", "file_format", "quality", "jobs", "strict", "sheet", "range_a", "range_b")


_OF_PAIRS = ("a", "b", "demo", "video", "jobs", "strict", "sheet", "range_a", "range_b")


def _is_picture(text: str | None) -> bool:
    """Whether what stands where METHOD does is a picture, or a folder of them and no run."""
    from fusionbench.core.images import SUFFIXES

    path = Path(text or "")
    return bool(text) and (
        path.suffix.lower() in SUFFIXES
        or (path.is_dir() and not (path / "run.json").is_file() and not _is_name(str(text)))
    )


def _is_name(text: str) -> bool:
    from fusionbench.models import MODELS

    return text in MODELS.names()


def _fuse_stacks(
    pictures: tuple[Path, ...],
    out: Path,
    method: str | None,
    bits: int | None,
    file_format: Any,
    quality: int,
    force: bool,
    settings: dict[str, Any],
    as_json: bool,
) -> None:
    from fusionbench.evaluation.fusing.stacks import fuse_stack_files

    done = fuse_stack_files(
        pictures, out, method, bits=bits, file_format=file_format, quality=quality, force=force, **settings
    )
    if as_json:
        click.echo(json.dumps(done.to_json(), indent=1))
    elif done.outputs:
        by = ", ".join(dict.fromkeys(done.methods.values()))
        click.echo(f"{out}: {len(done.outputs)} stack(s) fused by {by}")
    if done.problems:
        total = len(done.problems) + len(done.outputs)
        if total == 1:
            raise DataError(next(iter(done.problems.values())))
        listed = some(list(done.problems.values()), "; ")
        raise DataError(f"{len(done.problems)} of {total} stacks were not fused: {listed}")


def _refuse_options(context: click.Context, demo: bool, video: bool, stacks: bool) -> None:
    """Tell of options that have no effect together.

    Raises:
        UsageError: there are some.
    """
    named = {param.name: param.opts[-1] for param in context.command.params}
    given = [
        name
        for name in named
        if context.get_parameter_source(name or "") is not click.core.ParameterSource.DEFAULT and name
    ]
    rules = (
        ("--demo", demo, ("a", "b", "video"), "fuses embedded images"),
        ("--video", video, _OF_IMAGES, "makes frames of 8 bits, one after the other"),
        ("A stack of pictures", stacks, _OF_PAIRS, "is fused as it is"),
    )
    for flag, is_on, others, reason in rules:
        if is_on and (clash := [named[name] for name in given if name in others]):
            raise UsageError(f"{flag} {reason}: leave out {', '.join(clash)}")
    if "rate" in given and not video:
        raise UsageError("--rate is of a video made of folders of frames: add --video")


@contextmanager
def _no_wait_for_threads() -> Iterator[None]:
    """End the process without its threads after Ctrl-C, as soon as the line about it is printed.

    They fuse on until their pair is done, which can take minutes, and compiled code in them aborts a process that ends
    around it, with another exit code.
    """
    try:
        yield
    except KeyboardInterrupt:
        if threading.active_count() > 1:
            atexit.register(_end_at_once)  # what is registered last is called first
        raise


def _end_at_once() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(130)


def _sources_json(sources: tuple[Path, Path] | None) -> dict[str, Any]:
    return {} if sources is None else {"a": str(sources[0]), "b": str(sources[1])}


def _show_video(done: FusedVideo, as_json: bool) -> None:
    from fusionbench.core.progress import say

    for warning in done.warnings:
        say(f"warning: {warning}")
    if as_json:
        click.echo(json.dumps(done.to_json(), indent=1))
    else:
        found = done.report
        click.echo(f"{done.file}: {found.frames} frames of {found.height}×{found.width} fused by {done.method}")


def _tile(text: str) -> Any:
    if text in ("auto", "none"):
        return text
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"--tile {text!r}: give auto, none or the side of a tile in pixels, for example --tile 512")
    return int(text)
