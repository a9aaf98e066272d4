"""``blur/1``: both views out of focus, or the platform in motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, cast, is_tensor, like
from fusionbench.synth.augment import SINE
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, copy, on


class Blur(Degradation):
    """``blur/1``: for each pair a drawn choice of a disc (defocus) and a line of drawn direction (motion).

    The same for both views; outside of the picture its edge goes on.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.zeros((1, 2, 33, 33), np.uint8)
        >>> clean[:, :, 16, 16] = 255
        >>> made = degrade(clean, "blur/1", 2, dataset="demo", split="all", samples=np.array([0])).views
        >>> bool(made.max() < 100), 200 < int(made[0, 0].astype(int).sum()) < 300
        (True, True)
    """

    name = "blur/1"
    title = "blur"
    about = "Both views are out of focus (an even disc) or moved during exposure (an even line), drawn for each pair."
    views = "both"
    fields = ("diameter of the disc in pixels", "length of the line in pixels")
    levels: ClassVar = ((2, 3), (3, 5), (5, 7), (7, 11), (11, 17))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        diameter, length = level
        drawn = draws.parameters(2)
        moves, angles = between(drawn[:, 0], 0, 1), between(drawn[:, 1], 0, 127)  # half a turn: a line has no ends
        out = copy(views)
        discs = np.flatnonzero(moves == 0)
        if len(discs):
            index = on(discs, views)
            for plane in range(views.shape[1]):
                out[index, plane] = disc(views[:, plane][index], diameter)
        for sample in np.flatnonzero(moves == 1).tolist():
            out[sample] = line(views[sample], int(angles[sample]), length)
        return Degraded(out)


def disc(planes: Array, diameter: int) -> Array:
    """uint8 ``planes`` (n, h, w), each pixel the mean of those within ``diameter``/2 pixels of it: uint8.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.blur import disc
        >>> disc(np.array([[[0, 90, 0]]], np.uint8), 3).tolist()
        [[[30, 30, 30]]]
    """
    height, width = planes.shape[1:]
    reach = diameter // 2
    wide = cast(cast(_edged(planes, reach), "int32").cumsum(2), "int32")
    sums: Array = 0
    count = 0
    for row in range(-reach, reach + 1):
        half = math.isqrt(diameter * diameter // 4 - row * row)  # 4·(row² + column²) ≤ diameter²
        rows = wide[:, reach + row : reach + row + height]
        right = rows[:, :, reach + half : reach + half + width]
        run = right - rows[:, :, reach - half - 1 : reach - half - 1 + width] if half < reach else right + 0
        if half == reach:  # nothing stands before the first column
            run[:, :, 1:] -= rows[:, :, : width - 1]
        sums = sums + run
        count += 2 * half + 1
    return cast((sums + count // 2) // count, "uint8")


def line(planes: Array, angle: int, length: int) -> Array:
    """uint8 ``planes`` (n, h, w), each pixel the mean of ``length`` pixels on a line at ``angle``/256 of a turn: uint8.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.blur import line
        >>> line(np.array([[[0, 90, 0]]], np.uint8), angle=0, length=3).tolist()
        [[[30, 30, 30]]]
    """
    height, width = planes.shape[1:]
    reach = length // 2
    wide = cast(_edged(planes, reach), "int32")
    down, right = int(SINE[angle]), int(SINE[(angle + 64) & 255])
    sums: Array = 0
    for step in range(-reach, length - reach):
        row, column = reach + ((step * down + 8192) >> 14), reach + ((step * right + 8192) >> 14)
        sums = sums + wide[:, row : row + height, column : column + width]
    return cast((sums + length // 2) // length, "uint8")


def _edged(planes: Array, reach: int) -> Array:
    """Planes with ``reach`` more pixels on every side, those of the edge."""
    height, width = planes.shape[1:]
    rows, columns = (np.clip(np.arange(-reach, size + reach), 0, size - 1) for size in (height, width))
    if is_tensor(planes):
        return planes.index_select(1, like(rows, planes)).index_select(2, like(columns, planes))
    return planes.take(rows, axis=1).take(columns, axis=2)


DEGRADATION = Blur()
