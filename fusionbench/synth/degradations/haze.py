"""``haze/1``: air light over the visible view, more of it the farther something is."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, arange, cast, clip, take
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, copy, on
from fusionbench.synth.degradations.smooth import across, surface

CELLS = 4
NEAR, FAR, ROUGH = 64, 208, 96  # depth at the bottom and at the top, and by how much it varies, of 255
AIR = (200, 240)  # grey levels


@functools.cache
def transmission(extinction: int) -> np.ndarray:
    """What is left of the light from depths 0..255, in 1/256: int32 (256,).

    Each step of depth takes ``extinction``/65536 of it (Koschmieder's law), in integers.

    Example:
        >>> from fusionbench.synth.degradations.haze import transmission
        >>> transmission(512)[[0, 100, 255]].tolist()
        [256, 117, 35]
    """
    left, found = 1 << 24, []
    for _ in range(256):
        found.append((left + (1 << 15)) >> 16)
        left = left * (65536 - extinction) >> 16
    return np.array(found, np.int32)


class Haze(Degradation):
    """``haze/1``: light times transmission plus air light times the rest, over a smooth depth that grows upwards.

    Reference: McCartney, "Optics of the Atmosphere", 1976, as Narasimhan and Nayar, "Vision and the atmosphere", IJCV
    2002, have the model; the depth is drawn, not that of the scene.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.zeros((1, 2, 64, 64), np.uint8)
        >>> made = degrade(clean, "haze/1", 5, dataset="demo", split="all", samples=np.array([0])).views
        >>> bool(made[0, 1, 0].mean() > made[0, 1, -1].mean() > 0)  # more at the top
        True
    """

    name = "haze/1"
    title = "haze"
    about = "The visible view is blended with air light by a smooth drawn depth that grows towards the top."
    views = "b"
    scale = "picture"
    fields = ("extinction a step of depth in 1/65536",)
    levels: ClassVar = ((220,), (400,), (620,), (950,), (1500,))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        height, width = views.shape[2:]
        side = CELLS + 3
        drawn = draws.parameters(1 + side * side)
        rough = between(drawn[:, 1:], -ROUGH, ROUGH).reshape(-1, side, side)
        depth = surface(rough, across(height, CELLS), across(width, CELLS), views)
        up = (height - 1 - arange(height, views, "int32")) * (FAR - NEAR) // max(1, height - 1) + NEAR
        left = take(transmission(level[0]), cast(clip(depth + up[None, :, None], 0, 255), "int64"))
        air = on(between(drawn[:, 0], *AIR).astype(np.int32), views)[:, None, None]
        veil = air * (256 - left) + 128
        out = copy(views)
        for plane, view in enumerate(planes):
            if view:
                out[:, plane] = cast((cast(views[:, plane], "int32") * left + veil) >> 8, "uint8")
        return Degraded(out)


DEGRADATION = Haze()
