"""Formulas of pair metrics between their filters, exponentials, logarithms and sums, for numba, with NumPy's bits.

As in :mod:`fusionbench.metrics._table_compiled`.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from fusionbench.synth.compiled_types import OPTIONS as _OPTIONS
from fusionbench.synth.compiled_types import given as _given
from fusionbench.synth.compiled_types import made as _made

_NUMBER, _FLAG = types.float64, types.boolean
_EPS = 2.0**-52


@njit(_NUMBER(_NUMBER, _NUMBER), **_OPTIONS)
def _smaller_over_larger(x: float, y: float) -> float:
    """1 where both are 0."""
    smaller, larger = (x if x < y else y), (y if x < y else x)
    ratio = smaller / (larger if larger > 0 else 1.0)
    return ratio if larger > 0 else 1.0


_Bytes = types.Array(types.uint8, 2, "C", readonly=True)
_Row = types.Array(types.uint8, 1, "C", readonly=True)


@njit(types.int64(*[_Row] * 4, types.int64), **_OPTIONS)
def _larger(x: Any, x_before: Any, y: Any, y_before: Any, count: int) -> Any:
    """Σ of the larger of both squared differences."""
    total = np.int64(0)
    for n in range(count):
        of_x, of_y = np.int32(x[n]) - np.int32(x_before[n]), np.int32(y[n]) - np.int32(y_before[n])
        of_x, of_y = abs(of_x), abs(of_y)
        larger = of_x if of_x > of_y else of_y
        total += larger * larger
    return total


@njit(types.void(_given(2), _NUMBER, _made(2), _made(2)), **_OPTIONS)
def nabf_gradients(x: Any, divisor: float, strength: Any, tangent: Any) -> None:
    """Strength and sx/sy of Sobel's gradients of whole numbers (h+2,w+2) over the divisor; sx/1 where both are 0."""
    height, width = strength.shape
    for row in range(height):
        above, here, below = x[row], x[row + 1], x[row + 2]
        of_strength, of_tangent = strength[row], tangent[row]
        for n in range(width):
            right, left = above[n + 2] + below[n + 2], above[n] + below[n]
            sx = ((right + 2 * here[n + 2]) - (left + 2 * here[n])) / divisor
            sy = (below[n] + 2 * below[n + 1] + below[n + 2]) - (above[n] + 2 * above[n + 1] + above[n + 2])
            sy = sy / divisor
            of_strength[n] = np.sqrt(sx * sx + sy * sy)
            of_tangent[n] = sx / (1.0 if (sx == 0) & (sy == 0) else sy)


@njit(types.void(*[_given(1)] * 4, *[_NUMBER] * 3, _made(2)), **_OPTIONS)
def nabf_exponents(
    g: Any, alpha: Any, g_f: Any, alpha_f: Any, kappa_g: float, kappa_a: float, sigma: float, out: Any
) -> None:
    """The exponents of ``nabf._losses`` for strength and for orientation."""
    of_g, of_a = out[0], out[1]
    for n in range(g.shape[0]):
        x, y = g[n], g_f[n]
        smaller = x if x < y else y
        larger = y if x < y else x
        ratio = smaller / (1.0 if larger == 0 else larger)
        of_g[n] = -kappa_g * ((0.0 if smaller == 0 else ratio) - sigma)
    for n in range(g.shape[0]):
        alignment = abs(abs(alpha[n] - alpha_f[n]) - np.pi / 2) * 2 / np.pi
        of_a[n] = -kappa_a * (alignment - sigma)


@njit(types.void(_made(2), _given(1), *[_NUMBER] * 2, _made(1)), **_OPTIONS)
def nabf_losses(exponentials: Any, weight: Any, gamma_g: float, gamma_a: float, out: Any) -> None:
    """(1 - Q_XF)·w from both exponentials."""
    of_g, of_a = exponentials[0], exponentials[1]
    for n in range(out.shape[0]):
        quality = np.sqrt(gamma_g / (1 + of_g[n]) * (gamma_a / (1 + of_a[n])))
        out[n] = (1 - quality) * weight[n]


@njit(types.void(*[_given(1)] * 4, _NUMBER, _NUMBER, _made(2)), **_OPTIONS)
def qg_exponents(g: Any, alpha: Any, g_f: Any, alpha_f: Any, slope: float, shift: float, out: Any) -> None:
    """The exponents of ``qg._preservation`` for strength and for orientation."""
    of_g, of_a = out[0], out[1]
    for n in range(g.shape[0]):
        x, y = g[n], g_f[n]
        smaller = x if x < y else y
        larger = y if x < y else x
        of_g[n] = (smaller / larger - 0.5) * -10.0
    for n in range(g.shape[0]):
        of_a[n] = abs(abs(alpha[n] - alpha_f[n]) - np.pi / 2) * slope + shift


@njit(types.void(_made(2), _made(2), _given(1), _given(1), _made(1)), **_OPTIONS)
def qg_values(of_a: Any, of_b: Any, g_a: Any, g_b: Any, out: Any) -> None:
    """Weighted preservation from the exponentials with both sources."""
    x, y, z, w = of_a[0], of_a[1], of_b[0], of_b[1]
    for n in range(out.shape[0]):
        q_a, q_b = 1 / ((x[n] + 1) * (y[n] + 1)), 1 / ((z[n] + 1) * (w[n] + 1))
        out[n] = (q_a * g_a[n] + q_b * g_b[n]) / (g_a[n] + g_b[n])


@njit(types.void(_given(1), _given(1), _NUMBER, _NUMBER, _made(1)), **_OPTIONS)
def qcb_contrast(fine: Any, coarse: Any, black: float, z: float, out: Any) -> None:
    """``qcb._masked_contrast`` from the filtered images."""
    for n in range(out.shape[0]):
        none = abs(coarse[n]) <= black
        contrast = abs(fine[n] / (1.0 if none else coarse[n]) - 1)
        contrast = 0.0 if none else contrast
        square = contrast * contrast
        out[n] = square * contrast / (square + z)


@njit(types.void(*[_given(1)] * 3, _made(1)), **_OPTIONS)
def qcb_values(fused: Any, a: Any, b: Any, out: Any) -> None:
    """λ q(A,F) + (1-λ) q(B,F) from masked contrasts."""
    for n in range(out.shape[0]):
        x, y, z = fused[n], a[n], b[n]
        square = y * y
        total = square + z * z
        share = square / (total if total > 0 else 1.0)
        share = share if total > 0 else 0.5
        out[n] = share * _smaller_over_larger(x, y) + (1 - share) * _smaller_over_larger(x, z)


@njit(types.void(*[_given(1)] * 3, _made(2)), **_OPTIONS)
def mef_ssim_agreement(var_a: Any, var_b: Any, product: Any, out: Any) -> None:
    """What ``mef_ssim._desired`` takes the tangent of, and the bases of its powers."""
    of_tangent, of_a, of_b = out[0], out[1], out[2]
    for n in range(product.shape[0]):
        x = var_a[n] if var_a[n] > 0 else 0.0
        y = var_b[n] if var_b[n] > 0 else 0.0
        x, y = np.sqrt(121 * x), np.sqrt(121 * y)
        total = x * x + y * y + 121 * product[n] * 2
        agreement = (np.sqrt(total if total > 0 else 0.0) + _EPS) / (x + y + _EPS)
        agreement = agreement if agreement > _EPS else _EPS
        agreement = agreement if agreement < 1 - _EPS else 1 - _EPS
        of_tangent[n] = np.pi / 2 * agreement
        of_a[n] = (x + 0.001) / 11
        of_b[n] = (y + 0.001) / 11


@njit(types.void(*[_given(1)] * 3, _given(2), _made(2)), **_OPTIONS)
def mef_ssim_factors(var_a: Any, var_b: Any, product: Any, powers: Any, out: Any) -> None:
    """The factors of both sources' structures in the desired patch, from the powers."""
    power_a, power_b, of_a, of_b = powers[0], powers[1], out[0], out[1]
    for n in range(product.shape[0]):
        x = var_a[n] if var_a[n] > 0 else 0.0
        y = var_b[n] if var_b[n] > 0 else 0.0
        x, y = np.sqrt(121 * x), np.sqrt(121 * y)
        contrast_a, contrast_b = x + 0.001, y + 0.001
        s_a, s_b = power_a[n] + _EPS, power_b[n] + _EPS
        total = s_a + s_b
        f_a, f_b = s_a / total / contrast_a, s_b / total / contrast_b
        length = f_a * f_a * (x * x) + f_b * f_b * (y * y) + f_b * f_a * (121 * product[n]) * 2
        length = np.sqrt(length if length > 0 else 0.0)
        highest = contrast_a if contrast_a > contrast_b else contrast_b
        scale = highest / (length if length > 0 else 1.0)
        scale = scale if length > 0 else 0.0
        of_a[n] = f_a * scale
        of_b[n] = f_b * scale


@njit(types.void(_given(2), *[_given(1)] * 6, _NUMBER, _made(1)), **_OPTIONS)
def mef_ssim_values(
    factors: Any, var_f: Any, var_a: Any, var_b: Any, cov_fa: Any, cov_fb: Any, cov_ab: Any, constant: float, out: Any
) -> None:
    """``mef_ssim._similarity`` from the factors and the moments under the Gaussian window."""
    of_a, of_b = factors[0], factors[1]
    for n in range(out.shape[0]):
        x, y = of_a[n], of_b[n]
        sigma_rf = x * cov_fa[n] + y * cov_fb[n]
        sigma_r_sq = x * x * var_a[n] + y * y * var_b[n] + 2 * y * x * cov_ab[n]
        out[n] = (2 * sigma_rf + constant) / (sigma_r_sq + var_f[n] + constant)


@njit(types.void(*[_given(1)] * 3, _NUMBER, _NUMBER, _made(2)), **_OPTIONS)
def viff_information(covariance: Any, var_s: Any, var_f: Any, tiny: float, noise: float, out: Any) -> None:
    """The gain of each window, and what its logarithms with and without distortion are taken of."""
    of_gain, of_kept, of_there = out[0], out[1], out[2]
    for n in range(covariance.shape[0]):
        of_s, of_f, shared = var_s[n], var_f[n], covariance[n]
        gain = shared / (of_s + tiny)
        rest = of_f - gain * shared
        gain = 0.0 if of_s < tiny else gain
        rest = of_f if of_s < tiny else rest
        of_s = 0.0 if of_s < tiny else of_s
        gain = 0.0 if of_f < tiny else gain
        rest = 0.0 if of_f < tiny else rest
        rest = of_f if gain < 0 else rest
        gain = gain if gain > 0 else 0.0
        rest = rest if rest > tiny else tiny
        of_gain[n] = gain
        of_kept[n] = 1 + gain * gain * of_s / (rest + noise)
        of_there[n] = 1 + of_s / noise


@njit(types.void(_Bytes, _Bytes, types.Array(types.int64, 1, "C")), **_OPTIONS)
def qsf_sums(x: Any, y: Any, out: Any) -> None:
    """Σ max(|∇x|, |∇y|)² of whole grey levels along rows, columns and both diagonals."""
    height, width = x.shape
    out[:] = 0
    for row in range(height):
        x_0, y_0 = x[row], y[row]
        x_1, y_1 = x[row - 1 if row else 0], y[row - 1 if row else 0]
        out[0] += _larger(x_0[1:], x_0, y_0[1:], y_0, width - 1)
        if row:
            out[1] += _larger(x_0, x_1, y_0, y_1, width)
            out[2] += _larger(x_0[1:], x_1, y_0[1:], y_1, width - 1)
            out[3] += _larger(x_0, x_1[1:], y_0, y_1[1:], width - 1)
