"""Oracle: the files of a local build. The stores are fsspec's memory and local file systems."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from fusionbench.core.errors import DataError
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.shards.manifest import FILE
from fusionbench.data.upload import build_to_url, is_url
from tests.cli.runner import run
from tests.data.test_build import contents, small_recipe


@pytest.fixture
def memory() -> Iterator[Any]:
    store = fsspec.filesystem("memory")
    yield store
    if store.exists("/bucket"):
        store.rm("/bucket", recursive=True)


def test_the_store_gets_the_bytes_of_a_local_build(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    put = type(memory).put_file
    monkeypatch.setattr(
        type(memory), "put_file", lambda self, a, b, **k: (sent.append(Path(b).name), put(self, a, b))[1]
    )
    url, manifest = build_to_url(small_recipe(), None, "memory://bucket/data/", jobs=1)
    local = build_dataset(small_recipe(), out=tmp_path, jobs=1)
    assert sent[-1] == FILE and sent.count(FILE) == 1
    assert url == f"memory://bucket/data/{local.relative_to(tmp_path).as_posix()}"
    found = {Path(name).name: memory.cat_file(name) for name in memory.ls(url.removeprefix("memory://"), detail=False)}
    assert found == contents(local)
    assert manifest == open_dataset(local).manifest


def test_a_copy_of_it_opens(tmp_path: Path) -> None:
    url, manifest = build_to_url(small_recipe(), None, f"file://{tmp_path}/there", jobs=1)
    assert open_dataset(url.removeprefix("file://")).id == manifest.id


def test_a_finished_one_is_left_alone(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url, manifest = build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is sent")

    monkeypatch.setattr(type(memory), "put_file", never)
    assert build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1) == (url, manifest)


def test_files_that_are_missing_or_cut_are_sent_again(memory: Any, tmp_path: Path) -> None:
    url, manifest = build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1)
    there = url.removeprefix("memory:/")
    first, second = (split.shards[0].file for split in list(manifest.splits.values())[:2])
    memory.rm(f"{there}/{first}")
    memory.pipe_file(f"{there}/{second}", b"cut")
    assert build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1) == (url, manifest)
    local = contents(build_dataset(small_recipe(), out=tmp_path, jobs=1))
    assert {name: memory.cat_file(f"{there}/{name}") for name in (first, second, FILE)} == {
        name: local[name] for name in (first, second, FILE)
    }


def test_what_is_no_manifest_there_is_never_replaced(memory: Any) -> None:
    url, _ = build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1)
    path = f"{url.removeprefix('memory:/')}/{FILE}"
    memory.pipe_file(path, b"as it was")
    with pytest.raises(DataError, match="remove it there") as caught:
        build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1)
    assert memory.cat_file(path) == b"as it was" and "\n" not in str(caught.value) and url in str(caught.value)


def test_recipe_shards_are_sent_and_found_again(memory: Any) -> None:
    whole, manifest = build_to_url(small_recipe(), None, "memory://bucket/whole", jobs=1)
    url, small = build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1, form="targets")
    assert small.id == manifest.id and small.has_stored and not manifest.has_stored

    def size(place: str) -> int:
        return sum(memory.size(name) for name in memory.find(place.removeprefix("memory:/")) if name.endswith(".h5"))

    assert size(url) < 0.7 * size(whole)
    memory.rm(f"{url.removeprefix('memory:/')}/{small.splits['train'].shards[0].file}")
    again = build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1)  # as they are there, whatever is asked
    assert again == (url, small)


@pytest.mark.parametrize("fault", ["refused", "truncated"])
def test_a_failing_store_gets_no_manifest(fault: str, memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put = type(memory).put_file

    def failing(self: Any, here: str, there: str, **_: Any) -> None:
        if "test-00001" not in there:
            put(self, here, there)
        elif fault == "refused":
            raise PermissionError("no\nand a second line")
        else:
            self.pipe_file(there, Path(here).read_bytes()[:-1])

    monkeypatch.setattr(type(memory), "put_file", failing)
    with pytest.raises(DataError, match="cannot write" if fault == "refused" else "arrived of") as caught:
        build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1)
    assert "\n" not in str(caught.value)
    assert not [name for name in memory.find("/bucket") if name.endswith(FILE)]
    monkeypatch.undo()
    url, _ = build_to_url(small_recipe(), None, "memory://bucket/data", jobs=1)  # the same command goes on
    assert memory.exists(f"{url.removeprefix('memory:/')}/{FILE}")


def test_the_command(memory: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "generate", "fusiondigits", "--out", "memory://bucket/data", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["folder"].startswith("memory://bucket/data/fusiondigits/")
    assert facts["splits"]["test"]["n"] == 296
    assert memory.exists(f"{facts['folder'].removeprefix('memory:/')}/{FILE}")
    code, out, _ = run(capsys, "generate", "fusiondigits", "--out", "memory://bucket/data")
    assert code == 0 and out.strip() == facts["folder"]
    code, _, err = run(capsys, "generate", "fusiondigits", "--out", "nosuch://bucket")
    assert code == 2 and "nosuch" in err
    code, _, err = run(capsys, "generate", "fusiondigits", "--out", "https://127.0.0.1:9/data")
    assert code == 2 and "web servers are only read" in err and err.count("\n") == 1
    code, _, err = run(capsys, "generate", "fusiondigits", "--out", "data", "--form", "targets")
    assert code == 2 and "export" in err and err.count("\n") == 1
    for option in (["--scheduler", "tcp://localhost:1"], ["--force"]):
        code, _, err = run(capsys, "generate", "fusiondigits", "--out", "memory://bucket/x", *option)
        assert code == 2 and option[0] in err


def test_what_is_a_url() -> None:
    assert is_url("s3://bucket/data") and is_url("memory://x")
    assert not is_url("data") and not is_url("/a:b/c") and not is_url("C:/data")
