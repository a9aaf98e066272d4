"""Recipes of pairs: the two kinds, and mistakes answered with line, key path and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import PairRecipe, list_recipes, load_recipe, parse_recipe, recipe_from_spec
from fusionbench.evaluation.pair_sets import open_pairs
from tests.helpers.pair_folders import PATCHES, TEXT, recipe


def test_the_two_kinds() -> None:
    whole, patches = recipe(), recipe(PATCHES)
    assert whole.whole and not patches.whole and patches.contrast == 100
    spec = whole.image_spec
    assert (spec.channels, spec.height, spec.width, spec.views) == (1, 24, 32, 2)
    assert (patches.image_spec.height, patches.image_spec.width) == (16, 16)
    assert whole.hash != patches.hash and recipe_from_spec(whole.spec, "manifest").hash == whole.hash


def test_every_source_of_pairs_has_its_recipe() -> None:
    pairs = {name for name in list_recipes() if isinstance(load_recipe(name), PairRecipe)}
    whole = {"tno", "roadscene", "msrs", "m3fd", "llvip", "harvard", "vifb", "pairs-demo", "pairs-demo-degraded"}
    patches = {"roadscene", "roadscene-171", "msrs", "pairs-demo", "harvard-pet", "harvard-spect"}
    assert pairs == whole | {f"{name}-patches" for name in patches} | {"roadscene-171-patches-degraded"}
    for name in pairs:
        found = load_recipe(name)
        assert isinstance(found, PairRecipe) and found.whole == (name in whole)
        if found.whole:  # results from shards and from files are one: splits are called as the source calls them
            assert all(split == rule.source and rule.every is None for split, rule in found.splits.items())


MISTAKES = {
    "unknown key": ("stride = 9", "strides = 9", "pairs", "strides"),
    "views beside pairs": ("[live]", "[views]\ncount = 2\n[live]", "", "views"),
    "patch without stride": ("stride = 9\n", "", "pairs", "belong together"),
    "tiny patch": ("patch = 16", "patch = 2", "pairs.patch", ">= 4"),
    "no stride": ("stride = 9", "stride = 0", "pairs.stride", ">= 1"),
    "contrast of one": ("contrast = 0.1", "contrast = 1.0", "pairs.contrast", "< 1"),
    "contrast too fine": ("contrast = 0.1", "contrast = 0.1234", "pairs.contrast", "thousandths"),
    "not a number": ("contrast = 0.1", "contrast = nan", "pairs.contrast", ""),
    "luma": ('"bt601/1"', '"bt709/1"', "pairs.luma", "bt709"),
    "crop of patches": ("horizontal", "crop = [8, 8]\nhorizontal", "live.crop", "one size"),
    "law of live": ('"crop-flip/1"', '"augment/1"', "live.algorithm", "augment/1"),
    "classes": ('source = "all"', 'source = "all"\nclasses = [1]', "splits.train.classes", "splits of pairs"),
    "views of a split": ('source = "all"', 'source = "all"\nviews = "source"', "splits.train.views", "splits of pairs"),
    "part alone": ('source = "all"', 'source = "all"\npart = "rest"', "splits.train", "belong together"),
}
WHOLE = {
    "no live": (TEXT[TEXT.index("[live]") :], "", "live", "need `crop`"),
    "no crop": ("crop = [24, 32]", "", "live", "need `crop`"),
    "contrast of whole pairs": ("bt601/1", 'bt601/1"\ncontrast = 0.1 #', "pairs.contrast", "needs `patch`"),
    "too many names": ("shard_size = 2", "shard_size = 201", "shard_size", "200"),
}


@pytest.mark.parametrize("case", [*MISTAKES, *WHOLE])
def test_mistakes(case: str) -> None:
    text, (old, new, path, reason) = (PATCHES, MISTAKES[case]) if case in MISTAKES else (TEXT, WHOLE[case])
    assert old in text
    with pytest.raises(DataError) as caught:
        parse_recipe(text.replace(old, new).encode(), "my.toml")
    message = str(caught.value)
    assert message.startswith("my.toml") and f": {path}" in message and reason in message and "\n" not in message
    if path in ("pairs.stride", "live.crop", "splits.train.classes"):
        line = int(message.split("line ")[1].split(":")[0])
        assert text.replace(old, new).splitlines()[line - 1].startswith(path.rpartition(".")[2])


def test_only_pairs_have_names_to_leave_out() -> None:
    text = (shipped_folder("datasets_recipes") / "fusiondigits.toml").read_text()
    with pytest.raises(DataError, match=r"splits\.train\.without: leaves out registered pairs"):
        parse_recipe(text.replace('source = "all"', 'source = "all"\nwithout = "some"', 1).encode(), "my.toml")


@pytest.mark.parametrize(
    ("name", "source", "counts"),
    [
        ("tno", "tno", {"test": 25}),
        ("roadscene", "roadscene", {"all": 221}),
        ("roadscene-patches", "roadscene", {"train": 4090, "validation": 470}),
        ("roadscene-171-patches", "roadscene", {"train": 3492}),
        ("roadscene-171-patches-degraded", "roadscene", {"train": 3492}),
        ("msrs", "msrs", {"train": 4, "test": 32}),
        ("msrs-patches", "msrs", None),
        ("harvard-spect-patches", "harvard", {"train": 656}),
        ("harvard-pet-patches", "harvard", {"train": 354}),
        ("harvard", "harvard", {"mri-ct": 21, "mri-pet": 42, "mri-spect": 73}),
    ],
)
def test_real_pairs(name: str, source: str, counts: dict[str, int] | None, real_data: Path, tmp_path: Path) -> None:
    wanted = load_recipe(name)
    folder = build_dataset(wanted, real_data / source, tmp_path, jobs=1)  # compared with the recipe's digests
    dataset = open_dataset(folder)
    if counts is not None:
        assert {split: dataset.size(split) for split in dataset.splits} == counts
    for split in dataset.splits:
        if dataset.recipe.whole:  # type: ignore[union-attr]
            assert open_pairs(source, split, folder).identity == open_pairs(source, split, real_data / source).identity
    if "train" in dataset.splits:
        assert dataset.stream("train").batch([0, 1], epoch=1).views.shape == (2, 2, 1, 128, 128)
