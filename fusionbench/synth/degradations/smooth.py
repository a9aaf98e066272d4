"""Smooth random surfaces: uniform cubic B-splines over a lattice of drawn numbers, in integers.

A spline lies within its control values, so a bound on those is one on the surface.
"""

from __future__ import annotations

import functools

import numpy as np

from fusionbench.synth.arrays import Array, cast, is_tensor, like
from fusionbench.synth.degradations.draws import on

LARGEST = 1 << 13  # of a control value: products stay within int32
_STEPS = 256  # places in a cell


@functools.cache
def weights() -> np.ndarray:
    """Weights of the four nearest control values at each of 256 places in a cell: int64 (256, 4), each sums to 4096.

    Example:
        >>> from fusionbench.synth.degradations.smooth import weights
        >>> weights()[[0, 128]].tolist()
        [[683, 2730, 683, 0], [85, 1963, 1963, 85]]
    """
    at = np.arange(_STEPS, dtype=np.int64)
    unit = 6 * _STEPS**3
    exact = ((_STEPS - at) ** 3, -3 * at**3 + 3 * _STEPS * at**2 + 3 * _STEPS**2 * at + _STEPS**3, at**3)
    first, third, last = ((2 * 4096 * cubic + unit) // (2 * unit) for cubic in exact)
    return np.stack([first, 4096 - first - third - last, third, last], 1)


def across(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Cell and place in it of each of ``size`` pixels, over which ``cells`` are spread: int64 (size,) twice.

    Example:
        >>> from fusionbench.synth.degradations.smooth import across
        >>> [part.tolist() for part in across(4, cells=2)]
        [[0, 0, 1, 1], [0, 128, 0, 128]]
    """
    at = np.arange(size, dtype=np.int64) * cells
    return at // size, at % size * _STEPS // size


def every(size: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Cell and place in it of each of ``size`` pixels, with a cell of ``pixels``: int64 (size,) twice."""
    at = np.arange(size, dtype=np.int64)
    return at // pixels, at % pixels * _STEPS // pixels


def surface(
    control: np.ndarray, rows: tuple[np.ndarray, np.ndarray], columns: tuple[np.ndarray, np.ndarray], kind: Array
) -> Array:
    """The spline of int64 ``control`` (n, R+3, C+3) at h rows and w columns: int32 (n, h, w), as ``kind`` is.

    Args:
        control: of R by C cells, between -8192 and 8192.
        rows, columns: cell and place of each, as of :func:`across`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.smooth import across, surface
        >>> control = np.zeros((1, 4, 4), np.int64)
        >>> control[:, :, 2:] = 600
        >>> surface(control, across(1, 1), across(4, 1), np.zeros(1)).tolist()
        [[[100, 191, 300, 409]]]
    """
    (row, row_place), (column, column_place) = rows, columns
    by_row, by_column = weights()[row_place], weights()[column_place]
    tall = (sum(by_row[:, k, None] * control[:, row + k] for k in range(4)) + 128) >> 8  # 16 times the value
    tall = on(tall.astype(np.int32), kind)
    wide: Array = 0
    for k in range(4):
        index, weight = like(column + k, kind), like(by_column[:, k].astype(np.int32), kind)
        wide = wide + (tall.index_select(2, index) if is_tensor(tall) else tall.take(index, axis=2)) * weight
    return cast((wide + 32768) >> 16, "int32")
