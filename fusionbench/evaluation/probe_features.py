"""What the downstream probe sees of an image: fixed filters, and a random layer, all in whole numbers.

    channel, uint8 ──► levels ──► smoothed at five scales ──► level, differences of scales, slopes, local deviations
    features of all channels ──► random weights, ReLU ──► hidden units

Every value is an integer that float64 (in the random layer float32) holds exactly, so that sums have the same bits in
any order, from any library of linear algebra and on any processor. Weights are drawn by counter
(:mod:`fusionbench.synth.random`).

Source: fixed filter banks with random features and a linear head are the usual cheap probe; A. Rahimi, B. Recht:
Random features for large-scale kernel machines, NIPS 2007.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fusionbench.synth.random import bounded, stream_key, uint16_outputs, uint64_outputs

SCALES = (1, 2, 4, 8, 16)  # spacing of the five taps: standard deviations of 1, 2.2, 4.6, 9.2 and 18.5 pixels
SLOPES = 3  # finest scales whose slopes are taken
RADII = (1, 3, 7)  # of the boxes of local deviations
FEATURES = 2 + len(SCALES) + 3 * SLOPES + len(RADII)  # of a channel
HIDDEN = 128
UNIT = 64  # levels to a standard deviation
MOST_LEVEL, MOST_FEATURE, MOST_HIDDEN = 511, 1023, 2047
_SHIFT = 5  # of hidden units, which are then of the size of features
_WEIGHT = 16  # a weight is a sum of four numbers from -16 to 16


@dataclass(frozen=True)
class Levels:
    """How grey values x of a channel become levels, 64 (256 x - mean) / deviation, both in 256ths of a grey level."""

    mean: int
    deviation: int

    @classmethod
    def of(cls, images: Sequence[np.ndarray]) -> Levels:
        """Of all uint8 (h, w) of a channel together, so that neither brightness nor contrast of a set matters.

        Example:
            >>> import numpy as np
            >>> from fusionbench.evaluation.probe_features import Levels
            >>> Levels.of([np.array([[0, 200]], np.uint8)])
            Levels(mean=25600, deviation=25600)
        """
        counts = np.zeros(256, np.int64)
        for image in images:
            counts += np.bincount(image.ravel(), minlength=256)
        n = int(counts.sum())
        total = sum(value * int(count) for value, count in enumerate(counts))
        squares = sum(value * value * int(count) for value, count in enumerate(counts))
        deviation = math.isqrt(((squares * n - total * total) << 16) // (n * n))
        return cls((256 * total + n // 2) // n, max(256, deviation))

    def table(self) -> np.ndarray:
        """Level of every grey value: int32 (256,)."""
        grey = np.arange(256, dtype=np.int64)
        levels = (UNIT * (256 * grey - self.mean) + self.deviation // 2) // self.deviation
        return np.clip(levels, -MOST_LEVEL, MOST_LEVEL).astype(np.int32)


def filter_features(image: np.ndarray, levels: Levels, step: int) -> np.ndarray:
    """Features of every ``step``-th pixel of every ``step``-th row: int16 (pixels, FEATURES).

    Args:
        image: one channel, uint8 (h, w), of any size.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.probe_features import FEATURES, Levels, filter_features
        >>> image = np.full((5, 7), 90, np.uint8)
        >>> found = filter_features(image, Levels.of([image]), 2)
        >>> found.shape == (12, FEATURES), bool(found.any())  # nothing to see
        (True, False)
    """
    level = levels.table()[image]
    smooth = [level]
    for spacing in SCALES:
        smooth.append(_smoothed(smooth[-1], spacing))
    maps = [level, smooth[-1]]
    maps += [2 * (fine - coarse) for fine, coarse in pairwise(smooth)]
    for spacing, one in zip(SCALES[:SLOPES], smooth[1:], strict=False):
        across, down = _slope(one, spacing, 1), _slope(one, spacing, 0)
        maps += [across, down, np.sqrt(across * across + down * down).astype(np.int32)]
    maps += [2 * _deviation(level, radius) for radius in RADII]
    chosen = [np.clip(one[::step, ::step], -MOST_FEATURE, MOST_FEATURE).astype(np.int16).ravel() for one in maps]
    return np.stack(chosen, axis=1)


def _padded(image: np.ndarray, size: int, axis: int) -> np.ndarray:
    """The image with its border pixels repeated ``size`` times on both sides of an axis."""
    pads = [(0, 0), (0, 0)]
    pads[axis] = (size, size)
    return np.pad(image, pads, mode="edge")


def _smoothed(image: np.ndarray, spacing: int) -> np.ndarray:
    """Five binomial taps (1, 4, 6, 4, 1)/16 along both axes, ``spacing`` pixels apart; halves are rounded up."""
    for axis in (0, 1):
        wide, n = _padded(image, 2 * spacing, axis), image.shape[axis]
        taps = [wide.take(range(k * spacing, k * spacing + n), axis) for k in range(5)] if axis else None
        if taps is None:
            taps = [wide[k * spacing : k * spacing + n] for k in range(5)]
        image = taps[0] + taps[4] + 4 * (taps[1] + taps[3]) + 6 * taps[2]
    return (image + 128) >> 8


def _slope(image: np.ndarray, spacing: int, axis: int) -> np.ndarray:
    wide, n = _padded(image, spacing, axis), image.shape[axis]
    far, near = slice(2 * spacing, 2 * spacing + n), slice(0, n)
    found: np.ndarray = wide[far] - wide[near] if axis == 0 else wide[:, far] - wide[:, near]
    return found


def _deviation(image: np.ndarray, radius: int) -> np.ndarray:
    """Standard deviation in boxes of 2·radius + 1 pixels a side, rounded down."""
    side, wide = 2 * radius + 1, image.astype(np.int64)
    count = side * side
    spread = count * _box_sum(wide * wide, radius) - _box_sum(wide, radius) ** 2
    found: np.ndarray = (np.sqrt(spread) / count).astype(np.int32)
    return found


def _box_sum(image: np.ndarray, radius: int) -> np.ndarray:
    side = 2 * radius + 1
    for axis in (0, 1):
        total = np.cumsum(_padded(image, radius, axis), axis=axis)
        first = total.take([side - 1], axis)
        rest = total[side:] - total[:-side] if axis == 0 else total[:, side:] - total[:, :-side]
        image = np.concatenate((first, rest), axis=axis)
    return image


@dataclass(frozen=True)
class RandomLayer:
    """Hidden units max(0, w·f + b), whole numbers of the size of features.

    Attributes:
        gains: float32 (features,), what brings each feature to a standard deviation of 64: whole numbers over 256.
        weights: float32 (features, HIDDEN), whole numbers.
        biases: float32 (HIDDEN,), whole numbers.
    """

    gains: np.ndarray
    weights: np.ndarray
    biases: np.ndarray

    @classmethod
    def of(cls, features: Sequence[np.ndarray]) -> RandomLayer:
        """The layer for features, int16 (pixels, features) of every frame: drawn, but for the gains of features.

        Gains come from all frames; no label is looked at.
        """
        count, total, squares = 0, 0, 0
        for frame in features:
            wide = frame.astype(np.int64)
            count, total, squares = count + len(wide), total + wide.sum(0), squares + (wide * wide).sum(0)
        size = features[0].shape[1]
        gains = np.empty(size, np.float32)
        for place, (one, square) in enumerate(zip(np.atleast_1d(total), np.atleast_1d(squares), strict=True)):
            variance = ((int(square) * count - int(one) ** 2) << 8) // (count * count)  # in 256ths
            gains[place] = min(1 << 14, (UNIT << 12) // max(1, math.isqrt(variance << 8)))  # 256·64/deviation
        key = stream_key("probe/1", "weights", "all", 0)
        drawn = uint16_outputs(uint64_outputs(key, np.arange(HIDDEN), 4 * _MOST_CHANNELS * FEATURES // 16 + 2))
        numbers = bounded(drawn, -_WEIGHT, _WEIGHT).astype(np.int64)
        weights = numbers[:, : 4 * size].reshape(HIDDEN, size, 4).sum(-1).T
        # as long as the weights of one channel, whatever the number of channels
        biases = numbers[:, -4:].sum(-1) * UNIT * math.isqrt(size)
        return cls(gains, weights.astype(np.float32), biases.astype(np.float32))

    def hidden(self, features: np.ndarray) -> np.ndarray:
        """float64 (pixels, features + HIDDEN + 1), whole numbers: features, hidden units, and a constant."""
        scaled = np.floor(features.astype(np.float32) * self.gains / np.float32(256))
        np.clip(scaled, -MOST_LEVEL, MOST_LEVEL, out=scaled)
        units = scaled @ self.weights
        units += self.biases
        np.maximum(units, 0, out=units)
        units = np.minimum(np.floor(units / np.float32(1 << _SHIFT)), MOST_HIDDEN)
        constant = np.full((len(scaled), 1), UNIT, np.float64)
        return np.concatenate((scaled, units, constant), axis=1, dtype=np.float64)


_MOST_CHANNELS = 4
