"""The options ``--range-a``, ``--range-b`` and ``--range-fused``: which values of image files are black and white."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.core.image_ranges import Range
    from fusionbench.data.recipes import AnyRecipe

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


def load_chosen_recipe(
    name: str | None, recipe_file: Path | None, range_a: Range | None, range_b: Range | None
) -> AnyRecipe:
    """The recipe called NAME or in FILE, of which one is given, with the ranges of the options in the place of its own.

    Raises:
        UsageError, DataError: no such recipe, or one that takes no ranges: one that comes with fusionbench names one
            data set, whose digests are published.
    """
    from fusionbench.core.image_ranges import Ranges
    from fusionbench.data.recipe_copies import override_ranges
    from fusionbench.data.recipes import load_recipe

    recipe = load_recipe(recipe_file if recipe_file is not None else str(name))
    ranges = Ranges(range_a, range_b)
    ranged = override_ranges(recipe, ranges)
    if ranges and recipe_file is None:
        options = " ".join(f"--range-{side} {text}" for side, text in ranges.texts().items())
        raise UsageError(
            f"{recipe.name}: its recipe names one data set, which other ranges would not give; write a copy with a "
            f"name of its own, `fusionbench recipe new my-{recipe.name} --from {name} {options} > "
            f"my-{recipe.name}.toml`, and give that with --recipe my-{recipe.name}.toml"
        )
    return ranged
