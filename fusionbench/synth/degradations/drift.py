"""``drift/1``: the slow non-uniformity of a thermal sensor that has not been calibrated for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, cast, clip
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, copy, on
from fusionbench.synth.degradations.smooth import across, surface
from fusionbench.synth.noise import table

CELLS = 3  # of the offset, on each axis


class Drift(Degradation):
    """``drift/1``: a smooth offset over the picture, and a gain for each row and each column.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.full((1, 2, 64, 64), 128, np.uint8)
        >>> made = degrade(clean, "drift/1", 5, dataset="demo", split="all", samples=np.array([0])).views
        >>> bool(made[:, 0].std() > 5), bool((made[:, 1] == 128).all())
        (True, True)
    """

    name = "drift/1"
    title = "drift of a thermal sensor"
    about = "The thermal view with a smooth offset, and a gain of its own for each row and column."
    views = "a"
    scale = "picture"
    fields = ("largest offset in 1/16 grey level", "standard deviation of gains in 1/4096")
    levels: ClassVar = ((272, 43), (480, 75), (990, 155), (1700, 265), (2750, 430))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        largest, deviation = level
        height, width = views.shape[2:]
        side = CELLS + 3
        control = between(draws.parameters(side * side, 0), -largest, largest).reshape(-1, side, side)
        offset = surface(control, across(height, CELLS), across(width, CELLS), views)
        rows, columns = (
            on(
                ((table().astype(np.int64)[draws.parameters(size, view)] * deviation + 2048) >> 12).astype(np.int32),
                views,
            )
            for size, view in ((height, 1), (width, 2))
        )
        gain = rows[:, :, None] + columns[:, None, :] + 4096
        out = copy(views)
        for plane, view in enumerate(planes):
            if not view:
                value = (cast(views[:, plane], "int32") * gain + (offset << 8) + 2048) >> 12
                out[:, plane] = cast(clip(value, 0, 255), "uint8")
        return Degraded(out)


DEGRADATION = Drift()
