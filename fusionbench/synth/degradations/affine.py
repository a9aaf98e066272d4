"""``affine/1``: the thermal view turned, scaled and sheared about its centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, arange
from fusionbench.synth.augment import SINE
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, on
from fusionbench.synth.degradations.warp import moved

_PARTS = 1 << 16


class Affine(Degradation):
    """``affine/1``: the field is M·(place − centre), with M the sum of a turn with zoom and of a shear.

    Both have one strength for all pairs: [[s, −c], [c, s]]·turn and [[c', s'], [s', −c']]·shear, the angles of which
    are drawn. So every pixel is moved by its distance from the centre times turn ± shear.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.zeros((1, 2, 65, 65), np.uint8)
        >>> made = degrade(clean, "affine/1", 5, dataset="demo", split="all", samples=np.array([0]))
        >>> made.field[0, :, 32, 32].tolist()  # the centre stays
        [0, 0]
    """

    name = "affine/1"
    title = "turned, scaled and sheared sensor"
    about = "The thermal view is moved by an affine field about its centre, of constant strength and drawn kind."
    views = "a"
    fields = ("turn and zoom in 1/65536", "shear in 1/65536")
    levels: ClassVar = ((146, 73), (258, 129), (556, 278), (1150, 575), (4400, 2200))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        turn, shear = level
        drawn = between(draws.parameters(2), 0, 255)
        s, c, s2, c2 = (
            SINE[(drawn[:, i] + quarter) & 255].astype(np.int64) for i, quarter in ((0, 0), (0, 64), (1, 0), (1, 64))
        )
        # in parts of 65536; a step of half a pixel from the centre is 128/65536 of its product
        entries = (s * turn + c2 * shear, s2 * shear - c * turn, s2 * shear + c * turn, s * turn - c2 * shear)
        a, b, d, e = (on(((entry + 8192) >> 14).astype(np.int32), views)[:, None, None] for entry in entries)
        height, width = views.shape[2:]
        y = (2 * arange(height, views, "int32") - (height - 1))[None, :, None]
        x = (2 * arange(width, views, "int32") - (width - 1))[None, None, :]
        field = on(np.empty((len(drawn), 2, height, width), np.int32), views)
        field[:, 0] = (a * y + b * x + 256) >> 9
        field[:, 1] = (d * y + e * x + 256) >> 9
        return moved(views, planes, field)

    def reach(self, level: Level, height: int, width: int) -> int:
        return -(-(height + width) * sum(level) // (2 * _PARTS))


DEGRADATION = Affine()
