"""Builds whose source changes: nothing of another day, or of another list of files, gets into a data set."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.io import utf8
from fusionbench.data import build
from fusionbench.data import pair_patches as pair_making
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import AnyRecipe, load_recipe
from fusionbench.data.shard_layout import open_source
from fusionbench.data.shards.manifest import read_manifest
from fusionbench.data.source_files import file_names, file_numbers, has_files
from tests.data.test_build import contents
from tests.data.test_refused import BAD, TEXT, image, recipe, source_dir, write_good
from tests.helpers import pair_folders
from tests.sources import folders

__all__ = ["source_dir"]


def test_sources_without_files_have_no_names() -> None:
    source = open_source(load_recipe("fusiondigits"), None)
    assert not has_files(source)
    with pytest.raises(DataError, match="'digits' has no files that could be left out"):
        file_numbers(source, "all", ["1"])


def test_names_in_utf8() -> None:
    for name, expected in {"a.png": "a.png", "é/ü.png": "é/ü.png", "\udcff.png": "\\xff.png"}.items():
        assert utf8(name) == expected and utf8(name).encode()


def test_numbers_of_names(tmp_path: Path) -> None:
    source = open_source(recipe(), write_good(tmp_path / "files", 6), fresh=True)
    assert file_names(source, "all") == [f"{i:02d}.png" for i in range(6)]
    assert file_numbers(source, "all", ["04.png", "01.png"]).tolist() == [1, 4]


GO = """
import sys
from pathlib import Path
from fusionbench.core import progress
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
progress.QUIET = True
if __name__ == "__main__":
    build_dataset(load_recipe(Path(sys.argv[1])), sys.argv[2], sys.argv[3], jobs=1, skip_refused=True)
"""


def test_a_killed_build_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    for i in range(400):
        folders.save(tmp_path / "files" / f"{i:03d}.png", image(i))
    for i in (5, 200):
        (tmp_path / "files" / f"{i:03d}.png").write_bytes(b"")
    (tmp_path / "mine.toml").write_text(TEXT.replace("shard_size = 4", "shard_size = 8"))
    (tmp_path / "go.py").write_text(GO)
    expected = contents(
        build_dataset(load_recipe(tmp_path / "mine.toml"), tmp_path / "files", tmp_path / "whole", skip_refused=True)
    )
    command = [sys.executable, "go.py", "mine.toml", "files", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("out/*/*/*/.build/*.json"))) < 9 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (begun,) = tmp_path.glob("out/*/*/*")
    assert not (begun / "manifest.json").exists()
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert contents(begun) == expected


def test_what_is_refused_later_makes_another_data_set(source_dir: Path, tmp_path: Path) -> None:
    """Begun, stopped, then one more file is damaged, or one is mended: nothing of the first is in the second."""
    first = build_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True)
    (first / "manifest.json").unlink()  # stopped
    before = {path: path.stat().st_mtime_ns for path in first.glob("*.h5")}
    whole = (source_dir / "00.png").read_bytes()
    (source_dir / "00.png").write_bytes(b"")
    second = build_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True)
    assert second != first and read_manifest(second).left_out["all"].keys() == BAD.keys() | {"00.png"}
    (source_dir / "00.png").write_bytes(whole)
    shutil.rmtree(source_dir / "11.png", ignore_errors=True)
    folders.save(source_dir / "11.png", image(11))
    third = build_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True)
    assert third not in (first, second) and read_manifest(third).left_out["all"].keys() == BAD.keys() - {"11.png"}
    assert {path: path.stat().st_mtime_ns for path in first.glob("*.h5")} == before
    assert len({read_manifest(folder).id for folder in (second, third)}) == 2


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("change", ["another image", "a file more", "a file less"])
def test_a_stopped_build_does_not_go_on_with_changed_files(change: str, jobs: int, tmp_path: Path) -> None:
    """The same process, so that workers remember the files of the first build."""
    root = write_good(tmp_path / "files")
    folder = build_dataset(recipe(), root, tmp_path / "out", jobs=jobs)
    (folder / "manifest.json").unlink()  # as if it had been stopped just before
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.h5")}
    if change == "another image":
        folders.save(root / "04.png", image(40))
    elif change == "a file more":
        folders.save(root / "035.png", image(35))  # between 03 and 04
    else:
        (root / "04.png").unlink()
    again = build_dataset(recipe(), root, tmp_path / "out", jobs=jobs)
    script = f"import sys; sys.argv[3] = 'fresh'\n{GO.replace(', skip_refused=True', '')}"
    (tmp_path / "mine.toml").write_text(TEXT)
    (tmp_path / "go.py").write_text(script)
    subprocess.run([sys.executable, "go.py", "mine.toml", "files", "x"], cwd=tmp_path, check=True)
    assert contents(again) == contents(recipe().folder(tmp_path / "fresh"))
    if change == "another image":  # only what holds it was made again
        kept = [name for name, when in times.items() if (again / name).stat().st_mtime_ns == when]
        assert len(kept) == len(times) - 1


def test_files_that_change_under_a_build_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_good(tmp_path / "files")
    real = build.build_shard

    def slow(chosen: AnyRecipe, source_dir: str, folder: Path, plan: object) -> object:
        outcome = real(chosen, source_dir, folder, plan)  # type: ignore[arg-type]
        if "train-00001" in outcome.plan.file:
            folders.save(root / "00.png", image(50))  # in a shard that is done
        return outcome

    monkeypatch.setattr(build, "build_shard", slow)
    with pytest.raises(DataError, match="files were changed while the data set was made"):
        build_dataset(recipe(), root, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("manifest.json"))
    monkeypatch.setattr(build, "build_shard", real)
    folder = build_dataset(recipe(), root, tmp_path / "out")
    assert np.array_equal(open_dataset(folder).arrays("train").targets[0], image(50)[2:18, 4:20])


def test_workers_do_not_look_at_the_pairs_of_an_earlier_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_making, "_BLOCK", 1)  # so that there is more than one block to share
    root = pair_folders.write(tmp_path / "pairs")
    patches = pair_folders.recipe(pair_folders.PATCHES)
    folder = build_dataset(patches, root, tmp_path / "out", jobs=2)
    (folder / "manifest.json").unlink()
    shutil.copy(root / "a" / "scene 4.png", root / "a" / "a first one.png")
    shutil.copy(root / "b" / "scene 4.png", root / "b" / "a first one.png")
    for name in ("scene 3", "scene 2"):  # fewer pairs than the workers know
        (root / "a" / f"{name}.png").unlink()
    made = contents(build_dataset(patches, root, tmp_path / "out", jobs=2))
    (tmp_path / "mine.toml").write_text(pair_folders.PATCHES)
    (tmp_path / "go.py").write_text(GO.replace(", skip_refused=True", ""))
    subprocess.run([sys.executable, "go.py", "mine.toml", "pairs", "fresh"], cwd=tmp_path, check=True)
    assert made == contents(patches.folder(tmp_path / "fresh"))
