"""``fixed-pattern/1``: stripes along the columns and dead pixels of a thermal sensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, cast, clip
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, copy, on, zeros
from fusionbench.synth.noise import UNIT, table


class FixedPattern(Degradation):
    """``fixed-pattern/1``: an offset for each column, and a share of pixels that are black or white.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.full((1, 2, 64, 64), 128, np.uint8)
        >>> made = degrade(clean, "fixed-pattern/1", 5, dataset="demo", split="all", samples=np.array([0]))
        >>> np.unique(made.views[made.lost == 1]).tolist()  # dead pixels
        [0, 255]
    """

    name = "fixed-pattern/1"
    title = "fixed pattern of a thermal sensor"
    about = "Every column of the thermal view has an offset of its own, and some pixels are dead: black or white."
    views = "a"
    fields = ("standard deviation of columns in 1/256 grey level", "dead pixels in 1/65536")
    levels: ClassVar = ((195, 30), (358, 56), (704, 110), (1139, 178), (1728, 270))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        stripes, dead = level
        height, width = views.shape[2:]
        drawn = table().astype(np.int64)[draws.parameters(width)]
        offsets = on(((drawn * stripes + UNIT * 128) >> 20).astype(np.int16), views)[:, None, :]
        out, lost = copy(views), zeros(views)
        for plane, view in enumerate(planes):
            if view:
                continue
            made = cast(clip(cast(views[:, plane], "int16") + offsets, 0, 255), "uint8")
            drawn = draws.pixels(height * width, plane).reshape(-1, height, width)
            black, white = cast(drawn < dead // 2, "uint8"), cast(drawn >= 65536 - (dead - dead // 2), "uint8")
            lost[:, plane] = black | white
            out[:, plane] = made * (1 - black) | white * 255
        return Degraded(out, lost=lost)


DEGRADATION = FixedPattern()
