"""Data sets of pairs from one end to the other: planning, building, resuming, verifying, exports, scoring."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data import pair_patches as pair_making
from fusionbench.data.build import build_dataset, open_source
from fusionbench.data.build_plan import plan_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.diff import compare_datasets
from fusionbench.data.export import export
from fusionbench.data.pair_patches import grid
from fusionbench.data.recipes import load_recipe
from fusionbench.data.shards.manifest import read_manifest
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.verify import verify_dataset
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.sources.pair_folders import Layout
from fusionbench.sources.pairs import Pairs
from tests.cli.runner import run
from tests.data.pair_datasets import KINDS, dataset, folder, images, kind, patches, whole, write_stems
from tests.data.test_build import contents, start_build
from tests.helpers import pair_folders
from tests.helpers.pair_folders import PATCHES, TEXT, recipe

__all__ = ["dataset", "folder", "images", "kind", "patches", "whole"]  # fixtures


def test_whole_pairs_are_what_the_source_reads(whole: Dataset, images: Path) -> None:
    source = open_source(whole.recipe, images)
    read = source.read_pairs("all", np.arange(5))  # type: ignore[attr-defined]
    assert len(whole.split("train").shards) == 3 and whole.size("train") == 5
    assert all(map(np.array_equal, whole.arrays("train").views, read))
    assert np.asarray(whole.arrays("train").shape).tolist() == [list(size) for size in pair_folders.SIZES]
    assert whole.names("train") == [f"scene {number}" for number in range(5)] and whole.labels("train") is None
    assert "whole" not in repr(whole) and "train 5" in repr(whole)


def test_patches_are_those_of_the_grid_that_have_contrast(patches: Dataset, whole: Dataset) -> None:
    arrays, pairs = patches.arrays("train"), list(whole.arrays("train").views)
    expected = []
    for number, pair in enumerate(pairs):
        for top, left in grid(*pair.shape[1:], 16, 9).tolist():
            patch = pair[:, top : top + 16, left : left + 16]
            low, high = np.percentile(patch, [10, 90], axis=(1, 2))
            if ((high - low) / high >= 0.1 - 1e-12).all():
                expected.append((number, top, left))
    assert len(expected) == patches.size("train") and len(expected) < sum(
        len(grid(*pair.shape[1:], 16, 9)) for pair in pairs
    )
    found = np.column_stack([arrays.pair, np.asarray(arrays.corner)])
    assert list(map(tuple, found.tolist())) == expected
    for index, (number, top, left) in enumerate(expected):
        assert np.array_equal(arrays.views[index], pairs[number][:, top : top + 16, left : left + 16])
    names = patches.names("train")
    assert names is not None and names[0] == "scene 0@0,9" and len(set(names)) == len(names)


def test_other_numbers_of_workers_make_the_same_bytes(
    kind: str, folder: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers also look for the patches; in blocks of other sizes than the reference was made in."""
    monkeypatch.setattr(pair_making, "_BLOCK", 2)
    assert contents(build_dataset(recipe(KINDS[kind]), images, tmp_path, jobs=2)) == contents(folder)


def test_a_killed_build_resumes_to_the_same_bytes(kind: str, folder: Path, images: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(KINDS[kind])
    script = f"from functools import partial; build_dataset = partial(build_dataset, source_dir={str(images)!r})"
    process = start_build(path, tmp_path / "out", 1, script)
    there = recipe(KINDS[kind]).folder(tmp_path / "out")
    deadline = time.monotonic() + 60
    while not list((there / ".build").glob("*.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    made = build_dataset(recipe(KINDS[kind]), images, tmp_path / "out")
    assert contents(made) == contents(folder)


def test_the_plan_is_what_is_built(kind: str, folder: Path, images: Path, tmp_path: Path) -> None:
    plan = plan_dataset(recipe(KINDS[kind]), images, tmp_path)
    manifest = read_manifest(folder)
    assert plan.splits == {"train": manifest.splits["train"].n} and plan.shards == len(list(folder.glob("*.h5")))
    assert not list(tmp_path.iterdir()) and plan.seconds > 0
    stored = sum(array.nbytes for path in folder.glob("*.h5") for array in open_shard(path).arrays.values())
    if kind == "patches":
        assert plan.bytes == stored
    else:  # an estimate: sizes differ
        assert 0.5 < plan.bytes / stored < 2


def test_all_samples_can_be_made_again(folder: Path, images: Path, tmp_path: Path) -> None:
    report = verify_dataset(folder, "all", images)
    assert report.ok, report.problems
    assert report.regenerated == report.samples == read_manifest(folder).splits["train"].n
    other = pair_folders.write(tmp_path / "other", seed=4)
    with pytest.raises(DataError, match="5 files changed"):
        verify_dataset(folder, "all", other)
    copy = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns(".build"))  # nothing is recorded
    assert not verify_dataset(copy, "all", other).ok


def test_another_name_in_a_header_is_found(whole: Dataset, images: Path, tmp_path: Path) -> None:
    made = build_dataset(recipe(), images, tmp_path)
    path = write_stems(made, 1, ["scene 2", "scene 9"])
    report = verify_dataset(made, 5, images, files=False)
    assert [str(problem) for problem in report.problems] == [
        f"{path.name}: stems in its header differ from those made again"
    ]


def test_exports_and_differences(dataset: Dataset, kind: str, images: Path, tmp_path: Path) -> None:
    export(dataset, "png", tmp_path / "png")
    rows = list(csv.DictReader((tmp_path / "png/train/labels.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == dataset.names("train")
    for index in (0, 4):
        for view in (1, 2):
            found = np.asarray(Image.open(tmp_path / f"png/train/{index:06d}-view{view}.png"))
            assert np.array_equal(found, dataset.arrays("train").views[index][view - 1])
    assert not list((tmp_path / "png/train").glob("*target*"))
    assert compare_datasets(dataset, dataset).same
    other = pair_folders.write(tmp_path / "other")
    picture = np.asarray(Image.open(other / "a" / "scene 1.png")).copy()
    picture[30, 20] ^= 1
    Image.fromarray(picture).save(other / "a" / "scene 1.png")
    second = open_dataset(build_dataset(recipe(KINDS[kind]), other, tmp_path / "data"))
    (found,) = compare_datasets(dataset, second).arrays
    assert (found.array, found.largest) == ("views", 1)
    names = dataset.names("train")
    assert names is not None and {names[sample].partition("@")[0] for sample in found.samples} == {"scene 1"}
    assert found.differing == (1 if kind == "whole" else len(found.samples))


def test_webdataset(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("webdataset", reason="the extra 'export' is not installed")
    import tarfile

    export(dataset, "webdataset", tmp_path)
    with tarfile.open(tmp_path / "train-000000.tar") as archive:
        text = archive.extractfile("000002.txt")
        names = dataset.names("train")
        assert text is not None and names is not None and text.read().decode() == names[2]
        assert sum(name.startswith("000002.") for name in archive.getnames()) == 3


def test_pairs_that_cannot_be_made_are_one_line(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no patch that the recipe keeps"):
        build_dataset(recipe(PATCHES.replace("contrast = 0.1", "contrast = 0.999")), images, tmp_path / "d")
    with pytest.raises(UsageError, match="has no pairs"):
        build_dataset(recipe(TEXT.replace('name = "pairs"', 'name = "digits"')), None, tmp_path / "d")
    assert not (tmp_path / "d").exists()
    broken = pair_folders.write(tmp_path / "broken")
    (broken / "b" / "scene 2.png").write_bytes(b"\x89PNG")
    for text in KINDS.values():
        with pytest.raises(DataError, match=r"scene 2\.png") as caught:
            build_dataset(recipe(text), broken, tmp_path / "d")
        assert "\n" not in str(caught.value)


def test_splits_choose_pairs(images: Path, tmp_path: Path) -> None:
    text = PATCHES.replace('source = "all"', 'source = "all"\nevery = 2\npart = "held-out"\nfirst = 1')
    text = text.replace("[pairs]", '[splits.rest]\nsource = "all"\nevery = 2\npart = "rest"\n[pairs]')
    dataset = open_dataset(build_dataset(recipe(text), images, tmp_path))
    assert set(np.asarray(dataset.arrays("train").pair)) == {1}
    assert set(np.asarray(dataset.arrays("rest").pair)) == {0, 2, 4}
    names = dataset.names("rest")
    assert names is not None and {name.partition("@")[0] for name in names} == {"scene 0", "scene 2", "scene 4"}


def test_scoring_from_shards_is_scoring_from_files(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TEXT.replace("splits.train", "splits.all")
    folder = build_dataset(recipe(text), images, tmp_path / "data")
    files = open_pairs("pairs", "all", images)
    monkeypatch.chdir(tmp_path)
    for stored in (
        open_pairs("pairs", "all", folder),
        open_pairs("small-pairs", None, None),  # the name of a data set in data/
        open_pairs(str(folder), "all", None),
        open_pairs(tmp_path / "data" / "small-pairs"),
    ):
        assert stored.identity == files.identity and stored.name == "pairs"
        assert len(stored) == 5 and all(map(np.array_equal, stored, files))
    assert open_pairs("pairs", "all", folder, limit=2).stems == files.stems[:2]
    with pytest.raises(DataError, match="not of 'tno'"):
        open_pairs("tno", "all", folder)
    with pytest.raises(UsageError, match="Unknown split"):
        open_pairs("pairs", "test", folder)
    patches = build_dataset(recipe(PATCHES), images, tmp_path / "patches")
    with pytest.raises(UsageError, match="patches of pairs"):
        open_pairs("pairs", None, patches)


def test_images_without_a_partner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = pair_folders.write(tmp_path / "images")
    (root / "b" / "scene 4.png").unlink()
    (tmp_path / "small.toml").write_text(TEXT)
    args = (
        "generate",
        "--recipe",
        tmp_path / "small.toml",
        "--source-dir",
        root,
        "--out",
        tmp_path / "data",
        "-j",
        "2",
    )
    code, out, err = run(capsys, *args, "--strict")
    assert code == 2 and "scene 4 (not in b)" in err and not (tmp_path / "data").exists()
    code, out, err = run(capsys, *args)
    assert code == 0 and err.count("lack a partner") == 1
    assert open_dataset(out.strip()).size("train") == 4
    code, out, err = run(capsys, "generate", "fusiondigits", "--strict", "--out", tmp_path / "data")
    assert code == 2 and "--strict is about registered pairs" in err


def test_splits_by_name(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A split that is some pairs of another: left out of patches, and scored from whole pairs that hold it."""
    some = Layout("a", "b", only=("scene 1", "scene 3"))
    monkeypatch.setattr(Pairs, "LAYOUTS", {"all": (Layout("a", "b"),), "some": (some,)})
    root = tmp_path / "again"  # sources are kept open by folder
    root.symlink_to(images)
    text = PATCHES.replace('source = "all"', 'source = "all"\nwithout = "some"\nevery = 2\npart = "rest"')
    dataset = open_dataset(build_dataset(recipe(text), root, tmp_path / "data"))
    assert set(np.asarray(dataset.arrays("train").pair)) == {0, 4}
    with pytest.raises(UsageError, match="Unknown split of pairs"):
        build_dataset(recipe(text.replace('"some"', '"sone"')), root, tmp_path / "data")
    folder = build_dataset(recipe(TEXT.replace("splits.train", "splits.all")), root, tmp_path / "data")
    files, stored = (open_pairs("pairs", "some", place) for place in (root, folder))
    assert stored.identity == files.identity and stored.stems == ["scene 1", "scene 3"]
    assert all(map(np.array_equal, stored, files)) and stored.source.splits == ("all", "some")


def test_on_the_command_line(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, count in (("pairs-demo", 3), ("pairs-demo-patches", 138)):
        code, out, _ = run(capsys, "-q", "generate", name, "--json")
        facts = json.loads(out)
        assert code == 0 and facts["id"] == load_recipe(name).expect.id
        assert sum(split["n"] for split in facts["splits"].values()) == count
        assert run(capsys, "verify", facts["folder"], "--regenerate", "all")[0] == 0
        code, out, _ = run(capsys, "-q", "preview", facts["folder"], "-o", f"{name}.png", "--count", 3)
        assert code == 0 and Image.open(f"{name}.png").size[0] > 100
        card = (Path(facts["folder"]) / "README.md").read_text()
        assert "luma" in card and "pixels seen" not in card
    code, out, _ = run(capsys, "sample", "pairs-demo", "all", 1)
    made = np.asarray(Image.open("pairs-demo-all-1.png"))
    assert code == 0 and np.array_equal(made, np.hstack(open_pairs("pairs-demo", "all", None).pair(1)))
    Path("small.toml").write_text(PATCHES)
    code, out, _ = run(capsys, "recipe", "check", "small.toml", "--source-dir", images)
    assert code == 0 and "2 views of 16×16×1" in out and "train " in out
    code, out, _ = run(capsys, "status")
    assert code == 0 and "pairs-demo 1.0.0: finished, 2 shards" in out
