"""``open_pairs``: every way to name registered pairs, which of two meanings wins, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusionbench.core import deprecation
from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.io import digest
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation import pair_sets
from fusionbench.evaluation.pair_sets import PairSet, are_pairs, open_pairs, pairs_of_suite
from fusionbench.evaluation.suites import Suite, load_suite
from fusionbench.sources.pair_folders import PairFolders
from tests.helpers import pair_folders
from tests.sources import folders


def write(root: Path, a: str, b: str, stems: str = "123", seed: int = 0) -> Path:
    """Noise in two folders below ``root``."""
    rng = np.random.default_rng(seed)
    for stem in stems:
        for side in (a, b):
            folders.save(root / side / f"{stem}.png", rng.integers(0, 256, (12, 16), np.uint8))
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def stored_tno(place: Path, seed: int) -> Path:
    """A data set of whole pairs of the source tno."""
    images = write(place.parent / f"images{seed}", "ir", "vi", seed=seed)
    text = pair_folders.TEXT.replace('"pairs"', '"tno"').replace('"all"', '"test"').replace("small-pairs", "tno")
    recipe = pair_folders.recipe(text.replace("splits.train", "splits.test").replace("[24, 32]", "[8, 8]"))
    return build_dataset(recipe, images, place)


def test_a_set_of_pairs_is_the_first_pairs_of_a_split(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    pairs = open_pairs("pairs", "all", tmp_path, limit=2)
    assert pairs.stems == ["1", "2"] and len(pairs) == len(list(pairs)) == 2 and pairs.name == "pairs"
    assert pairs.pair(1).shape == (2, 12, 16) and pairs.pair(1).dtype == np.uint8 and pairs.size(1) == (12, 16)
    identity = pairs.identity
    assert (identity.name, identity.version, identity.split, identity.n) == ("pairs", "1.0.0", "all", 2)
    assert identity.ids_sha256 == digest(["1", "2"])
    state = hashlib.sha256()  # over the whole split, whatever the limit
    for stem, pair in zip("123", open_pairs(tmp_path), strict=True):
        state.update(f"{stem} (2, 12, 16) ".encode() + pair.tobytes())
    assert identity.id == state.hexdigest()


def test_every_way_to_name_image_files(here: Path, tmp_path: Path) -> None:
    files = write(tmp_path / "tno", "ir", "vi")
    found = [
        open_pairs("tno", "test", files),
        open_pairs("tno", None, str(files)),
        open_pairs("tno", root=files),
        open_pairs(files),
        open_pairs(str(files), "test"),
    ]
    assert all(pairs.identity == found[0].identity and pairs.name == "tno" for pairs in found)
    files.rename(here / "tno")
    assert open_pairs("tno").identity == found[0].identity, "the folder of that name here"
    (here / "tno").rename(here / "Mine")
    plain = open_pairs("Mine")
    assert plain.name == "pairs" and plain.split == "all" and plain.stems == ["1", "2", "3"]


def test_a_data_set_below_data_is_what_the_name_of_a_source_means_first(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_tno(here / "data", seed=1)
    write(here / "tno", "ir", "vi", seed=2)
    files, stored = open_pairs(here / "tno"), open_pairs(here / "data/tno")
    assert files.identity.id != stored.identity.id and files.name == stored.name == "tno"
    capsys.readouterr()
    assert open_pairs("tno", "test").identity == stored.identity
    assert "pairs of tno are those of the data set data/tno" in capsys.readouterr().err
    assert open_pairs("tno/").identity == files.identity, "a path is a path"
    assert open_pairs("tno", None, here / "tno").identity == files.identity
    assert open_pairs("tno", None, here / "data/tno").identity == stored.identity
    with pytest.raises(DataError, match="a data set of 'tno', not of 'roadscene'"):
        open_pairs("roadscene", None, here / "data/tno")


def test_an_embedded_source_needs_no_folder_and_ignores_one_of_its_name(here: Path) -> None:
    wanted = open_pairs("pairs-demo", None, None).identity
    write(here / "pairs-demo", "a", "b")
    assert open_pairs("pairs-demo").identity == wanted and open_pairs("pairs-demo", "all", here).identity == wanted


def test_images_without_a_partner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "a", "b")
    (tmp_path / "a/2.png").unlink()
    pairs = open_pairs(tmp_path)
    assert pairs.stems == ["1", "3"] and pairs.missing == {"2": "a"}
    assert "2 (not in a)" in capsys.readouterr().err
    for what, root in ((tmp_path, None), ("pairs", tmp_path)):
        with pytest.raises(DataError, match=r"2 \(not in a\)"):
            open_pairs(what, None, root, strict=True)


def test_files_of_a_set_are_named_where_it_has_some(here: Path, tmp_path: Path) -> None:
    files = write(tmp_path / "set", "a", "b")
    assert open_pairs(files).files()["2"] == (files / "a/2.png", files / "b/2.png")
    for what in ("pairs-demo", stored_tno(here / "data", seed=1)):
        with pytest.raises(DataError, match="not in image files"):
            open_pairs(what).files()


def test_ranges_are_for_image_files(here: Path, tmp_path: Path) -> None:
    files, ranges = write(tmp_path / "set", "a", "b"), Ranges.parse("0:100")
    assert open_pairs(files, ranges=ranges).ranges == ranges and open_pairs("pairs-demo").ranges == Ranges()
    assert (open_pairs(files, ranges=ranges).pair(0)[0] == 255).mean() > 0.5  # of values that reach 255
    with pytest.raises(UsageError, match="takes no ranges"):
        open_pairs("pairs-demo", ranges=ranges)
    stored_tno(here / "data", seed=1)
    for what, root in (("tno", None), (here / "data/tno", None), ("tno", here / "data/tno")):
        with pytest.raises(UsageError, match="stored in 8 bits"):
            open_pairs(what, None, root, ranges=ranges)


def test_what_is_no_source_of_pairs_or_no_split_is_refused() -> None:
    with pytest.raises(UsageError, match="no pairs"):
        open_pairs("digits", "all")
    with pytest.raises(UsageError, match="split"):
        open_pairs("pairs-demo", "tets")


def test_names_that_mean_nothing_are_one_line_with_a_suggestion(here: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown folder or source of pairs 'tnoo'.*Did you mean 'tno'"):
        open_pairs("tnoo")
    with pytest.raises(UsageError, match="Unknown folder or source of pairs ''"):
        open_pairs("")
    with pytest.raises(UsageError, match="--source-dir DIR"):
        open_pairs("tno")
    (here / "empty").mkdir()
    with pytest.raises(DataError, match="no pairs here; looked for a/ and b/"):
        open_pairs("empty")


def test_what_claims_to_be_pairs(here: Path) -> None:
    assert are_pairs("tno") and not are_pairs("digits") and not are_pairs("nothing")
    write(here / "set", "a", "b")
    write(here / "other", "left", "right")
    assert are_pairs("set"), "both views lie where pairs have them"
    assert not are_pairs("other"), "images of any kind may lie in a folder: somebody has to say what they are"
    folder = stored_tno(here / "data", seed=1)
    digits = build_dataset(load_recipe("fusiondigits"), out=here / "data")
    assert are_pairs(str(folder)) and not are_pairs(str(digits)) and not are_pairs("fusiondigits")


def suite_of(source: str, split: str) -> Suite:
    return msgspec.structs.replace(load_suite("pairs-demo"), dataset=source, split=split)


def test_pairs_of_a_suite_in_folders_of_any_name(tmp_path: Path) -> None:
    write(tmp_path, "thermal", "day")
    pairs = pairs_of_suite(suite_of("tno", "test"), tmp_path / "thermal", tmp_path / "day")
    assert pairs.name == "tno" and pairs.stems == ["1", "2", "3"]
    for name, usual in (("thermal", "ir"), ("day", "vi")):
        shutil.copytree(tmp_path / name, tmp_path / usual)
    assert pairs.identity == open_pairs("tno", "test", tmp_path).identity
    with pytest.raises(UsageError, match="the source 'digits' has no pairs"):
        pairs_of_suite(suite_of("digits", "test"), tmp_path / "ir", tmp_path / "vi")
    with pytest.raises(DataError, match="astronaut: not in both folders"):
        pairs_of_suite(suite_of("pairs-demo", "all"), tmp_path / "ir", tmp_path / "vi")


def test_former_names_say_the_new_one(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    (tmp_path / "a/2.png").unlink()
    deprecation._WARNED.clear()
    with pytest.warns(FutureWarning, match=r"find_pairs is deprecated .* use fusionbench.*open_pairs"):
        assert pair_sets.find_pairs(tmp_path).stems == ["1", "3"]
    with pytest.warns(FutureWarning, match="pairs_in"), pytest.raises(DataError, match="lack a partner"):
        pair_sets.pairs_in(tmp_path)  # strict, as it was
    with pytest.raises(AttributeError, match="no attribute 'pears'"):
        _ = pair_sets.pears


def test_only_a_set_that_is_scored_holds_its_pixels(tmp_path: Path) -> None:
    """Builds read every pair once: they would pay memory for nothing."""
    write(tmp_path, "a", "b")
    source = open_pairs(tmp_path).source
    assert isinstance(source, PairFolders)
    source.read_pairs("all", np.array([0]))
    assert source._decoded.used_bytes == 2 * 12 * 16
    alone = type(source)(tmp_path)
    alone.read_pairs("all", np.array([0]))
    assert alone._decoded.used_bytes == 0
    PairSet(source, "all")
    assert source._decoded.used_bytes == 2 * 12 * 16, "a second look at the set keeps what is there"
