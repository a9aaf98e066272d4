"""Targets alone give back the whole data set, bit for bit, or nothing. Oracle: the files of the build."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec
import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.formats import read_json
from fusionbench.core.io import canonical_json, shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.recipe_shards import restore_shard, strip_dataset
from fusionbench.data.recipes import parse_recipe
from fusionbench.data.shards.manifest import FILE, Manifest, ShardEntry, SplitEntry, StoredEntry, read_manifest
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import write_shard
from fusionbench.data.verify import verify_dataset
from tests.cli.runner import run
from tests.helpers import pair_folders
from tests.helpers.pair_folders import recipe as pair_recipe
from tests.helpers.stores import digits
from tests.sources import folders

pytest.importorskip("platformdirs")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(build_dataset(digits(), out=tmp_path_factory.mktemp("whole"), jobs=1))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small(whole: Dataset, tmp_path: Path) -> Path:
    return strip_dataset(whole, tmp_path / "small")


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.h5"))


def test_it_is_the_same_data_set_in_fewer_bytes(whole: Dataset, small: Path) -> None:
    dataset = open_dataset(small)
    assert dataset.id == whole.id and dataset.manifest.manifest_sha256 != whole.manifest.manifest_sha256
    assert size(small) < 0.45 * size(whole.folder)
    for split in whole.splits:
        for entry, theirs in zip(dataset.split(split).shards, whole.split(split).shards, strict=True):
            stored = open_shard(small / entry.file)
            assert set(stored.arrays) == {"index", "targets", "label"}
            made = dataset.shard_file(entry).read_bytes()
            assert made == (whole.folder / theirs.file).read_bytes()  # the very file of the build
            assert msgspec.structs.replace(entry, stored=msgspec.UNSET) == theirs
        mine, original = dataset.arrays(split).columns, whole.arrays(split).columns
        assert mine.keys() == original.keys()
        assert all(np.array_equal(mine[name], original[name]) for name in original)


def test_the_manifest_says_what_the_files_are(small: Path, whole: Dataset) -> None:
    raw = json.loads((small / FILE).read_bytes())
    assert raw["format"] == "fusionbench.dataset/1.1" and whole.manifest.format == "fusionbench.dataset/1"
    assert "stored" not in (whole.folder / FILE).read_text()
    sizes = {path.name: path.stat().st_size for path in small.iterdir()}
    for split in read_manifest(small).splits.values():
        for entry in split.shards:
            assert isinstance(entry.stored, StoredEntry) and entry.on_disk[0] == sizes[entry.file] < entry.bytes
    described = json.loads((small / "croissant.json").read_bytes())["distribution"]
    assert all(file["contentSize"] == f"{sizes[file['name']]} B" for file in described) and "README.md" in sizes


def test_a_release_that_does_not_know_them_refuses_in_one_line(small: Path) -> None:
    def without(kind: type[msgspec.Struct], left_out: set[str], **other: Any) -> type[msgspec.Struct]:
        hints = get_type_hints(kind, include_extras=True) | other
        fields: list[Any] = [
            (field.name, hints[field.name], *([] if field.required else [field.default]))
            for field in msgspec.structs.fields(kind)
            if field.name not in left_out
        ]
        return msgspec.defstruct(f"Old{kind.__name__}", fields, forbid_unknown_fields=True, kw_only=True)

    entry = without(ShardEntry, {"stored"})
    split = without(SplitEntry, {"coverage"}, shards=list[entry], cutouts=entry | None)  # type: ignore[valid-type]
    kinds = {"splits": dict[str, split], "format": Literal["fusionbench.dataset/1"]}  # type: ignore[valid-type]
    old = without(Manifest, {"refused"}, **kinds)
    with pytest.raises(
        DataError, match=r"is a fusionbench\.dataset/1\.1, fusionbench .* reads fusionbench\.dataset/1;"
    ):
        read_json((small / FILE).read_bytes(), old, small / FILE, (split, entry))


def test_overlays_are_made_from_the_bank_that_comes_along(tmp_path: Path, cache: Path) -> None:
    folders.coil(tmp_path / "coil")
    text = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text().partition("[expect]")[0]
    text = text.replace("shard_size = 1024", "shard_size = 5").replace("every = 6", "every = 3")
    recipe = parse_recipe(text.encode(), "coil.toml")
    built = open_dataset(build_dataset(recipe, tmp_path / "coil", tmp_path / "out", jobs=1))
    small = strip_dataset(built, tmp_path / "small")
    dataset = open_dataset(small)
    for split in built.splits:
        mine, theirs = dataset.arrays(split).columns, built.arrays(split).columns
        assert mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in theirs)
    assert verify_dataset(small, "all", tmp_path / "coil").ok
    bank = built.split("train").cutouts
    assert bank is not None and (small / bank.file).read_bytes() == (built.folder / bank.file).read_bytes()
    content = bytearray((small / bank.file).read_bytes())
    content[-9] ^= 1
    (small / bank.file).write_bytes(content)
    shutil.rmtree(cache)
    with pytest.raises(DataError, match=f"{bank.file}: its sha256 is not that of"):
        open_dataset(small).arrays("train")
    assert bank.file in {problem.file for problem in verify_dataset(small).problems}


@pytest.mark.parametrize("form", ["fusionbench.dataset/1", "stored gone"])
def test_a_manifest_that_contradicts_itself_is_refused(form: str, small: Path) -> None:
    raw = json.loads((small / FILE).read_bytes())
    if form == "stored gone":
        for split in raw["splits"].values():
            for entry in split["shards"]:
                del entry["stored"]
    else:
        raw["format"] = form
    (small / FILE).write_bytes(canonical_json(raw))
    with pytest.raises(DataError, match="which its shards contradict"):
        open_dataset(small)


def test_the_card_is_that_of_the_whole_form(small: Path, whole: Dataset, tmp_path: Path) -> None:
    again = strip_dataset(open_dataset(small), tmp_path / "again")
    for name in ("README.md", "preview.png"):
        assert (again / name).read_bytes() == (small / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_changed_file_is_not_used(small: Path, cache: Path) -> None:
    dataset = open_dataset(small)
    path = small / dataset.split("test").shards[0].file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="its sha256 is not that of"):
        dataset.arrays("test")
    path.unlink()
    with pytest.raises(DataError, match="no such shard"):
        dataset.arrays("test")
    assert not list((cache / "files").glob("*/*"))


def forged(small: Path, **arrays: Any) -> None:
    """Write the first test shard again with other arrays, and put its digest into the manifest."""
    raw = json.loads((small / FILE).read_bytes())
    entry = raw["splits"]["test"]["shards"][0]
    shard = open_shard(small / entry["file"])
    kept = {name: np.array(array) for name, array in shard.arrays.items()} | arrays
    kept = {name: array for name, array in kept.items() if array is not None}
    header = {k: v for k, v in shard.header.items() if k not in ("format", "content_sha256", "arrays")}
    (small / entry["file"]).unlink()
    written = write_shard(small / entry["file"], kept, header)
    entry["stored"] = {"bytes": written["bytes"], "file_sha256": written["file_sha256"]}
    (small / FILE).write_bytes(canonical_json(raw))


@pytest.mark.parametrize(
    "arrays,reason",
    [
        ({"targets": np.zeros((296, 32, 32), np.uint8)}, "the views made of it are not those of the data set"),
        ({"targets": np.zeros((296, 16, 16), np.uint8)}, "'targets' is not uint8"),
        ({"targets": None}, "'targets' is not uint8"),
        ({"label": None}, "does not hold what its recipe shard should"),
        ({"views": np.zeros((296, 3, 32, 32), np.uint8)}, "does not hold what its recipe shard should"),
    ],
)
def test_a_forged_file_is_not_used(arrays: dict[str, Any], reason: str, small: Path, cache: Path) -> None:
    forged(small, **arrays)
    with pytest.raises(DataError, match=reason) as caught:
        open_dataset(small).arrays("test")
    assert "\n" not in str(caught.value) and not [path for path in cache.rglob("*.h5*") if path.suffix != ".lock"]


def test_views_are_not_made_when_they_cannot_be_right(whole: Dataset, small: Path, tmp_path: Path) -> None:
    entry = open_dataset(small).split("test").shards[0]
    little = msgspec.structs.replace(entry, bytes=1000)

    class Never:
        def params(self, *_: Any) -> None:
            raise AssertionError("nothing is made")

    with pytest.raises(DataError, match="larger than the shard should be"):
        restore_shard(whole.recipe, Never(), small / entry.file, little, tmp_path / "x.h5")  # type: ignore[arg-type]


def test_nothing_damaged_is_passed_on(tmp_path: Path, whole: Dataset) -> None:
    folder = shutil.copytree(whole.folder, tmp_path / "copy")
    path = next(folder.glob("*test*.h5"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="its bytes have changed"):
        strip_dataset(open_dataset(folder), tmp_path / "out")
    assert not (tmp_path / "out" / FILE).exists()


def test_what_has_no_views_to_make(tmp_path: Path, small: Path, whole: Dataset) -> None:
    pairs = open_dataset(build_dataset(pair_recipe(), pair_folders.write(tmp_path / "i"), tmp_path / "p", jobs=1))
    with pytest.raises(UsageError, match="recipe shards are for views that are made"):
        strip_dataset(pairs, tmp_path / "out")
    with pytest.raises(UsageError, match="not empty"):
        strip_dataset(whole, small)
    again = strip_dataset(open_dataset(small), tmp_path / "again")  # of recipe shards, too
    assert (again / FILE).read_bytes() == (small / FILE).read_bytes() and size(again) == size(small)


def test_the_command(whole: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "export", whole.folder, "--to", "targets", "-o", tmp_path / "out")
    assert code == 0 and out.strip() == str(tmp_path / "out"), err
    assert run(capsys, "verify", tmp_path / "out", "--regenerate", "10")[0] == 0
    assert run(capsys, "diff", tmp_path / "out", whole.folder)[:2] == (0, "the data are the same\n")
