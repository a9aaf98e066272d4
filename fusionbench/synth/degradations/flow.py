"""``flow/1``: the thermal view moved by a smooth random field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, on
from fusionbench.synth.degradations.smooth import every, surface
from fusionbench.synth.degradations.warp import moved

CELL = 32  # pixels between the lattice's lines


class Flow(Degradation):
    """``flow/1``: a uniform cubic B-spline over a lattice of 32 pixels, its control values drawn evenly in ±amplitude.

    A spline's slope is at most the difference of neighbouring control values over the cell, so that below an amplitude
    of 16 pixels nothing is folded over.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.zeros((1, 2, 64, 64), np.uint8)
        >>> made = degrade(clean, "flow/1", 1, dataset="demo", split="all", samples=np.array([0]))
        >>> bool(np.abs(np.diff(made.field, axis=3)).max() < 256)
        True
    """

    name = "flow/1"
    title = "smooth random displacement"
    about = "The thermal view is moved by a smooth random field: parallax, or a registration that went wrong locally."
    views = "a"
    fields = ("largest displacement on an axis in 1/256 pixel",)
    levels: ClassVar = ((175,), (315,), (640,), (1270,), (3400,))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        height, width = views.shape[2:]
        tall, wide = (height - 1) // CELL + 4, (width - 1) // CELL + 4
        field = on(np.empty((len(draws.samples), 2, height, width), np.int32), views)
        for axis in (0, 1):
            control = between(draws.parameters(tall * wide, axis), -level[0], level[0])
            control = control.reshape(-1, tall, wide)
            field[:, axis] = surface(control, every(height, CELL), every(width, CELL), views)
        return moved(views, planes, field)

    def reach(self, level: Level, height: int, width: int) -> int:
        return -(-level[0] // 256)


DEGRADATION = Flow()
