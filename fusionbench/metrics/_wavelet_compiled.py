"""The pyramid, sums and formula of wavelet VIF for numba, with the bits of the NumPy code that they replace.

As in :mod:`fusionbench.metrics._fmi_compiled`.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from fusionbench.synth.compiled_types import OPTIONS as _OPTIONS
from fusionbench.synth.compiled_types import given as _given
from fusionbench.synth.compiled_types import made as _made

_NUMBER, _COUNT, _FLAG = types.float64, types.int64, types.boolean
_NOISE, _TINY = 0.4, 1e-15  # as in vif_wavelet.py


@njit(types.void(_made(1), _made(1), _made(1), _NUMBER, _FLAG), **_OPTIONS)
def _add(out: Any, x: Any, y: Any, weight: float, first: bool) -> None:
    """``out += weight·(x + y)``; the first term is not added to what was there."""
    if first:
        for n in range(out.shape[0]):
            out[n] = weight * (x[n] + y[n])
    else:
        for n in range(out.shape[0]):
            out[n] += weight * (x[n] + y[n])


@njit(types.void(_made(1), _made(1), _NUMBER), **_OPTIONS)
def _add_one(out: Any, x: Any, weight: float) -> None:
    for n in range(out.shape[0]):
        out[n] += weight * x[n]


@njit(types.void(_given(1), _given(1), _NUMBER, _COUNT, _made(1)), **_OPTIONS)
def _phases(x: Any, y: Any, sign: float, step: int, out: Any) -> None:
    """``x + sign·y``, of a few values its ``step`` phases one after the other."""
    room = out.shape[0] // step
    for phase in range(step):
        of_x, of_y, to = x[phase:], y[phase:], out[phase * room : phase * room + room]
        count = (x.shape[0] - phase + step - 1) // step
        if sign == 0:
            for n in range(count):
                to[n] = of_x[n * step]
        else:
            for n in range(count):
                to[n] = of_x[n * step] + of_y[n * step]


@njit(types.void(_given(2), _given(2), _COUNT, _made(2)), **_OPTIONS)
def wavelet_low(x: Any, weights: Any, step: int, out: Any) -> None:
    """``_steerable.low_pass`` of an image that is padded already."""
    height, width = out.shape
    reach = weights.shape[0] - 1
    room = x.shape[1] // step + 2
    rows = np.zeros(room * step)
    for row in range(height):
        to = out[row]
        for r in range(reach + 1):
            above, below = x[step * row + r], x[step * row + 2 * reach - r]
            _phases(above, below, 0.0 if r == reach else 1.0, step, rows)
            for c in range(reach):
                left, right = c % step * room + c // step, (2 * reach - c) % step * room + (2 * reach - c) // step
                _add(to, rows[left : left + width], rows[right : right + width], weights[r, c], r + c == 0)
            middle = reach % step * room + reach // step
            _add_one(to, rows[middle : middle + width], weights[r, reach])


@njit(types.void(_made(1), _made(2), _COUNT, _NUMBER, _NUMBER, _NUMBER, _FLAG), **_OPTIONS)
def _across(out: Any, rows: Any, r: int, w0: float, w1: float, w2: float, first: bool) -> None:
    x = rows[r]
    if first:
        for n in range(out.shape[0]):
            out[n] = (w0 * (x[n] - x[n + 6]) + w1 * (x[n + 1] - x[n + 5])) + w2 * (x[n + 2] - x[n + 4])
    else:
        for n in range(out.shape[0]):
            total = (out[n] + w0 * (x[n] - x[n + 6])) + w1 * (x[n + 1] - x[n + 5])
            out[n] = total + w2 * (x[n + 2] - x[n + 4])


@njit(types.void(_made(1), _made(2), _COUNT, _NUMBER, _NUMBER, _NUMBER, _FLAG), **_OPTIONS)
def _down(out: Any, rows: Any, r: int, w0: float, w1: float, w2: float, first: bool) -> None:
    x, y, z = rows[4], rows[5], rows[6]
    s = 6 - r
    if r == 3:
        x, y, z = x[3:], y[3:], z[3:]
        for n in range(out.shape[0]):
            out[n] = ((out[n] + w0 * x[n]) + w1 * y[n]) + w2 * z[n]
    elif first:
        for n in range(out.shape[0]):
            out[n] = (w0 * (x[n + r] + x[n + s]) + w1 * (y[n + r] + y[n + s])) + w2 * (z[n + r] + z[n + s])
    else:
        for n in range(out.shape[0]):
            total = (out[n] + w0 * (x[n + r] + x[n + s])) + w1 * (y[n + r] + y[n + s])
            out[n] = total + w2 * (z[n + r] + z[n + s])


@njit(types.void(_given(2), _given(2), _made(2), _made(2)), **_OPTIONS)
def wavelet_passes(x: Any, weights: Any, across: Any, down: Any) -> None:
    """``_steerable.band_passes`` of an image that is padded already."""
    height = across.shape[0]
    size = x.shape[1]
    rows = np.empty((7, size))  # 0..3 sums of two rows, the last one a row itself, 4..6 differences
    for row in range(height):
        for r in range(3):
            above, below, total, difference = x[row + r], x[row + 6 - r], rows[r], rows[4 + r]
            for n in range(size):
                total[n] = above[n] + below[n]
            for n in range(size):
                difference[n] = above[n] - below[n]
        middle, total = x[row + 3], rows[3]
        for n in range(size):
            total[n] = middle[n]
        for r in range(4):
            w0, w1, w2 = weights[r, 0], weights[r, 1], weights[r, 2]
            _across(across[row], rows, r, w0, w1, w2, r == 0)
            _down(down[row], rows, r, w0, w1, w2, r == 0)


@njit(types.void(_given(2), _made(2)), **_OPTIONS)
def wavelet_products(y: Any, out: Any) -> None:
    """``_steerable.inner_products``: of a band with two columns of zeros at each side."""
    width = out.shape[1]
    out[:] = 0.0
    for row in range(2, y.shape[0] - 2):
        here = y[row, 2 : 2 + width]
        for k in range(13):
            down, right = (k + 2) // 5, (k + 2) % 5 - 2
            there, to = y[row + down, 2 + right : 2 + right + width], out[k]
            for n in range(width):
                to[n] += here[n] * there[n]
        to = out[13]
        for n in range(width):
            to[n] += here[n]


@njit(types.void(_made(1), _given(1), _given(1), _FLAG), **_OPTIONS)
def _first(total: Any, x: Any, y: Any, product: bool) -> None:
    if product:
        for n in range(total.shape[0]):
            total[n] = x[n] * y[n]
    else:
        for n in range(total.shape[0]):
            total[n] = x[n]


@njit(types.void(_made(1), *[_given(1)] * 4), **_OPTIONS)
def _four(total: Any, x0: Any, x1: Any, x2: Any, x3: Any) -> None:
    for n in range(total.shape[0]):
        total[n] = ((total[n] + x0[n]) + x1[n] + x2[n]) + x3[n]


@njit(types.void(_made(1), *[_given(1)] * 4, _given(2)), **_OPTIONS)
def _four_products(total: Any, x0: Any, x1: Any, x2: Any, x3: Any, y: Any) -> None:
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    for n in range(total.shape[0]):
        total[n] = ((total[n] + x0[n] * y0[n]) + x1[n] * y1[n] + x2[n] * y2[n]) + x3[n] * y3[n]


@njit(types.void(_given(2), _given(2), _FLAG, _COUNT, _COUNT, _made(2)), **_OPTIONS)
def wavelet_boxes(x: Any, y: Any, product: bool, window: int, start: int, out: Any) -> None:
    """Sums of ``x``, or of the ``product`` x·y, in windows that begin every three pixels from ``start`` on."""
    height, width = out.shape
    room = width + window // 3 + 1
    total, phases = np.zeros(x.shape[1]), np.zeros(3 * room)
    needed = min(3 * room, x.shape[1] - start)
    for row in range(height):
        top = start + 3 * row
        _first(total, x[top], y[top], product)
        for k in range(1, window - 3, 4):  # four in one go, so that a sum is loaded and stored a quarter of the times
            here = top + k
            if product:
                _four_products(total, x[here], x[here + 1], x[here + 2], x[here + 3], y[here:])
            else:
                _four(total, x[here], x[here + 1], x[here + 2], x[here + 3])
        for k in range((window - 1) // 4 * 4 + 1, window):
            of_x, of_y = x[top + k], y[top + k]
            if product:
                for n in range(total.shape[0]):
                    total[n] += of_x[n] * of_y[n]
            else:
                for n in range(total.shape[0]):
                    total[n] += of_x[n]
        for phase in range(3):
            of_total, to = total[start + phase :], phases[phase * room : phase * room + room]
            for n in range((needed - phase + 2) // 3):
                to[n] = of_total[3 * n]
        sums = out[row]
        for k in range(window):
            first = k % 3 * room + k // 3
            of_phase = phases[first : first + width]
            if k == 0:
                for n in range(width):
                    sums[n] = of_phase[n]
            else:
                for n in range(width):
                    sums[n] += of_phase[n]


@njit(types.void(_given(1), _given(1), _made(1)), **_OPTIONS)
def wavelet_product(power: Any, eigenvalues: Any, out: Any) -> None:
    """Product over the nine eigenvalues λ of 1 + power·λ; ``power`` may be ``out``."""
    l0, l1, l2 = eigenvalues[0], eigenvalues[1], eigenvalues[2]
    l3, l4, l5 = eigenvalues[3], eigenvalues[4], eigenvalues[5]
    l6, l7, l8 = eigenvalues[6], eigenvalues[7], eigenvalues[8]
    for n in range(out.shape[0]):
        x = power[n]
        first = (1 + x * l0) * (1 + x * l1) * (1 + x * l2) * (1 + x * l3) * (1 + x * l4)
        out[n] = first * (1 + x * l5) * (1 + x * l6) * (1 + x * l7) * (1 + x * l8)


@njit(types.void(*[_given(1)] * 6, _given(1), _NUMBER, _made(1)), **_OPTIONS)
def wavelet_values(
    products: Any, sum_s: Any, var_s: Any, sum_f: Any, var_f: Any, field: Any, eigenvalues: Any, count: float, out: Any
) -> None:
    """The argument of ``vif_wavelet._fidelity``'s logarithms, of every block."""
    for n in range(out.shape[0]):
        of_s, of_f = var_s[n], var_f[n]
        covariance = products[n] - sum_s[n] * sum_f[n] / count
        gain = covariance / (of_s + _TINY)
        noise = (of_f - gain * covariance) / count
        nothing = (of_s < _TINY) | (of_f < _TINY) | (gain < 0)
        gain = 0.0 if nothing else gain
        noise = 0.0 if nothing else noise
        noise = noise if noise > _TINY else _TINY
        out[n] = gain * gain / (noise + _NOISE) * field[n]
    wavelet_product(out, eigenvalues, out)
