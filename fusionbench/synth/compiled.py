"""The loops of the generator for numba: Philox words, noise, masks, masked views and overlays, with the bits of NumPy.

Imported by :mod:`fusionbench.synth.kernel` alone, where numba is installed. Every function fills an array that the
caller made, without the interpreter's lock and on one thread: how many processes there are is the user's choice.
Integers only, but for the one division that makes a byte a number in [0, 1]: a formula here is the one of the module
that it replaces, which is the reference in the tests.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from fusionbench.synth.compiled_types import OPTIONS as _OPTIONS
from fusionbench.synth.compiled_types import given as _given
from fusionbench.synth.compiled_types import made as _made

_WORD, _INDICES, _TABLE = types.uint64, _given(1, types.int64), _given(1, types.int16)
_M0, _M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_W0, _W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_U0 = np.uint64(0)
_BORDER = 2  # zero pixels around a cut-out, as in augment.pad_edges


def _high_half(typing_context: Any, a: Any, b: Any) -> Any:
    """Upper 64 bits of the product of two uint64: one instruction, where halves of 32 bits take a dozen."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(values[0], wide), builder.zext(values[1], wide))
        return builder.trunc(builder.lshr(product, wide(64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


_high: Any = intrinsic(_high_half)


@njit(**_OPTIONS)
def fill_words(out: Any, first: Any, view: Any, epoch: Any, purpose: Any, k0: Any, k1: Any) -> None:
    """Philox blocks first, first + 1, … of a view into uint64 ``out`` (4·blocks,)."""
    for block in range(out.shape[0] // 4):
        c0, c1, c2, c3 = first + np.uint64(block), view, epoch, purpose
        a, b = k0, k1
        for _ in range(10):
            high0, low0 = _high(c0, _M0), c0 * _M0
            high1, low1 = _high(c2, _M1), c2 * _M1
            c0, c1, c2, c3 = high1 ^ c1 ^ a, low1, high0 ^ c3 ^ b, low0
            a, b = a + _W0, b + _W1
        out[4 * block] = c0
        out[4 * block + 1] = c1
        out[4 * block + 2] = c2
        out[4 * block + 3] = c3


@njit(types.void(_made(2, types.uint64), _INDICES, _WORD, _WORD, _WORD, _WORD, _WORD), **_OPTIONS)
def words(out: Any, samples: Any, view: Any, epoch: Any, purpose: Any, k0: Any, k1: Any) -> None:
    """Philox words of int64 ``samples`` (n,) into uint64 ``out`` (n, 4·blocks)."""
    blocks = np.uint64(out.shape[1] // 4)
    for i in range(samples.shape[0]):
        fill_words(out[i], np.uint64(samples[i]) * blocks, view, epoch, purpose, k0, k1)


@njit(types.void(_made(2, types.int16), _INDICES, _WORD, _WORD, _WORD, _WORD, _TABLE), **_OPTIONS)
def noise(out: Any, samples: Any, view: Any, epoch: Any, k0: Any, k1: Any, table: Any) -> None:
    """Noise of int64 ``samples`` (n,) from int16 ``table`` (65536,) into int16 ``out`` (n, values)."""
    values = out.shape[1]
    blocks = (values + 15) // 16
    drawn = np.empty(4 * blocks, np.uint64)
    indices = drawn.view(np.uint16)
    for i in range(samples.shape[0]):
        fill_words(drawn, np.uint64(samples[i]) * np.uint64(blocks), view, epoch, _U0, k0, k1)
        for p in range(values):
            out[i, p] = table[indices[p]]


@njit(**_OPTIONS)
def _run(ellipse: Any, row: int, width: int, half: Any, transposed: bool) -> Any:
    """First column inside an ellipse in a row, and the one behind the last; equal where there is none."""
    distance, column = row - np.int64(ellipse[0]), np.int64(ellipse[1])
    radius, e = np.int64(ellipse[2]), np.int64(ellipse[3])
    inside = 256 * e * radius * radius
    if transposed:
        t = (inside - 65536 * distance * distance) // (e * e)
    else:
        t = (inside - e * e * distance * distance) >> 16
    size = np.int64(half[min(max(t, -1), half.shape[0] - 2) + 1])
    if size == 0:
        return 0, 0
    start = min(max(column - size + 1, 0), width)
    return start, max(start, min(column + size, width))


@njit(types.void(_made(3, types.uint8), _given(3, types.int16), _given(1, types.int32), types.boolean), **_OPTIONS)
def masks(out: Any, params: Any, half: Any, transposed: bool) -> None:
    """Masks of int16 ``params`` (n, count, 4) into uint8 ``out`` (n, H, W)."""
    width = out.shape[2]
    for i in range(out.shape[0]):
        for row in range(out.shape[1]):
            for column in range(width):
                out[i, row, column] = 0
            for ellipse in range(params.shape[1]):
                start, stop = _run(params[i, ellipse], row, width, half, transposed)
                for column in range(start, stop):
                    out[i, row, column] = 255


@njit(
    types.void(
        _made(5, types.uint8),
        _given(4, types.uint8),
        _given(4, types.int16),
        _INDICES,
        _given(1, types.int32),
        types.boolean,
        types.boolean,
        _TABLE,
        _WORD,
        _WORD,
        _WORD,
    ),
    **_OPTIONS,
)
def masked_views(
    out: Any,
    targets: Any,
    params: Any,
    samples: Any,
    half: Any,
    transposed: bool,
    noisy: bool,
    table: Any,
    epoch: Any,
    k0: Any,
    k1: Any,
) -> None:
    """Masked views of uint8 ``targets`` (n, H, W, C) into uint8 ``out`` (n, V, H, W, C).

    ``params`` int16 (n, V, count, 4), ``half`` and ``transposed`` as in :func:`masks`, ``table`` as in :func:`noise`.
    """
    height, width, channels = targets.shape[1:]
    values = height * width * channels
    blocks = (values + 15) // 16
    drawn = np.empty(4 * blocks if noisy else 0, np.uint64)
    indices = drawn.view(np.uint16)
    levels = np.empty(values, np.int16)
    for i in range(targets.shape[0]):
        target = targets[i].reshape(values)
        for view in range(out.shape[1]):
            made = out[i, view].reshape(values)
            for p in range(values):
                made[p] = 0
            for row in range(height):
                for ellipse in range(params.shape[2]):
                    start, stop = _run(params[i, view, ellipse], row, width, half, transposed)
                    for p in range((row * width + start) * channels, (row * width + stop) * channels):
                        made[p] = target[p]
            if noisy:
                first = np.uint64(samples[i]) * np.uint64(blocks)
                fill_words(drawn, first, np.uint64(view), epoch, _U0, k0, k1)
                for p in range(values):
                    levels[p] = table[indices[p]]
                for p in range(values):  # a loop of its own, without look-ups: it becomes vector instructions
                    value = np.int16(np.int16(made[p]) + levels[p])
                    made[p] = np.uint8(min(max(value, np.int16(0)), np.int16(255)))


@njit(**_OPTIONS)
def _span(at: int, step: int, limit: int, count: int) -> tuple[int, int]:
    """The whole numbers 0 ≤ x < count with -limit ≤ at + step·x < limit: the first, and the one behind the last."""
    low, high = -limit, limit
    if step < 0:
        at, step, low, high = -at, -step, low + 1, high + 1
    if step == 0:
        return (0, count) if low <= at < high else (0, 0)
    start = max(0, -((at - low) // step))
    return start, max(start, min(count, -((at - high) // step)))


@njit(**_OPTIONS)
def _tap(cut: Any, top: Any, left: Any, plane: Any, fy: Any, fx: Any) -> Any:
    """Bilinear value of one plane, in whole numbers."""
    below, right = top + np.uint64(1), left + np.uint64(1)
    a, b = np.int32(cut[top, left, plane]), np.int32(cut[top, right, plane])
    c, d = np.int32(cut[below, left, plane]), np.int32(cut[below, right, plane])
    upper = a * np.int32(256) + (b - a) * fx
    lower = c * np.int32(256) + (d - c) * fx
    return (upper * np.int32(256) + (lower - upper) * fy + np.int32(32768)) >> np.int32(16)


@njit(
    types.boolean(
        _made(5, types.uint8),
        _given(4, types.uint8),
        _given(3, types.int16),
        _given(4, types.uint8),
        _given(1, types.int32),
    ),
    **_OPTIONS,
)
def pastes(out: Any, images: Any, params: Any, bank: Any, sine: Any) -> bool:
    """Views of uint8 ``images`` (n, H, W, C) with cut-outs over them into uint8 ``out`` (n, V, H, W, C).

    ``params`` int16 (n, V, 1 + 6·most), ``bank`` uint8 (m, h+4, w+4, C+1). False where there is no such cut-out.
    """
    height, width, channels = images.shape[1:]
    h, w = bank.shape[1] - 2 * _BORDER, bank.shape[2] - 2 * _BORDER
    canvas = np.empty((height, width, channels), np.int32)
    for i in range(images.shape[0]):
        for view in range(out.shape[1]):
            for row in range(height):  # a loop, as an assignment of arrays would compile thrice as long
                for column in range(width):
                    for channel in range(channels):
                        canvas[row, column, channel] = images[i, row, column, channel]
            for paste in range(min(np.int64(params[i, view, 0]), (params.shape[2] - 1) // 6)):
                at = 1 + 6 * paste
                which = np.int64(params[i, view, at])
                size = h + np.int64(params[i, view, at + 4])
                if not (0 <= which < bank.shape[0] and size > 0):
                    return False
                angle = np.int64(params[i, view, at + 3])
                shrink = (h << 14) // size
                a = (np.int64(sine[(angle + 64) & 255]) * shrink) >> 14
                b = (np.int64(sine[angle & 255]) * shrink) >> 14
                mirror = 1 - 2 * np.int64(params[i, view, at + 5])
                centre_row, centre_column = 2 * np.int64(params[i, view, at + 1]), 2 * np.int64(params[i, view, at + 2])
                cut = bank[which]
                for row in range(height):
                    y = 2 * row - centre_row
                    # position in the cut-out, in parts of 2^15 of a pixel from its centre; every column adds a step
                    u, u_step = a * y - b * centre_column, 2 * b
                    v, v_step = -mirror * (b * y + a * centre_column), 2 * a * mirror
                    first, last = _span(u, u_step, (h + 1) << 14, width)
                    start, stop = _span(v, v_step, (w + 1) << 14, width)
                    for column in range(max(first, start), min(last, stop)):
                        r = ((u + column * u_step) >> 7) + (h - 1) * 128
                        c = ((v + column * v_step) >> 7) + (w - 1) * 128
                        fy, fx = np.int32(r & 255), np.int32(c & 255)
                        top, left = np.uint64((r >> 8) + _BORDER), np.uint64((c >> 8) + _BORDER)
                        through = np.int32(255) - _tap(cut, top, left, channels, fy, fx)
                        for channel in range(channels):
                            behind = canvas[row, column, channel] * through + np.int32(127)
                            back = (behind + np.int32(1) + (behind >> np.int32(8))) >> np.int32(8)
                            canvas[row, column, channel] = _tap(cut, top, left, channel, fy, fx) + back
            for row in range(height):
                for column in range(width):
                    for channel in range(channels):
                        value = min(max(canvas[row, column, channel], np.int32(0)), np.int32(255))
                        out[i, view, row, column, channel] = np.uint8(value)
    return True


@njit(**_OPTIONS)
def _unit_row(out: Any, row: Any) -> None:
    """Bytes / 255 as float32: one division, correctly rounded. A function of its own, so that it becomes vectors."""
    for at in range(out.shape[0]):
        out[at] = np.float32(row[at]) / np.float32(255)


@njit(types.void(_made(4, types.float32), _given(1, types.uint8), _INDICES), **_OPTIONS)
def unit_rows(out: Any, base: Any, begins: Any) -> None:
    """Rows of bytes that begin at ``begins`` (n,) in uint8 ``base``, each of images with the channels last, over 255
    into float32 ``out`` (n, images, C, pixels).
    """
    images, channels, pixels = out.shape[1:]
    for i in range(out.shape[0]):
        for image in range(images):
            begin = begins[i] + image * channels * pixels
            if channels == 1:
                _unit_row(out[i, image, 0], base[begin : begin + pixels])
            else:
                for channel in range(channels):
                    _unit_row(out[i, image, channel], base[begin + channel : begin + channels * pixels : channels])
