"""The loops of phase congruency for numba, with the bits of the NumPy code that they replace.

As in :mod:`fusionbench.metrics._fmi_compiled`.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from fusionbench.synth.compiled_types import OPTIONS as _OPTIONS
from fusionbench.synth.compiled_types import given as _given
from fusionbench.synth.compiled_types import made as _made

LANES = 256
_AHEAD = 4
_GUARD, _TINY = 1e-4, 1e-300  # as in _phase_congruency.py

_NUMBER = types.float64
_COMPLEX = types.Array(types.complex128, 2, "C")


@njit(types.void(_given(2), _given(2), _given(2), types.boolean, types.int64, _made(2)), **_OPTIONS)
def qp_products(half: Any, angular: Any, radial: Any, odd: bool, left: int, out: Any) -> None:
    """Columns of a half spectrum (W//2+1,2·H), from ``left`` on, times both factors (W//2+1,H) of a filter; of an odd
    one, times -i.

    Into ``out`` (n,2·H).
    """
    for column in range(out.shape[0]):
        values, of_angle, of_radius = half[left + column], angular[left + column], radial[left + column]
        to = out[column]
        if odd:
            for n in range(angular.shape[1]):
                to[2 * n] = values[2 * n + 1] * of_angle[n] * of_radius[n]
                to[2 * n + 1] = -values[2 * n] * of_angle[n] * of_radius[n]
        else:
            for n in range(angular.shape[1]):
                to[2 * n] = values[2 * n] * of_angle[n] * of_radius[n]
                to[2 * n + 1] = values[2 * n + 1] * of_angle[n] * of_radius[n]


@intrinsic
def _intrinsic(typing: Any, array: Any, row: Any, column: Any) -> Any:
    """Ask for the line of the processor's cache with ``array[row, column]``, which will be written soon."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(array)(context, builder, arguments[0])
        place = cgutils.get_item_pointer(context, builder, array, made, arguments[1:], wraparound=False)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(ask, [builder.bitcast(place, byte), number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), code


_ask_to_write: Any = _intrinsic  # without the argument `typing`, which numba gives


@njit(types.void(_COMPLEX, _COMPLEX, *[types.int64] * 4), **_OPTIONS)
def qp_transposed(columns: Any, out: Any, first: int, step: int, gap: int, left: int) -> None:
    """Complex columns (n,H) to rows of ``out``, from its column ``left`` on.

    Row r is that with number ``first + r // step * gap + r % step``; ``step`` is a multiple of 4, or at least H.
    """
    count, height = columns.shape
    whole = height // 4 * 4
    for top in range(0, whole, 4):  # four numbers of a column lie in one line of the processor's cache
        ahead = top + 4
        if ahead < whole:  # without asking, the processor would wait for each line that it is to write
            ahead = first + ahead // step * gap + ahead % step
            for row in range(ahead, ahead + 4):
                for n in range(0, count, 4):
                    _ask_to_write(out, row, left + n)
        row = first + top // step * gap + top % step
        to0, to1, to2, to3 = out[row, left:], out[row + 1, left:], out[row + 2, left:], out[row + 3, left:]
        for n in range(count):
            here = columns[n, top:]
            to0[n] = here[0]
            to1[n] = here[1]
            to2[n] = here[2]
            to3[n] = here[3]
    for top in range(whole, height):
        to0 = out[first + top // step * gap + top % step, left:]
        for n in range(count):
            to0[n] = columns[n, top]


@njit(types.void(_given(3), _made(2)), **_OPTIONS)
def qp_squares(finest: Any, out: Any) -> None:
    """even² + odd², (H,W), of ``Responses.finest``."""
    height, width = out.shape
    for row in range(height):
        even, odd, to = finest[0, row, 1:], finest[1, row, 1:], out[row]
        for n in range(width):
            to[n] = even[n] * even[n] + odd[n] * odd[n]


@njit(types.void(_given(3), types.int64, _given(3), _NUMBER, _made(2), _made(2), _made(2)), **_OPTIONS)
def qp_energy(finest: Any, top: int, others: Any, threshold: float, energy: Any, exponent: Any, total: Any) -> None:
    """What ``_phase_congruency._energy`` computes up to its exponential: energy, the exponent, the sum of amplitudes.

    ``others`` (6,step,W) are the responses at three scales, first even, then odd; ``Responses.finest`` has those of the
    finest in the rows from ``top`` on.
    """
    s = np.empty(8 * LANES)  # rows: even, odd, across, 3 and 4 the amplitudes' sum and maximum
    height, width = energy.shape
    for row in range(height):
        for start in range(0, width, LANES):
            lanes = min(LANES, width - start)
            e, o = finest[0, top + row, 1 + start :], finest[1, top + row, 1 + start :]
            for parity in range(2):
                e0 = o if parity else e
                e1, e2 = others[3 * parity, row, start:], others[3 * parity + 1, row, start:]
                e3 = others[3 * parity + 2, row, start:]
                for n in range(lanes):
                    s[parity * LANES + n] = e0[n] + e1[n] + e2[n] + e3[n]
            for n in range(lanes):
                x, y = e[n], o[n]
                length = np.sqrt(x * x + y * y)
                s[2 * LANES + n] = abs(x * s[LANES + n] - y * s[n])
                s[3 * LANES + n] = length
                s[4 * LANES + n] = length
            for scale in range(3):
                e, o = others[scale, row, start:], others[3 + scale, row, start:]
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


@njit(types.void(*[_given(2)] * 5, types.int64, types.int64, _made(3)), **_OPTIONS)
def qp_moments(energies: Any, amplitudes: Any, xx: Any, yy: Any, xy: Any, top: int, left: int, planes: Any) -> None:
    """``_phase_congruency._moments``: phase congruency, its maximum and its minimum moment, from ``top, left`` on."""
    height, width = energies.shape
    for row in range(height):
        energy, amplitude, of_xx, of_yy, of_xy = energies[row], amplitudes[row], xx[row], yy[row], xy[row]
        of_mean = planes[0, top + row, left:]
        of_most, of_least = planes[1, top + row, left:], planes[2, top + row, left:]
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
