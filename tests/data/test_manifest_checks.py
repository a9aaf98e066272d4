"""What follows from a recipe, a source and a manifest, on data sets of every kind."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.core.io import digest
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.manifest_checks import (
    compare_source,
    problem_of_preview,
    problems_beside,
    problems_of_manifest,
    remark_on_title,
)
from fusionbench.data.recipes import load_recipe
from fusionbench.data.shards.manifest import read_manifest
from fusionbench.data.verify import verify_dataset
from fusionbench.sources import SOURCES
from tests.data.forged import forge
from tests.data.test_build import small_recipe


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("digits"))


@pytest.mark.parametrize("name", ["fusiondigits", "pairs-demo", "pairs-demo-patches"])
def test_embedded_data_sets_are_right(name: str, tmp_path: Path) -> None:
    dataset = open_dataset(build_dataset(load_recipe(name), out=tmp_path))
    assert not [*problems_of_manifest(dataset), *problems_beside(dataset)]
    assert problem_of_preview(dataset) is None
    assert compare_source(dataset.manifest, dataset.recipe.source.name) == ([], [])


def test_a_preview_in_colour_of_any_size(tmp_path: Path) -> None:
    """Colour is decoded as it was stored, grey as colour too; what is not a picture of that size is said to be none."""
    folder = build_dataset(load_recipe("pairs-demo"), out=tmp_path)
    dataset = open_dataset(folder)
    manifest = dataset.manifest
    from PIL import Image

    with Image.open(folder / "preview.png") as picture:
        colour, smaller = picture.convert("RGB"), picture.resize((10, 10))
    smaller.save(folder / "preview.png")
    assert "pixels instead of" in str(problem_of_preview(dataset))
    colour.save(folder / "preview.png")
    assert "does not show" in str(problem_of_preview(dataset))
    (folder / "preview.png").write_bytes(b"no picture")
    assert problem_of_preview(dataset)
    assert problem_of_preview(dataset, {shard.file for shard in manifest.splits["all"].shards}) is None


def test_the_title_and_id_of_a_recipe_that_comes_with_fusionbench(digits: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(digits, tmp_path / "copy"))
    assert remark_on_title(read_manifest(folder)) is None
    forge(folder, lambda raw: raw.update(title="Other digits"))
    assert "title is 'Other digits'" in str(remark_on_title(read_manifest(folder))) and verify_dataset(folder).ok
    forge(folder, lambda raw: raw["splits"]["test"]["shards"][0].update(content_sha256="0" * 64))
    assert any("makes 92432a497512" in what for _, what in problems_of_manifest(open_dataset(folder)))


def test_a_recipe_that_is_written_out_in_full(tmp_path: Path) -> None:
    folder = build_dataset(small_recipe(512), out=tmp_path)
    assert remark_on_title(read_manifest(folder)) is None  # another recipe than the one of that name

    def with_default(raw: dict[str, Any]) -> None:
        raw["recipe"]["seed"] = 0
        raw["recipe_sha256"] = digest(raw["recipe"])

    forge(folder, with_default)
    assert ["not written as" in what for _, what in problems_of_manifest(open_dataset(folder))] == [True]


def test_sources_of_other_packages_may_change_what_they_say(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(digits)

    class Changed:
        title, citation, homepage = (getattr(manifest.source, key) for key in ("title", "citation", "homepage"))
        licence, redistributable = "CC0", True

    monkeypatch.setattr(SOURCES, "get", lambda name: Changed)
    problems, remarks = compare_source(manifest, "digits")
    assert not remarks and ["another release" in what for what in problems] == [True]
    monkeypatch.setattr(SOURCES, "origin", lambda name: "theirs 1.0")
    problems, remarks = compare_source(manifest, "digits")
    assert not problems and ["theirs 1.0 says 'CC0'" in what for what in remarks] == [True]

    def missing(name: str) -> object:
        raise UsageError("unknown")

    monkeypatch.setattr(SOURCES, "get", missing)
    problems, remarks = compare_source(manifest, "digits")
    assert not problems and "is not installed" in remarks[0]
    report = verify_dataset(digits)
    assert report.ok and report.remarks == remarks
