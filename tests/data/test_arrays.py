"""Oracle: NumPy's own indexing of the same values in one array."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.data.arrays import Arrays, SampleReader, ShardedArray


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
