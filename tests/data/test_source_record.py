"""Which files a data set uses, what a shard depends on, and what has changed between two records."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.io import digest
from fusionbench.data.file_digests import DigestCache
from fusionbench.data.recipes import load_recipe
from fusionbench.data.shard_layout import open_source
from fusionbench.data.source_files import names_state
from fusionbench.data.source_record import (
    SourceDigests,
    SourceRecord,
    UsedFiles,
    compare_records,
    container_files,
    file_state,
    is_recordable,
    read_source_record,
    record_of,
    write_source_record,
)
from fusionbench.sources import SOURCES
from tests.data.test_refused import TEXT, recipe, write_good
from tests.helpers import pair_folders
from tests.sources import folders


def sha256(*paths: Path) -> str:
    found = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return found[0] if len(found) == 1 else digest(found)


def test_states_follow_the_contents_of_files(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files", 6)
    numbers = np.array([1, 4])
    source = open_source(recipe(), root, fresh=True)
    before = file_state(source, "all", numbers)
    (root / "02.png").write_bytes(b"")  # another one
    os.utime(root / "04.png", ns=(5, 5))
    assert file_state(source, "all", numbers) == before, "other files, and the same contents"
    (root / "04.png").write_bytes((root / "04.png").read_bytes() + b"?")
    changed = file_state(source, "all", numbers)
    assert changed != before and changed.partition(".")[0] == names_state(source, "all", numbers)
    (root / "04.png").unlink()
    assert file_state(source, "all", numbers) not in (before, changed)
    assert file_state(source, "all", numbers, more="of something else") not in (before, changed)
    fresh = open_source(recipe(), root, fresh=True)
    assert names_state(fresh, "all", numbers) != names_state(source, "all", numbers)  # 4 is another file


def test_states_follow_the_classes(tmp_path: Path) -> None:
    for folder in ("a", "c"):
        folders.save(tmp_path / folder / "1.png", folders.picture(1, 8, 8))
    source = open_source(recipe(), tmp_path, fresh=True)
    before = names_state(source, "all", np.array([1]))
    (tmp_path / "a" / "2").mkdir(parents=True)
    folders.save(tmp_path / "b" / "1.png", folders.picture(1, 8, 8))
    (tmp_path / "a" / "1.png").unlink()
    folders.save(tmp_path / "a" / "0.png", folders.picture(1, 8, 8))
    fresh = open_source(recipe(), tmp_path, fresh=True)
    assert fresh.names("all")[2] == source.names("all")[1] == "c/1.png"  # type: ignore[attr-defined]
    assert names_state(fresh, "all", np.array([2])) != before, "class 3 instead of 2"


def test_the_record_has_every_used_file(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files", 9)
    chosen = recipe(TEXT.replace('part = "rest"', 'part = "rest"\nfirst = 3'))
    source = open_source(chosen, root, fresh=True)
    record = record_of(chosen, source, SourceDigests(source, DigestCache()), "f" * 64)
    expected = {"train": ["00.png", "01.png", "03.png"], "test": ["02.png", "05.png", "08.png"]}
    assert record.splits == {
        split: [UsedFiles("all", names, None, [sha256(root / name) for name in names])]
        for split, names in expected.items()
    }
    write_source_record(tmp_path / "record.json", record)
    assert read_source_record(tmp_path / "record.json", "f" * 64) == record
    assert read_source_record(tmp_path / "record.json", "0" * 64) is None
    assert read_source_record(tmp_path / "none.json", "f" * 64) is None


def test_pairs_are_two_files(tmp_path: Path) -> None:
    root = pair_folders.write(tmp_path / "pairs")
    source = open_source(pair_folders.recipe(), root, fresh=True)
    found = SourceDigests(source, DigestCache()).images("all", [3])
    assert found == [sha256(root / "a" / "scene 3.png", root / "b" / "scene 3.png")]


def test_masks_belong_to_the_images_of_t_less(tmp_path: Path) -> None:
    source = SOURCES.get("tless")(folders.tless(tmp_path / "tless"))
    (split,) = source.splits[:1]
    (image,), (mask,) = source.paths(split, 0), source.companions(split, 0)  # type: ignore[attr-defined]
    assert mask.is_file() and SourceDigests(source, DigestCache()).images(split, [0]) == [sha256(image, mask)]


def test_embedded_sources_have_nothing_to_compare() -> None:
    source = open_source(load_recipe("fusiondigits"), None)
    assert not is_recordable(source) and file_state(source, "all", np.arange(3)) == ""
    assert container_files(source, "all") == []
    assert is_recordable(SOURCES.get("mnist")) and is_recordable(SOURCES.get("folder"))


def record(names: str, contents: str, labels: list[int] | None = None) -> SourceRecord:
    """One split; every letter is a file, and the digest of its contents."""
    files = UsedFiles("all", list(names), labels, [letter * 64 for letter in contents])
    return SourceRecord(1, "f" * 64, {"train": [files]})


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (record("abc", "123"), None),
        (record("abc", "153"), "1 file changed (b)"),
        (record("abcdefg", "1234567"), "4 files added (d, e, f and 1 more)"),
        (record("c", "3"), "2 files removed (a, b)"),
        (record("ab", "4" + "5"), "2 files changed (a, b); 1 file removed (c)"),
        (record("acb", "132"), "its files are assigned to other splits"),
        (record("abc", "123", [1, 1, 1]), "3 files in another class (a, b, c)"),
    ],
)
def test_what_has_changed_is_told(now: SourceRecord, what: str | None) -> None:
    before = record("abc", "123")
    found = compare_records(before, now)
    if what is None:
        assert found is None
    else:
        assert found is not None and found.what == what
        assert (found.before, found.now) == (before.fingerprint, now.fingerprint) and found.before != found.now


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"version":1,"id":"%s","splits":{"train":[{"source":"all","names":["a","b"],'
        b'"labels":null,"sha256":[""]}]}}' % (b"f" * 64),
        b'{"version":1,"id":"%s","splits":{"train":[{"source":"all","names":["a"],'
        b'"labels":[1,2],"sha256":[""]}]}}' % (b"f" * 64),
        b'{"version":1,"id":"%s","splits":{"train":[{"source":"all","names":["a"],'
        b'"labels":null,"sha256":["no digest"]}]}}' % (b"f" * 64),
        b'{"version":1,"id":"%s","splits":{},"more":1}' % (b"f" * 64),
    ],
)
def test_a_damaged_record_counts_as_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(content)
    assert read_source_record(tmp_path / "record.json", "f" * 64) is None


def test_names_of_files_are_one_line_in_messages() -> None:
    found = compare_records(record("a", "1"), record("\x1b", "1"))
    assert found is not None and "\x1b" not in found.what and "\\x1b" in found.what
