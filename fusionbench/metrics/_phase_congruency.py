"""Phase congruency of an image and its moments, by log-Gabor filters."""

from __future__ import annotations

import functools
import math
from types import ModuleType
from typing import Any

import numpy as np

from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import Array, Image
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._log_gabor import (
    ORIENTATIONS,
    SCALES,
    Filters,
    Responses,
    half_spectrum,
    responses,
)
from fusionbench.metrics._windows import pad_border

NOISE_SIGMAS, NOISE_SCALE = 2.0, 1.7
CUT, SHARPNESS = 0.5, 10.0
GUARD, TINY = 1e-4, 1e-300
MARGIN = 5  # pixels at each side of a map, which the window of Q_P reaches
PIECE = 1 << 14  # pixels at a time: what they need fits the processor's cache
SECONDS = 0.8e-6  # a pixel without compiled code


def maps(image: Image, filters: Filters) -> tuple[Array, Array, Array]:
    """(phase congruency, its maximum moment, its minimum moment), cached."""
    first, second, third = padded_maps(image, filters)
    inside = ..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN)
    return first[inside], second[inside], third[inside]


def padded_maps(image: Image, filters: Filters) -> tuple[Array, Array, Array]:
    """The same with ``MARGIN`` zeros at each side."""
    return image.cached(("phase congruency", filters.low_pass), lambda: _compute(image, filters))


def _compute(image: Image, filters: Filters) -> tuple[Array, Array, Array]:
    if image.xp is np:
        return _compute_by_rows(image, filters)
    xp, half = image.xp, half_spectrum(image)
    # phase congruency is energy over amplitude; its moments are xx, yy, xy
    sums, squares = [xp.zeros_like(image.pixels) for _ in range(2)], []
    for orientation in range(ORIENTATIONS):
        evens, odds = responses(image, half, filters, orientation)
        finest = _magnitude(xp, evens[0], odds[0])
        threshold = _noise_threshold(xp, finest * finest, filters.noise_gain(orientation))
        squares.append(_add(xp, sums, evens, odds, threshold))
    shares = [_shares(orientation) for orientation in range(ORIENTATIONS)]
    totals = (
        functools.reduce(xp.add, [square * share for square, share in zip(squares, of_each, strict=True)])
        for of_each in zip(*shares, strict=True)
    )
    first, second, third = (pad_border(plane, MARGIN, "zero") for plane in _moments(sums, *totals))
    return first, second, third


def _compute_by_rows(image: Image, filters: Filters) -> tuple[Array, Array, Array]:
    """The same of one NumPy image, by compiled code where there is any: with the same bits."""
    loops = LOOPS.compiled(SECONDS * image.count)
    height, width = image.shape
    half, found = half_spectrum(image), Responses(image.shape, PIECE // width)
    tops = range(0, height, found.step)
    sums = np.zeros((5, height, width))  # of energy and amplitude, and of xx, yy and xy
    for orientation in range(ORIENTATIONS):
        found.load(half, filters, orientation, loops)
        threshold = _noise_threshold(np, _squares(found, image.shape, loops), filters.noise_gain(orientation), loops)
        for number, top in enumerate(tops):
            _add_piece(sums[:, top : top + found.step], found, number, threshold.item(), orientation, loops)
    step = found.step
    del found, half
    planes = np.zeros((3, height + 2 * MARGIN, width + 2 * MARGIN))
    for top in tops:
        _moments_of_piece(sums[:, top : top + step], planes, top, loops)
    return planes[0], planes[1], planes[2]


def _squares(found: Responses, shape: tuple[int, int], loops: ModuleType | None) -> np.ndarray:
    """The squares of the amplitudes of the finest scale, (H,W)."""
    squares = np.empty(shape)
    if loops is not None:
        loops.qp_squares(found.finest, squares)
        return squares
    even, odd = found.finest[..., 1 : shape[1] + 1]
    np.multiply(even, even, out=squares)
    squares += odd * odd
    return squares


def _add_piece(
    sums: np.ndarray, found: Responses, number: int, threshold: float, orientation: int, loops: ModuleType | None
) -> None:
    """:func:`_add` for a piece, by compiled code where there is any, and to the sums of the moments."""
    shares = _shares(orientation)
    if loops is None:
        square = _add(np, sums[:2], *found.of(number), threshold)
        for total, share in zip(sums[2:], shares, strict=True):
            total += square * share
        return
    energy, exponent, amplitude = np.empty((3, *sums.shape[1:]))
    top = number * found.step
    loops.qp_energy(found.finest, top, found.others(number), threshold, energy, exponent, amplitude)
    loops.qp_add(energy, _exp(np, exponent), amplitude, *shares, *sums)


def _moments_of_piece(sums: np.ndarray, planes: np.ndarray, top: int, loops: ModuleType | None) -> None:
    """Into the rows from ``top`` on of planes with a margin."""
    if loops is None:
        end = top + MARGIN + sums.shape[1]
        planes[:, top + MARGIN : end, MARGIN:-MARGIN] = _moments(sums[:2], *sums[2:])
    else:
        loops.qp_moments(*sums, top + MARGIN, MARGIN, planes)


def _shares(orientation: int) -> tuple[float, float, float]:
    """What the square of an orientation's phase congruency adds to xx, yy and xy."""
    angle = orientation * math.pi / ORIENTATIONS
    return math.cos(angle) ** 2, math.sin(angle) ** 2, math.cos(angle) * math.sin(angle)


def _add(xp: Any, sums: Array, evens: Array, odds: Array, threshold: Array) -> Array:
    """Add energy and amplitude of one orientation to their sums; the square of its phase congruency."""
    energy, amplitude = _energy(xp, evens, odds, threshold)
    for total, part in zip(sums, (energy, amplitude), strict=True):
        total += part
    congruency = energy / (amplitude + TINY)  # 0 where the amplitude is
    return congruency * congruency


def _moments(sums: Array, xx: Array, yy: Array, xy: Array) -> tuple[Array, Array, Array]:
    """Phase congruency, its maximum and its minimum moment, from sums over the orientations."""
    xx, yy, xy = xx / (ORIENTATIONS / 2), yy / (ORIENTATIONS / 2), xy / ORIENTATIONS
    half_spread = (root(xy * xy + (xx - yy) ** 2) + GUARD) / 2
    mean = (xx + yy) / 2
    return sums[0] / (sums[1] + GUARD), mean + half_spread, mean - half_spread


def _noise_threshold(xp: Any, squares: Array, noise_gain: float, loops: ModuleType | None = None) -> Array:
    """Energy that noise reaches, from the squares of the amplitudes of the finest scale.

    The median of a Rayleigh amplitude's square gives its mean, free of the few strong edges.
    """
    power = median(xp, squares.reshape(*squares.shape[:-2], -1), loops) / math.log(2)
    tau = root(power * noise_gain)
    threshold = tau * (math.sqrt(math.pi / 2) + NOISE_SIGMAS * math.sqrt(2 - math.pi / 2)) / NOISE_SCALE
    return threshold[..., None, None]


def _energy(xp: Any, evens: Array, odds: Array, threshold: Array) -> tuple[Array, Array]:
    """(weighted local energy above the noise, sum of amplitudes) of one orientation."""
    even, odd = functools.reduce(xp.add, evens), functools.reduce(xp.add, odds)
    amplitudes = [_magnitude(xp, e, o) for e, o in zip(evens, odds, strict=True)]
    total, largest = functools.reduce(xp.add, amplitudes), functools.reduce(xp.maximum, amplitudes)
    width = total / (largest + GUARD)  # of the frequency spread: a feature at one scale counts less
    # along the mean phase (even, odd)/length, less what is across it
    squared = even * even + odd * odd
    across = [_distance(xp, e * odd, o * even) for e, o in zip(evens, odds, strict=True)]
    energy = (squared - functools.reduce(xp.add, across)) / (root(squared) + GUARD)
    energy = xp.clip(energy - threshold, 0, None)
    return energy / (1 + _exp(xp, CUT * SHARPNESS - width * (SHARPNESS / SCALES))), total


def _magnitude(xp: Any, x: Array, y: Array) -> Array:
    if xp is np:  # not by OpenCV, whose last bit depends on the place in memory
        squares, others = x * x, y * y
        squares += others
        return np.sqrt(squares, out=squares)
    return root(x * x + y * y)


def _exp(xp: Any, x: Array) -> Array:
    if xp is np:
        import cv2

        return cv2.exp(x)  # in six tenths of NumPy's time
    return xp.exp(x)


def _distance(xp: Any, x: Array, y: Array) -> Array:
    """|x - y|."""
    if xp is np:
        x -= y
        return np.abs(x, out=x)
    return abs(x - y)


def median(xp: Any, squares: Array, loops: ModuleType | None = None) -> Array:
    """The median of squares, over the last axis; of an array, half of the sum of both squared roots in the middle."""
    if xp is not np:
        return xp.quantile(squares, 0.5, dim=-1) if squares.shape[-1] < 1 << 24 else squares.median(-1).values
    ranks = [(len(squares) - 1) // 2, len(squares) // 2]
    # the middle of a sample encloses the median nearly always; sorting these few takes a fraction of the time
    sample = squares[:: max(1, len(squares) // 8192)]
    ends = [int(len(sample) * 0.475), int(len(sample) * 0.525)]
    low, high = np.partition(sample, ends)[ends]
    if loops is None:
        below = int(np.count_nonzero(squares < low))
        middle = squares[(squares >= low) & (squares <= high)]
    else:
        room = np.empty(len(squares))
        below, count = loops.qp_middle(squares, low, high, room)
        middle = room[:count]
    if below <= ranks[0] and ranks[1] < below + len(middle):
        squares, ranks = middle, [rank - below for rank in ranks]
    pair = np.sqrt(np.partition(squares, ranks)[ranks])
    return np.float64((pair[0] ** 2 + pair[1] ** 2) / 2)


def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one."""
    image = Image(np.random.default_rng(0).integers(0, 256, (29, 300)) * (np.arange(300) % 99 > 9.0))
    filters, found = Filters(*image.shape, "centred"), []
    half, rows = half_spectrum(image), Responses(image.shape, 16)
    for each in (None, loops):
        sums, moments = np.zeros((5, *image.shape)), np.zeros((3, 39, 310))
        for orientation in (0, 4):
            rows.load(half, filters, orientation, each)
            squares = _squares(rows, image.shape, each)
            threshold = _noise_threshold(np, squares, filters.noise_gain(orientation), each).item()
            for number in range(2):
                _add_piece(sums[:, 16 * number : 16 * number + 16], rows, number, threshold, orientation, each)
        _moments_of_piece(sums, moments, 0, each)
        found += [sums, moments]
    return all(np.array_equal(one, other) for one, other in zip(found[:2], found[2:], strict=True))


LOOPS = Loops("qp", "fusionbench.metrics._qp_compiled", _agrees)
