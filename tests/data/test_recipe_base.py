"""What all recipes share: the hash of what determines the bytes, splits that cannot be, and the line of a mistake."""

from __future__ import annotations

import hashlib
import json
import pickle
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fusionbench.data.recipe_base import (
    Expect,
    OccluderRule,
    RecipeBase,
    RecipeValueError,
    SourceRule,
    SplitRule,
    check_splits,
    find_line,
    invalid,
    reason_and_path,
    views_of_source,
)
from fusionbench.data.recipes import list_recipes, load_recipe


def base(splits: dict[str, SplitRule] | None = None, **more: Any) -> RecipeBase:
    given = {"source": SourceRule(name="folder"), "splits": splits or {"train": SplitRule(source="all")}, **more}
    return RecipeBase(format="fusionbench.recipe/1", name="mine", version="1.2.0", title="Mine", shard_size=4, **given)


def test_the_hash_is_that_of_the_canonical_json_without_prose_and_defaults() -> None:
    made = base(description="prose", reference="prose", expect=Expect(id="0" * 64), reasons={"all": {"a": "why"}})
    spec = {
        "format": "fusionbench.recipe/1",
        "name": "mine",
        "version": "1.2.0",
        "shard_size": 4,
        "source": {"name": "folder"},
        "splits": {"train": {"source": "all"}},
    }
    assert made.spec == spec
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert made.hash == hashlib.sha256(text.encode()).hexdigest() == base(seed=0).hash != base(seed=1).hash
    assert made.folder(Path("out")) == Path("out/mine/1.2.0") / made.hash[:12]


@pytest.mark.parametrize("name", list_recipes())
def test_a_worker_that_gets_a_recipe_has_its_hash(name: str) -> None:
    """msgspec tells defaults by identity, which pickling alone does not keep."""
    before = load_recipe(name)
    after = pickle.loads(pickle.dumps(before))
    assert after == before and after.hash == before.hash


def test_a_split_names_the_splits_of_its_source() -> None:
    assert SplitRule(source="all").sources == ("all",)
    assert SplitRule(source="a", occluders=OccluderRule(source="b")).sources == ("a", "b")


OCCLUDED = SplitRule(source="train", occluders=OccluderRule(source="things"))


@pytest.mark.parametrize(
    ("splits", "leave_out", "path", "reason"),
    [
        ({"train": SplitRule(source="all", every=2)}, {}, "splits.train", "`every` and `part` belong together"),
        ({"train": SplitRule(source="all", part="rest")}, {}, "splits.train", "belong together"),
        ({"x": SplitRule(source="all", per_class=True)}, {}, "splits.x.per_class", "needs `every`"),
        ({"train": OCCLUDED}, {"test": ["a"]}, "source.leave_out.test", "no split is made from 'test'"),
        ({"train": OCCLUDED}, {"train": ["b", "a"]}, "source.leave_out.train", "must be sorted"),
        ({"train": OCCLUDED}, {"things": ["a", "a"]}, "source.leave_out.things", "each of them once"),
    ],
)
def test_splits_that_cannot_be(
    splits: dict[str, SplitRule], leave_out: dict[str, list[str]], path: str, reason: str
) -> None:
    with pytest.raises(RecipeValueError, match=reason) as caught:
        check_splits(base(splits, source=SourceRule(name="folder", leave_out=leave_out)))
    assert caught.value.path == path and str(caught.value) == f"{path}: {caught.value.reason}"


def test_splits_that_can_be() -> None:
    both = SplitRule(source="all", every=2, part="rest", per_class=True)
    left = {"all": ["a"], "train": ["a", "b"], "things": ["c"]}
    check_splits(base({"x": both, "y": OCCLUDED}, source=SourceRule(name="folder", leave_out=left)))


TOML = """\
# one
title = "a"

[views]
count = 3
[views.masks]
radius = [1, 2]  # radius
"quoted" = 1

[splits.train]
source = "all"
[splits . test]
source = "all"
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("title", 2),
        ("views", 4),
        ("views.count", 5),
        ("views.masks", 6),
        ("views.masks.radius", 7),
        ("views.masks.quoted", 8),
        ("views.masks.sigma", 6),  # not there: the nearest parent
        ("views.noise.sigma", 4),
        ("splits.train.source", 11),
        ("splits.test.source", 13),
        ("splits", None),
        ("nothing.at.all", None),
        ("", None),
    ],
)
def test_the_line_of_a_key(path: str, line: int | None) -> None:
    assert tomllib.loads(TOML)["views"]["masks"]["quoted"] == 1  # it is TOML
    assert find_line(TOML, path) == line


def test_the_first_of_two_lines_counts() -> None:
    assert find_line("[a]\nx = 1\n[b]\nx = 2\n[a.c]\nx = 3\n", "b.x") == 4


def test_reason_and_path_of_a_message() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"name": "x", "leave_out": {"all": [3]}}, SourceRule)
    reason, path = reason_and_path(caught.value)
    assert reason == "Expected `str`, got `int`" and path.startswith("leave_out[...]")
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(3, SourceRule)
    assert reason_and_path(caught.value) == ("Expected `object`, got `int`", "")


def test_mistakes_are_one_line() -> None:
    assert str(invalid("my.toml", TOML, "views.masks.radius[0]", "Expected `int`")) == (
        "my.toml, line 7: views.masks.radius[0]: expected `int`"
    )
    assert str(invalid("my.toml", TOML, "", "Nothing")) == "my.toml: recipe: nothing"
    assert str(views_of_source("set", "test")) == "The views of set test came with the source; none can be made"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", "1.0"),
        ("version", "01.0.0"),
        ("version", "1.0.1234567"),
        ("name", "../evil"),
        ("seed", 1 << 53),
        ("seed", -1),
        ("shard_size", 0),
        ("shard_size", (1 << 20) + 1),
        ("splits", {}),
        ("splits", {f"s{number}": {"source": "all"} for number in range(17)}),
        ("splits", {"train": {"source": "all", "every": (1 << 31) + 1, "part": "rest"}}),
        ("splits", {"train": {"source": "all", "every": 99999999999999999999, "part": "rest"}}),
        ("splits", {"train": {"source": "all", "first": 99999999999999999999}}),
        ("splits", {"train": {"source": "all", "classes": [99999999999999999999]}}),
        ("splits", {"train": {"source": "all", "occluders": {"source": "all", "classes": [1 << 63]}}}),
        ("unknown", 1),
        ("format", "fusionbench.recipe/2"),
    ],
)
def test_values_outside_are_refused(key: str, value: object) -> None:
    table = {**msgspec.to_builtins(base()), key: value}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, RecipeBase)
    allowed = {**msgspec.to_builtins(base()), "seed": (1 << 53) - 1, "shard_size": 1 << 20, "version": "0.10.123456"}
    assert msgspec.convert(allowed, RecipeBase).seed == (1 << 53) - 1
