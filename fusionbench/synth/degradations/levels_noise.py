"""Noise whose standard deviation depends on the grey level, by a table of 256 levels."""

from __future__ import annotations

import math

import numpy as np

from fusionbench.synth.arrays import Array, cast, clip, take
from fusionbench.synth.noise import UNIT, table

_ROUND = UNIT * 256


def shot(mean: np.ndarray, photons: int, read: int = 0) -> np.ndarray:
    """Standard deviation of photon noise around grey levels ``mean`` (256,), in 1/256 of one: int32 (256,).

    The variance of a Poisson number is its mean: with ``photons`` at grey level 255, grey level m has the variance
    m·255/photons. ``read`` is the deviation of the noise that is everywhere, in 1/256 of a grey level. The root is the
    whole number below it.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.levels_noise import shot
        >>> (shot(np.arange(256), photons=255)[[0, 1, 4, 64]] / 256).tolist()  # a photon a grey level
        [0.0, 1.0, 2.0, 8.0]
    """
    variance = [level * 255 * 65536 // photons + read * read for level in mean.tolist()]
    return np.array([math.isqrt(value) for value in variance], np.int32)


def noisy(plane: Array, mean: np.ndarray, deviation: np.ndarray, outputs: Array) -> Array:
    """uint8 ``plane`` (n, h, w) by tables of means and deviations, with noise of 16-bit ``outputs`` (n, h·w): uint8.

    Args:
        mean: int32 (256,), grey levels.
        deviation: int32 (256,), in 1/256 of a grey level, below 2^16.
    """
    quantiles = cast(take(table(), outputs), "int32").reshape(plane.shape)
    levels = cast(plane, "int64")
    noise = (quantiles * take(deviation, levels) + _ROUND // 2) >> 20
    return cast(clip(take(mean, levels) + noise, 0, 255), "uint8")
