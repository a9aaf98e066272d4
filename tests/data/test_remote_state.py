"""Data sets on stores and their sources. Oracle: what was changed, and what a local build says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.build_plan import plan_dataset, status
from fusionbench.data.remote_state import inspect_url, list_remote
from fusionbench.data.shards.manifest import FILE
from fusionbench.data.upload import build_to_url
from tests.cli.runner import run
from tests.data.test_refused import TEXT, image, recipe, write_good
from tests.sources import folders

URL = "memory://bucket/data"


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    yield store
    if store.exists("/bucket"):
        store.rm("/bucket", recursive=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_good(tmp_path / "files")


def stored(memory: Any) -> dict[str, bytes]:
    return {name: memory.cat_file(name) for name in memory.find("/bucket")}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_changed_source_is_refused(
    memory: Any, root: Path, tmp_path: Path, elsewhere: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the record where it was sent from; by the pixels on a machine that knows nothing of it."""
    place, manifest = build_to_url(recipe(), root, URL, jobs=1)
    before = stored(memory)
    if elsewhere:
        shutil.rmtree(tmp_path / "cache")
    capsys.readouterr()
    for again in range(2):
        assert build_to_url(recipe(), root, URL, jobs=1) == (place, manifest)
        said = capsys.readouterr().err
        assert ("nothing is recorded" in said) == (elsewhere and not again) and str(tmp_path / "cache") not in said
    if elsewhere:
        shutil.rmtree(tmp_path / "cache")
    folders.save(root / "07.png", image(700))
    with pytest.raises(DataError) as caught:
        build_to_url(recipe(), root, URL, jobs=1)
    text = str(caught.value)
    assert place in text and "the source has changed" in text and "--update" not in text and "\n" not in text
    assert ("1 file changed (07.png)" in text) != elsewhere and (
        "of 4 shards" in text or "shards (" in text
    ) == elsewhere
    assert build_to_url(recipe(), None, URL, jobs=1) == (place, manifest), "a source that is not named is not compared"
    assert stored(memory) == before
    folders.save(root / "07.png", image(7))
    assert build_to_url(recipe(), root, URL, jobs=1) == (place, manifest)


def test_without_a_cache_pixels_are_compared(
    memory: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "file"))
    built = build_to_url(recipe(), root, URL, jobs=1)
    assert build_to_url(recipe(), root, URL, jobs=1) == built
    folders.save(root / "07.png", image(700))
    with pytest.raises(DataError, match="the source has changed"):
        build_to_url(recipe(), root, URL, jobs=1)


def test_plan_and_status_of_a_store(
    memory: Any, root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(TEXT)
    args = ("plan", "--recipe", tmp_path / "mine.toml", "--source-dir", root, "--out", URL)
    code, out, _ = run(capsys, *args, "--json")
    plan = json.loads(out)
    assert code == 0 and not plan["finished"] and len(plan["missing"]) == plan["shards"] and not stored(memory)
    place, manifest = build_to_url(recipe(), root, URL, jobs=1)
    local = build_dataset(recipe(), root, tmp_path / "out", jobs=1)
    before = stored(memory)
    plan = plan_dataset(recipe(), root, URL)
    assert (plan.folder, plan.finished, plan.missing, plan.damaged) == (place, True, [], {})
    assert plan.bytes == plan_dataset(recipe(), root, tmp_path / "out").bytes
    for url in (URL, "memory://bucket", place, Path(URL)):
        (row,) = status(url)
        (here,) = status(tmp_path / "out")
        assert row == here | {"folder": place}
    name = f"{place.removeprefix('memory:/')}/{manifest.splits['test'].shards[0].file}"
    memory.pipe_file(name, b"cut")
    code, out, _ = run(capsys, *args)
    assert code == 0 and "1 file is damaged; `generate` repairs" in out and place in out
    assert "damaged: 1 of" in list_remote(URL)[0]["state"] and memory.cat_file(name) == b"cut"
    memory.pipe_file(name, before[name])
    folders.save(root / "07.png", image(700))
    code, out, err = run(capsys, *args)
    assert code == 2 and "nothing would be sent" in out and "1 file changed (07.png)" in err
    memory.pipe_file(f"{place.removeprefix('memory:/')}/{FILE}", b"{}")
    code, out, _ = run(capsys, "status", URL)
    assert code == 0 and "damaged: " in out and place in out and "remove it" not in out
    assert local.is_dir()


def test_places_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "status", "nosuch://bucket")
    assert code == 2 and "nosuch" in err and err.count("\n") == 1
    code, _, err = run(capsys, "status", "http://127.0.0.1:9/data")
    assert code == 2 and "http://127.0.0.1:9/data" in err and err.count("\n") == 1
    with pytest.raises(UsageError, match="web servers are only read"):
        inspect_url(recipe(), None, "https://127.0.0.1:9/data")
