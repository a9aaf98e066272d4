"""What is wrong behind an URL is found, whatever the cache has. Oracle: `verify` of the same files in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionbench.data import remote_store, signatures
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipe_shards import strip_dataset
from fusionbench.data.remote_store import StoreError
from fusionbench.data.remote_verify import verify_url
from fusionbench.data.shards.manifest import read_manifest
from fusionbench.data.verify import verify_dataset
from tests.cli.runner import run
from tests.helpers.keys import new_key
from tests.helpers.stores import digits
from tests.helpers.web import Web, serve

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(digits(), out=tmp_path_factory.mktemp("verify"), jobs=1)


@pytest.fixture
def web(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote_store, "DELAY", 0)
    shutil.copytree(built, tmp_path / "web" / "set")
    with serve(tmp_path / "web") as web:
        yield web


@pytest.mark.parametrize("content", [True, False])
def test_a_whole_one_is_as_in_its_folder(content: bool, web: Web, built: Path, tmp_path: Path) -> None:
    report = verify_url(f"{web.url}/set", 20 if content else 0, content=content)
    expected = verify_dataset(built, 20 if content else 0, content=content)
    assert report.ok and report.folder == f"{web.url}/set"
    assert (report.id, report.shards, report.bytes) == (expected.id, expected.shards, expected.bytes)
    assert (report.regenerated, report.coverage) == (expected.regenerated, expected.coverage)
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert all(path.parent.parent.name == "sets" for path in left)  # nothing but the manifest is kept


def test_damage_there_is_found_although_the_cache_is_right(web: Web) -> None:
    url = f"{web.url}/set"
    open_dataset(url).arrays("test")
    file = open_dataset(url).split("test").shards[0].file
    path = web.root / "set" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for kind in (True, False):
        report = verify_url(url, content=kind)
        assert not report.ok and {problem.file for problem in report.problems} == {file}
        assert any("sha256" in problem.what for problem in report.problems)
    assert [problem.array for problem in verify_url(url).problems if problem.array]  # which array it is
    for damaged in (content[:-5], content + b"more"):
        path.write_bytes(damaged)
        for kind in (True, False):
            assert {problem.file for problem in verify_url(url, content=kind).problems} == {file}
    path.unlink()
    for kind in (True, False):
        assert any("missing" in problem.what for problem in verify_url(url, content=kind).problems)


@pytest.mark.parametrize("only", [(), ("--files",)])
def test_what_is_asked_of_the_manifest_is_checked_whatever_is_read(
    only: tuple[str, ...], web: Web, built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, manifest = f"{web.url}/set", open_dataset(built).manifest
    code, out, _ = run(capsys, "verify", url, *only, "--expect", manifest.manifest_sha256[:12])
    assert code == 0 and manifest.manifest_sha256 in out
    code, out, _ = run(capsys, "verify", url, *only, "--expect", "0" * 12)
    assert code == 1 and "not 000000000000" in out
    (web.root / "set" / "README.md").write_text("edited")
    code, out, _ = run(capsys, "verify", url, *only)
    assert code == 1 and out.startswith("README.md: it is not what")


@pytest.mark.parametrize("content", [True, False])
def test_a_signature_is_checked_whatever_is_read(content: bool, web: Web, tmp_path: Path) -> None:
    pytest.importorskip("securesystemslib")
    (private, public), (_, other) = (new_key(tmp_path, name) for name in ("mine", "other"))
    url, folder = f"{web.url}/set", web.root / "set"
    assert [problem.file for problem in verify_url(url, content=content, signer=public).problems] == [signatures.FILE]
    signatures.sign(folder, read_manifest(folder), private)
    report = verify_url(url, content=content, signer=public)
    assert report.ok and report.signer in report.signers
    assert not verify_url(url, content=content, signer=other).ok


def test_files_alone_need_no_space(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    assert verify_url(f"{web.url}/set", content=False).ok
    with pytest.raises(Exception, match="`verify --files` needs no space"):
        verify_url(f"{web.url}/set")


def test_a_store_that_fails_is_no_problem_of_the_data(web: Web) -> None:
    file = open_dataset(f"{web.url}/set").split("test").shards[0].file
    for content in (True, False):
        web.faults[file] = [403]
        with pytest.raises(StoreError, match="access denied"):
            verify_url(f"{web.url}/set", content=content)


def test_recipe_shards_are_checked_themselves(web: Web, built: Path) -> None:
    small = strip_dataset(open_dataset(built), web.root / "small")
    url = f"{web.url}/small"
    assert verify_url(url, 20).ok and verify_url(url, content=False).ok and verify_dataset(small, 20).ok
    open_dataset(url).arrays("test")  # whole and right in the cache
    path = small / open_dataset(url).split("test").shards[0].file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for report in (verify_url(url), verify_url(url, content=False), verify_dataset(small)):
        assert [problem.file for problem in report.problems] == [path.name]
        assert "sha256 is not that of" in report.problems[0].what


def test_the_command(web: Web, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "verify", f"{web.url}/set", "--json")
    assert code == 0 and json.loads(out)["folder"] == f"{web.url}/set", err
    next((web.root / "set").glob("*test*.h5")).unlink()
    code, out, err = run(capsys, "verify", f"{web.url}/set", "--files")
    assert code == 1 and "missing" in out and f"{web.url}/set: 1 problem;" in err
    code, _, err = run(capsys, "verify", f"{web.url}/nothing")
    assert code == 2 and err.count("\n") == 1


def test_stores_that_list_their_files(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    try:
        store.put(f"{built}/", "/bucket/set/", recursive=True)
        report = verify_url("memory://bucket/set", 5)
        assert report.ok and report.folder == "memory://bucket/set"
    finally:
        store.rm("/bucket", recursive=True)
