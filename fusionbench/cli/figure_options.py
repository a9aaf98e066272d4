"""The options that all figures have, and values of options that are lists of names or numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.core.vector_figures import Kind


def look_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with width, type and resolution of a figure: ``width``, ``points``, ``typeface``, ``dpi``."""
    width_help = "Of the figure: 3.5 or 7.16 inches, or so many."
    face_help = "As in Times, or without serifs; embedded in the file."
    faces, sizes, dots = click.Choice(["serif", "sans"]), click.FloatRange(4, 24), click.FloatRange(72, 1200)
    named: dict[str, Any] = {"show_default": True}
    options = [
        click.option("--width", default="double", metavar="single|double|INCHES", help=width_help, **named),
        click.option(
            "--font-size", "points", default=8.0, metavar="POINTS", type=sizes, help="Points of labels.", **named
        ),
        click.option("--font", "typeface", type=faces, default="serif", help=face_help, **named),
        click.option(
            "--dpi", default=300.0, metavar="N", type=dots, help="Most pixels an inch of images; of a PNG all.", **named
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def inches(text: str) -> float:
    """A width: ``single``, ``double``, or a number of inches.

    Raises:
        UsageError: something else.

    Example:
        >>> from fusionbench.cli.figure_options import inches
        >>> inches("single"), inches("5.5")
        (3.5, 5.5)
    """
    from fusionbench.core.vector_figures import WIDTHS

    if text in WIDTHS:
        return WIDTHS[text]
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 1 <= found <= 40:  # nor is it NaN
        raise UsageError(f"--width {text!r}: give single, double or 1 to 40 inches")
    return found


def kind_of_figure(out: Path) -> Kind:
    """The kind of file that is asked for, where it can be written.

    Raises:
        UsageError: another kind, or a place among files that stay as they are.
        DataError: a folder that cannot be written.
    """
    from fusionbench.core.io import require_folder
    from fusionbench.core.vector_figures import figure_kind

    kind = figure_kind(out)
    require_folder(out.parent)
    spare_records(out)
    return kind


def spare_records(out: Path) -> None:
    """Refuse to write among the files of a result or of a run, one of which would be replaced.

    Raises:
        UsageError: the folder has such files.
    """
    for record in ("result.json", "run.json", "manifest.json"):
        if (out.parent / record).is_file():
            raise UsageError(f"{out}: lies in the folder of a {record}, whose files stay as they are; choose another")


def split_names(values: Sequence[str]) -> list[str]:
    """Names of an option that may be repeated, each with commas between names.

    Example:
        >>> from fusionbench.cli.figure_options import split_names
        >>> split_names(["EN, SD", "VIF"])
        ['EN', 'SD', 'VIF']
    """
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def split_places(values: Sequence[str]) -> list[str]:
    """As :func:`split_names`, of names that may be files: one that is there is never split at a comma in its name."""
    found = []
    for value in values:
        place = Path(value.partition("=")[2] or value)
        found += [value] if place.exists() else split_names([value])
    return found


def whole_numbers(option: str, text: str) -> list[int]:
    """Whole numbers with commas between them.

    Raises:
        UsageError: something else.
    """
    names = split_names([text])
    if not all(name.isascii() and name.isdigit() and len(name) < 10 for name in names):
        raise UsageError(f"{option} {text!r}: give whole numbers, as in {option} 0,1,2")
    return [int(name) for name in names]
