"""Every flipped byte is found and named; a data set that is right is said to be right."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import DataError
from fusionbench.core.io import digest, file_sha256, readable_json
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.manifest_checks import problems_beside, problems_of_manifest
from fusionbench.data.recipes import parse_recipe
from fusionbench.data.shards.manifest import read_manifest
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import write_shard
from fusionbench.data.verify import verify_dataset
from tests.data.forged import forge
from tests.data.test_build import small_recipe
from tests.helpers.golden_formats import RECIPE, images

SHA = "0123456789abcdef" * 4


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
    path = next(copy.glob("*-test-*.h5"))
    shard = open_shard(path)
    arrays = {name: np.array(array) for name, array in shard.arrays.items()}
    arrays["views"][123, 1, 4, 5] ^= 1
    header = {key: value for key, value in shard.header.items() if key not in ("format", "content_sha256", "arrays")}
    path.unlink()
    written = write_shard(path, arrays, header)
    assert file_sha256(path) == written["file_sha256"]
    forge(copy, lambda raw: raw["splits"]["test"]["shards"][0].update(written))
    assert verify_dataset(copy).ok
    report = verify_dataset(copy, regenerate="all")
    assert [(p.file, p.array, p.split, p.index) for p in report.problems] == [(path.name, "views", "test", 123)]
    assert "sample 123 of test" in str(report.problems[0])


def set_in(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(raw: Any) -> None:
        *parents, last = path
        for parent in parents:
            raw = raw[parent]
        raw[last] = value

    return change


def other_source(raw: dict[str, Any]) -> None:
    raw["splits"]["test"]["shards"][0]["source_sha256"] = SHA
    raw["source"]["fingerprint"]["test"] = digest([SHA])


def without_last_shard(raw: dict[str, Any]) -> None:
    split = raw["splits"]["train"]
    split["n"] -= split["shards"].pop()["n"]


# each with a new id, digest, card and Croissant: nothing contradicts the manifest but what it follows from
FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "licence": (set_in("source", "licence", value="CC0"), "licence of the source"),
    "citation": (set_in("source", "citation", value="me"), "citation of the source"),
    "homepage": (set_in("source", "homepage", value="https://example.org"), "homepage of the source"),
    "title of the source": (set_in("source", "title", value="Letters"), "title of the source"),
    "redistributable": (set_in("source", "redistributable", value=False), "redistributable of the source"),
    "another source": (set_in("source", "name", value="mnist"), "its recipe names 'digits'"),
    "name": (set_in("name", value="other"), "name is 'other'"),
    "version": (set_in("version", value="1.0.1"), "version is '1.0.1'"),
    "seed": (set_in("seed", value=1), "seed is 1"),
    "coverage": (set_in("splits", "test", "coverage", 0, value=0.9), "coverage of test is"),
    "length of coverage": (set_in("splits", "test", "coverage", value=[0.5]), "1 values for 3 views"),
    "source digest": (set_in("splits", "test", "shards", 0, "source_sha256", value=SHA), "does not follow"),
    "fingerprint": (set_in("source", "fingerprint", "test", value=SHA), "does not follow"),
    "fingerprints": (set_in("source", "fingerprint", "other", value=SHA), "not those of its splits"),
    "a split is gone": (lambda raw: raw["splits"].pop("test"), "it has the splits train, its recipe makes test, train"),
    "a shard is gone": (without_last_shard, "is called"),
    "cut-outs' agreement": (set_in("splits", "test", "cutouts_iou", value=0.9), "no cut-outs"),
    "digest of an array": (set_in("splits", "test", "shards", 0, "arrays", "views", value=SHA), "values have changed"),
    "digest of a file": (set_in("splits", "test", "shards", 0, "file_sha256", value=SHA), "bytes have changed"),
    "digest of content": (set_in("splits", "test", "shards", 0, "content_sha256", value=SHA), "content_sha256"),
}


@pytest.mark.parametrize(("change", "said"), FORGERIES.values(), ids=FORGERIES)
def test_a_forged_manifest_is_found_out(change: Callable[[dict[str, Any]], object], said: str, copy: Path) -> None:
    forge(copy, change)
    report = verify_dataset(copy)
    assert not report.ok and any(said in str(problem) for problem in report.problems), report.problems


def test_a_number_of_samples_that_fits_no_memory(copy: Path) -> None:
    def change(raw: dict[str, Any]) -> None:
        split = raw["splits"]["test"]
        split["n"] = split["shards"][0]["n"] = 1 << 62

    forge(copy, change)
    for options in ({}, {"files": False}, {"content": False}, {"regenerate": "all"}, {"regenerate": 5}):
        report = verify_dataset(copy, **options)  # type: ignore[arg-type]
        assert any("it holds 296 samples" in problem.what for problem in report.problems), options


def test_source_digests_are_compared_when_whole_shards_are_made_again(good: Path, copy: Path) -> None:
    assert verify_dataset(good, regenerate="all").sources == 4
    forge(copy, other_source)
    assert verify_dataset(copy).ok  # it contradicts nothing that is here
    report = verify_dataset(copy, regenerate="all")
    assert ["source digest" in problem.what for problem in report.problems] == [True]


@pytest.mark.parametrize("name", ["croissant.json", "README.md", "manifest.sha256", "preview.png"])
@pytest.mark.parametrize("damage", ["flipped", "longer", "missing", "a folder"])
def test_what_lies_beside_the_manifest(name: str, damage: str, copy: Path) -> None:
    path = copy / name
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "flipped":
        content[len(content) // 2] ^= 4
    if damage == "a folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(content + b" " * (damage == "longer"))
    report = verify_dataset(copy)
    if (name, damage) == ("manifest.sha256", "missing"):  # as data sets of earlier releases are
        assert report.ok and "no manifest.sha256" in report.remarks[0]
    elif (name, damage) == ("preview.png", "longer"):  # the pixels are what follows from the shards
        assert report.ok
    else:
        assert [problem.file for problem in report.problems] == [name]


@pytest.mark.parametrize("name", ["croissant.json", "README.md", "preview.png", "shard"])
@pytest.mark.parametrize("damage", ["missing", "other"])
def test_the_remedy_that_is_named_helps(name: str, damage: str, tmp_path: Path) -> None:
    recipe = small_recipe(1024)
    folder = build_dataset(recipe, out=tmp_path)
    path = folder / name if name != "shard" else next(folder.glob("*.h5"))
    path.write_bytes(b"other")
    if damage == "missing":
        path.unlink()
    problems = [problem.what for problem in verify_dataset(folder).problems]
    assert problems
    if name != "shard":
        assert ("; remove it, and `fusionbench generate` writes it again" in problems[0]) == (damage == "other")
        path.unlink(missing_ok=True)
    if damage == "missing":
        assert any("missing; `fusionbench generate` " in what or "no such" in what for what in problems)
    assert not any("--force makes it" in what for what in problems)
    assert build_dataset(recipe, out=tmp_path) == folder
    assert verify_dataset(folder).ok


def test_a_preview_of_something_else(copy: Path) -> None:
    from PIL import Image

    with Image.open(copy / "preview.png") as picture:
        picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(copy / "preview.png")
    assert ["does not show" in problem.what for problem in verify_dataset(copy).problems] == [True]


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "fusiondigits-1.0.0-train-00009-of-00010.h5", "folder"])
def test_a_file_that_does_not_belong(name: str, copy: Path) -> None:
    (copy / name).mkdir() if name == "folder" else (copy / name).write_text("x")
    assert [(problem.file, "does not belong" in problem.what) for problem in verify_dataset(copy).problems] == [
        (name, True)
    ]


def test_an_order_of_splits_in_croissant_that_earlier_releases_wrote(copy: Path) -> None:
    described = json.loads((copy / "croissant.json").read_text("utf-8"))
    files = described["distribution"]
    described["distribution"] = sorted(files, key=lambda file: "-test-" in file["name"])
    assert described["distribution"] != files
    (copy / "croissant.json").write_bytes(readable_json(described))
    assert verify_dataset(copy).ok
    described["distribution"] = files[::-1]
    (copy / "croissant.json").write_bytes(readable_json(described))
    assert not verify_dataset(copy).ok


def test_samples_in_another_order(copy: Path) -> None:
    """The same samples under other numbers, in a shard that is right in itself."""
    path = next(copy.glob("*-test-*.h5"))
    shard = open_shard(path)
    arrays = {name: np.array(array)[::-1].copy() for name, array in shard.arrays.items()}
    header = {key: value for key, value in shard.header.items() if key not in ("format", "content_sha256", "arrays")}
    path.unlink()
    written = write_shard(path, arrays, header)
    forge(copy, lambda raw: raw["splits"]["test"]["shards"][0].update(written))
    assert {problem.array for problem in verify_dataset(copy).problems} == {"index", "params"}


def test_the_id_that_is_expected(good: Path) -> None:
    manifest = read_manifest(good)
    for one in (manifest.id, manifest.manifest_sha256, manifest.id[:12], manifest.manifest_sha256[:20].upper()):
        assert verify_dataset(good, expect=one).ok
    for one in (manifest.id[:11], SHA, manifest.id + "0"):
        assert not verify_dataset(good, expect=one).ok
    assert manifest.manifest_sha256 == hashlib.sha256((good / "manifest.json").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of few samples in two shards, with a manifest of 2 kB."""
    root = tmp_path_factory.mktemp("small")
    recipe = parse_recipe(RECIPE.encode())
    return build_dataset(recipe, source_dir=images(root / "images"), out=root)


@pytest.mark.parametrize("with_digest", [True, False])
def test_flipped_bits_of_a_manifest_are_noticed(with_digest: bool, small: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "copy"))
    assert verify_dataset(folder).ok
    if not with_digest:
        (folder / "manifest.sha256").unlink()
    content = (folder / "manifest.json").read_bytes()
    with open(folder / "manifest.json", "r+b", buffering=0) as file:  # in place: opening it 20,000 times takes minutes
        # one bit in three, and in seven where shards are read for each: all places in a byte have their turn
        for bit in range(0, 8 * len(content), 3 if with_digest else 7):
            at, mask = bit // 8, 1 << bit % 8
            os.pwrite(file.fileno(), bytes([content[at] ^ mask]), at)
            assert is_noticed(folder), f"bit {bit % 8} of byte {at}: {content[max(0, at - 20) : at + 20]!r}"
            os.pwrite(file.fileno(), content[at : at + 1], at)
    assert verify_dataset(folder).ok


def is_noticed(folder: Path) -> bool:
    try:
        dataset = open_dataset(folder)
        if any(problems_of_manifest(dataset)) or any(problems_beside(dataset)):
            return True
        return not verify_dataset(folder).ok  # what follows from the shards
    except DataError as error:
        return "manifest.json" in str(error) and "\n" not in str(error)
