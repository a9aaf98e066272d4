"""What streams of all kinds share: indices are looked at, and a stream is no sequence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from fusionbench.data.stream_base import StreamBase


@pytest.fixture
def stream() -> StreamBase:
    return StreamBase(cast(Any, SimpleNamespace(size=lambda split: 5)), "test")


@pytest.mark.parametrize("indices", [[4, 0], np.array([4, 0], np.uint8), torch.tensor([4, 0])])
def test_indices_of_any_kind_are_int64(stream: StreamBase, indices: Any) -> None:
    ids = stream.checked(indices)
    assert isinstance(ids, np.ndarray) and ids.dtype == np.int64 and ids.tolist() == [4, 0]
    assert stream.checked([]).shape == (0,)


@pytest.mark.parametrize(("indices", "words"), [([-1], "-1..-1"), ([0, 5], "0..5"), (torch.tensor([-2, 9]), "-2..9")])
def test_indices_outside_the_split_are_refused(stream: StreamBase, indices: Any, words: str) -> None:
    with pytest.raises(IndexError, match=f"index {words} is outside 0..4"):
        stream.checked(indices)


def test_a_stream_is_no_sequence(stream: StreamBase) -> None:
    assert len(stream) == 5
    for act in (lambda: stream[0], lambda: iter(stream)):
        with pytest.raises(TypeError, match=r'dataset\.torch\("test"\)'):
            act()
