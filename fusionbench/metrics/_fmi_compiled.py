"""The loops of FMI and Q_P for numba, with the bits of the NumPy code that they replace.

Imported by :mod:`fusionbench.metrics._kernel` alone, where numba is installed. Every function fills arrays that the
caller made, on one thread and without the interpreter's lock. Every sum has its terms in the order of the NumPy code,
nothing is contracted or reordered, and logarithms and exponentials are left to the caller, so that both give the same
bits and a process may change from one to the other at any moment.

Values are worked on in chunks of ``LANES`` windows or pixels, in rows of one scratch array whose distance is a
constant: so the compiler knows that rows do not overlap, and makes vector code of every loop over lanes.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "boundscheck": False}
LANES = 64
_TINY, _UNRELATED, _ROUNDING = 1e-300, 1e150, 1e-12  # as in fmi.py
_ONE = 0x3FF0000000000000  # the bits of 1.0


def _made(dimensions: int) -> Any:
    """Type of a float64 array that a function fills."""
    return types.Array(types.float64, dimensions, "C")


def _given(dimensions: int) -> Any:
    """Type of a float64 array that a function reads."""
    return types.Array(types.float64, dimensions, "C", readonly=True)


@njit(types.void(_given(2), _made(3), _made(3)), **_OPTIONS)
def fmi_windows(x: Any, pdf: Any, about: Any) -> None:
    """What ``fmi._distributions`` finds of the n windows of ``x`` (h+2,w+2), in chunks of lanes.

    Into ``pdf`` (chunks,9,LANES), 1e-300 for 0, and into the rows of ``about`` (chunks,13,LANES): 0..7 cdf, 8 left for
    the entropy, 9 deviation, 10 norm, 11 Σ P_i, 12 Σ i·P_i. Lanes beyond the last window are flat windows.
    """
    height, width = x.shape[0] - 2, x.shape[1] - 2
    s = np.empty(20 * LANES)  # rows 0..8 cells, 9..17 running sums, 18 least and whether flat, 19 Σ p²
    for chunk in range(pdf.shape[0]):
        shares, rest = pdf[chunk].reshape(9 * LANES), about[chunk].reshape(13 * LANES)
        begin, end = chunk * LANES, min(height * width, chunk * LANES + LANES)
        if end - begin < LANES:
            s[:] = 0.0
        place = begin
        while place < end:  # the part of one row
            row, first = place // width, place % width
            count = min(end - place, width - first)
            for column in range(3):
                for line in range(3):
                    source = x[row + line, first + column : first + column + count]
                    top = (3 * column + line) * LANES + place - begin
                    cells = s[top : top + count]
                    for n in range(count):
                        cells[n] = source[n]
            place += count
        for n in range(LANES):
            least = s[n]
            for k in range(1, 9):
                value = s[k * LANES + n]
                least = value if value < least else least
            s[18 * LANES + n] = least
        for n in range(LANES):
            least = s[18 * LANES + n]
            total = 0.0
            for k in range(9):
                cell = s[k * LANES + n] - least
                s[k * LANES + n] = cell
                total = cell if k == 0 else total + cell
                s[(9 + k) * LANES + n] = total
            s[18 * LANES + n] = 1.0 if total == 0 else 0.0
        any_flat = False
        for n in range(LANES):
            any_flat |= s[18 * LANES + n] != 0
        if any_flat:
            for n in range(LANES):
                flat = s[18 * LANES + n]
                total = 0.0
                for k in range(9):
                    cell = s[k * LANES + n] + flat
                    s[k * LANES + n] = cell
                    total = cell if k == 0 else total + cell
                    s[(9 + k) * LANES + n] = total
        for n in range(LANES):
            total = s[17 * LANES + n]
            squares = 0.0
            for k in range(9):
                share = s[k * LANES + n] / total
                shares[k * LANES + n] = share + _TINY
                squares = share * share if k == 0 else squares + share * share
            s[19 * LANES + n] = squares
        for n in range(LANES):
            total = s[17 * LANES + n]
            plain, weighted = 0.0, 0.0
            for k in range(8):
                share = s[(9 + k) * LANES + n] / total
                rest[k * LANES + n] = share
                plain = share if k == 0 else plain + share
                weighted = share if k == 0 else weighted + (k + 1) * share
            rest[11 * LANES + n] = plain
            rest[12 * LANES + n] = weighted
        for n in range(LANES):
            plain, weighted = rest[11 * LANES + n], rest[12 * LANES + n]
            variance = (81 - 2 * weighted - plain) - (9 - plain) * (9 - plain)
            rest[9 * LANES + n] = np.sqrt(variance if variance > 0 else 0.0)
            norm = np.sqrt(abs(s[19 * LANES + n] - 1 / 9))
            rest[10 * LANES + n] = _UNRELATED if s[18 * LANES + n] != 0 else norm


@njit(types.void(_given(3), _given(3), _made(3)), **_OPTIONS)
def fmi_entropy(pdf: Any, logarithms: Any, about: Any) -> None:
    """The row of the entropies, from ``pdf`` and its logarithms."""
    for chunk in range(pdf.shape[0]):
        p, of_p = pdf[chunk].reshape(9 * LANES), logarithms[chunk].reshape(9 * LANES)
        rest = about[chunk].reshape(13 * LANES)
        for n in range(LANES):
            total = p[n] * of_p[n]
            for k in range(1, 9):
                total += p[k * LANES + n] * of_p[k * LANES + n]
            rest[8 * LANES + n] = -total


@njit(types.boolean(_given(3), _given(3), _given(3), _given(3), _made(3)), **_OPTIONS)
def fmi_joint(pdf_f: Any, about_f: Any, pdf_g: Any, about_g: Any, out: Any) -> bool:
    """The cells whose logarithms ``fmi._normalised_information`` takes, of windows F and G of :func:`fmi_windows`.

    Into ``out`` (chunks,35,LANES): rows 0..16 the mixture, 17..33 independence, 34 its weight; True if a weight is not
    positive.
    """
    # rows: 0..15 and 16..31 the merge, 32..49 ends, 50..65 origin, 66..82 last of F, 83..99 of G, 100 ρ, 101 positive,
    # 102 φ, 103..119 following of F, 120..136 of G, 137 1-φ
    s = np.empty(138 * LANES)
    bits = s.view(np.int64)
    signed = False
    for chunk in range(out.shape[0]):
        p_f, f = pdf_f[chunk].reshape(9 * LANES), about_f[chunk].reshape(13 * LANES)
        p_g, g = pdf_g[chunk].reshape(9 * LANES), about_g[chunk].reshape(13 * LANES)
        cells = out[chunk].reshape(35 * LANES)
        for n in range(LANES):
            product = p_f[n] * p_g[n]
            for k in range(1, 9):
                product += p_f[k * LANES + n] * p_g[k * LANES + n]
            rho = (product - 1 / 9) / (f[10 * LANES + n] * g[10 * LANES + n])
            s[100 * LANES + n] = rho
            s[101 * LANES + n] = 1.0 if rho >= 0 else 0.0
        for k in range(8):
            for n in range(LANES):
                s[k * LANES + n] = f[k * LANES + n] + 1
            for n in range(LANES):
                positive = s[101 * LANES + n]
                falling = g[(7 - k) * LANES + n] * positive + (1 - g[k * LANES + n]) * (1 - positive)
                s[(8 + k) * LANES + n] = falling + 1
        for n in range(8 * LANES):
            bits[n] |= 1
        for n in range(8 * LANES):
            bits[8 * LANES + n] &= -2
        for stage in range(4):
            half = 8 >> stage
            old, new = (0, 16) if stage % 2 == 0 else (16, 0)
            for low in range(16):
                if low & half == 0:
                    one, other = (old + low) * LANES, (old + low + half) * LANES
                    less, more = (new + low) * LANES, (new + low + half) * LANES
                    for n in range(LANES):
                        x, y = s[one + n], s[other + n]
                        s[less + n] = x if x < y else y
                        s[more + n] = y if x < y else x
        for n in range(16 * LANES):
            s[33 * LANES + n] = s[n] - 1
        for n in range(16 * LANES):
            bits[50 * LANES + n] = -(bits[n] & 1) & _ONE
        for n in range(LANES):
            s[32 * LANES + n] = 0.0
            end = s[48 * LANES + n]
            s[49 * LANES + n] = end if end > 1 else 1.0
        for n in range(LANES):
            ranks = s[33 * LANES + n]
            for k in range(1, 16):
                ranks += (k + 1) * s[(33 + k) * LANES + n]
            plain_f, plain_g = f[11 * LANES + n], g[11 * LANES + n]
            positive = s[101 * LANES + n]
            plain = (8 - plain_g) + (2 * plain_g - 8) * positive
            weighted = g[12 * LANES + n] + (36 - 9 * plain_g) * (1 - positive)
            covariance = (f[12 * LANES + n] + weighted - ranks) + (8 * (plain_f + plain) - plain_f * plain)
            covariance = covariance if covariance > _ROUNDING else _ROUNDING
            phi = abs(s[100 * LANES + n]) * (f[9 * LANES + n] * g[9 * LANES + n]) / covariance
            s[102 * LANES + n] = phi
            s[137 * LANES + n] = 1 - phi
            cells[34 * LANES + n] = 1 - phi
        for n in range(LANES):
            s[66 * LANES + n] = 0.0
            s[83 * LANES + n] = 0.0
        for k in range(16):  # the value of each before every interval
            for n in range(LANES):
                value = s[(33 + k) * LANES + n]
                p = s[(50 + k) * LANES + n] * value
                q = value - p
                below_p, below_q = s[(66 + k) * LANES + n], s[(83 + k) * LANES + n]
                s[(67 + k) * LANES + n] = p if p > below_p else below_p
                s[(84 + k) * LANES + n] = q if q > below_q else below_q
        for n in range(LANES):
            s[119 * LANES + n] = s[49 * LANES + n]
            s[136 * LANES + n] = s[49 * LANES + n]
        for j in range(16):  # the value of each after every interval
            k = 15 - j
            for n in range(LANES):
                value, fused = s[(33 + k) * LANES + n], s[(50 + k) * LANES + n]
                p = fused * value
                q = value - p + fused
                p = p + (1 - fused)
                above_p, above_q = s[(104 + k) * LANES + n], s[(121 + k) * LANES + n]
                s[(103 + k) * LANES + n] = p if p < above_p else above_p
                s[(120 + k) * LANES + n] = q if q < above_q else above_q
        for k in range(17):
            for n in range(LANES):
                step_p = s[(103 + k) * LANES + n] - s[(66 + k) * LANES + n]
                step_q = s[(120 + k) * LANES + n] - s[(83 + k) * LANES + n]
                independent = step_p * step_q * s[137 * LANES + n] + _TINY
                step = s[(33 + k) * LANES + n] - s[(32 + k) * LANES + n]
                cells[(17 + k) * LANES + n] = independent
                cells[k * LANES + n] = step * s[102 * LANES + n] + independent
        for n in range(LANES):
            signed |= cells[34 * LANES + n] <= 0
    return signed


@njit(types.void(_given(3), _given(3), _given(3), _given(3), _made(2)), **_OPTIONS)
def fmi_value(cells: Any, logarithms: Any, about_f: Any, about_g: Any, out: Any) -> None:
    """2·I/(H+H) from the cells of :func:`fmi_joint` and their logarithms, into ``out`` (chunks,LANES)."""
    s = np.empty(2 * LANES)
    for chunk in range(out.shape[0]):
        p, of_p = cells[chunk].reshape(35 * LANES), logarithms[chunk].reshape(35 * LANES)
        result = out[chunk]
        f, g = about_f[chunk, 8], about_g[chunk, 8]
        for n in range(2 * LANES):
            s[n] = 0.0
        for side in range(2):
            for k in range(17):
                row = (17 * side + k) * LANES
                for n in range(LANES):
                    s[side * LANES + n] += p[row + n] * of_p[row + n]
        for n in range(LANES):
            rest = p[34 * LANES + n]
            h_sum = f[n] + g[n]
            h_joint = rest * h_sum - rest * of_p[34 * LANES + n] - (s[n] - s[LANES + n])
            result[n] = 2 * (h_sum - h_joint) / (h_sum + _TINY)
