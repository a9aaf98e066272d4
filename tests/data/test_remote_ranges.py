"""Oracle: NumPy's indexing of the same values, and the shard on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import DataError
from fusionbench.data import remote_ranges, remote_store
from fusionbench.data.remote_ranges import RangeArray, open_ranges
from fusionbench.data.remote_store import Store, StoreError
from fusionbench.data.shards.manifest import ShardEntry
from fusionbench.data.shards.writer import write_shard
from tests.helpers.web import Web, serve

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")
SHA = "0" * 64


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_indexing_is_that_of_numpy(data: st.DataObject) -> None:
    plain = np.arange(9 * 6, dtype=np.int16).reshape(9, 2, 3)
    content = b"xyz" + plain.tobytes() + b"end"
    array = RangeArray(lambda start, stop: content[start:stop], plain.dtype, plain.shape, 3)
    bounds = st.integers(-12, 12) | st.none()
    index = st.integers(-9, 8)
    for key in (
        data.draw(index),
        np.array(data.draw(st.lists(index, max_size=6)), np.int64),
        slice(data.draw(bounds), data.draw(bounds), data.draw(st.sampled_from([None, 1, 2, -1]))),
        np.array(data.draw(st.lists(st.booleans(), min_size=9, max_size=9))),
        (slice(0, 3), 1),
        (data.draw(index), 0, slice(1, 3)),
        (np.array([0, -1]), 1),
        (Ellipsis, 0),
        (),
    ):
        assert np.array_equal(array[key], plain[key]) and array[key].shape == plain[key].shape
    taken, out = data.draw(st.lists(index, min_size=2, max_size=6)), np.empty((2, 2, 3), np.int16)
    assert np.array_equal(np.take(array, taken, axis=0), plain[taken])  # type: ignore[call-overload]
    assert array.take(taken[:2], out=out) is out and np.array_equal(out, plain[taken[:2]])
    assert np.array_equal(np.asarray(array), plain) and len(array) == 9 and array.nbytes == plain.nbytes
    assert np.array_equal(np.concatenate([array, array]), np.concatenate([plain, plain]))  # type: ignore[call-overload]


def test_what_is_no_index_is_refused() -> None:
    array = RangeArray(lambda start, stop: b"", np.dtype(np.uint8), (3, 2), 0)
    for bad in (3, -4, [0, 3], np.ones(2, bool), 1.5):
        with pytest.raises(IndexError):
            array[bad]
    with pytest.raises(NotImplementedError):
        array.take([0], axis=1)


def test_near_rows_are_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(remote_ranges, "GAP", 30)

    def read(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return bytes(stop - start)

    array = RangeArray(read, np.dtype(np.uint8), (100, 10), 5)
    array[[1, 2, 5, 9, 1, 50]]
    assert sorted(asked) == [(15, 65), (95, 105), (505, 515)]


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, ShardEntry, dict[str, np.ndarray]]:
    values = np.random.default_rng(0).integers(0, 256, (600, 3, 32, 32), dtype=np.uint8)
    arrays = {"index": np.arange(600), "targets": values[:, 0].copy(), "views": values}
    (tmp_path / "a").mkdir()
    facts = write_shard(tmp_path / "a" / "x.h5", arrays, {"dataset": "x"})
    return tmp_path / "a" / "x.h5", ShardEntry(file="x.h5", start=0, n=600, source_sha256=SHA, **facts), arrays


@pytest.fixture
def web(made: tuple[Path, ShardEntry, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(remote_store, "DELAY", 0)
    with serve(made[0].parents[1]) as web:
        yield web


def test_only_the_bytes_that_are_needed_come(made: tuple[Path, ShardEntry, dict[str, np.ndarray]], web: Web) -> None:
    path, entry, arrays = made
    shard = open_ranges(Store(f"{web.url}/a"), entry)
    assert web.sent < 300_000 < path.stat().st_size // 5
    assert isinstance(shard.arrays["index"], np.ndarray) and isinstance(shard.arrays["views"], RangeArray)
    web.forget()
    assert np.array_equal(shard.arrays["views"][[7, 300]], arrays["views"][[7, 300]]) and web.sent == 2 * 3 * 32 * 32
    assert all(np.array_equal(shard.arrays[name], arrays[name]) for name in arrays) and len(shard) == 600


def test_small_arrays_are_checked(made: tuple[Path, ShardEntry, dict[str, np.ndarray]], web: Web) -> None:
    path, entry, arrays = made
    content = bytearray(path.read_bytes())
    content[content.index(arrays["index"].tobytes()) + 8] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.h5: 'index' is not that of the manifest"):
        open_ranges(Store(f"{web.url}/a"), entry)


def test_another_shard_is_refused(made: tuple[Path, ShardEntry, dict[str, np.ndarray]], web: Web) -> None:
    _, entry, _ = made
    store = Store(f"{web.url}/a")
    others = {
        "another digest": msgspec.structs.replace(entry, content_sha256="f" * 64),
        "another array": msgspec.structs.replace(entry, arrays={**entry.arrays, "views": "f" * 64}),
        "one array less": msgspec.structs.replace(entry, arrays={"views": entry.arrays["views"]}),
    }
    for other in others.values():
        with pytest.raises(DataError, match="not the shard that the manifest describes"):
            open_ranges(store, other)


@pytest.mark.parametrize("content", [b"", b"no", b"\x89HDF\r\n\x1a\n" + b"\xff" * 1000])
def test_what_is_no_shard_is_one_line(
    content: bytes, made: tuple[Path, ShardEntry, dict[str, np.ndarray]], web: Web
) -> None:
    path, entry, _ = made
    path.write_bytes(content.ljust(entry.bytes, b"\0"))
    with pytest.raises(DataError) as caught:
        open_ranges(Store(f"{web.url}/a"), entry)
    assert f"{web.url}/a/x.h5: " in str(caught.value) and "\n" not in str(caught.value)


def test_what_the_store_says_is_told(made: tuple[Path, ShardEntry, dict[str, np.ndarray]], web: Web) -> None:
    _, entry, _ = made
    web.ranges = False
    with pytest.raises(StoreError, match="sends no ranges"):
        open_ranges(Store(f"{web.url}/a"), entry)
    web.ranges = True
    web.faults["x.h5"] = [403]
    with pytest.raises(StoreError, match="access denied"):
        open_ranges(Store(f"{web.url}/a"), entry)


def test_arrays_are_frozen() -> None:
    array = RangeArray(lambda start, stop: bytes(stop - start), np.dtype(np.int64), (4, 0), 0)
    assert array.row == 0 and array[:].shape == (4, 0) and replace(array, shape=(0, 3))[:].shape == (0, 3)
