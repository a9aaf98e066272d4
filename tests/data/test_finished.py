"""What is damaged of a finished data set is noticed, made again, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.io import shipped_folder
from fusionbench.data import build_shards, file_digests
from fusionbench.data.build import build_dataset
from fusionbench.data.build_plan import status
from fusionbench.data.build_shards import JOURNAL
from fusionbench.data.file_digests import CACHE, DigestCache
from fusionbench.data.finished import damaged_files, inspect_finished, is_finished
from fusionbench.data.recipes import parse_recipe
from fusionbench.data.shards.manifest import FILE, read_manifest
from tests.data.test_build import contents, small_recipe
from tests.data.test_refused import recipe, write_good
from tests.sources import folders

RECIPE = small_recipe(512)
SHARD, OTHER = "fusiondigits-1.0.0-train-00001-of-00003.h5", "fusiondigits-1.0.0-test-00000-of-00001.h5"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(RECIPE, out=tmp_path_factory.mktemp("good"))


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy that ``generate`` has looked at."""
    shutil.copytree(good.parents[2], tmp_path / "out")
    found = RECIPE.folder(tmp_path / "out")
    assert build_dataset(RECIPE, out=tmp_path / "out") == found
    return found


def flip(path: Path, place: int = 5000) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "12 bytes instead of ": lambda path: path.write_bytes(b"?" * 12),
    "its bytes have changed": flip,
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_said_and_repaired(what: str, folder: Path, good: Path) -> None:
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*")}
    DAMAGE[what](folder / SHARD)
    (row,) = status(folder.parents[2])
    assert row["state"].startswith(f"damaged: 1 of 8 files is damaged: {SHARD} ({what}")
    found = inspect_finished(RECIPE, None, folder)
    assert found is not None and not found.intact and found.damaged_shards == [SHARD]
    assert build_dataset(RECIPE, out=folder.parents[2]) == folder
    assert contents(folder) == contents(good)
    changed = [name for name, time in times.items() if (folder / name).stat().st_mtime_ns != time]
    assert changed == [SHARD]
    (row,) = status(folder.parents[2])
    assert row["state"] == "finished"


def test_a_flipped_byte_is_found_where_the_size_is_the_same_and_the_time_set_back(folder: Path) -> None:
    before = (folder / SHARD).stat()
    flip(folder / SHARD)
    os.utime(folder / SHARD, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = inspect_finished(RECIPE, None, folder)
    assert found is not None and found.damaged == {SHARD: "its bytes have changed"}


def test_an_intact_data_set_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "_SETTLED", -1)  # though it is a moment old
    manifest, path = read_manifest(folder), folder / JOURNAL / CACHE
    cache = DigestCache(path)
    assert damaged_files(folder, manifest, cache) == {}
    cache.save()
    again = DigestCache(path)
    assert damaged_files(folder, manifest, again) == {} and again.hashed == 0
    os.utime(folder / SHARD)
    assert damaged_files(folder, manifest, again) == {} and again.hashed == 1


def test_a_build_remembers_what_it_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "_SETTLED", -1)
    folder = build_dataset(RECIPE, out=tmp_path)
    cache = DigestCache(folder / JOURNAL / CACHE)
    assert damaged_files(folder, read_manifest(folder), cache) == {} and cache.hashed == 0


def test_nothing_is_read_of_a_copy_for_its_status(folder: Path) -> None:
    shutil.rmtree(folder / JOURNAL)
    flip(folder / SHARD)
    (folder / OTHER).unlink()
    cache = DigestCache()
    found = damaged_files(folder, read_manifest(folder), cache, known_only=True)
    assert found == {OTHER: "missing"} and cache.hashed == 0
    assert damaged_files(folder, read_manifest(folder), cache) == {SHARD: "its bytes have changed", OTHER: "missing"}


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "preview.png"])
def test_descriptions_are_written_again_without_the_source(name: str, tmp_path: Path) -> None:
    root = write_good(tmp_path / "files")
    folder = build_dataset(recipe(), root, tmp_path / "out")
    before = contents(folder)
    (folder / name).unlink()
    assert build_dataset(recipe(), None, tmp_path / "out") == folder
    assert contents(folder) == before


def test_the_source_is_named_for_a_repair(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files")
    folder = build_dataset(recipe(), root, tmp_path / "out")
    before = contents(folder)
    shard = sorted(folder.glob("*.h5"))[2]
    shard.unlink()
    with pytest.raises(DataError) as caught:
        build_dataset(recipe(), None, tmp_path / "out")
    assert shard.name in str(caught.value) and "--source-dir" in str(caught.value)
    build_dataset(recipe(), root, tmp_path / "out")
    assert contents(folder) == before


def test_damage_and_another_source_are_both_told(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files")
    folder = build_dataset(recipe(), root, tmp_path / "out")
    shard = sorted(folder.glob("*.h5"))[2]
    shard.unlink()
    (root / "07.png").unlink()
    with pytest.raises(DataError, match=f"1 file removed.*{shard.name} .missing., too"):
        build_dataset(recipe(), root, tmp_path / "out")
    build_dataset(recipe(), root, tmp_path / "out", update=True)
    assert contents(folder) == contents(build_dataset(recipe(), root, tmp_path / "fresh"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{}", b"[" * 100_000])
def test_a_damaged_manifest_is_written_again(folder: Path, good: Path, content: bytes) -> None:
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.h5")}
    (folder / FILE).write_bytes(content)
    build_dataset(RECIPE, out=folder.parents[2])
    assert contents(folder) == contents(good)
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.h5")} == times


def test_what_comes_out_otherwise_is_no_repair(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = build_shards.write_shard

    def other(path: Path, arrays: dict[str, object], header: object) -> object:
        views = arrays["views"] + 1  # type: ignore[operator]
        return real(path, {**arrays, "views": views}, header)  # type: ignore[arg-type]

    manifest = (folder / FILE).read_bytes()
    (folder / SHARD).unlink()
    monkeypatch.setattr(build_shards, "write_shard", other)
    with pytest.raises(DataError, match="made again, but not as manifest"):
        build_dataset(RECIPE, out=folder.parents[2])
    assert (folder / FILE).read_bytes() == manifest
    found = inspect_finished(RECIPE, None, folder)
    assert found is not None and found.damaged_shards == [SHARD], "it is still said to be damaged"


def test_a_damaged_bank_of_cutouts_is_repaired(tmp_path: Path) -> None:
    text = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text().partition("[expect]")[0]
    chosen = parse_recipe(
        text.replace("shard_size = 1024", "shard_size = 5").replace("every = 6", "every = 3").encode()
    )
    root = folders.coil(tmp_path / "coil")
    folder = build_dataset(chosen, root, tmp_path / "out")
    before = contents(folder)
    flip(folder / "fusioncoil-2.0.0-train-cutouts.h5")
    (folder / "fusioncoil-2.0.0-train-00002-of-00004.h5").unlink()
    build_dataset(chosen, root, tmp_path / "out", jobs=2)
    assert contents(folder) == before


def test_a_path_that_the_system_refuses(tmp_path: Path) -> None:
    assert not is_finished(tmp_path / "none")
    (tmp_path / "file").write_text("")
    assert not is_finished(tmp_path / "file" / "below")
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(DataError, match="choose another --out") as caught:
            build_dataset(RECIPE, out=tmp_path / name)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_folder_that_cannot_be_written_is_only_looked_at(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    (folder / JOURNAL).chmod(0o500)
    try:
        assert build_dataset(RECIPE, out=folder.parents[2]) == folder
    finally:
        (folder / JOURNAL).chmod(0o700)
    assert {path for path in folder.rglob("*")} == set(before)
