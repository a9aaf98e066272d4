"""Files in the cache are what their names say, or they are made again."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data import remote_cache
from fusionbench.data.remote_cache import Cache, cache_limit, cache_root

A, B, C = (bytes([letter]) * 1000 for letter in b"abc")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Writer:
    """Writes ``content``, and counts how often."""

    def __init__(self, content: bytes) -> None:
        self.content, self.calls = content, 0

    def __call__(self, path: Path) -> None:
        self.calls += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)


def put(cache: Cache, content: bytes) -> Path:
    return cache.ensure(sha(content), len(content), Writer(content))


def test_a_file_is_made_once(tmp_path: Path) -> None:
    cache, write = Cache(tmp_path), Writer(A)
    assert cache.get(sha(A), 1000) is None
    path = cache.ensure(sha(A), 1000, write)
    assert path.read_bytes() == A and cache.ensure(sha(A), 1000, write) == path == Cache(tmp_path).get(sha(A), 1000)
    assert write.calls == 1


def test_an_unchanged_file_is_not_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(Cache(tmp_path), A)
    hashed: list[Path] = []
    monkeypatch.setattr(remote_cache, "file_sha256", lambda path: (hashed.append(path), sha(path.read_bytes()))[1])
    assert Cache(tmp_path).get(sha(A), 1000) == path and not hashed
    os.utime(path)
    assert Cache(tmp_path).get(sha(A), 1000) == path and hashed == [path]
    assert Cache(tmp_path).get(sha(A), 1000) == path and hashed == [path]


@pytest.mark.parametrize("damage", ["flipped", "flipped in secret", "cut", "longer", "gone", "note gone", "note"])
def test_a_damaged_file_is_made_again(damage: str, tmp_path: Path) -> None:
    cache, write = Cache(tmp_path), Writer(A)
    path = cache.ensure(sha(A), 1000, write)
    note, before = path.with_suffix(".json"), path.stat()
    if damage == "gone":
        path.unlink()
    elif damage == "note gone":
        note.unlink()
    elif damage == "note":
        note.write_bytes(b"[" * 3000)
    else:
        path.write_bytes({"cut": A[:-1], "longer": A + b"x"}.get(damage, b"x" + A[1:]))
        if damage == "flipped in secret":  # as when the time is put back
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.ensure(sha(A), 1000, write).read_bytes() == A
    assert write.calls == (1 if "note" in damage else 2)


def _ensure(root: Path, log: Path) -> None:
    def write(path: Path) -> None:
        with open(log, "a") as stream:
            stream.write("x")
        time.sleep(0.1)
        Writer(A)(path)

    assert Cache(root).ensure(sha(A), 1000, write).read_bytes() == A


def test_of_several_processes_one_writes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_ensure, args=(tmp_path / "c", tmp_path / "log")) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4 and (tmp_path / "log").read_text() == "x"


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        raise DataError("no")

    cache = Cache(tmp_path)
    with pytest.raises(DataError, match="no"):
        cache.ensure(sha(A), 1000, fail)
    assert cache.get(sha(A), 1000) is None and put(cache, A).read_bytes() == A


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    paths = {content: put(Cache(tmp_path, 10_000), content) for content in (A, B, C)}
    for age, content in ((3, B), (2, A), (1, C)):
        note = paths[content].with_suffix(".json")
        os.utime(note, (time.time() - age, time.time() - age))
    Cache(tmp_path, 10_000).get(sha(B), 1000)  # is used now
    assert Cache(tmp_path, 2000).prune() == 1000
    assert [content[:1] for content, path in paths.items() if path.exists()] == [b"b", b"c"]
    assert Cache(tmp_path, 2000).prune() == 0


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1500)
    put(Cache(tmp_path, 1500), C)
    assert put(cache, A).exists() and put(cache, B).exists()  # more than the limit
    assert put(cache, A).exists() and cache.get(sha(C), 1000) is None


def test_many_small_files_are_not_counted_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    prune = Cache.prune
    monkeypatch.setattr(Cache, "prune", lambda self: (counted.append(len(self._used)), prune(self))[1])
    cache = Cache(tmp_path, 100_000)
    for number in range(10):
        put(cache, bytes([number]) * 1000)
    assert counted == [1, 4, 7, 10]  # the first, then whenever more than 2000 bytes have come


def test_what_killed_processes_left_is_removed_in_time(tmp_path: Path) -> None:
    path = put(Cache(tmp_path), A)
    scratch, new = tmp_path / "verify-abc", tmp_path / "fresh-abc"
    for place in (path.with_name(".x.tmp"), path.with_name(".y.tmp"), scratch / "x.h5", new / "x.h5"):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(A)
    long_ago = time.time() - 3 * 86400
    for place in (path, path.with_name(".x.tmp"), scratch / "x.h5", scratch, new):
        os.utime(place, (long_ago, long_ago))
    Cache(tmp_path).prune()
    assert {found.name for found in path.parent.iterdir()} == {".y.tmp", f"{path.stem}.json", path.name}
    assert not scratch.exists() and (new / "x.h5").exists()  # something was written there a moment ago


def test_no_space_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="FUSIONBENCH_CACHE") as caught:
        Cache(tmp_path).ensure(sha(A), 1 << 62, Writer(A))
    assert "\n" not in str(caught.value)


def test_where_it_is_and_how_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path))
    assert cache_root() == tmp_path == Cache().root
    for text, size in {"": 50 * 10**9, "500": 500, "2k": 2000, "20G": 20 * 10**9, "1TB": 10**12}.items():
        monkeypatch.setenv("FUSIONBENCH_CACHE_SIZE", text)
        assert cache_limit() == size
    for bad in ("-1", "1.5G", "x", "٣G", "1" * 40):
        monkeypatch.setenv("FUSIONBENCH_CACHE_SIZE", bad)
        with pytest.raises(UsageError, match="not a size"):
            cache_limit()
