"""Operations that NumPy and torch spell differently, so that one integer formula serves both.

``Array`` is a NumPy array or a torch tensor; functions return the kind that they are given
(a tensor on the same device). torch is never imported unless a tensor came in.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

import numpy as np

Array = Any  # np.ndarray | torch.Tensor
P = ParamSpec("P")
R = TypeVar("R")


def is_tensor(value: Array) -> bool:
    """Whether ``value`` is a torch tensor.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from fusionbench.synth.arrays import is_tensor
        >>> is_tensor(np.zeros(2)), is_tensor(torch.zeros(2))
        (False, True)
    """
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def cast(value: Array, dtype: str) -> Array:
    """``value`` with the integer type called ``dtype`` ("int16", "int32", "int64", "uint8").

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from fusionbench.synth.arrays import cast
        >>> str(cast(np.array([7]), "int16").dtype), str(cast(torch.tensor([7]), "int16").dtype)
        ('int16', 'torch.int16')
    """
    if is_tensor(value):
        return value.to(getattr(sys.modules["torch"], dtype))
    return value.astype(dtype, copy=False)


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, which ``torch.compile`` leaves as it is: compiled code around it is split there.

    Compilers make C++ of tensors, in which an int64 that overflows is undefined. On one machine rounds of Philox came
    out wrong where that code was not vectorised, and shifts of negative numbers where it was for AVX2.

    Example:
        >>> from fusionbench.synth.arrays import uncompiled
        >>> uncompiled(abs)(-3)
        3
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        torch = sys.modules.get("torch")
        if torch is None or not torch.compiler.is_compiling():
            return function(*args, **kwargs)
        result: R = torch.compiler.disable(function)(*args, **kwargs)
        return result

    return wrapper


# Tensors in this machine's memory are handed to NumPy's code, or the compiled one, where whole views are made: the bits
# are the same, and torch's kernels take 3 to 20 times as long there. Tests of the code for tensors turn it off.
cpu_tensors_by_numpy = True


def in_memory(*values: Array) -> bool:
    """Whether these are plain tensors on the CPU, outside a compiled graph, so that NumPy can work on their memory.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from fusionbench.synth.arrays import in_memory
        >>> in_memory(torch.zeros(2)), in_memory(np.zeros(2)), in_memory(torch.zeros(2, device="meta"))
        (True, False, False)
    """
    torch = sys.modules.get("torch")
    if torch is None or not cpu_tensors_by_numpy or torch.compiler.is_compiling():
        return False
    return all(type(value) is torch.Tensor and value.device.type == "cpu" for value in values)


@lru_cache(maxsize=64)
def _on_device(content: bytes, shape: tuple[int, ...], dtype: str, device: str) -> Array:
    import torch

    return torch.from_numpy(np.frombuffer(bytearray(content), dtype).reshape(shape)).to(device)


def like(table: np.ndarray, value: Array) -> Array:
    """A constant table as the kind of array that ``value`` is, on its device (uploaded once).

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from fusionbench.synth.arrays import like
        >>> like(np.array([1, 2], np.int32), torch.zeros(1)).tolist()
        [1, 2]
    """
    if not is_tensor(value):
        return table
    return _on_device(table.tobytes(), table.shape, table.dtype.str, str(value.device))


def take(table: np.ndarray, index: Array) -> Array:
    """``table[index]`` along the first axis; ``index`` must be in range (it is not wrapped or clipped).

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.arrays import take
        >>> take(np.array([10, 20, 30]), np.array([[2, 0], [1, 1]])).tolist()
        [[30, 10], [20, 20]]
    """
    if not is_tensor(index):
        return np.take(table, index, axis=0, mode="wrap")
    on_device = like(table, index)
    flat = on_device.index_select(0, index.reshape(-1).long())
    return flat.reshape(*index.shape, *table.shape[1:])


def clip(value: Array, low: int, high: int) -> Array:
    """``value`` limited to ``low..high``.

    Example:
        >>> import torch
        >>> from fusionbench.synth.arrays import clip
        >>> clip(torch.tensor([-3, 100, 300]), 0, 255).tolist()
        [0, 100, 255]
    """
    return value.clamp(low, high) if is_tensor(value) else np.clip(value, low, high)


def stack(values: list[Array], axis: int) -> Array:
    """Arrays of one shape along a new axis.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.arrays import stack
        >>> stack([np.array([1, 2]), np.array([3, 4])], 1).tolist()
        [[1, 3], [2, 4]]
    """
    return sys.modules["torch"].stack(values, axis) if is_tensor(values[0]) else np.stack(values, axis)


def arange(count: int, value: Array, dtype: str) -> Array:
    """0..count-1 as the kind of array that ``value`` is.

    Example:
        >>> import torch
        >>> from fusionbench.synth.arrays import arange
        >>> arange(3, torch.zeros(1), "int64").tolist()
        [0, 1, 2]
    """
    if is_tensor(value):
        torch = sys.modules["torch"]
        return torch.arange(count, dtype=getattr(torch, dtype), device=value.device)
    return np.arange(count, dtype=dtype)


def pick(flat: Array, index: Array) -> Array:
    """``flat[index]`` of two arrays (k,) of one kind; ``index`` int64, in range.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.arrays import pick
        >>> pick(np.array([10, 20, 30]), np.array([2, 0, 2])).tolist()
        [30, 10, 30]
    """
    return flat.index_select(0, index) if is_tensor(flat) else flat.take(index, mode="wrap")


def repeat(rows: Array, counts: Array, total: int) -> Array:
    """Each of ``rows`` (k, …) as often as ``counts`` (k,) says; ``total`` is their sum, so that no device is asked.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.arrays import repeat
        >>> repeat(np.array([[1, 2], [3, 4]]), np.array([1, 2]), 3).tolist()
        [[1, 2], [3, 4], [3, 4]]
    """
    return rows.repeat_interleave(counts, 0, output_size=total) if is_tensor(rows) else np.repeat(rows, counts, 0)


def nonzero(chosen: Array) -> tuple[Array, ...]:
    """Row and column (k,) of the true values of ``chosen`` (n, m), row by row; int64.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.arrays import nonzero
        >>> [each.tolist() for each in nonzero(np.array([[False, True], [True, True]]))]
        [[0, 1, 1], [1, 0, 1]]
    """
    return tuple(chosen.nonzero(as_tuple=True)) if is_tensor(chosen) else chosen.nonzero()
