"""Sums under separable windows for numba, with the bits of OpenCV's filter2D along columns, then along rows.

As in :mod:`fusionbench.metrics._fmi_compiled`. A tile of the image is multiplied, filtered along its columns and along
its rows while the processor's nearest cache has it; filter2D takes a pass over memory for each.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from fusionbench.synth.compiled_types import OPTIONS as _OPTIONS
from fusionbench.synth.compiled_types import given as _given
from fusionbench.synth.compiled_types import made as _made

ROWS, COLUMNS = 32, 320  # of a tile
TAPS = 32  # most weights of a window
_ROOM = COLUMNS + TAPS  # distance of rows in a tile

_COUNT, _NUMBER = types.int64, types.float64


# Sums have their terms one by one from the first tap on. Eleven are added in one go, so that a sum is loaded and stored
# once or twice; slices, not offsets, tell the compiler that no index is negative.


@njit(_COUNT(_COUNT), **_OPTIONS)
def _first(taps: int) -> int:
    """How many terms are added first, of 1 to 6 or 11, so that none, 5 or elevens remain, or 5 and elevens."""
    rest = (taps - 1) % 11 + 1
    return rest if rest < 7 or rest == 11 else rest - 5


@njit(types.void(_made(1), _made(1), _given(1), _COUNT), **_OPTIONS)
def _down(out: Any, x: Any, weights: Any, count: int) -> None:
    """``out[n] = Σ_k weights[k]·x[n + k·_ROOM]``."""
    first = _first(weights.shape[0])
    if first == 1:
        w0 = weights[0]
        for n in range(count):
            out[n] = w0 * x[n]
    elif first == 2:
        w0, w1 = weights[0], weights[1]
        for n in range(count):
            out[n] = w0 * x[n] + w1 * x[n + _ROOM]
    elif first == 3:
        w0, w1, w2 = weights[0], weights[1], weights[2]
        for n in range(count):
            out[n] = w0 * x[n] + w1 * x[n + _ROOM] + w2 * x[n + 2 * _ROOM]
    elif first == 4:
        w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
        for n in range(count):
            out[n] = w0 * x[n] + w1 * x[n + _ROOM] + w2 * x[n + 2 * _ROOM] + w3 * x[n + 3 * _ROOM]
    elif first == 5:
        w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
        for n in range(count):
            out[n] = (
                w0 * x[n] + w1 * x[n + _ROOM] + w2 * x[n + 2 * _ROOM] + w3 * x[n + 3 * _ROOM] + w4 * x[n + 4 * _ROOM]
            )
    elif first == 6:
        w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
        for n in range(count):
            out[n] = (
                w0 * x[n]
                + w1 * x[n + _ROOM]
                + w2 * x[n + 2 * _ROOM]
                + w3 * x[n + 3 * _ROOM]
                + w4 * x[n + 4 * _ROOM]
                + w5 * x[n + 5 * _ROOM]
            )
    else:
        w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10 = (
            weights[0],
            weights[1],
            weights[2],
            weights[3],
            weights[4],
            weights[5],
            weights[6],
            weights[7],
            weights[8],
            weights[9],
            weights[10],
        )
        for n in range(count):
            out[n] = (
                w0 * x[n]
                + w1 * x[n + _ROOM]
                + w2 * x[n + 2 * _ROOM]
                + w3 * x[n + 3 * _ROOM]
                + w4 * x[n + 4 * _ROOM]
                + w5 * x[n + 5 * _ROOM]
                + w6 * x[n + 6 * _ROOM]
                + w7 * x[n + 7 * _ROOM]
                + w8 * x[n + 8 * _ROOM]
                + w9 * x[n + 9 * _ROOM]
                + w10 * x[n + 10 * _ROOM]
            )
    k = first
    if (weights.shape[0] - first) % 11 == 5:
        w0, w1, w2, w3, w4 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3], weights[k + 4]
        y = x[k * _ROOM :]
        for n in range(count):
            out[n] = (
                out[n]
                + w0 * y[n]
                + w1 * y[n + _ROOM]
                + w2 * y[n + 2 * _ROOM]
                + w3 * y[n + 3 * _ROOM]
                + w4 * y[n + 4 * _ROOM]
            )
        k += 5
    for j in range(k, weights.shape[0], 11):
        v, y = weights[j:], x[j * _ROOM :]
        w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10 = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10]
        for n in range(count):
            out[n] = (
                out[n]
                + w0 * y[n]
                + w1 * y[n + _ROOM]
                + w2 * y[n + 2 * _ROOM]
                + w3 * y[n + 3 * _ROOM]
                + w4 * y[n + 4 * _ROOM]
                + w5 * y[n + 5 * _ROOM]
                + w6 * y[n + 6 * _ROOM]
                + w7 * y[n + 7 * _ROOM]
                + w8 * y[n + 8 * _ROOM]
                + w9 * y[n + 9 * _ROOM]
                + w10 * y[n + 10 * _ROOM]
            )


@njit(types.void(_made(1), _made(1), _given(1), _COUNT), **_OPTIONS)
def _right(out: Any, x: Any, weights: Any, count: int) -> None:
    """``out[n] = Σ_k weights[k]·x[n + k]``."""
    first = _first(weights.shape[0])
    if first == 1:
        w0 = weights[0]
        for n in range(count):
            out[n] = w0 * x[n]
    elif first == 2:
        w0, w1 = weights[0], weights[1]
        for n in range(count):
            out[n] = w0 * x[n] + w1 * x[n + 1]
    elif first == 3:
        w0, w1, w2 = weights[0], weights[1], weights[2]
        for n in range(count):
            out[n] = w0 * x[n] + w1 * x[n + 1] + w2 * x[n + 2]
    elif first == 4:
        w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
        for n in range(count):
            out[n] = w0 * x[n] + w1 * x[n + 1] + w2 * x[n + 2] + w3 * x[n + 3]
    elif first == 5:
        w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
        for n in range(count):
            out[n] = w0 * x[n] + w1 * x[n + 1] + w2 * x[n + 2] + w3 * x[n + 3] + w4 * x[n + 4]
    elif first == 6:
        w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
        for n in range(count):
            out[n] = w0 * x[n] + w1 * x[n + 1] + w2 * x[n + 2] + w3 * x[n + 3] + w4 * x[n + 4] + w5 * x[n + 5]
    else:
        w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10 = (
            weights[0],
            weights[1],
            weights[2],
            weights[3],
            weights[4],
            weights[5],
            weights[6],
            weights[7],
            weights[8],
            weights[9],
            weights[10],
        )
        for n in range(count):
            out[n] = (
                w0 * x[n]
                + w1 * x[n + 1]
                + w2 * x[n + 2]
                + w3 * x[n + 3]
                + w4 * x[n + 4]
                + w5 * x[n + 5]
                + w6 * x[n + 6]
                + w7 * x[n + 7]
                + w8 * x[n + 8]
                + w9 * x[n + 9]
                + w10 * x[n + 10]
            )
    k = first
    if (weights.shape[0] - first) % 11 == 5:
        w0, w1, w2, w3, w4 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3], weights[k + 4]
        y = x[k:]
        for n in range(count):
            out[n] = out[n] + w0 * y[n] + w1 * y[n + 1] + w2 * y[n + 2] + w3 * y[n + 3] + w4 * y[n + 4]
        k += 5
    for j in range(k, weights.shape[0], 11):
        v, y = weights[j:], x[j:]
        w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10 = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10]
        for n in range(count):
            out[n] = (
                out[n]
                + w0 * y[n]
                + w1 * y[n + 1]
                + w2 * y[n + 2]
                + w3 * y[n + 3]
                + w4 * y[n + 4]
                + w5 * y[n + 5]
                + w6 * y[n + 6]
                + w7 * y[n + 7]
                + w8 * y[n + 8]
                + w9 * y[n + 9]
                + w10 * y[n + 10]
            )


@njit(
    types.void(
        *[_given(2)] * 2,
        types.boolean,
        *[_given(1)] * 2,
        _COUNT,
        *[_given(2)] * 2,
        types.boolean,
        types.boolean,
        _made(2),
    ),
    **_OPTIONS,
)
def window_sums(
    x: Any,
    y: Any,
    product: bool,
    down: Any,
    right: Any,
    step: int,
    mean_x: Any,
    mean_y: Any,
    less: bool,
    clip: bool,
    out: Any,
) -> None:
    """Sums of ``x``, or of the ``product`` x·y, under the window outer(down, right), inside (H,W) only.

    Into ``out`` ((H-k)//step+1,W-k'+1), of every ``step``-th row; ``less`` the product of the means, which have its
    shape, and then at least 0 for ``clip``.
    """
    height, width = out.shape
    tile, sums = np.empty((step * (ROWS - 1) + TAPS) * _ROOM), np.empty(_ROOM)
    for left in range(0, width, COLUMNS):
        count = min(COLUMNS, width - left)
        needed = count + right.shape[0] - 1
        for top in range(0, height, ROWS):
            rows = min(ROWS, height - top)
            for row in range(step * (rows - 1) + down.shape[0]):
                of_x, of_y = x[step * top + row, left:], y[step * top + row, left:]
                to = tile[row * _ROOM :]
                if product:
                    for n in range(needed):
                        to[n] = of_x[n] * of_y[n]
                else:
                    for n in range(needed):
                        to[n] = of_x[n]
            for row in range(rows):
                _down(sums, tile[step * row * _ROOM :], down, needed)
                to = out[top + row, left : left + count]
                _right(to, sums, right, count)
                if less:
                    of_x, of_y = mean_x[top + row, left:], mean_y[top + row, left:]
                    for n in range(count):
                        to[n] -= of_x[n] * of_y[n]
                    if clip:
                        for n in range(count):
                            to[n] = to[n] if to[n] > 0 else 0.0


@njit(types.void(_given(2), _given(1), types.boolean, _made(2), _made(2)), **_OPTIONS)
def window_moments(x: Any, weights: Any, clip: bool, mean: Any, variance: Any) -> None:
    """Mean and variance under the window outer(weights, weights) of sum 1; for ``clip`` a variance is at least 0."""
    window_sums(x, x, False, weights, weights, 1, mean, mean, False, False, mean)
    window_sums(x, x, True, weights, weights, 1, mean, mean, True, clip, variance)
