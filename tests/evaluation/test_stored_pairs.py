"""A stored data set of whole pairs in place of its image files: the same names, pixels, splits and identity."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.evaluation.stored_pairs import StoredPairs, holds_dataset
from fusionbench.sources.pair_folders import Layout
from fusionbench.sources.pairs import Pairs
from tests.cli.runner import run
from tests.helpers import pair_folders
from tests.helpers.pair_suite import SMALL, small_suite


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return small_suite(tmp_path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pair_folders.write(tmp_path_factory.mktemp("files") / "images")


@pytest.fixture(scope="module")
def folder(files: Path) -> Path:
    return build_dataset(pair_folders.recipe(), files, files.parent / "data")


def test_names_pixels_and_fingerprint_are_those_of_the_files(files: Path, folder: Path) -> None:
    stored, source = StoredPairs(folder), Pairs(files)
    assert stored.splits == ("train",) and stored.length("train") == 5
    assert stored.stems("train") == source.stems("all") == [f"scene {number}" for number in range(5)]
    order = np.array([3, 0, 4])
    found, wanted = stored.read_pairs("train", order), source.read_pairs("all", order)
    assert [pair.shape for pair in found] == [(2, 48, 48), (2, 40, 56), (2, 40, 41)]
    assert all(map(np.array_equal, found, wanted))
    state = hashlib.sha256()  # as docs/images.md defines it: names, shapes, pixels
    for stem, pair in zip(source.stems("all"), source.read_pairs("all", np.arange(5)), strict=True):
        state.update(f"{stem} {pair.shape} ".encode() + pair.tobytes())
    assert stored.fingerprint("train") == state.hexdigest()


def test_pairs_may_be_changed_without_changing_the_data_set(folder: Path) -> None:
    stored = StoredPairs(folder)
    (pair,) = stored.read_pairs("train", np.array([1]))
    before = pair.copy()
    pair[:] = 0
    assert np.array_equal(stored.read_pairs("train", np.array([1]))[0], before)


def test_what_the_files_had_is_said_of_the_data_set(folder: Path) -> None:
    stored = StoredPairs(folder)
    assert (stored.name, stored.redistributable, stored.licence) == (Pairs.name, Pairs.redistributable, Pairs.licence)
    assert stored.missing("train") == {} and stored.ranges_of("train") == Ranges()
    for ask in (stored.missing, stored.ranges_of, stored.fingerprint, stored.length):
        with pytest.raises(UsageError, match=r"Unknown split of .*tran.*Did you mean 'train'"):
            ask("tran")


def test_a_split_by_name_is_there_when_all_its_pairs_are(
    files: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"some": ("scene 1", "scene 3"), "more": ("scene 1", "scene 9")}
    layouts = {split: (Layout("a", "b", only=only),) for split, only in named.items()}
    monkeypatch.setattr(Pairs, "LAYOUTS", {"all": (Layout("a", "b"),), **layouts})
    stored, source = StoredPairs(folder), Pairs(files)
    assert stored.splits == ("train", "some") and stored.stems("some") == ["scene 1", "scene 3"]
    assert stored.fingerprint("some") == source.fingerprint("some") != stored.fingerprint("train")


def test_what_is_no_data_set_of_whole_pairs_is_refused(files: Path, tmp_path: Path) -> None:
    patches = build_dataset(pair_folders.recipe(pair_folders.PATCHES), files, tmp_path / "patches")
    with pytest.raises(UsageError, match="patches of pairs; whole pairs are scored"):
        StoredPairs(patches)
    digits = build_dataset(load_recipe("fusiondigits"), out=tmp_path / "digits")
    with pytest.raises(UsageError, match="no registered pairs; whole pairs are scored"):
        StoredPairs(digits)
    with pytest.raises(DataError, match="nothing"):
        StoredPairs(tmp_path / "nothing")


def test_where_a_data_set_is(folder: Path, files: Path, tmp_path: Path) -> None:
    assert holds_dataset(folder) and holds_dataset(folder.parent) and holds_dataset(folder.parent.parent)
    assert not holds_dataset(folder.parent.parent.parent), "several data sets may lie there"
    assert not holds_dataset(files) and not holds_dataset(tmp_path / "nothing")


def test_a_data_set_of_whole_pairs_takes_the_place_of_the_files(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = suite.parent
    (place / "set/a").rename(place / "set/ir")
    (place / "set/b").rename(place / "set/vi")
    suite.write_text(SMALL.replace('"pairs"', '"vifb"'))
    build_dataset(load_recipe("vifb"), place / "set", place / "data", jobs=1)
    where: dict[str, Any] = {"device": "cpu", "models": ["copy-b"]}
    [files] = run_suite(suite, source_dir=place / "set", out=place / "1", **where)
    [stored] = run_suite(suite, data_root=place / "data", out=place / "2", **where)
    [named] = run_suite(suite, source_dir=place / "data/vifb", out=place / "3", **where)
    assert files.id == stored.id == named.id
    scores = [{k: s.mean for k, s in result.scores.items()} for result in (files, stored, named)]
    assert scores[0] == scores[1] == scores[2]

    monkeypatch.chdir(place)
    code, _, err = run(capsys, "train", "average", "--data", "data/vifb", "--out", "run")
    assert code == 0, err
    words = ["evaluate", "run", "--out", "results", "--limit", 2]
    found = []
    for data in (["data/vifb"], ["vifb"], ["vifb", "--source-dir", "set"]):
        code, out, err = run(capsys, *words, "--data", *data)  # pairs, without being told so
        assert code == 0, err
        found.append(out)
    assert found[0] == found[1] == found[2]
