"""The loops of FMI for numba, with the bits of the NumPy code that they replace.

Imported by :mod:`fusionbench.metrics._kernel` alone, where numba is installed. Every function fills arrays that the
caller made, on one thread and without the interpreter's lock. Every sum has its terms in the order of the NumPy code,
nothing is contracted or reordered, and logarithms and exponentials are left to the caller, so that both give the same
bits and a process may change from one to the other at any moment.

Values are worked on in chunks of ``LANES`` windows of a row, in rows of one array whose distance is a constant: so the
compiler knows that rows do not overlap, and makes vector code of every loop over lanes. What belongs to one window
stays in registers from its first to its last value, which is why steps are written out.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from fusionbench.synth.compiled_types import OPTIONS as _OPTIONS
from fusionbench.synth.compiled_types import given as _given
from fusionbench.synth.compiled_types import made as _made

LANES = 64
WINDOW = 30  # rows of a window: 0..8 pdf, 9..17 its logarithms, 18..25 keys, 26 entropy, 27 spread, 28 ΣP, 29 Σi·P
PAIR = 38  # rows of two: 0..16 mixture, 17 rest, 18 Σ of the independent cells, 19 with logarithms, 20..37 |x|
_TINY, _ROUNDING, _STEP = 1e-300, 1e-12, 2.0**-51  # as in _fmi_windows.py
_TOP, _END = 1 + 7 * _STEP, 1 + 8 * _STEP
_NUMBER, _COUNT = types.float64, types.int64


@njit(_NUMBER(_NUMBER, _NUMBER), **_OPTIONS)
def _least(x: float, y: float) -> float:
    return x if x < y else y


@njit(_NUMBER(_NUMBER, _NUMBER, _NUMBER), **_OPTIONS)
def _share(part: float, total: float, reciprocal: float) -> float:
    product = part * reciprocal
    return 1.0 if part == total else product


@njit(types.void(_given(3), _COUNT, _COUNT, _made(4)), **_OPTIONS)
def fmi_windows(images: Any, begin: int, count: int, windows: Any) -> None:
    """What ``_fmi_windows.distributions`` finds of windows of each image (h+2,w+2), w a multiple of lanes: of so many
    chunks from number ``begin`` on, counted along the rows.

    All rows but the logarithms and the entropy.
    """
    across = (images.shape[2] - 2) // LANES
    s = np.empty(WINDOW * LANES)
    for place in range(images.shape[0]):
        for chunk in range(count):
            row, first = (begin + chunk) // across, (begin + chunk) % across * LANES
            x, y, z = images[place, row, first:], images[place, row + 1, first:], images[place, row + 2, first:]
            for n in range(LANES):
                c0, c1, c2 = x[n], y[n], z[n]
                c3, c4, c5 = x[n + 1], y[n + 1], z[n + 1]
                c6, c7, c8 = x[n + 2], y[n + 2], z[n + 2]
                least = _least(
                    _least(_least(c0, c1), _least(c2, c3)), _least(_least(_least(c4, c5), _least(c6, c7)), c8)
                )
                c0, c1, c2 = c0 - least, c1 - least, c2 - least
                c3, c4, c5 = c3 - least, c4 - least, c5 - least
                c6, c7, c8 = c6 - least, c7 - least, c8 - least
                flat = 1.0 if c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 == 0 else 0.0
                c0, c1, c2 = c0 + flat, c1 + flat, c2 + flat
                c3, c4, c5 = c3 + flat, c4 + flat, c5 + flat
                c6, c7, c8 = c6 + flat, c7 + flat, c8 + flat
                s1 = c0 + c1
                s2 = s1 + c2
                s3 = s2 + c3
                s4 = s3 + c4
                s5 = s4 + c5
                s6 = s5 + c6
                s7 = s6 + c7
                total = s7 + c8
                r = 1 / total
                p0, p1, p2 = _share(c0, total, r), _share(c1, total, r), _share(c2, total, r)
                p3, p4, p5 = _share(c3, total, r), _share(c4, total, r), _share(c5, total, r)
                p6, p7, p8 = _share(c6, total, r), _share(c7, total, r), _share(c8, total, r)
                squares = p0 * p0 + p1 * p1 + p2 * p2 + p3 * p3 + p4 * p4 + p5 * p5 + p6 * p6 + p7 * p7 + p8 * p8
                s[n], s[LANES + n], s[2 * LANES + n] = p0 + _TINY, p1 + _TINY, p2 + _TINY
                s[3 * LANES + n], s[4 * LANES + n], s[5 * LANES + n] = p3 + _TINY, p4 + _TINY, p5 + _TINY
                s[6 * LANES + n], s[7 * LANES + n], s[8 * LANES + n] = p6 + _TINY, p7 + _TINY, p8 + _TINY
                s0, s1, s2, s3 = p0, _share(s1, total, r), _share(s2, total, r), _share(s3, total, r)
                s4, s5 = _share(s4, total, r), _share(s5, total, r)
                s6, s7 = _share(s6, total, r), _share(s7, total, r)
                s[18 * LANES + n], s[19 * LANES + n] = (s0 + 2) - 2, ((s1 + 2) - 2) + _STEP
                s[20 * LANES + n], s[21 * LANES + n] = ((s2 + 2) - 2) + 2 * _STEP, ((s3 + 2) - 2) + 3 * _STEP
                s[22 * LANES + n], s[23 * LANES + n] = ((s4 + 2) - 2) + 4 * _STEP, ((s5 + 2) - 2) + 5 * _STEP
                s[24 * LANES + n], s[25 * LANES + n] = ((s6 + 2) - 2) + 6 * _STEP, ((s7 + 2) - 2) + 7 * _STEP
                plain = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7
                weighted = s0 + 2 * s1 + 3 * s2 + 4 * s3 + 5 * s4 + 6 * s5 + 7 * s6 + 8 * s7
                variance = (81 - 2 * weighted - plain) - (9 - plain) * (9 - plain)
                variance = variance if variance > 0 else 0.0
                norm = abs(squares - 1 / 9)
                spread = np.sqrt(variance / (1.0 if flat > 0 else norm))
                s[27 * LANES + n] = 0.0 if flat > 0 else spread
                s[28 * LANES + n] = plain
                s[29 * LANES + n] = weighted
            found = windows[place, chunk].reshape(WINDOW * LANES)
            for n in range(9 * LANES):
                found[n] = s[n]
            for n in range(18 * LANES, 26 * LANES):
                found[n] = s[n]
            for n in range(27 * LANES, 30 * LANES):
                found[n] = s[n]


@njit(types.void(_made(4)), **_OPTIONS)
def fmi_entropy(windows: Any) -> None:
    """The entropies from the pdf and its logarithms, of which those of 0 are set to 0."""
    for place in range(windows.shape[0]):
        for chunk in range(windows.shape[1]):
            rows = windows[place, chunk].reshape(WINDOW * LANES)
            for n in range(LANES):
                rows[26 * LANES + n] = rows[n] * rows[9 * LANES + n]
            for k in range(1, 9):
                for n in range(LANES):
                    rows[26 * LANES + n] += rows[k * LANES + n] * rows[(9 + k) * LANES + n]
            for n in range(LANES):
                rows[26 * LANES + n] = -rows[26 * LANES + n]
            for n in range(9 * LANES):
                value = rows[9 * LANES + n]
                rows[9 * LANES + n] = value if (rows[n] > _TINY) & (value < 0) else 0.0


_Four = types.UniTuple(_NUMBER, 4)


@njit(_Four(_NUMBER, _NUMBER, _NUMBER, _NUMBER), **_OPTIONS)
def _in_order(x: float, y: float, of_x: float, of_y: float) -> tuple[float, float, float, float]:
    """Two keys in rising order, and what travels with each."""
    first = x < y
    return (x if first else y), (y if first else x), (of_x if first else of_y), (of_y if first else of_x)


@njit(_Four(_NUMBER, _NUMBER, *_Four), **_OPTIONS)
def _earlier(
    key: float, log: float, next_p: float, next_q: float, log_p: float, log_q: float
) -> tuple[float, float, float, float]:
    """What follows the interval that ends at ``key``, from what follows the one after it."""
    of_fused = log <= 0
    return (
        (key if of_fused else next_p),
        (next_q if of_fused else key),
        (log if of_fused else log_p),
        (log_q if of_fused else log),
    )


@njit(types.UniTuple(_NUMBER, 2)(_NUMBER, _NUMBER, _NUMBER, _NUMBER), **_OPTIONS)
def _later(key: float, log: float, last_p: float, last_q: float) -> tuple[float, float]:
    of_fused = log <= 0
    return (key if of_fused else last_p), (last_q if of_fused else key)


@njit(types.UniTuple(_NUMBER, 3)(*[_NUMBER] * 6), **_OPTIONS)
def _cell(
    independent: float, bound: float, log_p: float, log_q: float, total: float, of_logs: float
) -> tuple[float, float, float]:
    """The mixture in a cell, and both sums over cells with this one."""
    return bound + independent, total + independent, of_logs + independent * (log_p + (1 - log_q))


@njit(types.void(_given(1), _given(1), _made(1)), **_OPTIONS)
def _joint(f: Any, g: Any, s: Any) -> None:
    """``_fmi_windows.normalised_information`` up to the logarithms, of one chunk of windows of F and one of G."""
    for n in range(LANES):
        excess = f[n] * g[n] + f[LANES + n] * g[LANES + n] + f[2 * LANES + n] * g[2 * LANES + n]
        excess = excess + f[3 * LANES + n] * g[3 * LANES + n] + f[4 * LANES + n] * g[4 * LANES + n]
        excess = excess + f[5 * LANES + n] * g[5 * LANES + n] + f[6 * LANES + n] * g[6 * LANES + n]
        excess = excess + f[7 * LANES + n] * g[7 * LANES + n] + f[8 * LANES + n] * g[8 * LANES + n] - 1 / 9
        positive = excess >= 0
        x0, x1 = f[18 * LANES + n] + _STEP / 2, f[19 * LANES + n] + _STEP / 2
        x2, x3 = f[20 * LANES + n] + _STEP / 2, f[21 * LANES + n] + _STEP / 2
        x4, x5 = f[22 * LANES + n] + _STEP / 2, f[23 * LANES + n] + _STEP / 2
        x6, x7 = f[24 * LANES + n] + _STEP / 2, f[25 * LANES + n] + _STEP / 2
        x8 = g[25 * LANES + n] if positive else _TOP - g[18 * LANES + n]
        x9 = g[24 * LANES + n] if positive else _TOP - g[19 * LANES + n]
        xa = g[23 * LANES + n] if positive else _TOP - g[20 * LANES + n]
        xb = g[22 * LANES + n] if positive else _TOP - g[21 * LANES + n]
        xc = g[21 * LANES + n] if positive else _TOP - g[22 * LANES + n]
        xd = g[20 * LANES + n] if positive else _TOP - g[23 * LANES + n]
        xe = g[19 * LANES + n] if positive else _TOP - g[24 * LANES + n]
        xf = g[18 * LANES + n] if positive else _TOP - g[25 * LANES + n]
        y0, y1, y2, y3 = f[9 * LANES + n], f[10 * LANES + n], f[11 * LANES + n], f[12 * LANES + n]
        y4, y5, y6, y7 = f[13 * LANES + n], f[14 * LANES + n], f[15 * LANES + n], f[16 * LANES + n]
        y8 = 1 - (g[16 * LANES + n] if positive else g[10 * LANES + n])
        y9 = 1 - (g[15 * LANES + n] if positive else g[11 * LANES + n])
        ya = 1 - (g[14 * LANES + n] if positive else g[12 * LANES + n])
        yb = 1 - g[13 * LANES + n]
        yc = 1 - (g[12 * LANES + n] if positive else g[14 * LANES + n])
        yd = 1 - (g[11 * LANES + n] if positive else g[15 * LANES + n])
        ye = 1 - (g[10 * LANES + n] if positive else g[16 * LANES + n])
        yf = 1 - (g[9 * LANES + n] if positive else g[17 * LANES + n])
        x0, x8, y0, y8 = _in_order(x0, x8, y0, y8)
        x1, x9, y1, y9 = _in_order(x1, x9, y1, y9)
        x2, xa, y2, ya = _in_order(x2, xa, y2, ya)
        x3, xb, y3, yb = _in_order(x3, xb, y3, yb)
        x4, xc, y4, yc = _in_order(x4, xc, y4, yc)
        x5, xd, y5, yd = _in_order(x5, xd, y5, yd)
        x6, xe, y6, ye = _in_order(x6, xe, y6, ye)
        x7, xf, y7, yf = _in_order(x7, xf, y7, yf)
        x0, x4, y0, y4 = _in_order(x0, x4, y0, y4)
        x1, x5, y1, y5 = _in_order(x1, x5, y1, y5)
        x2, x6, y2, y6 = _in_order(x2, x6, y2, y6)
        x3, x7, y3, y7 = _in_order(x3, x7, y3, y7)
        x8, xc, y8, yc = _in_order(x8, xc, y8, yc)
        x9, xd, y9, yd = _in_order(x9, xd, y9, yd)
        xa, xe, ya, ye = _in_order(xa, xe, ya, ye)
        xb, xf, yb, yf = _in_order(xb, xf, yb, yf)
        x0, x2, y0, y2 = _in_order(x0, x2, y0, y2)
        x1, x3, y1, y3 = _in_order(x1, x3, y1, y3)
        x4, x6, y4, y6 = _in_order(x4, x6, y4, y6)
        x5, x7, y5, y7 = _in_order(x5, x7, y5, y7)
        x8, xa, y8, ya = _in_order(x8, xa, y8, ya)
        x9, xb, y9, yb = _in_order(x9, xb, y9, yb)
        xc, xe, yc, ye = _in_order(xc, xe, yc, ye)
        xd, xf, yd, yf = _in_order(xd, xf, yd, yf)
        x0, x1, y0, y1 = _in_order(x0, x1, y0, y1)
        x2, x3, y2, y3 = _in_order(x2, x3, y2, y3)
        x4, x5, y4, y5 = _in_order(x4, x5, y4, y5)
        x6, x7, y6, y7 = _in_order(x6, x7, y6, y7)
        x8, x9, y8, y9 = _in_order(x8, x9, y8, y9)
        xa, xb, ya, yb = _in_order(xa, xb, ya, yb)
        xc, xd, yc, yd = _in_order(xc, xd, yc, yd)
        xe, xf, ye, yf = _in_order(xe, xf, ye, yf)
        ranks = x0 + 2 * x1 + 3 * x2 + 4 * x3 + 5 * x4 + 6 * x5 + 7 * x6 + 8 * x7 + 9 * x8 + 10 * x9 + 11 * xa
        ranks = ranks + 12 * xb + 13 * xc + 14 * xd + 15 * xe + 16 * xf
        plain_f, plain_g, weighted_g = f[28 * LANES + n], g[28 * LANES + n], g[29 * LANES + n]
        plain = plain_g if positive else 8 - plain_g
        weighted = weighted_g if positive else weighted_g + (36 - 9 * plain_g)
        covariance = (f[29 * LANES + n] + weighted - ranks) + (8 * (plain_f + plain) - plain_f * plain)
        covariance = covariance if covariance > _ROUNDING else _ROUNDING
        phi = abs(excess) * (f[27 * LANES + n] * g[27 * LANES + n]) / covariance
        rest = 1 - phi
        s[17 * LANES + n], s[37 * LANES + n] = rest, abs(rest) + _TINY
        u_end, v_end = f[17 * LANES + n], 1 - (g[17 * LANES + n] if positive else g[9 * LANES + n])
        pf, qf, uf, vf = _earlier(xf, yf, _END, _END, u_end, v_end)
        pe, qe, ue, ve = _earlier(xe, ye, pf, qf, uf, vf)
        pd, qd, ud, vd = _earlier(xd, yd, pe, qe, ue, ve)
        pc, qc, uc, vc = _earlier(xc, yc, pd, qd, ud, vd)
        pb, qb, ub, vb = _earlier(xb, yb, pc, qc, uc, vc)
        pa, qa, ua, va = _earlier(xa, ya, pb, qb, ub, vb)
        p9, q9, u9, v9 = _earlier(x9, y9, pa, qa, ua, va)
        p8, q8, u8, v8 = _earlier(x8, y8, p9, q9, u9, v9)
        p7, q7, u7, v7 = _earlier(x7, y7, p8, q8, u8, v8)
        p6, q6, u6, v6 = _earlier(x6, y6, p7, q7, u7, v7)
        p5, q5, u5, v5 = _earlier(x5, y5, p6, q6, u6, v6)
        p4, q4, u4, v4 = _earlier(x4, y4, p5, q5, u5, v5)
        p3, q3, u3, v3 = _earlier(x3, y3, p4, q4, u4, v4)
        p2, q2, u2, v2 = _earlier(x2, y2, p3, q3, u3, v3)
        p1, q1, u1, v1 = _earlier(x1, y1, p2, q2, u2, v2)
        p0, q0, u0, v0 = _earlier(x0, y0, p1, q1, u1, v1)
        p, q, total, of_logs = 0.0, 0.0, 0.0, 0.0
        cell, total, of_logs = _cell((p0 - p) * (q0 - q) * rest, x0 * phi, u0, v0, total, of_logs)
        s[n], s[20 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x0, y0, p, q)
        cell, total, of_logs = _cell((p1 - p) * (q1 - q) * rest, (x1 - x0) * phi, u1, v1, total, of_logs)
        s[LANES + n], s[21 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x1, y1, p, q)
        cell, total, of_logs = _cell((p2 - p) * (q2 - q) * rest, (x2 - x1) * phi, u2, v2, total, of_logs)
        s[2 * LANES + n], s[22 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x2, y2, p, q)
        cell, total, of_logs = _cell((p3 - p) * (q3 - q) * rest, (x3 - x2) * phi, u3, v3, total, of_logs)
        s[3 * LANES + n], s[23 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x3, y3, p, q)
        cell, total, of_logs = _cell((p4 - p) * (q4 - q) * rest, (x4 - x3) * phi, u4, v4, total, of_logs)
        s[4 * LANES + n], s[24 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x4, y4, p, q)
        cell, total, of_logs = _cell((p5 - p) * (q5 - q) * rest, (x5 - x4) * phi, u5, v5, total, of_logs)
        s[5 * LANES + n], s[25 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x5, y5, p, q)
        cell, total, of_logs = _cell((p6 - p) * (q6 - q) * rest, (x6 - x5) * phi, u6, v6, total, of_logs)
        s[6 * LANES + n], s[26 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x6, y6, p, q)
        cell, total, of_logs = _cell((p7 - p) * (q7 - q) * rest, (x7 - x6) * phi, u7, v7, total, of_logs)
        s[7 * LANES + n], s[27 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x7, y7, p, q)
        cell, total, of_logs = _cell((p8 - p) * (q8 - q) * rest, (x8 - x7) * phi, u8, v8, total, of_logs)
        s[8 * LANES + n], s[28 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x8, y8, p, q)
        cell, total, of_logs = _cell((p9 - p) * (q9 - q) * rest, (x9 - x8) * phi, u9, v9, total, of_logs)
        s[9 * LANES + n], s[29 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(x9, y9, p, q)
        cell, total, of_logs = _cell((pa - p) * (qa - q) * rest, (xa - x9) * phi, ua, va, total, of_logs)
        s[10 * LANES + n], s[30 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(xa, ya, p, q)
        cell, total, of_logs = _cell((pb - p) * (qb - q) * rest, (xb - xa) * phi, ub, vb, total, of_logs)
        s[11 * LANES + n], s[31 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(xb, yb, p, q)
        cell, total, of_logs = _cell((pc - p) * (qc - q) * rest, (xc - xb) * phi, uc, vc, total, of_logs)
        s[12 * LANES + n], s[32 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(xc, yc, p, q)
        cell, total, of_logs = _cell((pd - p) * (qd - q) * rest, (xd - xc) * phi, ud, vd, total, of_logs)
        s[13 * LANES + n], s[33 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(xd, yd, p, q)
        cell, total, of_logs = _cell((pe - p) * (qe - q) * rest, (xe - xd) * phi, ue, ve, total, of_logs)
        s[14 * LANES + n], s[34 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(xe, ye, p, q)
        cell, total, of_logs = _cell((pf - p) * (qf - q) * rest, (xf - xe) * phi, uf, vf, total, of_logs)
        s[15 * LANES + n], s[35 * LANES + n] = cell, abs(cell) + _TINY
        p, q = _later(xf, yf, p, q)
        cell, total, of_logs = _cell((_END - p) * (_END - q) * rest, (_END - xf) * phi, u_end, v_end, total, of_logs)
        s[16 * LANES + n], s[36 * LANES + n] = cell, abs(cell) + _TINY
        s[18 * LANES + n], s[19 * LANES + n] = total, of_logs


@njit(types.void(_given(4), _made(4)), **_OPTIONS)
def fmi_joint(windows: Any, pairs: Any) -> None:
    """Rows of :func:`_joint` for the windows of the first image of :func:`fmi_windows` with those of each other one."""
    for place in range(pairs.shape[0]):
        for chunk in range(pairs.shape[1]):
            f, g = windows[0, chunk].reshape(WINDOW * LANES), windows[place + 1, chunk].reshape(WINDOW * LANES)
            _joint(f, g, pairs[place, chunk].reshape(PAIR * LANES))


@njit(types.void(_given(3), _COUNT, _COUNT, _given(4), _given(4), _made(3)), **_OPTIONS)
def fmi_value(images: Any, begin: int, count: int, windows: Any, pairs: Any, values: Any) -> None:
    """2·I/(H+H) from the rows of :func:`fmi_joint` and their logarithms, 1 where windows are equal."""
    across = (images.shape[2] - 2) // LANES
    s = np.empty(2 * LANES)
    for place in range(pairs.shape[0]):
        for chunk in range(count):
            of_pair = pairs[place, chunk].reshape(PAIR * LANES)
            f, g = windows[0, chunk, 26], windows[place + 1, chunk, 26]
            row, first = (begin + chunk) // across, (begin + chunk) % across * LANES
            for n in range(LANES):
                s[n] = of_pair[n] * of_pair[20 * LANES + n]
                s[LANES + n] = 1.0
            for k in range(1, 17):
                for n in range(LANES):
                    s[n] += of_pair[k * LANES + n] * of_pair[(20 + k) * LANES + n]
            for line in range(3):
                x, y = images[0, row + line, first:], images[place + 1, row + line, first:]
                for n in range(LANES):
                    equal = (x[n] == y[n]) & (x[n + 1] == y[n + 1]) & (x[n + 2] == y[n + 2])
                    s[LANES + n] = s[LANES + n] if equal else 0.0
            result = values[place, row, first : first + LANES]
            for n in range(LANES):
                rest, log = of_pair[17 * LANES + n], of_pair[37 * LANES + n]
                h_sum = f[n] + g[n]
                change = s[n] - (of_pair[19 * LANES + n] + log * of_pair[18 * LANES + n])
                value = 2 * (h_sum - (rest * (h_sum - log) - change)) / (h_sum + _TINY)
                value = 0.0 if rest == 1 else value
                result[n] = 1.0 if s[LANES + n] > 0 else value
