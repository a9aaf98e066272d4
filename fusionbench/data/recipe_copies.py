"""Recipes that are like another one, but for the ranges of their image files: overridden, or as a text of their own."""

from __future__ import annotations

import json
import re

import msgspec

from fusionbench.core.errors import UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.io import read_bounded, shipped_folder
from fusionbench.data.pair_recipes import PairRecipe
from fusionbench.data.recipe_base import RecipeValueError
from fusionbench.data.recipes import MAX_BYTES, AnyRecipe, load_recipe, parse_recipe


def override_ranges(recipe: AnyRecipe, ranges: Ranges) -> AnyRecipe:
    """``recipe`` as if ``range_a`` and ``range_b`` were written below its ``[pairs]``; as it is without ranges.

    So it has the hash, and the data set the id, of a recipe in which they are written in the form of ``str(range)``.

    Raises:
        UsageError: the recipe has no registered pairs, or a range looks at a whole set.

    Example:
        >>> from fusionbench.core.image_ranges import Ranges
        >>> from fusionbench.data.recipe_copies import override_ranges
        >>> from fusionbench.data.recipes import load_recipe
        >>> override_ranges(load_recipe("tno"), Ranges.parse("14bit")).pairs.range_a
        '14bit'
    """
    if not ranges:
        return recipe
    names = " and ".join(f"--range-{side}" for side in ranges.given)
    if not isinstance(recipe, PairRecipe):
        raise UsageError(
            f"{names}: for registered pairs; {recipe.name} is made of single images, which are read as docs/images.md "
            "says: convert what it refuses to 8 bits first"
        )
    keys = {f"range_{side}": text for side, text in ranges.texts().items()}
    changed = msgspec.structs.replace(recipe, pairs=msgspec.structs.replace(recipe.pairs, **keys))
    try:
        changed.check()
    except RecipeValueError as error:
        raise UsageError(f"{names}: {error.reason}: 14bit, LOW:HIGH or percentile:1,99, say") from error
    return changed


def copy_recipe_text(origin: str, name: str, ranges: Ranges) -> str:
    """The text of the shipped recipe ``origin`` (``NAME`` or ``NAME@VERSION``), renamed, with these ranges.

    Comments stay; the digests that it expects do not, because the copy makes another data set.

    Raises:
        UsageError: no such recipe, or ranges for one without pairs.
        DataError: ``name`` cannot be the name of a recipe.
    """
    recipe = override_ranges(load_recipe(origin), ranges)
    known = "@" in origin and recipe.version != load_recipe(recipe.name).version
    file = f"{recipe.name}@{recipe.version}.toml" if known else f"{recipe.name}.toml"
    text = read_bounded(shipped_folder("datasets_recipes") / file, MAX_BYTES, "recipe").decode()
    text = re.sub(r"(?ms)^(?:#[^\n]*\n)*\[expect[.\]].*?(?=^(?:#[^\n]*\n)*\[(?!expect[.\]])|\Z)", "", text)
    text = re.sub(r'(?m)^name = ".*"$', lambda _: f"name = {json.dumps(name)}", text, count=1)
    lines = "".join(f'range_{side} = "{found}"\n' for side, found in ranges.texts().items())
    text = re.sub(r"(?m)^(range_[ab]) = .*\n", lambda line: "" if line[1] in lines else line[0], text)
    text = re.sub(r"(?m)^\[pairs\]\n", lambda head: head[0] + lines, text)
    text = text.rstrip("\n") + "\n"
    made = parse_recipe(text.encode("utf-8", "surrogateescape"), f"recipe {name!r}")
    assert made.spec == msgspec.structs.replace(recipe, name=name).spec  # nothing else was touched
    return text
