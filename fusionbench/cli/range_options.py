"""The options ``--range-a``, ``--range-b`` and ``--range-fused``: which values of image files are black and white."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.core.image_ranges import Range

_WHAT = {"a": "files of the first source", "b": "files of the second source", "fused": "fused files"}


def range_options(*sides: str, head: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command with an option for each of the sides a, b and fused; it gets ``range_a`` and so on."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for side in reversed(sides):
            text = f"{head}What black and white are in the {_WHAT[side]}, see docs/images.md."
            form = "auto|full|14bit|LOW:HIGH|percentile:1,99"
            command = click.option(f"--range-{side}", metavar=form, callback=_read, help=text)(command)
        return command

    return decorate


def _read(context: click.Context, option: click.Parameter, value: str | None) -> Range | None:
    if value is None:
        return None
    from fusionbench.core.image_ranges import Range

    try:
        return Range.parse(value)
    except UsageError as error:
        raise UsageError(f"{option.opts[0]}: {error}") from error
