"""``fusionbench verify`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.data.build import build_dataset
from tests.cli.test_generate import run
from tests.data.test_build import small_recipe


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(small_recipe(1024), out=tmp_path_factory.mktemp("good"))


def test_right_and_wrong(good: Path, tmp_path: Path) -> None:
    done = run("-q", "verify", str(good), "--regenerate", "20", cwd=tmp_path)
    assert done.returncode == 0 and "20 samples made again" in done.stdout and "coverage" not in done.stderr
    assert "test: pixels seen" in done.stdout
    report = json.loads(run("-q", "verify", str(good), "--files", "--json", cwd=tmp_path).stdout)
    assert report["ok"] and report["shards"] == 3
    shard = sorted(good.glob("*.h5"))[0]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    done = run("-q", "verify", str(good), "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 1 and not report["ok"] and report["problems"][0]["file"] == shard.name
    assert "Traceback" not in done.stderr and "do not use" in done.stderr
    done = run("-q", "verify", str(good), cwd=tmp_path)
    assert done.returncode == 1 and f"{shard.name}, views: " in done.stdout


def test_mistakes(tmp_path: Path) -> None:
    for args, message in {
        ("verify", "nothing"): "no such data set",
        ("verify", "."): "not a finished data set",
        ("verify", ".", "--regenerate", "some"): "--regenerate",
    }.items():
        done = run(*args, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
