"""The windows of Q_S, Q_W, Q_E, Q_C and Q_Y for numba, with the bits of the NumPy code that they replace.

As in :mod:`fusionbench.metrics._fmi_compiled`. Products, sums under 8×8 boxes and the formula of a tile of columns are
worked on row by row while the processor's nearest cache has them.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from fusionbench.synth.compiled_types import OPTIONS as _OPTIONS
from fusionbench.synth.compiled_types import given as _given
from fusionbench.synth.compiled_types import made as _made

_NUMBER, _COUNT = types.float64, types.int64
_NOISE, _GUARD, _SMALL, _SIMILAR = 1e-13, 2e-16, 1e-9, 0.75  # as in _piella.py and qy.py
LANES = 64  # columns of a tile
_ROOM = LANES + 8  # distance of rows of a tile
_FIELDS = 8  # F, A, B, F², A², B², F·A, F·B


@njit(_NUMBER(_NUMBER, _NUMBER), **_OPTIONS)
def _ratio(top: float, bottom: float) -> float:
    """1 where both are 0."""
    quotient = top / (bottom if bottom > 0 else 1.0)
    return quotient if bottom > 0 else 1.0


@njit(_NUMBER(*[_NUMBER] * 5), **_OPTIONS)
def _similarity(mean_x: float, var_x: float, mean_y: float, var_y: float, covariance: float) -> float:
    covariance = 0.0 if (var_x == 0) | (var_y == 0) else covariance
    luminance = (2 * (mean_x * mean_y) + _GUARD) / (mean_x * mean_x + mean_y * mean_y + _GUARD)
    return luminance * (2 * covariance + _GUARD) / (var_x + var_y + _GUARD)


@njit(types.void(_made(1), _made(1), _made(1)), **_OPTIONS)
def _right(x: Any, pairs: Any, out: Any) -> None:
    """``out[n]`` = x[n] + … + x[n + 7], as sums of two sums of two sums; ``x`` is used up."""
    for n in range(_FIELDS * _ROOM - 1):
        pairs[n] = x[n] + x[n + 1]
    for n in range(_FIELDS * _ROOM - 3):
        x[n] = pairs[n] + pairs[n + 2]
    for n in range(_FIELDS * _ROOM - 7):
        out[n] = x[n] + x[n + 4]


@njit(types.void(_made(1), _made(1), _made(1), _made(1), _made(1)), **_OPTIONS)
def _down(x: Any, last: Any, twos: Any, fours: Any, out: Any) -> None:
    """The same of eight rows, of which ``x`` is the last one; each leaves its sums where later ones find them."""
    for n in range(_FIELDS * _ROOM):
        two = last[n] + x[n]
        four = twos[n] + two
        twos[n] = two
        out[n] = fours[n] + four
        fours[n] = four


@njit(types.void(*[_given(2)] * 3, *[_made(2)] * 4), **_OPTIONS)
def piella_box(f: Any, a: Any, b: Any, plain: Any, weighted: Any, saliency: Any, of_covariance: Any) -> None:
    """Of every 8×8 box of F, A and B (h+7,w+7): the terms of Q_S, of Q_W and its weight, and of Q_C, (h,w) each."""
    height, width = plain.shape
    size = _FIELDS * _ROOM
    cells, pairs, across = np.zeros(size), np.zeros(size), np.zeros(2 * size)
    twos, fours = np.zeros(2 * size), np.zeros(4 * size)
    sums = np.zeros((_FIELDS + 4) * _ROOM)  # and the four terms: the compiler knows that these do not overlap
    for left in range(0, width, LANES):
        count = min(LANES, width - left)
        for row in range(height + 7):
            of_f, of_a, of_b = f[row, left:], a[row, left:], b[row, left:]
            for n in range(count + 7):
                x, y, z = of_f[n], of_a[n], of_b[n]
                cells[n] = x
                cells[_ROOM + n] = y
                cells[2 * _ROOM + n] = z
                cells[3 * _ROOM + n] = x * x
                cells[4 * _ROOM + n] = y * y
                cells[5 * _ROOM + n] = z * z
                cells[6 * _ROOM + n] = x * y
                cells[7 * _ROOM + n] = x * z
            here = across[row % 2 * size :]
            _right(cells, pairs, here)
            _down(here, across[(row + 1) % 2 * size :], twos[row % 2 * size :], fours[row % 4 * size :], sums)
            if row < 7:
                continue
            for n in range(LANES):
                total_f, total_a, total_b = sums[n], sums[_ROOM + n], sums[2 * _ROOM + n]
                mean_f, mean_a, mean_b = total_f / 64, total_a / 64, total_b / 64
                var_f = (sums[3 * _ROOM + n] * 64 - total_f * total_f) / 4096
                var_a = (sums[4 * _ROOM + n] * 64 - total_a * total_a) / 4096
                var_b = (sums[5 * _ROOM + n] * 64 - total_b * total_b) / 4096
                var_f = 0.0 if var_f <= _NOISE * mean_f * mean_f else var_f
                var_a = 0.0 if var_a <= _NOISE * mean_a * mean_a else var_a
                var_b = 0.0 if var_b <= _NOISE * mean_b * mean_b else var_b
                mean_fa, mean_fb = mean_f * mean_a, mean_f * mean_b
                cov_a, cov_b = sums[6 * _ROOM + n] / 64 - mean_fa, sums[7 * _ROOM + n] / 64 - mean_fb
                cov_a = 0.0 if (var_f == 0) | (var_a == 0) else cov_a
                cov_b = 0.0 if (var_f == 0) | (var_b == 0) else cov_b
                square = mean_f * mean_f
                q_a = _ratio(2 * mean_fa, square + mean_a * mean_a) * _ratio(2 * cov_a, var_f + var_a)
                q_b = _ratio(2 * mean_fb, square + mean_b * mean_b) * _ratio(2 * cov_b, var_f + var_b)
                both = var_a + var_b
                share = var_a / (1.0 if both == 0 else both)
                share = 0.5 if both == 0 else share
                larger = var_a if var_a > var_b else var_b
                value = q_b + share * (q_a - q_b)
                sums[8 * _ROOM + n] = value
                sums[9 * _ROOM + n] = value * larger
                sums[10 * _ROOM + n] = larger
                both = cov_a + cov_b
                opposite = -1.0 if cov_a < 0 else 0.5
                opposite = 2.0 if cov_a > 0 else opposite
                share = cov_a / (1.0 if both == 0 else both)
                share = opposite if both == 0 else share
                share = share if share > 0 else 0.0
                share = share if share < 1 else 1.0
                sums[11 * _ROOM + n] = q_b + share * (q_a - q_b)
            top = row - 7
            for n in range(count):
                plain[top, left + n] = sums[8 * _ROOM + n]
            for n in range(count):
                weighted[top, left + n] = sums[9 * _ROOM + n]
            for n in range(count):
                saliency[top, left + n] = sums[10 * _ROOM + n]
            for n in range(count):
                of_covariance[top, left + n] = sums[11 * _ROOM + n]


@njit(types.void(_given(2), _made(2)), **_OPTIONS)
def piella_prewitt(x: Any, out: Any) -> None:
    """Magnitude (h,w) of the gradient of whole numbers (h+2,w+2) by Prewitt's masks."""
    height, width = out.shape
    for row in range(height):
        above, here, below = x[row], x[row + 1], x[row + 2]
        to = out[row]
        for n in range(width):
            sx = (above[n + 2] + here[n + 2] + below[n + 2]) - (above[n] + here[n] + below[n])
            sy = (below[n] + below[n + 1] + below[n + 2]) - (above[n] + above[n + 1] + above[n + 2])
            to[n] = np.sqrt(sx * sx + sy * sy)


@njit(types.void(*[_given(1)] * 8, _made(1)), **_OPTIONS)
def qy_values(
    mean_f: Any, var_f: Any, mean_a: Any, var_a: Any, mean_b: Any, var_b: Any, cov_fa: Any, cov_fb: Any, out: Any
) -> None:
    """The terms of Q_Y from the moments, in place of the covariance of A and B."""
    for n in range(out.shape[0]):
        of_f, of_a, of_b = var_f[n], var_a[n], var_b[n]
        of_f = 0.0 if of_f < _SMALL else of_f
        of_a = 0.0 if of_a < _SMALL else of_a
        of_b = 0.0 if of_b < _SMALL else of_b
        s_ab = _similarity(mean_a[n], of_a, mean_b[n], of_b, out[n])
        s_af = _similarity(mean_f[n], of_f, mean_a[n], of_a, cov_fa[n])
        s_bf = _similarity(mean_f[n], of_f, mean_b[n], of_b, cov_fb[n])
        total = of_a + of_b
        share = of_a / (total if total > 0 else 1.0)
        share = share if total > 0 else 0.5
        larger = s_af if s_af > s_bf else s_bf
        out[n] = share * s_af + (1 - share) * s_bf if s_ab >= _SIMILAR else larger
