"""Oracle: the recipes that differ in one known thing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.diff import compare_datasets
from fusionbench.data.recipes import Recipe, parse_recipe
from tests.data.test_build import DIGITS, small_recipe


def changed(old: str, new: str) -> Recipe:
    text = DIGITS.partition("[expect]")[0]
    assert old in text
    return parse_recipe(text.replace(old, new).encode(), "changed.toml")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(build_dataset(small_recipe(1024), out=tmp_path_factory.mktemp("base")))


def test_equal_data_in_other_shards_are_the_same(base: Dataset, tmp_path: Path) -> None:
    other = open_dataset(build_dataset(small_recipe(300), out=tmp_path))
    found = compare_datasets(base, other)
    assert found.same and found.arrays == [] and found.facts["recipe.shard_size"] == ["1024", "300"]
    assert compare_datasets(base, base).facts == {}


def test_other_noise_shows_in_the_views_alone(base: Dataset, tmp_path: Path) -> None:
    other = open_dataset(build_dataset(changed("sigma = 0.25", "sigma = 0.2"), out=tmp_path))
    found = compare_datasets(base, other)
    assert not found.same
    assert {(row.split, row.array) for row in found.arrays} == {("train", "views"), ("test", "views")}
    row = next(row for row in found.arrays if row.split == "test")
    gap = np.abs(np.asarray(base.arrays("test").views, int) - np.asarray(other.arrays("test").views, int))
    assert row.differing == row.n == 296 and row.largest == gap.max() and row.mean == pytest.approx(gap.mean())
    assert row.samples[:3] == [0, 1, 2]
    json.dumps(found.as_json())


def test_a_default_is_shown_by_its_value(base: Dataset, tmp_path: Path) -> None:
    """Of what is not written in a recipe: `pad` is 0 without it, and `first` has no default."""
    other = changed("pad = 2\n", "")
    found = compare_datasets(base, open_dataset(build_dataset(other, out=tmp_path / "pad")))
    assert found.facts["recipe.image.pad"] == ["2", "0"]
    other = changed("[splits.test]\n", "[splits.test]\nfirst = 100\n")
    found = compare_datasets(base, open_dataset(build_dataset(other, out=tmp_path / "first")))
    assert found.facts["recipe.splits.test.first"] == [None, "100"]


def test_other_shapes_are_a_difference(base: Dataset, tmp_path: Path) -> None:
    found = compare_datasets(base, open_dataset(build_dataset(changed("count = 3", "count = 2"), out=tmp_path)))
    assert not found.same and "splits" in found.facts


def test_the_worst_samples_are_named_in_order(base: Dataset, tmp_path: Path) -> None:
    other = open_dataset(build_dataset(changed("sigma = 0.25", "sigma = 0.2"), out=tmp_path))
    for row in compare_datasets(base, other).arrays:
        gap = np.abs(np.asarray(base.arrays(row.split).views, int) - np.asarray(other.arrays(row.split).views, int))
        means = gap.mean((1, 2, 3))
        assert [sample for sample, _ in row.worst] == np.argsort(-means, kind="stable")[:16].tolist()
        assert [mean for _, mean in row.worst] == pytest.approx(sorted(means, reverse=True)[:16])
