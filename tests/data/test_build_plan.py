"""Oracle: the build itself, which must make what the plan said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.build_plan import plan_dataset, status
from fusionbench.data.recipes import parse_recipe
from fusionbench.data.shards.reader import open_shard
from tests.data.test_build import DIGITS, small_recipe
from tests.data.test_refused import TEXT, recipe, write_good
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


MEASURE = """
import json, re, sys
from pathlib import Path
from fusionbench.core import progress
from fusionbench.data.build import build_dataset
from fusionbench.data.build_plan import plan_dataset
from fusionbench.data.recipes import load_recipe
progress.QUIET = True
make = plan_dataset if sys.argv[1] == "plan" else build_dataset
found = make(load_recipe(Path("mine.toml")), sys.argv[2] or None, "out", jobs=1)
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
print(found.memory if sys.argv[1] == "plan" else peak)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="measures memory by what Linux tells")
@pytest.mark.parametrize("kind", ["large shards", "small shards", "files", "cut-outs"])
def test_the_estimate_of_memory_is_that_of_a_build(kind: str, tmp_path: Path) -> None:
    root, text = "", DIGITS.partition("[expect]")[0]
    if kind == "large shards":
        text = text.replace("count = 3", "count = 64").replace("shard_size = 1024", "shard_size = 1501")
    elif kind == "files":
        root, text = str(write_good(tmp_path / "files", 300)), TEXT.replace("shard_size = 4", "shard_size = 300")
    elif kind == "cut-outs":
        root = str(folders.coil(tmp_path / "coil"))
        text = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text().partition("[expect]")[0]
        text = text.replace("every = 6", "every = 3")
    (tmp_path / "mine.toml").write_text(text)

    def run(what: str) -> int:
        command = [sys.executable, "-c", MEASURE, what, root]
        return int(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout)

    estimate, measured = run("plan"), run("build")
    assert measured / 2 < estimate < measured * 2
    if kind == "large shards":
        assert estimate > 1501 * 65 * 32 * 32, "the arrays of a shard are in it"


def test_memory_grows_with_the_processes(tmp_path: Path) -> None:
    one, four = (plan_dataset(small_recipe(), out=tmp_path, jobs=jobs) for jobs in (1, 4))
    assert (one.processes, four.processes) == (1, 4) and one.memory == one.memory_per_process
    assert four.memory > 4 * four.memory_per_process


def test_a_plan_counts_the_files(tmp_path: Path) -> None:
    plan = plan_dataset(small_recipe(), out=tmp_path)
    folder = build_dataset(small_recipe(), out=tmp_path)
    assert plan.files == len([path for path in folder.iterdir() if path.is_file()])


def test_a_plan_tells_what_has_changed(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files")
    folder = build_dataset(recipe(), root, tmp_path / "out")
    assert plan_dataset(recipe(), root, tmp_path / "out").finished
    shard = sorted(folder.glob("*.h5"))[1]
    content = shard.read_bytes()
    shard.unlink()
    plan = plan_dataset(recipe(), root, tmp_path / "out")
    assert not plan.finished and plan.missing == [shard.name] and plan.damaged == {shard.name: "missing"}
    shard.write_bytes(content)
    folders.save(root / "00.png", folders.picture(77, 30, 30))
    plan = plan_dataset(recipe(), root, tmp_path / "out")
    assert not plan.finished and "1 file changed (00.png)" in plan.changed
    assert plan.missing == ["mine-1.0.0-train-00000-of-00004.h5"]


def test_paths_that_the_system_refuses(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="choose another --out"):
        plan_dataset(small_recipe(), out=tmp_path / ("x" * 300))
    with pytest.raises(DataError, match="no such folder"):
        status(tmp_path / ("x" * 300))


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
