"""Oracle: NumPy's own indexing of the same values in one array."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.unit_range import to_unit
from fusionbench.data.arrays import Arrays, SampleReader, ShardedArray
from fusionbench.synth import kernel


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_indexing_is_that_of_numpy(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    parts = [np.arange(100 * i, 100 * i + 6 * n, dtype=np.int16).reshape(n, 2, 3) for i, n in enumerate(lengths)]
    sharded, plain = ShardedArray(parts), np.concatenate(parts)
    bounds = st.integers(-12, 12) | st.none()
    steps = st.sampled_from([None, 1, 2, -1])
    index = st.integers(-len(plain), len(plain) - 1)
    for key in (
        data.draw(index),
        data.draw(st.lists(index, max_size=6)),
        slice(data.draw(bounds), data.draw(bounds), data.draw(steps)),
        np.array(data.draw(st.lists(st.booleans(), min_size=len(plain), max_size=len(plain)))),
        (slice(0, 3), 1),
        (data.draw(index), 0, slice(1, 3)),
        (np.array([0, -1]), 1),
        (Ellipsis, 0),
    ):
        expected = plain[np.array(key, int) if isinstance(key, list) else key]
        assert np.array_equal(sharded[key], expected) and sharded[key].shape == expected.shape
    assert np.array_equal(np.asarray(sharded), plain) and len(sharded) == len(plain)


def test_what_is_no_index_is_refused() -> None:
    sharded = ShardedArray([np.zeros((3, 2), np.uint8), np.ones((2, 2), np.uint8)])
    assert sharded.nbytes == 10 and sharded.shape == (5, 2) and sharded.dtype == np.uint8
    for bad in (5, -6, [0, 5], np.ones(4, bool)):
        with pytest.raises(IndexError):
            sharded[bad]
    with pytest.raises(TypeError, match="integer"):
        sharded[1.5]


def test_an_array_that_is_not_there_is_named_with_those_that_are() -> None:
    arrays = Arrays({"views": 1, "label": 2})
    assert arrays.views == 1
    with pytest.raises(AttributeError, match="'masks'; it has views, label"):
        arrays.masks  # noqa: B018


def mapped(folder: Path, shape: tuple[int, ...], dtype: str, lengths: tuple[int, ...]) -> list[np.ndarray]:
    """Memory maps of files of their own, at an odd offset in each."""
    parts, random = [], np.random.default_rng(0)
    for number, length in enumerate(lengths):
        values = random.integers(0, 255, (length, *shape)).astype(dtype)
        path = folder / f"{number}.bin"
        path.write_bytes(b"x" * (number + 1) + values.tobytes())
        parts.append(np.memmap(path, dtype, "r", number + 1, values.shape) if length else values)
    return parts


@pytest.mark.parametrize(("shape", "dtype"), [((3, 5, 7), "u1"), ((), "<i8"), ((2,), "<i2"), ((1, 300), "u1")])
def test_batches_over_many_shards(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    """One gather over files that lie anywhere in memory, in any order, with an empty one among them."""
    parts = mapped(tmp_path, shape, dtype, (40, 1, 0, 17, 40))
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        chosen = [parts[i] for i in order]
        sharded, plain = ShardedArray(chosen), np.concatenate(chosen)
        assert sharded._span is not None
        for seed in range(5):
            index = np.random.default_rng(seed).integers(0, len(plain), 64)
            taken = sharded[index]
            assert np.array_equal(taken, plain[index]) and taken.dtype == plain.dtype
            assert taken.flags.c_contiguous and taken.flags.aligned and taken.flags.writeable
            taken[...] = 0  # a copy: the files stay as they are
            assert np.array_equal(sharded[index], plain[index])
        edges = [0, len(plain) - 1, -1, -len(plain), 39, 40]
        assert np.array_equal(sharded[edges], plain[edges])


def test_parts_that_are_not_plain_are_gathered_one_by_one() -> None:
    plain = np.arange(60, dtype=np.int16).reshape(10, 6)
    for parts in (
        [plain[:4, ::2], plain[4:, ::2]],  # not contiguous
        [plain[:4, :0], plain[4:, :0]],  # without values
        [plain[:4], plain[4:].astype(np.int64)],  # of two types
    ):
        sharded = ShardedArray(parts)
        assert sharded._span is None
        assert np.array_equal(sharded[[9, 0, 3, 4]], np.concatenate(parts)[[9, 0, 3, 4]])


def test_copies_and_pickles_do_not_reach_over_memory_of_others() -> None:
    sharded = ShardedArray([np.arange(6).reshape(3, 2), np.arange(4).reshape(2, 2)])
    expected = sharded[[4, 0]].tolist()
    assert "_span" in sharded.__dict__ and "_span" not in sharded.__getstate__()
    for other in (pickle.loads(pickle.dumps(sharded)), copy.copy(sharded), copy.deepcopy(sharded)):
        assert "_span" not in other.__dict__ and other[[4, 0]].tolist() == expected


def test_arrays_that_are_read_together_give_what_each_gives(tmp_path: Path) -> None:
    lengths = (5, 0, 1, 9)
    for folder in ("targets", "views"):
        (tmp_path / folder).mkdir()
    targets = mapped(tmp_path / "targets", (3, 5), "u1", lengths)
    views = mapped(tmp_path / "views", (2, 7), "<i2", lengths)
    for count in (4, 1):  # one shard is read in another way
        reader = SampleReader(ShardedArray(targets[:count]), ShardedArray(views[:count]))
        plain = np.concatenate(targets[:count]), np.concatenate(views[:count])
        total = len(plain[0])
        for index in (np.array([total - 1, 0, -1, -total, 3, 3]), np.arange(total)[::-2], np.empty(0, np.int64)):
            found = list(reader.read(index))
            assert [array.dtype for array in found] == [np.uint8, np.int16]
            for array, expected in zip(found, plain, strict=True):
                assert np.array_equal(array, expected[index]) and array.flags.writeable
        for bad in (total, -total - 1):
            with pytest.raises(IndexError, match=f"{bad}"):  # at once, not with the first array
                reader.read(np.array([0, bad] if bad > 0 else [bad, 0]))
        with pytest.raises(TypeError, match=r"shape \(1, 1\)"):
            reader.read(np.array([[0]]))


def test_what_is_read_together_cannot_be_changed_after_the_check() -> None:
    """The numbers of samples become addresses: they are those that were checked."""
    reader = SampleReader(*(ShardedArray([np.arange(3) + 10 * i, np.arange(3, 5) + 10 * i]) for i in (0, 1)))
    index = np.array([4, 1])
    reading = reader.read(index)
    index[:] = 1 << 40
    assert [array.tolist() for array in reading] == [[4, 1], [14, 11]]


def test_arrays_of_other_shards_are_not_read_together() -> None:
    whole = np.zeros(5)
    for other in ([whole[:2], whole[2:]], [whole[:4]]):
        with pytest.raises(ValueError, match="same number of samples"):
            SampleReader(ShardedArray([whole[:3], whole[3:]]), ShardedArray(other))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_one_gather_is_that_of_numpy(data: st.DataObject) -> None:
    """Over arrays of any number and length in one buffer, in any order, with gaps between them and at any address."""
    dtype = np.dtype(data.draw(st.sampled_from(["u1", "<i2", "<i8", ">i2", "f4"])))
    shape = tuple(data.draw(st.lists(st.integers(1, 5), max_size=3)))
    lengths = data.draw(st.lists(st.integers(0, 7), min_size=2, max_size=6))
    gaps = data.draw(st.lists(st.integers(0, 40), min_size=len(lengths), max_size=len(lengths)))
    size = dtype.itemsize * int(np.prod(shape, dtype=int))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    buffer = random.integers(0, 256, sum(lengths) * size + sum(gaps), np.uint8)
    parts, at = [], 0
    for length, gap in zip(lengths, gaps, strict=True):
        at += gap
        parts.append(np.frombuffer(buffer.data, dtype, length * size // dtype.itemsize, at).reshape(length, *shape))
        at += length * size
    parts = data.draw(st.permutations(parts))
    sharded, plain = ShardedArray(parts), np.concatenate(parts).astype(dtype)  # which keeps the order of bytes
    n = len(plain)
    if n == 0:
        assert sharded._span is None and len(sharded) == 0
        return
    edges = sorted({edge for start in sharded._starts.tolist() for edge in (start - 1, start) if 0 <= edge < n})
    index = st.integers(-n, n - 1) | st.sampled_from(edges) | st.sampled_from([edge - n for edge in edges])
    assert sharded._span is not None
    for wanted in (data.draw(st.lists(index, min_size=1, max_size=20)), edges, range(n), range(-1, -n - 1, -1)):
        wanted = np.array(wanted)
        taken = sharded[wanted]
        assert taken.tobytes() == plain[wanted].tobytes() and taken.shape == plain[wanted].shape
        assert taken.dtype == dtype and taken.flags.writeable
    for wrong in (n, -n - 1):
        with pytest.raises(IndexError):
            sharded[[0, wrong]]


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from fusionbench.data.arrays import ShardedArray

page, size = mmap.PAGESIZE, int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
parts, maps = [], []
for number, (length, at_end) in enumerate([(3, True), (1, False), (2, True), (2, False), (1, True)]):
    memory = mmap.mmap(-1, 5 * page)  # the first and the last page may not be touched
    whole = np.frombuffer(memory, np.uint8)
    begin = 4 * page - length * size if at_end else page
    whole[begin : begin + length * size] = np.arange(length * size) % 251 + number
    for protected in (0, 4):
        assert libc.mprotect(whole.ctypes.data + protected * page, page, 0) == 0
    parts.append(whole[begin : begin + length * size].reshape(length, size))
    maps.append(memory)
sharded = ShardedArray(parts)
expected = np.concatenate(parts)
assert sharded._span is not None
for index in ([0, 2, 3, 4, 5, 6, 7, 8], [-1, -9, 8, 0], list(range(9)) * 3):
    assert np.array_equal(sharded[index], expected[index])
assert "_Span object" in repr(sharded._span)  # printing reads no row
for memory in maps:
    try:
        memory.close()
    except BufferError:
        continue
    raise AssertionError("a map was closed below its arrays")
print("fine")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
@pytest.mark.parametrize("size", [1, 8, 300, 4096])
def test_nothing_is_read_but_the_rows(size: int) -> None:
    """Pages before and behind each array end a process that touches them."""
    done = subprocess.run([sys.executable, "-c", GUARDED, str(size)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "fine"), done.stderr


def test_a_span_is_neither_copied_nor_pickled() -> None:
    span = ShardedArray([np.zeros((3, 2)), np.ones((2, 2))])._span
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be copied"):
            attempt(span)


def test_addresses_that_cannot_be_counted_have_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system of 32 bits, whose arrays may lie further apart than NumPy counts there."""
    parts = [np.arange(6).reshape(3, 2), np.arange(4).reshape(2, 2)]
    real = np.iinfo
    monkeypatch.setattr(np, "iinfo", lambda kind: SimpleNamespace(max=100) if kind is np.intp else real(kind))
    sharded = ShardedArray(parts)
    assert sharded._span is None and sharded[[4, 0]].tolist() == [[2, 3], [0, 1]]


@pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("lengths", [(7,), (3, 1, 4), (0, 5, 0, 2)])
def test_floats_in_one_pass_have_the_bits_of_the_plain_way(
    channels: int, lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kernel.VARIABLE, "numba")
    rng, tail = np.random.default_rng(0), () if channels == 1 else (3,)
    every = rng.permutation(np.resize(np.arange(256, dtype=np.uint8), (sum(lengths), 2, 11, 13, *tail)).reshape(-1))
    views = every.reshape(sum(lengths), 2, 11, 13, *tail)
    bounds = np.cumsum(lengths)[:-1]
    arrays = [ShardedArray(np.split(whole, bounds)) for whole in (views[:, 0].copy(), views)]
    reader, index = SampleReader(*arrays), np.array([4, 0, 6, 6, -1, 3])
    for picked in (index, index[:0], index[:1]):
        found = reader.read_units(picked, channels)
        assert found is not None
        for got, whole in zip(found, (views[:, 0], views), strict=True):
            first = whole[picked][..., None] if channels == 1 else whole[picked]
            assert got.dtype == np.float32 and got.flags.carray
            assert np.array_equal(got, to_unit(torch.from_numpy(np.moveaxis(first, -1, -3).copy())).numpy())
    for bad in (np.array([len(views)]), np.array([0, -len(views) - 1])):
        with pytest.raises(IndexError, match="outside"):
            reader.read_units(bad, channels)
    with pytest.raises(TypeError, match="list of integers"):
        reader.read_units(np.array(3), channels)


def test_floats_in_one_pass_are_left_to_others_without_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernel.VARIABLE, "numpy")
    array = ShardedArray([np.zeros((3, 4, 4), np.uint8)])
    assert SampleReader(array).read_units(np.array([0]), 1) is None
    monkeypatch.setattr(kernel, "compiled", lambda values: object())
    assert SampleReader(ShardedArray([np.zeros((3, 4, 4), np.int16)])).read_units(np.array([0]), 1) is None
