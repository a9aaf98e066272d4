"""Every flipped byte is found and named; a data set that is right is said to be right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionbench.core.io import canonical_json, file_sha256
from fusionbench.data.build import build_dataset
from fusionbench.data.shards.manifest import identity, read_manifest
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import write_shard
from fusionbench.data.verify import verify_dataset
from tests.data.test_build import small_recipe


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(small_recipe(512), out=tmp_path_factory.mktemp("good"))


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy"))


def test_a_good_data_set_has_no_problems(good: Path) -> None:
    report = verify_dataset(good, regenerate=50)
    assert report.ok and (report.shards, report.samples, report.regenerated) == (4, 1797, 50)
    assert report.bytes == sum(path.stat().st_size for path in good.glob("*.h5"))
    assert json.loads(json.dumps(report.as_json()))["ok"] is True
    assert len(report.coverage["train"]) == 3


def test_all_samples_can_be_made_again(good: Path) -> None:
    assert verify_dataset(good, regenerate="all", files=False, content=False).regenerated == 1797


@pytest.mark.parametrize("array", ["views", "targets", "params", "index", "label"])
def test_a_flipped_byte_is_named_with_its_array(array: str, copy: Path) -> None:
    shard = sorted(copy.glob("*train*.h5"))[1]
    with h5py.File(shard) as file:
        offset, size = file[array].id.get_offset(), file[array].id.get_storage_size()
    content = bytearray(shard.read_bytes())
    content[offset + size // 2] ^= 0x10
    shard.write_bytes(content)
    report = verify_dataset(copy)
    assert not report.ok and {problem.file for problem in report.problems} == {shard.name}
    assert [problem.array for problem in report.problems if problem.array] == [array]


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_byte_is_found(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    shard = sorted(good.glob("*test*.h5"))[0]
    content = bytearray(shard.read_bytes())
    folder = tmp_path / "copy"
    if not folder.exists():
        shutil.copytree(good, folder)
    at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 4096))
    content[at] ^= data.draw(st.integers(1, 255))
    (folder / shard.name).write_bytes(content)
    report = verify_dataset(folder)
    assert not report.ok and {problem.file for problem in report.problems} == {shard.name}


@pytest.mark.parametrize("damage", ["missing", "truncated", "longer", "other"])
def test_missing_truncated_and_exchanged_shards(damage: str, copy: Path) -> None:
    first, second = sorted(copy.glob("*train*.h5"))[:2]
    if damage == "missing":
        first.unlink()
    elif damage == "truncated":
        first.write_bytes(first.read_bytes()[:-10])
    elif damage == "longer":
        first.write_bytes(first.read_bytes() + b"\0")
    else:
        first.write_bytes(second.read_bytes())
    report = verify_dataset(copy, regenerate=10)
    assert not report.ok and {problem.file for problem in report.problems} == {first.name}


def test_a_forged_sample_is_found_by_making_it_again(copy: Path) -> None:
    """Views that were changed together with all digests: only the generator can tell."""
    raw = json.loads((copy / "manifest.json").read_bytes())
    entry = raw["splits"]["test"]["shards"][0]
    path = copy / entry["file"]
    shard = open_shard(path)
    arrays = {name: np.array(array) for name, array in shard.arrays.items()}
    arrays["views"][123, 1, 4, 5] ^= 1
    header = {key: value for key, value in shard.header.items() if key not in ("format", "content_sha256", "arrays")}
    path.unlink()
    entry.update(write_shard(path, arrays, header))
    assert file_sha256(path) == entry["file_sha256"]
    import msgspec

    from fusionbench.data.shards.manifest import SplitEntry

    raw["id"] = identity({name: msgspec.convert(split, SplitEntry) for name, split in raw["splits"].items()})
    (copy / "manifest.json").write_bytes(canonical_json(raw))
    read_manifest(copy)
    assert verify_dataset(copy).ok
    report = verify_dataset(copy, regenerate="all")
    assert [(p.file, p.array, p.split, p.index) for p in report.problems] == [(path.name, "views", "test", 123)]
    assert "sample 123 of test" in str(report.problems[0])
