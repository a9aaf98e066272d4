"""Oracle: NumPy's own indexing of the same values in one array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.data.arrays import Arrays, ShardedArray


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
