"""``gaussian-noise/1``: additive Gaussian noise on both views, from the pinned table of quantiles of ``noise/1``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fusionbench.synth.arrays import Array, cast, clip, take
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, copy
from fusionbench.synth.noise import scaled


class GaussianNoise(Degradation):
    """``gaussian-noise/1``. One number is drawn for each pixel of each plane.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.full((1, 2, 64, 64), 128, np.uint8)
        >>> made = degrade(clean, "gaussian-noise/1", 1, dataset="demo", split="all", samples=np.array([0]))
        >>> made.field is None, made.lost is None
        (True, True)
    """

    name = "gaussian-noise/1"
    title = "Gaussian noise"
    about = "Noise of one standard deviation on every pixel of both views, rounded to whole grey levels and clipped."
    views = "both"
    fields = ("standard deviation in 1/256 grey level",)
    levels: ClassVar = ((264,), (440,), (825,), (1320,), (1970,))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        out, table = copy(views), scaled(level[0])
        height, width = views.shape[2:]
        for plane in range(views.shape[1]):
            noise = take(table, draws.pixels(height * width, plane)).reshape(-1, height, width)
            noise += cast(views[:, plane], "int16")
            out[:, plane] = cast(clip(noise, 0, 255), "uint8")
        return Degraded(out)


DEGRADATION = GaussianNoise()
