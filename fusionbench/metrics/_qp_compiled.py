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


def _made(dimensions: int) -> Any:
    """Type of a float64 array that a function fills."""
    return types.Array(types.float64, dimensions, "C")


def _given(dimensions: int) -> Any:
    """Type of a float64 array that a function reads."""
    return types.Array(types.float64, dimensions, "C", readonly=True)


@njit(types.void(_given(2), _given(2), _given(2), _given(3), types.int64, _made(3)), **_OPTIONS)
def qp_products(half: Any, even: Any, odd: Any, radial: Any, left: int, out: Any) -> None:
    """Columns (n,2·H) of a half spectrum times the eight filters of an orientation, into ``out`` (8,n,2·H).

    ``even`` and ``odd`` (n,H) are its angular factors, ``radial`` (4,W//2+1,2·H) those of the scales, from ``left`` on.
    """
    columns, height = even.shape
    turned = np.empty(4 * height)  # with the even and the odd factor
    for column in range(columns):
        values, of_even, of_odd = half[column], even[column], odd[column]
        for n in range(height):
            turned[2 * n] = values[2 * n] * of_even[n]
            turned[2 * n + 1] = values[2 * n + 1] * of_even[n]
        for n in range(height):
            turned[2 * (height + n)] = values[2 * n + 1] * of_odd[n]
            turned[2 * (height + n) + 1] = -values[2 * n] * of_odd[n]
        for parity in range(2):
            factor = turned[2 * height * parity : 2 * height * (parity + 1)]
            for scale in range(4):
                result, share = out[4 * parity + scale, column], radial[scale, left + column]
                for n in range(2 * height):
                    result[n] = factor[n] * share[n]


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


@njit(types.void(_given(2), _given(2), _made(2), _made(2), _made(2)), **_OPTIONS)
def qp_add(energy: Any, exponential: Any, energies: Any, amplitudes: Any, square: Any) -> None:
    """Add to the two sums of ``_phase_congruency._add``; the square of the phase congruency takes the place of the
    amplitude, which ``square`` has."""
    height, width = energy.shape
    for row in range(height):
        e, x, s = energy[row], exponential[row], square[row]
        of_energy, of_amplitude = energies[row], amplitudes[row]
        for n in range(width):
            of_amplitude[n] += s[n]
        for n in range(width):
            weighted = e[n] / (1 + x[n])
            congruency = weighted / (s[n] + _TINY)
            of_energy[n] += weighted
            s[n] = congruency * congruency


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
