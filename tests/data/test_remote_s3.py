"""The whole way on an S3-compatible server of the loopback interface: sent, opened, read by ranges, verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data import remote_store
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.remote_store import StoreError
from fusionbench.data.remote_verify import verify_url
from fusionbench.data.upload import build_to_url
from tests.cli.runner import run
from tests.helpers.stores import digits, files_of, s3_server

s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, str]]:
    with s3_server() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(digits(), out=tmp_path_factory.mktemp("s3"), jobs=1)


@pytest.fixture(scope="module")
def url(server: tuple[str, str]) -> str:
    return build_to_url(digits(), None, f"{server[1]}/data", jobs=1)[0]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote_store, "DELAY", 0)
    return tmp_path / "cache"


@pytest.fixture
def store(server: tuple[str, str]) -> object:
    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


def same(one: Dataset, two: Dataset) -> None:
    assert one.manifest == two.manifest
    for split in two.splits:
        mine, theirs = one.arrays(split).columns, two.arrays(split).columns
        assert mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in theirs)


def test_the_bucket_has_the_files_of_a_local_build(url: str, folder: Path, store: s3fs.S3FileSystem) -> None:
    found = {path.rpartition("/")[2]: store.cat_file(path) for path in store.ls(url, detail=False)}
    assert found == files_of(folder)


def test_it_opens_as_the_folder_does(url: str, server: tuple[str, str], folder: Path) -> None:
    local = open_dataset(folder)
    same(open_dataset(url), local)
    same(open_dataset(f"{server[1]}/data/fusiondigits"), local)  # found below


def test_samples_by_range(url: str, folder: Path, cache: Path) -> None:
    dataset, local = open_dataset(url, partial=True), open_dataset(folder)
    wanted = [1400, 0, 3, -1]
    assert np.array_equal(dataset.arrays("train").views[wanted], local.arrays("train").views[wanted])
    assert not dataset.verified and not list((cache / "files").glob("*/*.h5"))


def test_generate_twice_and_verify(
    server: tuple[str, str], capsys: pytest.CaptureFixture[str], store: s3fs.S3FileSystem
) -> None:
    asked = ("generate", "fusiondigits", "--out", f"{server[1]}/twice", "--json")
    code, out, err = run(capsys, *asked)
    assert code == 0, err
    first = json.loads(out)
    code, out, err = run(capsys, *asked)
    assert code == 0 and json.loads(out) == first, err
    code, out, err = run(capsys, "verify", first["folder"], "--regenerate", "5", "--json")
    assert code == 0 and json.loads(out)["folder"] == first["folder"], err
    shard = next(path for path in store.ls(first["folder"], detail=False) if "test" in path)
    content = store.cat_file(shard)
    store.pipe_file(shard, content[:-1] + b"x")
    assert run(capsys, "verify", first["folder"], "--files")[0] == 1
    store.pipe_file(shard, content[:-1])
    code, _, err = run(capsys, *asked)  # a file that is cut is sent again
    assert code == 0 and "sending them again" in err and store.cat_file(shard) == content


def test_recipe_shards(server: tuple[str, str], folder: Path, store: s3fs.S3FileSystem) -> None:
    small, manifest = build_to_url(digits(), None, f"{server[1]}/small", jobs=1, form="targets")
    local, dataset = open_dataset(folder), open_dataset(small)
    assert dataset.id == local.id == manifest.id
    for split in local.splits:
        assert np.array_equal(dataset.arrays(split).views, local.arrays(split).views)
    assert verify_url(small, 5).ok


def test_what_goes_wrong_is_one_line(
    url: str, server: tuple[str, str], monkeypatch: pytest.MonkeyPatch, store: s3fs.S3FileSystem
) -> None:
    for bad, reason in (
        (f"{server[1]}/nothing", "no data set is here"),
        ("s3://no-such-bucket-here/x", "no data set is here|not found"),
    ):
        with pytest.raises(StoreError, match=reason) as caught:
            open_dataset(bad)
        assert "\n" not in str(caught.value)
    with pytest.raises((UsageError, DataError)) as failed:
        open_dataset(url, storage_options={"nonsense": object()})
    assert "\n" not in str(failed.value)
    dataset = open_dataset(url)
    store.rm(f"{url}/{dataset.split('test').shards[0].file}")
    with pytest.raises(StoreError, match="not found"):
        dataset.arrays("test")
    build_to_url(digits(), None, url.partition("/data/")[0] + "/data", jobs=1)  # as it was
    assert dataset.arrays("test").views.shape[0] == 296


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"key": "a", "secret": "b", "endpoint_url": "http://127.0.0.1:9"}
    with pytest.raises(StoreError, match="cannot connect") as caught:
        open_dataset("s3://bucket/x", storage_options=options)
    assert caught.value.unreachable and "\n" not in str(caught.value)
