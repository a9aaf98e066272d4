"""``shift/1``: the thermal view moved by a constant length in a direction drawn for each pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array
from fusionbench.synth.augment import SINE
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, on
from fusionbench.synth.degradations.warp import moved

ONE = 1 << 14  # of the table of sines


class Shift(Degradation):
    """``shift/1``. One parameter is drawn: the direction, one of 256.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.arange(512, dtype=np.uint8).reshape(1, 2, 16, 16)
        >>> made = degrade(clean, "shift/1", 5, dataset="demo", split="all", samples=np.array([3]))
        >>> length = np.hypot(*(made.field[0, :, 0, 0] / 256))
        >>> bool((made.field == made.field[:, :, :1, :1]).all()), bool((made.views[:, 1] == clean[:, 1]).all())
        (True, True)
    """

    name = "shift/1"
    title = "shifted sensor"
    about = "The thermal view is moved by a constant length in a drawn direction: two cameras that are not registered."
    views = "a"
    fields = ("length in 1/256 pixel",)
    levels: ClassVar = ((64,), (112,), (208,), (400,), (1280,))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        (length,) = level
        angle = between(draws.parameters(1)[:, 0], 0, 255)
        by = (np.stack([SINE[angle], SINE[(angle + 64) & 255]], 1).astype(np.int64) * length + ONE // 2) >> 14
        height, width = views.shape[2:]
        field = on(np.broadcast_to(by.astype(np.int32)[:, :, None, None], (len(by), 2, height, width)), views)
        return moved(views, planes, field)

    def reach(self, level: Level, height: int, width: int) -> int:
        return -(-level[0] // 256)


DEGRADATION = Shift()
