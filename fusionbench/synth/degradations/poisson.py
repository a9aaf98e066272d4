"""``poisson/1``: photon noise of the visible camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, copy
from fusionbench.synth.degradations.levels_noise import noisy, shot


class Poisson(Degradation):
    """``poisson/1``, by the normal approximation: quantiles of the normal distribution times the whole part of the root
    of the variance, which is the mean. It has no skewness, which a true Poisson number of few photons has.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.repeat(np.array([0, 200], np.uint8), 4096).reshape(1, 2, 64, 64)
        >>> made = degrade(clean, "poisson/1", 3, dataset="demo", split="all", samples=np.array([0])).views
        >>> bool((made[:, 0] == clean[:, 0]).all()), bool(made[:, 1].std() > 5)  # thermal, visible
        (True, True)
    """

    name = "poisson/1"
    title = "photon noise"
    about = "The visible view with so few photons that their number shows: noise that grows with the root of the level."
    views = "b"
    fields = ("photons of a white pixel",)
    levels: ClassVar = ((14000,), (4900,), (1650,), (750,), (360,))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        mean = np.arange(256, dtype=np.int32)
        deviation = shot(mean, level[0])
        out, values = copy(views), views.shape[2] * views.shape[3]
        for plane, view in enumerate(planes):
            if view:
                out[:, plane] = noisy(views[:, plane], mean, deviation, draws.pixels(values, plane))
        return Degraded(out)


DEGRADATION = Poisson()
