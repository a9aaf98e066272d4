"""A digest is computed again when, and only when, the stamp of a file says that it may have changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from fusionbench.data import file_digests
from fusionbench.data.file_digests import DigestCache


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a test are a moment old; their stamps count all the same."""
    monkeypatch.setattr(file_digests, "_SETTLED", -1)


def digests(cache: DigestCache, root: Path) -> tuple[dict[str, str], int]:
    """Digests of all files below ``root``, and how many were read for it."""
    before = cache.hashed
    found = cache.sha256_of({path.name: path for path in sorted(root.iterdir())})
    return found, cache.hashed - before


def expected(root: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.iterdir()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    for i in range(50):  # enough for threads
        (tmp_path / "files" / f"{i:02d}").write_bytes(bytes([i]) * 100)
    return tmp_path / "files"


def test_an_unchanged_file_is_read_once(root: Path, tmp_path: Path) -> None:
    cache = DigestCache(tmp_path / "cache.json")
    assert digests(cache, root) == (expected(root), 50)
    assert digests(cache, root) == (expected(root), 0)
    cache.save()
    assert digests(DigestCache(tmp_path / "cache.json"), root) == (expected(root), 0)


def test_a_changed_file_is_read_again(root: Path) -> None:
    cache = DigestCache()
    digests(cache, root)
    (root / "03").write_bytes(b"longer than before" * 10)
    assert digests(cache, root) == (expected(root), 1)
    os.utime(root / "04")  # touched
    assert digests(cache, root) == (expected(root), 1)
    os.replace(root / "06", root / "05")
    found, count = digests(cache, root)
    assert found == expected(root) and count == 1


@pytest.mark.skipif(os.name != "posix", reason="has no time of the last change of anything")
def test_a_time_that_was_set_back_hides_nothing(root: Path) -> None:
    cache = DigestCache()
    digests(cache, root)
    before = (root / "07").stat()
    (root / "07").write_bytes(b"x" * 100)
    os.utime(root / "07", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (root / "07").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert digests(cache, root) == (expected(root), 1)


def test_a_file_that_has_just_been_written_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be written once more within the resolution of the file system's clock."""
    monkeypatch.setattr(file_digests, "_SETTLED", 3600 * 10**9)
    cache = DigestCache()
    assert digests(cache, root)[1] == digests(cache, root)[1] == 50
    os.utime(root / "08", ns=(5, 5))  # its contents are old, the rest of the stamp is new
    assert digests(cache, root)[1] == 50


def test_what_cannot_be_read_has_no_digest(root: Path) -> None:
    cache = DigestCache()
    cache.sha256("09", root / "09")
    (root / "09").unlink()
    assert cache.sha256("09", root / "09") == "" and "09" not in cache
    os.symlink("09", root / "09")  # a link to itself
    assert cache.sha256("09", root / "09") == cache.sha256("folder", root) == cache.sha256("nul", "a\0b") == ""


GOOD = ["size", "changed", "touched", "inode", "0" * 64, True]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"version":1,"files":' + b"[" * 100_000,
        b'{"version":2,"files":{}}',
        json.dumps({"version": 1, "files": {"00": GOOD}}).encode(),
        json.dumps({"version": 1, "files": {"00": [1, 2, 3, 4, "0" * 64 + "\n", True]}}).encode(),
        json.dumps({"version": 1, "files": {"00": [1, 2, 3, 10**40, "0" * 64, True]}}).encode(),
        json.dumps({"version": 1, "files": {"00": [1]}}).encode(),
    ],
)
def test_a_damaged_cache_is_an_empty_one(root: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache.json").write_bytes(content)
    cache = DigestCache(tmp_path / "cache.json")
    assert digests(cache, root) == (expected(root), 50)
    cache.save()
    assert digests(DigestCache(tmp_path / "cache.json"), root)[1] == 0


def test_a_place_that_cannot_be_written_costs_nothing_but_time(root: Path, tmp_path: Path) -> None:
    cache = DigestCache(tmp_path / "none" / "cache.json")
    digests(cache, root)
    cache.save()
    (tmp_path / "file").write_text("")
    cache.path = tmp_path / "file" / "cache.json"
    cache.save()
    assert not (tmp_path / "none").exists()


def test_a_digest_is_trusted_unless_the_file_is_newer_than_its_witness(root: Path) -> None:
    cache, given = DigestCache(), "a" * 64
    os.utime(root / "10", ns=(10**18, 10**18))
    cache.trust("10", root / "10", given, root / "11")
    assert cache.sha256("10", root / "10") == given
    os.utime(root / "12", ns=(10**18, 10**18))
    cache.trust("11", root / "11", given, root / "12")  # changed after the witness
    assert cache.sha256("11", root / "11") == expected(root)["11"]
