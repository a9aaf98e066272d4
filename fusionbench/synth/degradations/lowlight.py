"""``lowlight/1``: the visible view with too little light, and the noise that comes with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, copy
from fusionbench.synth.degradations.levels_noise import noisy, shot


class LowLight(Degradation):
    """``lowlight/1``: grey levels times a gain, with photon noise (normal approximation) and noise of the read-out.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.full((1, 2, 64, 64), 200, np.uint8)
        >>> made = degrade(clean, "lowlight/1", 5, dataset="demo", split="all", samples=np.array([0])).views
        >>> bool(made[:, 1].mean() < 50)
        True
    """

    name = "lowlight/1"
    title = "low light"
    about = "The visible view is darkened, with photon noise of the light that is left and noise of the read-out."
    views = "b"
    fields = ("gain in 1/256", "photons of a white pixel", "read-out noise in 1/256 grey level")
    levels: ClassVar = ((236, 14000, 50), (197, 6150, 73), (126, 3940, 91), (64, 2000, 128), (21, 660, 220))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        gain, photons, read = level
        mean = ((np.arange(256, dtype=np.int64) * gain + 128) >> 8).astype(np.int32)
        deviation = shot(mean, photons, read)
        out, values = copy(views), views.shape[2] * views.shape[3]
        for plane, view in enumerate(planes):
            if view:
                out[:, plane] = noisy(views[:, plane], mean, deviation, draws.pixels(values, plane))
        return Degraded(out)


DEGRADATION = LowLight()
