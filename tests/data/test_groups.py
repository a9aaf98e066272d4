"""Oracles: hashes and parts of names written out by hand; real builds of small folders."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.groups import group_facts, group_of, groups_of, is_held_out, read_groups
from fusionbench.data.preprocessing import select_indices
from fusionbench.data.recipe_base import GroupRule
from fusionbench.data.recipes import Recipe, load_recipe, parse_recipe
from fusionbench.data.shard_layout import open_source
from fusionbench.data.verify import verify_dataset
from tests.sources import folders

TEMPLATE = (shipped_folder("datasets_recipes") / "template.toml.txt").read_text().replace("@NAME@", "mine")
TEMPLATE = TEMPLATE.replace("height = 64\nwidth = 64", "height = 16\nwidth = 16").replace("every = 10", "every = 3")


def recipe(group_by: str, old: str = "", new: str = "") -> Recipe:
    text = TEMPLATE.replace('name = "folder"', f'name = "folder"\ngroup_by = {group_by}').replace(old, new)
    found = parse_recipe(text.encode(), "mine.toml")
    assert isinstance(found, Recipe)
    return found


def crops(root: Path, photographs: int = 12, each: int = 3) -> Path:
    for number in range(photographs):
        for crop in range(each):
            folders.save(root / f"photo_{number:02d}_{crop}.png", folders.picture(number + crop, 20, 24))
    return root


def sides(one: Recipe, root: Path) -> dict[str, set[str]]:
    source = open_source(one, root, fresh=True)
    names = np.array(source.names("all"))  # type: ignore[attr-defined]
    return {
        split: set(names[select_indices(rule, source, one.source.leave_out, one.source.group_by)])
        for split, rule in one.splits.items()
    }


@pytest.mark.parametrize(
    ("name", "before", "parts", "expected"),
    [
        ("photo_012_crop3.png", "_", 1, "photo"),
        ("photo_012_crop3.png", "_", 2, "photo_012"),
        ("cars/photo_012_crop3.png", "_", 2, "photo_012"),  # crops of a photograph can be in two classes
        ("photo_012.png", "_", 5, "photo_012"),
        ("alone.jpeg", "_", 1, "alone"),
        ("a.b.c.png", ".", 2, "a.b"),
        ("IMG--7--x.png", "--", 2, "IMG--7"),
        ("_x.png", "_", 1, ""),
    ],
)
def test_parts_of_names(name: str, before: str, parts: int, expected: str) -> None:
    assert group_of(name, GroupRule(before=before, parts=parts)) == expected


def test_names_of_pairs_have_no_ending() -> None:
    assert group_of("film.0001", GroupRule(before="_"), pair=True) == "film.0001"
    assert group_of("film.0001", GroupRule(before="."), pair=True) == "film"


@given(st.text(max_size=40), st.text(min_size=1, max_size=3), st.integers(1, 64))
def test_any_name_has_a_group_that_it_begins_with(name: str, before: str, parts: int) -> None:
    group = group_of(name, GroupRule(before=before, parts=parts))
    assert name.rpartition("/")[2].startswith(group)


def test_the_hash_of_a_group_decides() -> None:
    """Written out: these are the sides that data sets rely on for ever."""
    for group in ("photo_00", "photo_01", "é", ""):
        first = hashlib.sha256(b"fusionbench.group/1\x00" + group.encode()).hexdigest()[:16]
        assert is_held_out(group, 10) == (int(first, 16) % 10 == 9)
    assert [number for number in range(40) if is_held_out(f"photo_{number:02d}", 10)] == [26, 34, 36, 39]
    share = np.mean([is_held_out(str(number), 5) for number in range(5000)])
    assert abs(share - 0.2) < 0.02  # three standard errors


def test_crops_of_a_photograph_are_in_one_split(tmp_path: Path) -> None:
    root = crops(tmp_path / "in")
    one = recipe('{ before = "_", parts = 2 }')
    folder = build_dataset(one, root, tmp_path / "out")
    assert verify_dataset(folder, regenerate="all", source_dir=root).ok
    found = sides(one, root)
    photographs = {split: {name[:8] for name in names} for split, names in found.items()}
    assert found["train"] | found["test"] == {path.name for path in root.iterdir()}
    assert photographs["train"] and photographs["test"] and not photographs["train"] & photographs["test"]
    assert photographs["test"] == {name for name in photographs["test"] if is_held_out(name, 3)}
    dataset = open_dataset(folder)
    assert {split: dataset.size(split) for split in found} == {split: len(names) for split, names in found.items()}
    assert group_facts(one, open_source(one, root)) == {split: len(names) for split, names in photographs.items()}
    # without the rule, the same photograph is on both sides
    plain = sides(parse_recipe(TEMPLATE.encode()), root)  # type: ignore[arg-type]
    assert {name[:8] for name in plain["train"]} & {name[:8] for name in plain["test"]}


def test_other_files_move_nothing(tmp_path: Path) -> None:
    """Neither more photographs, nor fewer, nor crops that become classes."""
    one = recipe('{ before = "_", parts = 2 }')
    few, many = sides(one, crops(tmp_path / "few", 8)), sides(one, crops(tmp_path / "many", 30, 2))
    for split in few:
        common = {name for name in few[split] if not name.endswith("_2.png")}
        assert common <= many[split]
    for path in crops(tmp_path / "flat", 8).iterdir():
        (tmp_path / "classes" / path.stem[-1]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "classes" / path.stem[-1] / path.name)
    below = sides(one, tmp_path / "classes")
    assert {split: {name[2:] for name in names} for split, names in below.items()} == few
    assert sides(recipe('{ before = "_", parts = 2 }', "seed = 0", "seed = 7"), tmp_path / "few") == few


def test_files_that_are_left_out_move_nothing(tmp_path: Path) -> None:
    root = crops(tmp_path / "in", 8)
    before = sides(recipe('{ before = "_", parts = 2 }'), root)
    gone = min(before["test"])
    one = recipe(f'{{ before = "_", parts = 2 }}\nleave_out = {{ all = ["{gone}"] }}')
    assert sides(one, root) == {"train": before["train"], "test": before["test"] - {gone}}


def test_a_csv_says_which_files_belong_together(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for number in range(12):
        folders.save(root / f"{number:02d}.png", folders.picture(number, 20, 24))
    groups = {f"{number:02d}.png": f"film, {number // 2}" for number in range(12)}
    text = "\ufefffile,group\r\n" + "".join(f'{name},"{group}"\r\n' for name, group in groups.items()) + "other.png,x\n"
    (root / "groups.csv").write_bytes(text.encode())
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    one = recipe(f'{{ csv = "groups.csv", sha256 = "{sha256}" }}')
    assert groups_of(open_source(one, root, fresh=True), "all", one.source.group_by) == list(groups.values())  # type: ignore[arg-type]
    found = sides(one, root)
    assert {groups[name] for name in found["test"]} == {group for group in groups.values() if is_held_out(group, 3)}
    build_dataset(one, root, tmp_path / "out")

    (root / "groups.csv").write_bytes(text.encode() + b"more.png,x\n")
    with pytest.raises(DataError, match="put the file back, or write the new one"):
        sides(one, root)
    (root / "groups.csv").write_bytes(text.encode())
    folders.save(root / "12.png", folders.picture(1, 20, 24))
    with pytest.raises(DataError, match=r"12\.png is not in it"):
        sides(one, root)
    (root / "groups.csv").unlink()
    with pytest.raises(DataError, match="no such CSV of groups"):
        sides(one, root)
    (tmp_path / "elsewhere.csv").write_bytes(text.encode())
    (root / "groups.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(DataError, match="leads out of the folder"):
        sides(one, root)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "line 1: the first line"),
        (b"file;group\na;b\n", "line 1: the first line"),
        (b"file,group\na.png\n", "line 2: not a file and its group"),
        (b"file,group\na.png,x,y\n", "line 2: not a file and its group"),
        (b"file,group\na.png,\n", "line 2: not a file and its group"),
        (b"file,group\na.png,x\na.png,x\n", "line 3: a.png is there twice"),
        (b"file,group\na.png,\xff\n", "not UTF-8 at byte 17"),
        (b'file,group\n"a.png,x\n', "not CSV"),
        (b"file,group\na.png," + b"x" * 5000 + b"\n", "line 2"),
        (b"file,group\na.png," + b"x" * 200_000 + b"\n", "not CSV"),
        (b"file,group\n\x1b[2J.png,x\n\x1b[2J.png,x\n", "is there twice"),
    ],
)
def test_bad_csv(content: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read_groups(content, "groups.csv")
    text = str(error.value)
    assert reason in text and "\n" not in text and "\x1b" not in text and len(text) < 400


@pytest.mark.parametrize(
    ("group_by", "old", "new", "where", "reason"),
    [
        ("{}", "", "", "source.group_by", "either `before` or `csv`"),
        ('{ before = "_", csv = "a.csv" }', "", "", "source.group_by", "either `before` or `csv`"),
        ('{ before = "" }', "", "", "source.group_by.before", "length >= 1"),
        (f'{{ before = "{"x" * 17}" }}', "", "", "source.group_by.before", "length <= 16"),
        ('{ before = "/" }', "", "", "source.group_by.before", "folders"),
        ('{ before = "_", parts = 0 }', "", "", "source.group_by.parts", ">= 1"),
        ('{ csv = "a.csv" }', "", "", "source.group_by.sha256", "is needed"),
        ('{ csv = "../a.csv", sha256 = "" }', "", "", "source.group_by.csv", "regex"),
        ('{ csv = "a.csv\\n", sha256 = "" }', "", "", "source.group_by.csv", "regex"),
        ('{ regex = "(a+)+$" }', "", "", "source.group_by", "unknown field `regex`"),
        ('{ before = "_" }', 'part = "held-out"', 'part = "rest"', "splits.test.part", "could be in both"),
        ('{ before = "_" }', "every = 3", "every = 3\nper_class = true", "splits.train.per_class", "counts images"),
        ('{ before = "_" }', 'every = 3\npart = "rest"', "", "splits.train", "needs `every`"),
        ('{ before = "_" }', 'every = 3\npart = "rest"', 'every = 4\npart = "rest"', "splits.test.every", "the same"),
    ],
)
def test_mistakes_in_recipes(group_by: str, old: str, new: str, where: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        recipe(group_by, old, new)
    text = str(error.value)
    assert f": {where}: " in text and reason in text and "\n" not in text and "mine.toml, line" in text


def test_groups_that_cannot_be_split(tmp_path: Path) -> None:
    root = crops(tmp_path / "in", 4)
    with pytest.raises(DataError, match=r"no file name of 'all' has '#' in it.*photo_00_0\.png"):
        sides(recipe('{ before = "#" }'), root)
    with pytest.raises(DataError, match="of its 1 groups is held out with every = 3"):
        sides(recipe('{ before = "_" }'), root)
    digits = parse_recipe((shipped_folder("datasets_recipes") / "fusiondigits.toml").read_bytes())
    with pytest.raises(UsageError, match="'digits' has no files to group by"):
        groups_of(open_source(digits, None), "all", GroupRule(before="_"))


def test_recipes_without_groups_keep_their_hash() -> None:
    assert "group_by" not in load_recipe("fusiondigits").spec["source"]
    assert recipe('{ before = "_" }').hash != recipe('{ before = "-" }').hash
    with pytest.raises(FusionbenchError):
        recipe('"_"')
