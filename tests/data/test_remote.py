"""A data set behind an URL is the one in the folder that was put there: same manifest, same values, same batches."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import DataError
from fusionbench.core.io import canonical_json
from fusionbench.data import remote, remote_store
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.recipe_shards import strip_dataset
from fusionbench.data.remote import RemoteDataset, reopen
from fusionbench.data.remote_store import StoreError
from fusionbench.data.shards.manifest import FILE
from tests.cli.runner import run
from tests.helpers import pair_folders
from tests.helpers.pair_folders import recipe
from tests.helpers.stores import digits
from tests.helpers.web import Web, serve

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``set`` with the data set."""
    out = tmp_path_factory.mktemp("remote")
    shutil.copytree(build_dataset(digits(), out=out / "built", jobs=1), out / "set", ignore=lambda *_: [".build"])
    return out


@pytest.fixture(scope="module")
def local(root: Path) -> Dataset:
    return open_dataset(root / "set")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote_store, "DELAY", 0)
    return tmp_path / "cache"


@pytest.fixture
def web(root: Path, tmp_path: Path) -> Iterator[Web]:
    shutil.copytree(root / "set", tmp_path / "web" / "set")
    with serve(tmp_path / "web") as web:
        yield web


def same(one: Dataset, two: Dataset) -> None:
    assert one.manifest == two.manifest and one.id == two.id
    for split in two.splits:
        mine, theirs = one.arrays(split).columns, two.arrays(split).columns
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)


def test_it_is_the_data_set_of_the_folder(web: Web, local: Dataset) -> None:
    dataset = open_dataset(f"{web.url}/set")
    assert isinstance(dataset, RemoteDataset) and web.names() == [FILE]  # shards are fetched when they are used
    assert dataset.verified and dataset.location == f"{web.url}/set" and not local.verified
    same(dataset, local)
    for live in (True, False):
        mine, theirs = (one.stream("train", live=live).batch([1200, 3], 0) for one in (dataset, local))
        assert torch.equal(mine.views, theirs.views) and torch.equal(mine.target, theirs.target)  # type: ignore[arg-type]
    web.forget()
    same(open_dataset(f"{web.url}/set"), local)
    assert web.names() == [FILE]


def test_shards_of_two_places_lie_in_the_cache_once(web: Web, local: Dataset, cache: Path) -> None:
    shutil.copytree(web.root / "set", web.root / "copy")
    same(open_dataset(f"{web.url}/set"), local)
    web.forget()
    same(open_dataset(f"{web.url}/copy"), local)
    assert web.names() == [FILE]
    entries = [entry for split in local.manifest.splits.values() for entry in split.shards]
    assert sorted(path.stem for path in (cache / "files").glob("*/*.h5")) == sorted(e.file_sha256 for e in entries)


def test_in_memory_it_is_found_below_the_url(root: Path, local: Dataset) -> None:
    store = fsspec.filesystem("memory")
    try:
        store.put(f"{root}/set/", "/bucket/fusiondigits/1.0.0/abc/", recursive=True)
        for url in ("memory://bucket", "memory://bucket/fusiondigits/1.0.0/abc/"):
            same(open_dataset(url), local)
        assert open_dataset("memory://bucket", partial=True).arrays("test").views[7, 0, 0].shape == (32,)
        store.put(f"{root}/set/", "/bucket/fusiondigits/1.0.0/def/", recursive=True)
        with pytest.raises(DataError, match=r"2 data sets are in here; name one of .*1\.0\.0/abc"):
            open_dataset("memory://bucket")
        with pytest.raises(StoreError, match=r"no data set is here: manifest\.json was not found"):
            open_dataset("memory://empty")
    finally:
        store.rm("/bucket", recursive=True)


def test_a_url_of_a_folder_here_is_a_folder(root: Path, local: Dataset) -> None:
    dataset = open_dataset(f"file://{root}/set")
    assert type(dataset) is Dataset and dataset.id == local.id


@pytest.mark.parametrize(
    "fault,reason", [("other", "sha256 is not that of the manifest"), ("cut", "cut"), (403, "access denied")]
)
def test_a_shard_that_is_not_what_it_should_be_is_not_used(
    fault: int | str, reason: str, web: Web, local: Dataset, cache: Path
) -> None:
    dataset, shard = open_dataset(f"{web.url}/set"), local.split("test").shards[0].file
    web.faults[shard] = [fault] * remote_store.ATTEMPTS
    with pytest.raises(DataError, match=reason) as caught:
        dataset.arrays("test")
    assert shard in str(caught.value) and "\n" not in str(caught.value)
    assert not list((cache / "files").glob("*/*.h5"))
    web.faults.clear()
    same(dataset, local)


def test_a_damaged_file_in_the_cache_is_fetched_again(web: Web, local: Dataset, cache: Path) -> None:
    same(open_dataset(f"{web.url}/set"), local)
    entry = local.split("test").shards[0]
    path = next((cache / "files").glob(f"*/{entry.file_sha256}.h5"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    web.forget()
    same(open_dataset(f"{web.url}/set"), local)
    assert web.names() == [FILE, entry.file]


def test_without_a_network_what_is_there_is_used(
    root: Path, tmp_path: Path, local: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(root) as web:
        url = f"{web.url}/set"
        open_dataset(url).arrays("test")
    dataset = open_dataset(url)
    assert "cannot connect" in capsys.readouterr().err and dataset.manifest == local.manifest
    assert np.array_equal(dataset.arrays("test").views, local.arrays("test").views)
    with pytest.raises(StoreError, match="cannot connect"):
        dataset.arrays("train")
    with serve(root) as web:
        monkeypatch.setenv("FUSIONBENCH_OFFLINE", "1")
        assert np.array_equal(open_dataset(url).arrays("test").views, local.arrays("test").views)
        for ask in (lambda: open_dataset(url).arrays("train"), lambda: open_dataset(f"{web.url}/set")):
            with pytest.raises(StoreError, match="FUSIONBENCH_OFFLINE is set"):
                ask()
        assert not web.asked


def test_another_data_set_than_the_last_time_is_told(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = open_dataset(f"{web.url}/set").id
    assert "another data set" not in capsys.readouterr().err
    shutil.rmtree(web.root / "set")
    shutil.copytree(build_dataset(digits(shard_size=700), out=tmp_path / "other", jobs=1), web.root / "set")
    after = open_dataset(f"{web.url}/set").id
    assert after != before
    err = capsys.readouterr().err
    assert "another data set than the last time" in err and before in err and after in err


def change(raw: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    at: Any = raw
    for parent in parents:
        at = at[int(parent)] if isinstance(at, list) else at[parent]
    at[last] = value


@pytest.mark.parametrize(
    "key,value",
    [
        ("splits.test.shards.0.file", "../../../etc/passwd"),
        ("splits.test.shards.0.file", "/etc/passwd"),
        ("splits.test.shards.0.file", "http://127.0.0.1/x"),
        ("splits.test.shards.0.file", ".bashrc"),
        ("splits.test.shards.0.file_sha256", "../x"),
        ("id", "f" * 64),
        ("extra", 1),
    ],
)
def test_a_hostile_manifest_is_refused(key: str, value: Any, web: Web, cache: Path) -> None:
    raw = json.loads((web.root / "set" / FILE).read_bytes())
    change(raw, key, value)
    (web.root / "set" / FILE).write_bytes(canonical_json(raw))
    with pytest.raises(DataError) as caught:
        open_dataset(f"{web.url}/set")
    assert str(caught.value).startswith(f"{web.url}/set/{FILE}: ") and "\n" not in str(caught.value)
    assert not list(cache.rglob(FILE)) and web.names() == [FILE]


def test_a_shard_that_claims_more_than_the_disk_has_is_refused(web: Web) -> None:
    raw = json.loads((web.root / "set" / FILE).read_bytes())
    change(raw, "splits.test.shards.0.bytes", 1 << 60)
    (web.root / "set" / FILE).write_bytes(canonical_json(raw))
    with pytest.raises(DataError, match="does not fit"):
        open_dataset(f"{web.url}/set").arrays("test")
    assert web.names() == [FILE]


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff\xfe", b"<html>"])
def test_what_is_no_manifest_is_one_line(content: bytes, web: Web) -> None:
    (web.root / "set" / FILE).write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.json") as caught:
        open_dataset(f"{web.url}/set")
    assert "\n" not in str(caught.value)


def test_a_manifest_without_end_is_not_read_to_it(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_BYTES", 100_000)
    web.faults[FILE] = ["longer"]
    with pytest.raises(DataError, match="more than 100,000 bytes"):
        open_dataset(f"{web.url}/set")


def test_it_travels_to_other_processes(web: Web, local: Dataset) -> None:
    dataset = open_dataset(f"{web.url}/set")
    dataset.arrays("test")
    sent = pickle.dumps(dataset)
    assert len(sent) < 100_000  # no arrays
    same(pickle.loads(sent), local)
    child = os.fork()
    if child == 0:
        right = np.array_equal(dataset.arrays("train").views[3], local.arrays("train").views[3])
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_its_folder_in_the_cache_names_it_too(web: Web, local: Dataset, tmp_path: Path) -> None:
    """As suites do, which give the folder of a data set to their workers."""
    dataset = open_dataset(f"{web.url}/set")
    same(open_dataset(dataset.folder), local)
    code = f"from fusionbench import open_dataset; print(open_dataset({str(dataset.folder)!r}).location)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{web.url}/set"
    shutil.copytree(dataset.folder, tmp_path / "elsewhere")  # a folder from somebody opens no connection
    assert reopen(tmp_path / "elsewhere") is None and type(open_dataset(tmp_path / "elsewhere")) is Dataset


def test_secrets_of_a_url_are_not_written_down(web: Web, cache: Path) -> None:
    dataset = open_dataset(f"{web.url.replace('//', '//user:secret@')}/set?sig=hidden")
    dataset.arrays("test")
    written = b"".join(path.read_bytes() for path in cache.rglob("*.json"))
    assert b"secret" not in written and b"hidden" not in written and "secret" not in dataset.location


def test_samples_by_range(web: Web, local: Dataset, cache: Path) -> None:
    dataset = open_dataset(f"{web.url}/set", partial=True)
    views = dataset.arrays("train").views
    web.forget()
    wanted = [1400, 0, 3, 1, -1]
    assert np.array_equal(views[wanted], local.arrays("train").views[wanted])
    assert web.sent < 1_500_000 and not dataset.verified and not list((cache / "files").glob("*/*.h5"))
    batch, expected = (one.stream("train").batch([5, 700], 3) for one in (dataset, local))
    assert torch.equal(batch.views, expected.views)
    open_dataset(f"{web.url}/set").arrays("train")  # now they are in the cache, and are used from there
    again = open_dataset(f"{web.url}/set", partial=True)
    web.forget()
    assert np.array_equal(again.arrays("train").views[wanted], local.arrays("train").views[wanted])
    assert again.verified and not web.asked


def test_pairs_of_different_sizes_by_range(tmp_path: Path) -> None:
    folder = build_dataset(recipe(), pair_folders.write(tmp_path / "images"), tmp_path / "web", jobs=1)
    local = open_dataset(folder)
    split = local.splits[0]
    with serve(folder.parent) as web:
        dataset = open_dataset(f"{web.url}/{folder.name}", partial=True)
        assert dataset.names(split) == local.names(split)
        assert all(
            np.array_equal(a, b) for a, b in zip(dataset.arrays(split).views, local.arrays(split).views, strict=True)
        )


def test_recipe_shards_are_made_whole_on_arrival(web: Web, local: Dataset, tmp_path: Path) -> None:
    strip_dataset(local, web.root / "small")
    dataset = open_dataset(f"{web.url}/small")
    assert dataset.id == local.id and dataset.manifest.has_stored
    web.forget()
    for split in local.splits:
        mine, theirs = dataset.arrays(split).columns, local.arrays(split).columns
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
    shards = sum(path.stat().st_size for path in (web.root / "set").glob("*.h5"))
    assert web.sent < 0.45 * shards
    web.forget()
    same(open_dataset(f"{web.url}/set"), local)  # the same files in the cache
    assert web.names() == [FILE]


def test_verbs_take_urls(web: Web, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "diff", f"{web.url}/set", web.root / "set")
    assert (code, out) == (0, "the data are the same\n"), err
    code, out, _ = run(capsys, "preview", f"{web.url}/set", "-o", tmp_path / "x.png")
    assert code == 0 and (tmp_path / "x.png").is_file()
    code, _, err = run(capsys, "diff", f"{web.url}/nothing", web.root / "set")
    assert code == 2 and err.count("\n") == 1 and "no data set is here" in err


def test_nothing_of_it_is_loaded_for_a_folder(root: Path) -> None:
    code = (
        "import sys; from fusionbench import open_dataset; "
        f"open_dataset({str(root / 'set')!r}).arrays('test').views[0]; "
        "print([name for name in ('fsspec', 'aiohttp', 's3fs', 'platformdirs') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
