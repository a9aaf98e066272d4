"""The loops of phase congruency for numba, with the bits of the NumPy code that they replace.

As in :mod:`fusionbench.metrics._fmi_compiled`.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "boundscheck": False}
LANES = 256
_GUARD, _TINY = 1e-4, 1e-300  # as in _phase_congruency.py

_NUMBER = types.float64
_COMPLEX = types.Array(types.complex128, 2, "C")


def _made(dimensions: int) -> Any:
    """Type of a float64 array that a function fills."""
    return types.Array(types.float64, dimensions, "C")


def _given(dimensions: int) -> Any:
    """Type of a float64 array that a function reads."""
    return types.Array(types.float64, dimensions, "C", readonly=True)


@njit(types.void(_given(2), _given(2), _given(2), _made(3)), **_OPTIONS)
def qp_turned(half: Any, even: Any, odd: Any, out: Any) -> None:
    """Columns (n,2·H) of a half spectrum times the even factor (n,H) of an orientation and, times -i, the odd one.

    Into ``out`` (2,n,2·H).
    """
    for column in range(even.shape[0]):
        values, of_even, of_odd = half[column], even[column], odd[column]
        one, other = out[0, column], out[1, column]
        for n in range(even.shape[1]):
            one[2 * n] = values[2 * n] * of_even[n]
            one[2 * n + 1] = values[2 * n + 1] * of_even[n]
        for n in range(even.shape[1]):
            other[2 * n] = values[2 * n + 1] * of_odd[n]
            other[2 * n + 1] = -values[2 * n] * of_odd[n]


@njit(types.void(_COMPLEX, _COMPLEX, types.int64), **_OPTIONS)
def qp_transposed(columns: Any, out: Any, left: int) -> None:
    """Complex columns (n,H) to the rows of ``out``, from its column ``left`` on."""
    count, height = columns.shape
    whole = height // 4 * 4
    for top in range(0, whole, 4):  # four numbers of a column lie in one line of the processor's cache
        to0, to1, to2, to3 = out[top, left:], out[top + 1, left:], out[top + 2, left:], out[top + 3, left:]
        for n in range(count):
            here = columns[n, top:]
            to0[n] = here[0]
            to1[n] = here[1]
            to2[n] = here[2]
            to3[n] = here[3]
    for row in range(whole, height):
        to0 = out[row, left:]
        for n in range(count):
            to0[n] = columns[n, row]


@njit(types.void(_given(3), _NUMBER, _made(2), _made(2), _made(2)), **_OPTIONS)
def qp_energy(responses: Any, threshold: float, energy: Any, exponent: Any, total: Any) -> None:
    """What ``_phase_congruency._energy`` computes up to its exponential: energy, the exponent, the sum of amplitudes.

    ``responses`` (8,rows,W) are those of the four scales, first even, then odd.
    """
    s = np.empty(8 * LANES)  # rows: even, odd, across, 3 and 4 the amplitudes' sum and maximum
    height, width = energy.shape
    for row in range(height):
        for start in range(0, width, LANES):
            lanes = min(LANES, width - start)
            for parity in range(2):
                e0, e1 = responses[4 * parity, row, start:], responses[4 * parity + 1, row, start:]
                e2, e3 = responses[4 * parity + 2, row, start:], responses[4 * parity + 3, row, start:]
                for n in range(lanes):
                    s[parity * LANES + n] = e0[n] + e1[n] + e2[n] + e3[n]
            for scale in range(4):
                e, o = responses[scale, row, start:], responses[4 + scale, row, start:]
                if scale == 0:
                    for n in range(lanes):
                        x, y = e[n], o[n]
                        length = np.sqrt(x * x + y * y)
                        s[2 * LANES + n] = abs(x * s[LANES + n] - y * s[n])
                        s[3 * LANES + n] = length
                        s[4 * LANES + n] = length
                else:
                    for n in range(lanes):
                        x, y = e[n], o[n]
                        length = np.sqrt(x * x + y * y)
                        s[2 * LANES + n] += abs(x * s[LANES + n] - y * s[n])
                        s[3 * LANES + n] += length
                        largest = s[4 * LANES + n]
                        s[4 * LANES + n] = length if length > largest else largest
            of_energy, of_exponent, of_total = energy[row, start:], exponent[row, start:], total[row, start:]
            for n in range(lanes):
                squared = s[n] * s[n] + s[LANES + n] * s[LANES + n]
                value = (squared - s[2 * LANES + n]) / (np.sqrt(squared) + _GUARD) - threshold
                of_energy[n] = value if value > 0 else 0.0
            for n in range(lanes):
                of_total[n] = s[3 * LANES + n]
                of_exponent[n] = 5.0 - s[3 * LANES + n] / (s[4 * LANES + n] + _GUARD) * 2.5


@njit(types.void(_given(2), _given(2), _given(2), _NUMBER, _NUMBER, _NUMBER, *[_made(2)] * 5), **_OPTIONS)
def qp_add(
    energy: Any,
    exponential: Any,
    amplitude: Any,
    share_xx: float,
    share_yy: float,
    share_xy: float,
    energies: Any,
    amplitudes: Any,
    xx: Any,
    yy: Any,
    xy: Any,
) -> None:
    """Add to the five sums of ``_phase_congruency._add_piece``."""
    height, width = energy.shape
    s = np.empty(width)
    for row in range(height):
        e, x, a = energy[row], exponential[row], amplitude[row]
        of_energy, of_amplitude = energies[row], amplitudes[row]
        for n in range(width):
            weighted = e[n] / (1 + x[n])
            congruency = weighted / (a[n] + _TINY)
            of_energy[n] += weighted
            s[n] = congruency * congruency
        for n in range(width):
            of_amplitude[n] += a[n]
        of_xx, of_yy, of_xy = xx[row], yy[row], xy[row]
        for n in range(width):
            of_xx[n] += s[n] * share_xx
            of_yy[n] += s[n] * share_yy
            of_xy[n] += s[n] * share_xy


@njit(types.void(*[_given(2)] * 5, *[_made(2)] * 3), **_OPTIONS)
def qp_moments(energies: Any, amplitudes: Any, xx: Any, yy: Any, xy: Any, mean: Any, most: Any, least: Any) -> None:
    """``_phase_congruency._moments``: phase congruency, its maximum and its minimum moment."""
    height, width = energies.shape
    for row in range(height):
        energy, amplitude, of_xx, of_yy, of_xy = energies[row], amplitudes[row], xx[row], yy[row], xy[row]
        of_mean, of_most, of_least = mean[row], most[row], least[row]
        for n in range(width):
            of_mean[n] = energy[n] / (amplitude[n] + _GUARD)
        for n in range(width):
            a, b, c = of_xx[n] / 3.0, of_yy[n] / 3.0, of_xy[n] / 6.0
            half_spread = (np.sqrt(c * c + (a - b) * (a - b)) + _GUARD) / 2
            middle = (a + b) / 2
            of_most[n] = middle + half_spread
            of_least[n] = middle - half_spread


@njit(types.UniTuple(types.int64, 2)(_given(1), _NUMBER, _NUMBER, _made(1)), **_OPTIONS)
def qp_middle(values: Any, low: float, high: float, out: Any) -> tuple[int, int]:
    """How many values are below ``low``, and how many from there to ``high``, which ``out`` (n,) begins with."""
    below, count = 0, 0
    for n in range(values.shape[0]):
        value = values[n]
        below += value < low
        out[count] = value
        count += (value >= low) & (value <= high)
    return below, count
