"""Data sets whose source changes: never the old id, never two sources in one, and an update is a build from nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionbench.core import progress
from fusionbench.core.errors import DataError, UsageError
from fusionbench.data import build, build_shards
from fusionbench.data.build import build_dataset
from fusionbench.data.build_shards import JOURNAL
from fusionbench.data.recipes import AnyRecipe
from fusionbench.data.shards.manifest import read_manifest
from fusionbench.data.source_record import RECORD
from tests.data.test_build import contents
from tests.data.test_refused import TEXT, image, recipe, write_good
from tests.sources import folders


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_good(tmp_path / "files")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said but for the ends of progress bars."""
    lines: list[str] = []
    monkeypatch.setattr(progress, "say", lambda text: None if re.search(r": \d+/\d+ ", text) else lines.append(text))
    return lines


def from_nothing(chosen: AnyRecipe, root: Path, out: Path) -> dict[str, bytes]:
    """The files of a build of ``root`` in a folder that was not there."""
    shutil.rmtree(out, ignore_errors=True)
    return contents(build_dataset(chosen, root, out))


def shards(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every shard: another one was written when they differ."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*.h5")}


def test_a_changed_source_never_gives_the_old_data_set(root: Path, tmp_path: Path) -> None:
    folder = build_dataset(recipe(), root, tmp_path / "out")
    before = contents(folder)
    for i in range(20):
        folders.save(root / f"{i:02d}.png", image(i + 100))
    with pytest.raises(DataError) as caught:
        build_dataset(recipe(), root, tmp_path / "out")
    text = str(caught.value)
    assert "20 files changed (00.png, 01.png, 02.png and 17 more)" in text and "\n" not in text
    assert all(remedy in text for remedy in ("--update", "--force", "--out")) and text.count("…") >= 2
    assert contents(folder) == before, "it was refused"
    updated = build_dataset(recipe(), root, tmp_path / "out", update=True)
    assert updated == folder and contents(folder) == from_nothing(recipe(), root, tmp_path / "fresh") != before


def test_force_makes_all_again_of_a_changed_source(root: Path, tmp_path: Path) -> None:
    folder = build_dataset(recipe(), root, tmp_path / "out")
    folders.save(root / "04.png", image(40))
    before = shards(folder)
    assert contents(build_dataset(recipe(), root, tmp_path / "out", force=True)) == from_nothing(
        recipe(), root, tmp_path / "fresh"
    )
    assert all(shards(folder)[name] != was for name, was in before.items())
    with pytest.raises(UsageError, match="choose one"):
        build_dataset(recipe(), root, tmp_path / "out", force=True, update=True)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda root: folders.save(root / "04.png", image(40)), "1 file changed (04.png)"),
        (lambda root: folders.save(root / "99.png", image(40)), "1 file added (99.png)"),
        (lambda root: (root / "04.png").unlink(), "1 file removed (04.png)"),
        (lambda root: os.replace(root / "04.png", root / "041.png"), "1 file added (041.png); 1 file removed (04.png)"),
    ],
)
def test_every_kind_of_change_is_told(root: Path, tmp_path: Path, edit: Callable[[Path], object], text: str) -> None:
    build_dataset(recipe(), root, tmp_path / "out")
    edit(root)
    with pytest.raises(DataError) as caught:
        build_dataset(recipe(), root, tmp_path / "out")
    assert text in str(caught.value)


def test_files_that_are_the_same_are_no_change(root: Path, tmp_path: Path, said: list[str]) -> None:
    """Touched, copied to another folder, or not used by the recipe."""
    first = recipe_of_first(4)
    folder = build_dataset(first, root, tmp_path / "out")
    before = shards(folder)
    for path in root.iterdir():
        os.utime(path)
    build_dataset(first, root, tmp_path / "out")
    copy = shutil.copytree(root, tmp_path / "copy")
    folders.save(copy / "19.png", image(50))  # only the first four of each split are used
    build_dataset(first, copy, tmp_path / "out", update=True)
    assert shards(folder) == before and said == []
    folders.save(copy / "01.png", image(50))
    with pytest.raises(DataError, match="1 file changed"):
        build_dataset(first, copy, tmp_path / "out")


def recipe_of_first(count: int) -> AnyRecipe:
    return recipe(TEXT.replace("every = 3", f"every = 3\nfirst = {count}"))


def test_an_update_makes_what_is_concerned_and_says_so(root: Path, tmp_path: Path, said: list[str]) -> None:
    folder = build_dataset(recipe(), root, tmp_path / "out")
    before = shards(folder)
    folders.save(root / "00.png", image(50))
    build_dataset(recipe(), root, tmp_path / "out", update=True)
    changed = [name for name, was in before.items() if shards(folder)[name] != was]
    assert changed == ["mine-1.0.0-train-00000-of-00004.h5"]
    assert said[-1] == f"mine: 1 of 6 shards made again: {changed[0]}"


def test_shards_that_only_have_another_name_are_kept(root: Path, tmp_path: Path, said: list[str]) -> None:
    """A file at the end, one shard more, and another number of shards in every name."""
    for i in (20, 21, 22):
        folders.save(root / f"{i}.png", image(i))
    folder = build_dataset(recipe(), root, tmp_path / "out")
    before = {path.name: path.stat().st_ino for path in folder.glob("*.h5")}
    for i in range(23, 29):
        folders.save(root / f"{i}.png", image(i))
    build_dataset(recipe(), root, tmp_path / "out", update=True)
    now = {path.name: path.stat().st_ino for path in folder.glob("*.h5")}
    for number in range(3):
        old, new = (f"mine-1.0.0-train-{number:05d}-of-{count:05d}.h5" for count in (4, 5))
        assert old not in now and now[new] == before[old]
    assert contents(folder) == from_nothing(recipe(), root, tmp_path / "fresh")
    assert {path.name.removesuffix(".json") for path in (folder / JOURNAL).glob("*.h5.json")} == now.keys()


EDITS = st.lists(
    st.tuples(st.sampled_from(["change", "add", "remove", "rename", "same"]), st.integers(0, 40), st.integers(0, 99)),
    min_size=1,
    max_size=4,
)


def edit(root: Path, kind: str, place: int, seed: int) -> None:
    names = sorted(path.name for path in root.iterdir())
    chosen = root / names[place % len(names)]
    if kind == "change":
        folders.save(chosen, image(seed + 100))
    elif kind == "add":
        folders.save(root / f"{seed:02d}{place}.png", image(seed + 300))
    elif kind == "remove" and len(names) > 6:
        chosen.unlink()
    elif kind == "rename" and not (root / f"{seed:02d}x.png").exists():
        chosen.rename(root / f"{seed:02d}x.png")
    elif kind == "same":
        chosen.write_bytes(chosen.read_bytes())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(EDITS, min_size=1, max_size=3))
def test_any_updates_give_what_a_build_from_nothing_gives(
    rounds: list[list[tuple[str, int, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("edits")
    root = write_good(place / "files", 12)
    folder = build_dataset(recipe(), root, place / "out")
    for edits in rounds:
        before = {name: content for name, content in contents(folder).items() if name.endswith(".h5")}
        was = shards(folder)
        for one in edits:
            edit(root, *one)
        build_dataset(recipe(), root, place / "out", update=True)
        expected = from_nothing(recipe(), root, place / "fresh")
        assert contents(folder) == expected
        written = {name for name, now in shards(folder).items() if was.get(name) not in (None, now)}
        untouched = {name for name in before if name in expected and name not in written}
        assert all(before[name] == expected[name] for name in untouched)
        assert build_dataset(recipe(), root, place / "out") == folder


def test_a_record_is_that_of_its_data_set(root: Path, tmp_path: Path, said: list[str]) -> None:
    """One of another data set, or a damaged one, counts as none: pixels are compared instead, once."""
    folder = build_dataset(recipe(), root, tmp_path / "out")
    record = folder / JOURNAL / RECORD
    good = record.read_bytes()
    identity = read_manifest(folder).id.encode()
    for bad in (b"", b"[" * 100_000, good[:-9], good.replace(identity, b"0" * 64), good.replace(b'"all"', b"7")):
        record.write_bytes(bad)
        assert build_dataset(recipe(), root, tmp_path / "out") == folder
        assert "comparing its images with the manifest, once" in said.pop() and record.read_bytes() == good
    build_dataset(recipe(), root, tmp_path / "out")
    assert said == []


def as_an_older_release(folder: Path) -> None:
    """What a build of version 0.1 left: notes with sizes and times, and nothing else."""
    for name in (RECORD, "digests.json"):
        (folder / JOURNAL / name).unlink()
    for path in (folder / JOURNAL).glob("*.h5.json"):
        note = json.loads(path.read_bytes())
        del note["split"]
        path.write_text(json.dumps({**note, "state": "0123.4567"}))


def test_a_data_set_of_an_older_release(root: Path, tmp_path: Path, said: list[str]) -> None:
    folder = build_dataset(recipe(), root, tmp_path / "out")
    before = shards(folder)
    as_an_older_release(folder)
    assert build_dataset(recipe(), root, tmp_path / "out") == folder and len(said) == 1
    assert build_dataset(recipe(), root, tmp_path / "out") == folder and len(said) == 1, "it is remembered"
    as_an_older_release(folder)
    folders.save(root / "00.png", image(50))
    with pytest.raises(DataError, match=r"the images of 1 of 6 shards \(mine-1.0.0-train-00000-of-00004.h5\)"):
        build_dataset(recipe(), root, tmp_path / "out")
    build_dataset(recipe(), root, tmp_path / "out", update=True)
    assert sum(shards(folder)[name] != was for name, was in before.items()) == 1
    assert contents(folder) == from_nothing(recipe(), root, tmp_path / "fresh")


def test_a_second_build_in_one_process_lists_the_folder_anew(root: Path, tmp_path: Path) -> None:
    build_dataset(recipe(), root, tmp_path / "one")
    folders.save(root / "20.png", image(20))
    second = build_dataset(recipe(), root, tmp_path / "two")
    assert sum(split.n for split in read_manifest(second).splits.values()) == 21


def test_a_link_that_cannot_be_made_is_a_copy(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in (20, 21, 22):
        folders.save(root / f"{i}.png", image(i))
    build_dataset(recipe(), root, tmp_path / "out")
    for i in range(23, 29):
        folders.save(root / f"{i}.png", image(i))

    def refuse(*_: object) -> None:
        raise OSError(1, "no links here")

    made = []
    real = build.build_shard

    def count(chosen: AnyRecipe, source_dir: str, folder: Path, plan: object) -> object:
        made.append(plan)
        return real(chosen, source_dir, folder, plan)  # type: ignore[arg-type]

    monkeypatch.setattr(build_shards.os, "link", refuse)
    monkeypatch.setattr(build, "build_shard", count)
    folder = build_dataset(recipe(), root, tmp_path / "out", update=True)
    assert len(made) < len(list(folder.glob("*.h5")))
    monkeypatch.undo()
    assert contents(folder) == from_nothing(recipe(), root, tmp_path / "fresh")
