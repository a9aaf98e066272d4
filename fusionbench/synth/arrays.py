"""The few operations that NumPy and torch spell differently, so that one integer formula serves both.

``Array`` is a NumPy array or a torch tensor; a function that gets one kind returns the same kind
(and, for a tensor, the same device). torch is never imported unless a tensor came in.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np

Array = Any  # np.ndarray | torch.Tensor


def is_tensor(value: Array) -> bool:
    """Whether ``value`` is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def cast(value: Array, dtype: str) -> Array:
    """``value`` with the integer type called ``dtype`` ("int16", "int32", "int64", "uint8")."""
    if is_tensor(value):
        return value.to(getattr(sys.modules["torch"], dtype))
    return value.astype(dtype, copy=False)


@lru_cache(maxsize=64)
def _on_device(content: bytes, shape: tuple[int, ...], dtype: str, device: str) -> Array:
    import torch

    return torch.from_numpy(np.frombuffer(bytearray(content), dtype).reshape(shape)).to(device)


def like(table: np.ndarray, value: Array) -> Array:
    """A constant table as the kind of array that ``value`` is, on its device (uploaded once)."""
    if not is_tensor(value):
        return table
    return _on_device(table.tobytes(), table.shape, table.dtype.str, str(value.device))


def take(table: np.ndarray, index: Array) -> Array:
    """``table[index]`` along the first axis; ``index`` must be in range (it is not wrapped or clipped)."""
    if not is_tensor(index):
        return np.take(table, index, axis=0, mode="wrap")
    on_device = like(table, index)
    flat = on_device.index_select(0, index.reshape(-1).long())
    return flat.reshape(*index.shape, *table.shape[1:])


def clip(value: Array, low: int, high: int) -> Array:
    """``value`` limited to ``low..high``."""
    return value.clamp(low, high) if is_tensor(value) else np.clip(value, low, high)


def stack(values: list[Array], axis: int) -> Array:
    """Arrays of one shape along a new axis."""
    return sys.modules["torch"].stack(values, axis) if is_tensor(values[0]) else np.stack(values, axis)


def arange(count: int, value: Array, dtype: str) -> Array:
    """0..count-1 as the kind of array that ``value`` is."""
    if is_tensor(value):
        torch = sys.modules["torch"]
        return torch.arange(count, dtype=getattr(torch, dtype), device=value.device)
    return np.arange(count, dtype=dtype)
