"""The formulas of VIF, SSIM and Qabf between their filters, exponentials and sums, for numba, with NumPy's bits.

As in :mod:`fusionbench.metrics._fmi_compiled`: what NumPy does in one pass over memory for each operation is one loop.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from fusionbench.synth.compiled_types import OPTIONS as _OPTIONS
from fusionbench.synth.compiled_types import given as _given
from fusionbench.synth.compiled_types import made as _made

_NUMBER = types.float64
_FLAT, _NOISE, _GROUP = 1e-10, 2.0, 16  # as in vif.py
_MIDDLE, _SLOPE = 0.5, -15.0  # as in qabf.py
_TINY = 1e-300


# Of VIF only the sum of logarithms is needed. As in `vif.log_sum`, value n is multiplied by those `whole`, 2·`whole`,
# ... places further, `_GROUP` in all, before one logarithm is taken; the last ones, fewer than a group, have their own.


@njit(types.void(_given(1), _made(1), _made(1), _made(1)), **_OPTIONS)
def vif_source(variance: Any, gain: Any, signal: Any, groups: Any) -> None:
    """``vif._gain_factors`` and what the source's logarithms are taken of."""
    for n in range(variance.shape[0]):
        value = variance[n]
        factor = 0.0 if value < _FLAT else 1 / (value + _FLAT)
        gain[n] = factor
        signal[n] = factor * factor * value
    whole = variance.shape[0] // _GROUP
    for k in range(_GROUP if whole else 0):
        values = variance[k * whole :]
        if k == 0:
            for n in range(whole):
                groups[n] = (0.0 if values[n] < _FLAT else values[n] / _NOISE) + 1
        else:
            for n in range(whole):
                groups[n] *= (0.0 if values[n] < _FLAT else values[n] / _NOISE) + 1
    values, rest = variance[_GROUP * whole :], groups[whole:]
    for n in range(values.shape[0]):
        rest[n] = (0.0 if values[n] < _FLAT else values[n] / _NOISE) + 1


@njit(_NUMBER(_NUMBER, _NUMBER, _NUMBER, _NUMBER), **_OPTIONS)
def _vif_value(covariance: float, of_fused: float, gain: float, signal: float) -> float:
    value = covariance if covariance > 0 else 0.0
    value = 0.0 if of_fused < _FLAT else value
    square = value * value
    noise = (of_fused + _NOISE) - square * gain
    noise = noise if noise > _FLAT + _NOISE else _FLAT + _NOISE
    return square * signal / noise + 1


@njit(types.void(*[_given(1)] * 4, _made(1)), **_OPTIONS)
def vif_values(covariance: Any, variance: Any, gain: Any, signal: Any, groups: Any) -> None:
    """What the logarithms of ``vif.fused_information`` are taken of.

    ``variance`` is that of the fused image; ``gain`` and ``signal`` are from :func:`vif_source`.
    """
    whole = covariance.shape[0] // _GROUP
    for k in range(_GROUP if whole else 0):
        c, v, g, s = covariance[k * whole :], variance[k * whole :], gain[k * whole :], signal[k * whole :]
        if k == 0:
            for n in range(whole):
                groups[n] = _vif_value(c[n], v[n], g[n], s[n])
        else:
            for n in range(whole):
                groups[n] *= _vif_value(c[n], v[n], g[n], s[n])
    c, v, g, s = (
        covariance[_GROUP * whole :],
        variance[_GROUP * whole :],
        gain[_GROUP * whole :],
        signal[_GROUP * whole :],
    )
    rest = groups[whole:]
    for n in range(c.shape[0]):
        rest[n] = _vif_value(c[n], v[n], g[n], s[n])


@njit(types.void(_made(1), *[_given(1)] * 4, _NUMBER, _NUMBER, _NUMBER, types.boolean), **_OPTIONS)
def ssim_values(
    covariance: Any,
    mean_f: Any,
    variance_f: Any,
    mean_s: Any,
    variance_s: Any,
    half_c1: float,
    half_c2: float,
    correction: float,
    signed: bool,
) -> None:
    """``ssim._quarter_map`` in place of the covariance."""
    for n in range(covariance.shape[0]):
        value = covariance[n] * correction + half_c2
        value = value if signed or value > 0 else 0.0
        numerator = value * (mean_f[n] * mean_s[n] + half_c1)
        luminance = (mean_f[n] * mean_f[n] + half_c1) + (mean_s[n] * mean_s[n] + half_c1)
        contrast = (variance_f[n] * correction + half_c2) + (variance_s[n] * correction + half_c2)
        covariance[n] = numerator / (luminance * contrast)


@njit(types.void(_given(2), _made(2), _made(2)), **_OPTIONS)
def qabf_gradients(x: Any, strength: Any, tangent: Any) -> None:
    """Strength and sy/-sx of Sobel's gradients of whole numbers (h+2,w+2), as in ``qabf._edge_gradients``."""
    height, width = strength.shape
    for row in range(height):
        above, here, below = x[row], x[row + 1], x[row + 2]
        of_strength, of_tangent = strength[row], tangent[row]
        for n in range(width):
            right, left = above[n + 2] + below[n + 2], above[n] + below[n]
            sx = (right + 2 * here[n + 2]) - (left + 2 * here[n])
            sy = (below[n] + 2 * below[n + 1] + below[n + 2]) - (above[n] + 2 * above[n + 1] + above[n + 2])
            of_strength[n] = np.sqrt(sx * sx + sy * sy)
            of_tangent[n] = sy / -sx if sx != 0 else np.inf


@njit(types.void(*[_given(1)] * 4, _NUMBER, _NUMBER, _made(1), _made(1)), **_OPTIONS)
def qabf_exponents(
    g: Any, alpha: Any, g_f: Any, alpha_f: Any, slope: float, shift: float, of_g: Any, of_a: Any
) -> None:
    """The exponents of ``qabf.edge_preservation`` for strength and, ``|α - α_F|·slope - shift``, for orientation."""
    for n in range(g.shape[0]):
        x, y = g[n], g_f[n]
        smaller = x if x < y else y
        larger = y if x < y else x
        of_g[n] = (smaller / (larger + _TINY) - _MIDDLE) * _SLOPE
        of_a[n] = abs(alpha[n] - alpha_f[n]) * slope - shift


@njit(types.void(_made(1), _given(1), _given(1), _NUMBER), **_OPTIONS)
def qabf_values(exponential: Any, other: Any, weight: Any, maximum: float) -> None:
    """Q_XF times its weight, from both exponentials, in place of the first."""
    for n in range(exponential.shape[0]):
        exponential[n] = maximum / ((exponential[n] + 1) * (other[n] + 1)) * weight[n]
