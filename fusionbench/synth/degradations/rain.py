"""``rain/1``: bright streaks over the visible view, and a veil."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, cast
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, copy, on

DROPS = 3  # sorts of streaks: faint, middle, bright
SLANT = 96  # columns in 256 rows, at most
LIGHT = 232  # grey level of water and of the veil


class Rain(Degradation):
    """``rain/1``: lines in integers, all of one slant in a picture, blended with a light grey.

    A number of streaks is drawn for each 65,536 pixels: place, length between half and all of the largest. A third each
    has a third, two thirds and all of the opacity; where they cross, the more opaque one shows.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.zeros((1, 2, 64, 64), np.uint8)
        >>> made = degrade(clean, "rain/1", 3, dataset="demo", split="all", samples=np.array([0])).views
        >>> len(np.unique(made[:, 1]))  # the veil, and three sorts of streaks
        4
    """

    name = "rain/1"
    title = "rain"
    about = "The visible view with streaks of drawn place and length, all of one slant, and a thin veil."
    views = "b"
    fields = ("streaks in 65,536 pixels", "longest in pixels", "opacity in 1/256", "veil in 1/256")
    levels: ClassVar = ((104, 10, 60, 5), (184, 11, 75, 9), (320, 14, 100, 16), (448, 16, 124, 22), (600, 19, 153, 30))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        height, width = views.shape[2:]
        cover = on(self.streaks(level, height, width, draws), views)
        # what streaks leave of the light, times what the veil leaves
        left = (256 - cast(cover, "int32")) * (256 - level[3])
        light = LIGHT * (65536 - left) + 32768
        out = copy(views)
        for plane, view in enumerate(planes):
            if view:
                out[:, plane] = cast((cast(views[:, plane], "int32") * left + light) >> 16, "uint8")
        return Degraded(out)

    def streaks(self, level: Level, height: int, width: int, draws: Draws) -> np.ndarray:
        """Opacity of the streaks: uint8 (n, h, w), in 1/256."""
        many, longest, opacity, _ = level
        count = -(-many * height * width // 65536)
        drawn = draws.parameters(1 + 3 * count)
        slant = between(drawn[:, 0], -SLANT, SLANT)[:, None, None]
        row, column, length = (drawn[:, 1 + i :: 3, None] for i in range(3))
        step = np.arange(longest)
        # they begin above the picture and beside it, so that its borders have as many
        aside = longest * SLANT // 256
        rows = between(row, -longest, height - 1) + step
        columns = between(column, -aside, width - 1 + aside) + (step * slant + 128 >> 8)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        inside &= step < between(length, (longest + 1) // 2, longest)
        places = np.arange(len(drawn))[:, None, None] * (height * width) + rows * width + columns
        cover = np.zeros(len(drawn) * height * width, np.uint8)
        for sort in range(DROPS):  # the brighter ones over the others
            which = slice(sort, None, DROPS)
            cover[places[:, which][inside[:, which]]] = opacity * (sort + 1) // DROPS
        return cover.reshape(-1, height, width)


DEGRADATION = Rain()
