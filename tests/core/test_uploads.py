"""Numbers on a device: always int64, never the caller's memory changed, and not waited for where that is possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fusionbench.core.uploads import upload


@pytest.mark.parametrize(
    "values",
    [np.array([2, 0, 1], np.int32), [2, 0, 1], (2, 0, 1), torch.tensor([2, 0, 1], dtype=torch.int16)],
)
def test_whole_numbers_of_any_kind(values: Any) -> None:
    made = upload(values, "cpu")
    assert made.dtype == torch.int64 and made.tolist() == [2, 0, 1]


def test_no_numbers() -> None:
    assert upload([], "cpu").shape == (0,) and upload([], "cpu").dtype == torch.int64


def test_a_device_is_not_waited_for() -> None:
    waits: list[bool] = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten._to_copy.default:
                waits.append(not kwargs.get("non_blocking", False))
            return func(*args, **(kwargs or {}))

    with Copies():
        made = upload(np.arange(5), "meta")
    assert made.device.type == "meta" and made.shape == (5,) and waits == [False]
