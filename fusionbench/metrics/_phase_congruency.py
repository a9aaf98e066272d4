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
from fusionbench.metrics._log_gabor import ORIENTATIONS, SCALES, Filters, responses, spectra

NOISE_SIGMAS, NOISE_SCALE = 2.0, 1.7
CUT, SHARPNESS = 0.5, 10.0
GUARD, TINY = 1e-4, 1e-300
PIECE = 1 << 14  # pixels at a time: what they need fits the processor's cache
SECONDS = 0.8e-6  # a pixel without compiled code


def maps(image: Image, filters: Filters) -> tuple[Array, Array, Array]:
    """(phase congruency, its maximum moment, its minimum moment), cached."""
    return image.cached(("phase congruency", filters.low_pass), lambda: _compute(image, filters))


def _compute(image: Image, filters: Filters) -> tuple[Array, Array, Array]:
    xp, halves = image.xp, spectra(image)
    loops = LOOPS.compiled(SECONDS * image.count) if xp is np else None
    # phase congruency is energy over amplitude; its moments are xx, yy, xy
    sums = [xp.zeros_like(image.pixels) for _ in range(5)]
    for orientation in range(ORIENTATIONS):
        evens, odds = responses(image, halves, filters, orientation)
        finest = _finest(evens[0], odds[0]) if xp is np else _magnitude(xp, evens[0], odds[0])
        threshold = _noise_threshold(xp, finest, filters.noise_gain(orientation))
        angle = orientation * math.pi / ORIENTATIONS
        shares = math.cos(angle) ** 2, math.sin(angle) ** 2, math.cos(angle) * math.sin(angle)
        if xp is np:
            _add_by_pieces(sums, evens, odds, finest, threshold.item(), shares, loops)
        else:
            _add(xp, sums, evens, odds, [finest], threshold, shares)
    energy, amplitude = sums[:2]
    xx, yy, xy = sums[2] / (ORIENTATIONS / 2), sums[3] / (ORIENTATIONS / 2), sums[4] / ORIENTATIONS
    half_spread = (root(xy * xy + (xx - yy) ** 2) + GUARD) / 2
    mean = (xx + yy) / 2
    return energy / (amplitude + GUARD), mean + half_spread, mean - half_spread


def _add_by_pieces(
    sums: list[np.ndarray],
    evens: np.ndarray,
    odds: np.ndarray,
    finest: np.ndarray,
    threshold: float,
    shares: tuple[float, float, float],
    loops: ModuleType | None,
) -> None:
    """:func:`_add` for one image, piece by piece, by compiled code where there is any: with the same bits."""
    rows = [total.reshape(1, -1) for total in sums]
    evens, odds, finest = evens.reshape(SCALES, -1), odds.reshape(SCALES, -1), finest.reshape(1, -1)
    for start in range(0, evens.shape[1], PIECE):
        piece = slice(start, start + PIECE)
        parts = [total[:, piece] for total in rows]
        e, o = ([plane[:, piece] for plane in np.split(planes, SCALES)] for planes in (evens, odds))
        if loops is None:
            _add(np, parts, e, o, [finest[:, piece]], threshold, shares)
            continue
        energy, exponent, amplitude = np.empty((3, 1, e[0].size))
        of_each = (tuple(plane[0] for plane in planes) for planes in (e, o))
        loops.qp_energy(*of_each, finest[0, piece], threshold, energy[0], exponent[0], amplitude[0])
        loops.qp_add(energy[0], _exp(np, exponent)[0], amplitude[0], *shares, *(part[0] for part in parts))


def _finest(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """The amplitude of one scale of one image, piece by piece."""
    found = np.empty_like(even)
    rows = max(1, PIECE // even.shape[1])
    for top in range(0, len(even), rows):
        found[top : top + rows] = _magnitude(np, even[top : top + rows], odd[top : top + rows])
    return found


def _add(
    xp: Any,
    sums: list[Array],
    evens: list[Array],
    odds: list[Array],
    finest: list[Array],
    threshold: Array,
    shares: tuple[float, float, float],
) -> None:
    """Add the energy, the amplitude and the moments of one orientation to their sums."""
    energy, amplitude = _energy(xp, evens, odds, finest, threshold)
    congruency = energy / (amplitude + TINY)  # 0 where the amplitude is
    square = congruency * congruency
    for total, part in zip(sums, (energy, amplitude, *(square * share for share in shares)), strict=True):
        total += part


def _noise_threshold(xp: Any, finest: Array, noise_gain: float) -> Array:
    """Energy that noise reaches, from the amplitudes of the finest scale.

    The median of a Rayleigh amplitude's square gives its mean, free of the few strong edges.
    """
    power = median_square(xp, finest.reshape(*finest.shape[:-2], -1)) / math.log(2)
    tau = root(power * noise_gain)
    threshold = tau * (math.sqrt(math.pi / 2) + NOISE_SIGMAS * math.sqrt(2 - math.pi / 2)) / NOISE_SCALE
    return threshold[..., None, None]


def _energy(
    xp: Any, evens: list[Array], odds: list[Array], finest: list[Array], threshold: Array
) -> tuple[Array, Array]:
    """(weighted local energy above the noise, sum of amplitudes) of one orientation.

    ``finest``: the amplitude at the first scale, which is known already.
    """
    even, odd = functools.reduce(xp.add, evens), functools.reduce(xp.add, odds)
    amplitudes = finest + [_magnitude(xp, e, o) for e, o in zip(evens[1:], odds[1:], strict=True)]
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


def median_square(xp: Any, values: Array) -> Array:
    """The median of the squares of values that are not negative, over the last axis."""
    if xp is not np:
        values = values * values
        return xp.quantile(values, 0.5, dim=-1) if values.shape[-1] < 1 << 24 else values.median(-1).values
    ranks = [(len(values) - 1) // 2, len(values) // 2]
    # the middle of a sample encloses the median nearly always; sorting these few takes a quarter of the time
    sample = np.sort(values[:: max(1, len(values) // 2048)])
    low, high = sample[int(len(sample) * 0.45)], sample[int(len(sample) * 0.55)]
    below = int(np.count_nonzero(values < low))
    middle = values[(values >= low) & (values <= high)]
    if below <= ranks[0] and ranks[1] < below + len(middle):
        values, ranks = middle, [rank - below for rank in ranks]
    pair = np.partition(values, ranks)[ranks]
    return np.float64((pair[0] ** 2 + pair[1] ** 2) / 2)


def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one."""
    rng = np.random.default_rng(0)
    evens, odds = rng.normal(0, 9, (2, SCALES, 5, 77)) * (rng.random((5, 77)) > 0.1)
    finest, both = _finest(evens[0], odds[0]), []
    for each in (None, loops):
        sums = [np.zeros((5, 77)) for _ in range(5)]
        for shares in ((0.3, 0.7, 0.1), (0.9, 0.1, -0.2)):
            _add_by_pieces(sums, evens, odds, finest, 1.5, shares, each)
        both.append(sums)
    return np.array_equal(*both)


LOOPS = Loops("qp", "fusionbench.metrics._qp_compiled", _agrees)
