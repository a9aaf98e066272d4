"""The loops of phase congruency for numba, with the bits of the NumPy code that they replace.

As in :mod:`fusionbench.metrics._fmi_compiled`.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "boundscheck": False}
LANES = 256
_GUARD, _TINY = 1e-4, 1e-300  # as in _phase_congruency.py

_MADE = types.Array(types.float64, 1, "C")
_GIVEN = types.Array(types.float64, 1, "C", readonly=True)
_SCALES = types.UniTuple(_MADE, 4)
_NUMBER = types.float64


@njit(types.void(_SCALES, _SCALES, _MADE, _NUMBER, _MADE, _MADE, _MADE), **_OPTIONS)
def qp_energy(evens: Any, odds: Any, finest: Any, threshold: float, energy: Any, exponent: Any, total: Any) -> None:
    """What ``_phase_congruency._energy`` computes up to its exponential: energy, the exponent, the sum of amplitudes."""
    e0, e1, e2, e3 = evens
    o0, o1, o2, o3 = odds
    s = np.empty(8 * LANES)  # rows: even, odd, across, energy, sum of amplitudes, exponent
    count = energy.shape[0]
    for start in range(0, count, LANES):
        lanes = min(LANES, count - start)
        for n in range(lanes):
            s[n] = e0[start + n] + e1[start + n] + e2[start + n] + e3[start + n]
        for n in range(lanes):
            s[LANES + n] = o0[start + n] + o1[start + n] + o2[start + n] + o3[start + n]
        for n in range(lanes):
            s[2 * LANES + n] = abs(e0[start + n] * s[LANES + n] - o0[start + n] * s[n])
        for n in range(lanes):
            s[2 * LANES + n] += abs(e1[start + n] * s[LANES + n] - o1[start + n] * s[n])
        for n in range(lanes):
            s[2 * LANES + n] += abs(e2[start + n] * s[LANES + n] - o2[start + n] * s[n])
        for n in range(lanes):
            s[2 * LANES + n] += abs(e3[start + n] * s[LANES + n] - o3[start + n] * s[n])
        for n in range(lanes):
            x0 = finest[start + n]
            x1 = np.sqrt(e1[start + n] * e1[start + n] + o1[start + n] * o1[start + n])
            x2 = np.sqrt(e2[start + n] * e2[start + n] + o2[start + n] * o2[start + n])
            x3 = np.sqrt(e3[start + n] * e3[start + n] + o3[start + n] * o3[start + n])
            amplitude = x0 + x1 + x2 + x3
            largest = x0 if x0 > x1 else x1
            largest = largest if largest > x2 else x2
            largest = largest if largest > x3 else x3
            s[4 * LANES + n] = amplitude
            s[5 * LANES + n] = 5.0 - amplitude / (largest + _GUARD) * 2.5
        for n in range(lanes):
            squared = s[n] * s[n] + s[LANES + n] * s[LANES + n]
            value = (squared - s[2 * LANES + n]) / (np.sqrt(squared) + _GUARD) - threshold
            s[3 * LANES + n] = value if value > 0 else 0.0
        for n in range(lanes):
            energy[start + n] = s[3 * LANES + n]
        for n in range(lanes):
            total[start + n] = s[4 * LANES + n]
        for n in range(lanes):
            exponent[start + n] = s[5 * LANES + n]


@njit(types.void(_GIVEN, _GIVEN, _GIVEN, *[_NUMBER] * 3, *[_MADE] * 5), **_OPTIONS)
def qp_add(
    energy: Any,
    exponential: Any,
    amplitude: Any,
    of_xx: float,
    of_yy: float,
    of_xy: float,
    energies: Any,
    amplitudes: Any,
    xx: Any,
    yy: Any,
    xy: Any,
) -> None:
    """What ``_phase_congruency._add`` adds to its five sums, from :func:`qp_energy` and the exponential."""
    s = np.empty(2 * LANES)
    count = energy.shape[0]
    for start in range(0, count, LANES):
        lanes = min(LANES, count - start)
        for n in range(lanes):
            weighted = energy[start + n] / (1 + exponential[start + n])
            congruency = weighted / (amplitude[start + n] + _TINY)
            s[n] = weighted
            s[LANES + n] = congruency * congruency
        for n in range(lanes):
            energies[start + n] += s[n]
        for n in range(lanes):
            amplitudes[start + n] += amplitude[start + n]
        for n in range(lanes):
            xx[start + n] += s[LANES + n] * of_xx
        for n in range(lanes):
            yy[start + n] += s[LANES + n] * of_yy
        for n in range(lanes):
            xy[start + n] += s[LANES + n] * of_xy
