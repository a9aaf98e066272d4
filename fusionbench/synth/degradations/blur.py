"""``blur/1``: both views out of focus, or the platform in motion."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, cast, is_tensor, like
from fusionbench.synth.augment import SINE
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, copy, on

UNIT = 16  # lengths in a pixel, and the places across one where a disc is looked at


class Blur(Degradation):
    """``blur/1``: for each pair a drawn choice of a disc (defocus) and a line of drawn direction (motion).

    The same for both views; outside of the picture its edge goes on.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.zeros((1, 2, 33, 33), np.uint8)
        >>> clean[:, :, 16, 16] = 255
        >>> made = degrade(clean, "blur/1", 3, dataset="demo", split="all", samples=np.array([0])).views
        >>> bool(made.max() < 200), 240 < int(made[0, 0].astype(int).sum()) < 270
        (True, True)
    """

    name = "blur/1"
    title = "blur"
    about = "Both views are out of focus (an even disc) or moved during exposure (an even line), drawn for each pair."
    views = "both"
    fields = ("diameter of the disc in 1/16 pixel", "length of the line in 1/16 pixel")
    levels: ClassVar = ((23, 26), (29, 34), (45, 57), (59, 77), (75, 98))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        diameter, length = level
        drawn = draws.parameters(2)
        moves, angles = between(drawn[:, 0], 0, 1), between(drawn[:, 1], 0, 127)  # half a turn: a line has no ends
        out = copy(views)
        discs = np.flatnonzero(moves == 0)
        if len(discs):
            index = on(discs, views)
            for plane in range(views.shape[1]):
                out[index, plane] = blur_disc(views[:, plane][index], diameter)
        for sample in np.flatnonzero(moves == 1).tolist():
            out[sample] = line(views[sample], int(angles[sample]), length)
        return Degraded(out)


@functools.cache
def disc_weights(diameter: int) -> tuple[tuple[int, int, int], ...]:
    """Row, column and weight of every pixel that a disc of ``diameter``/16 pixels around one reaches.

    A weight is how many of 16×16 places in the pixel are inside the disc: whole numbers, no root.

    Example:
        >>> from fusionbench.synth.degradations.blur import disc_weights
        >>> disc_weights(16)  # no wider than a pixel
        ((0, 0, 208),)
        >>> [weight for row, _, weight in disc_weights(32) if row == 0]
        [118, 256, 118]
    """
    reach = (diameter + UNIT) // (2 * UNIT)
    places = 2 * np.arange(UNIT * (2 * reach + 1)) - UNIT * (2 * reach + 1) + 1  # in 1/32 pixel from the middle
    inside = places[:, None] ** 2 + places[None] ** 2 <= diameter * diameter
    side = 2 * reach + 1
    counts = inside.reshape(side, UNIT, side, UNIT).sum(axis=(1, 3))
    found = ((row - reach, column - reach, int(counts[row, column])) for row in range(side) for column in range(side))
    return tuple(one for one in found if one[2])


def blur_disc(planes: Array, diameter: int) -> Array:
    """uint8 ``planes`` (n, h, w), each pixel the mean over a disc of ``diameter``/16 pixels around it: uint8.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.blur import blur_disc
        >>> blur_disc(np.array([[[0, 0, 90, 0, 0]]], np.uint8), 32).tolist()  # the edge goes on above and below
        [[[0, 18, 55, 18, 0]]]
    """
    taps = disc_weights(diameter)
    reach = max(row for row, _, _ in taps)
    return _weighted(planes, reach, taps)


def line(planes: Array, angle: int, length: int) -> Array:
    """uint8 ``planes`` (n, h, w), each pixel the mean over a line of ``length``/16 pixels at ``angle``/256 of a turn.

    Steps along the line are a pixel apart, at the nearest pixel each; the outermost two count as much as the line
    reaches into them.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.blur import line
        >>> line(np.array([[[0, 90, 0]]], np.uint8), angle=0, length=48).tolist()
        [[[30, 30, 30]]]
        >>> line(np.array([[[0, 90, 0]]], np.uint8), angle=0, length=32).tolist()
        [[[23, 45, 23]]]
    """
    whole, rest = divmod(max(length, UNIT) - UNIT, 2 * UNIT)
    down, right = int(SINE[angle]), int(SINE[(angle + 64) & 255])
    steps = [(step, 2 * UNIT) for step in range(-whole, whole + 1)]
    steps += [(-whole - 1, rest), (whole + 1, rest)] if rest else []
    taps = tuple(((step * down + 8192) >> 14, (step * right + 8192) >> 14, weight) for step, weight in steps)
    return _weighted(planes, whole + 1, taps)


def _weighted(planes: Array, reach: int, taps: Sequence[tuple[int, int, int]]) -> Array:
    """Weighted means of uint8 ``planes`` (n, h, w); equal weights are added before they are multiplied."""
    height, width = planes.shape[1:]
    wide = cast(_edged(planes, reach), "int32")
    total = sum(weight for _, _, weight in taps)
    sums: Array = 0
    for weight in sorted({weight for _, _, weight in taps}):
        part: Array = 0
        for row, column, other in taps:
            if other == weight:
                top, left = reach + row, reach + column
                part = part + wide[:, top : top + height, left : left + width]
        sums = sums + part * weight
    return cast((sums + total // 2) // total, "uint8")


def _edged(planes: Array, reach: int) -> Array:
    """Planes with ``reach`` more pixels on every side, those of the edge."""
    height, width = planes.shape[1:]
    rows, columns = (np.clip(np.arange(-reach, size + reach), 0, size - 1) for size in (height, width))
    if is_tensor(planes):
        return planes.index_select(1, like(rows, planes)).index_select(2, like(columns, planes))
    return planes.take(rows, axis=1).take(columns, axis=2)


DEGRADATION = Blur()
