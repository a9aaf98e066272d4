"""Oracle: the build itself, which must make what the plan said."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.build_plan import plan_dataset, status
from fusionbench.data.recipes import parse_recipe
from fusionbench.data.shards.reader import open_shard
from tests.data.test_build import small_recipe
from tests.sources import folders


def stored_bytes(folder: Path) -> int:
    return sum(array.nbytes for path in folder.glob("*.h5") for array in open_shard(path).arrays.values())


def test_the_plan_is_what_is_built(tmp_path: Path) -> None:
    recipe = small_recipe()
    before = plan_dataset(recipe, out=tmp_path)
    assert before.splits == {"train": 1501, "test": 296} and before.shards == 29 == len(before.missing)
    assert not before.finished and before.seconds > 0 and not list(tmp_path.iterdir())
    folder = build_dataset(recipe, out=tmp_path)
    after = plan_dataset(recipe, out=tmp_path)
    assert after.finished and after.missing == [] and after.folder == str(folder)
    assert before.bytes == after.bytes == stored_bytes(folder)
    (folder / "manifest.json").unlink()
    victim = sorted(folder.glob("*.h5"))[5]
    victim.unlink()
    assert plan_dataset(recipe, out=tmp_path).missing == [victim.name]


def test_a_plan_with_cutouts(tmp_path: Path) -> None:
    text = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text().partition("[expect]")[0]
    recipe = parse_recipe(text.replace("every = 6", "every = 3").encode(), "coil.toml")
    folders.coil(tmp_path / "coil")
    plan = plan_dataset(recipe, tmp_path / "coil", tmp_path)
    assert plan.splits == {"train": 16, "test": 8}


def test_status_tells_finished_begun_and_damaged(tmp_path: Path) -> None:
    finished = build_dataset(small_recipe(1024), out=tmp_path)
    begun = build_dataset(small_recipe(512), out=tmp_path)
    (begun / "manifest.json").unlink()
    damaged = build_dataset(small_recipe(700), out=tmp_path)
    (damaged / "manifest.json").write_text("{}")
    rows = {row["folder"]: row for row in status(tmp_path)}
    assert rows[str(finished)]["state"] == "finished" and len(rows[str(finished)]["id"]) == 64
    assert rows[str(begun)]["state"] == "begun" and rows[str(begun)]["shards"] == 4
    assert rows[str(damaged)]["state"].startswith("damaged")
    assert {row["name"] for row in rows.values()} == {"fusiondigits"}
    with pytest.raises(DataError, match="no such folder"):
        status(tmp_path / "none")
