"""Oracle: plain Python on lists; every operation means the same for an array and a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.synth import arrays

KINDS: dict[str, Callable[[Any], Any]] = {"NumPy": np.array, "torch": torch.tensor}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_operations_mean_the_same(kind: Callable[[Any], Any]) -> None:
    values, index = [7, -3, 300, 0], [3, 0, 0, 2]
    array = kind(values)
    assert arrays.is_tensor(array) == isinstance(array, torch.Tensor)
    assert arrays.clip(array, 0, 255).tolist() == [min(max(value, 0), 255) for value in values]
    assert arrays.pick(array, kind(index)).tolist() == [values[i] for i in index]
    assert arrays.take(np.array(values), kind([index])).tolist() == [[values[i] for i in index]]
    assert arrays.stack([array, array], 1).tolist() == [[value, value] for value in values]
    assert arrays.arange(3, array, "int32").tolist() == [0, 1, 2]
    counts = [2, 0, 1, 3]
    repeated = [[value] for value, count in zip(values, counts, strict=True) for _ in range(count)]
    assert arrays.repeat(array[:, None], kind(counts), sum(counts)).tolist() == repeated
    chosen = [[False, True, True], [False, False, False], [True, False, True]]
    rows, columns = (each.tolist() for each in arrays.nonzero(kind(chosen)))
    assert [*zip(rows, columns, strict=True)] == [(r, c) for r in range(3) for c in range(3) if chosen[r][c]]
    table = arrays.like(np.array([[1, 2]], np.int16), array)
    assert arrays.is_tensor(table) == arrays.is_tensor(array) and table.tolist() == [[1, 2]]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "uint8"])
def test_casts_keep_the_lowest_bits(kind: Callable[[Any], Any], dtype: str) -> None:
    """The pastes rely on it: sums that left their 32 bits come back."""
    values = [-1, 255, 256, (1 << 31) + 5, -(1 << 33) - 7]
    cast = arrays.cast(kind(values), dtype)
    assert str(cast.dtype).removeprefix("torch.") == dtype
    bits = 8 * np.dtype(dtype).itemsize
    assert [int(value) % (1 << bits) for value in cast] == [value % (1 << bits) for value in values]
