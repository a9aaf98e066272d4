"""Copies of recipes. Oracle: the recipe that has the keys written in its text."""

from __future__ import annotations

import tomllib

import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.io import shipped_folder
from fusionbench.data.recipe_copies import copy_recipe_text, override_ranges
from fusionbench.data.recipes import load_recipe, parse_recipe
from tests.helpers.pair_folders import PATCHES, TEXT, recipe

SHIPPED = sorted(path.stem for path in shipped_folder("datasets_recipes").glob("*.toml"))


@pytest.mark.parametrize("text", [TEXT, PATCHES])
def test_a_range_overrides_the_key_as_if_it_were_written(text: str) -> None:
    written = recipe(text.replace('"bt601/1"', '"bt601/1"\nrange_a = "14bit"\nrange_b = "0:200"'))
    assert override_ranges(recipe(text), Ranges.parse("14bit", "0:200")) == written
    other = recipe(text.replace('"bt601/1"', '"bt601/1"\nrange_a = "12bit"\nrange_b = "0:200"'))
    found = override_ranges(other, Ranges.parse("14bit"))
    assert (found.hash, found.ranges) == (written.hash, written.ranges), "the key that is not overridden stays"
    assert override_ranges(other, Ranges()) is other


def test_ranges_that_a_recipe_cannot_have() -> None:
    with pytest.raises(UsageError, match="--range-b: for registered pairs; fusiondigits is made of single images"):
        override_ranges(load_recipe("fusiondigits"), Ranges.parse(None, "14bit"))
    for text in ("auto", "set:percentile:1,99"):
        with pytest.raises(UsageError, match=r"--range-a: .* looks at a whole set; write what it found: 14bit, LOW"):
            override_ranges(recipe(), Ranges.parse(text))


@pytest.mark.parametrize("origin", SHIPPED)
def test_a_copy_differs_in_its_name_and_expects_nothing(origin: str) -> None:
    content = (shipped_folder("datasets_recipes") / f"{origin}.toml").read_text("utf-8")
    expected = tomllib.loads(content) | {"name": "mine"}
    expected.pop("expect", None)
    text = copy_recipe_text(origin, "mine", Ranges())
    assert tomllib.loads(text) == expected
    assert "expect" not in expected and "What a correct build comes to" not in text
    assert text.splitlines()[0] == content.splitlines()[0] and text.endswith("\n"), "comments stay"


def test_a_copy_with_ranges() -> None:
    text = copy_recipe_text("tno", "mine", Ranges.parse("14bit", "percentile:1,99"))
    assert text.count("range_") == 2
    assert tomllib.loads(text)["pairs"] == {"luma": "bt601/1", "range_a": "14bit", "range_b": "percentile:1,99"}
    assert parse_recipe(text.encode()).name == "mine"


def test_what_cannot_be_copied() -> None:
    with pytest.raises(UsageError, match="Did you mean 'tno'"):
        copy_recipe_text("tn0", "mine", Ranges())
    with pytest.raises(UsageError, match="registered pairs"):
        copy_recipe_text("fusionmnist", "mine", Ranges.parse("14bit"))
    for name in ("", "../x", 'a"\nseed = 7\n#', "a\\", "\udcff"):
        with pytest.raises(DataError):
            copy_recipe_text("tno", name, Ranges())
