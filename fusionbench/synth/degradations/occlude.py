"""``occlude/1``: something stands before each camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, arange, cast
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, copy, on, zeros

COUNT = 3  # occluders of a view
FIELDS = 4  # row, column, shape and grey level
PI = (355, 113)


class Occlude(Degradation):
    """``occlude/1``: three ellipses of one grey level each over every view, at places of its own.

    The ellipses' areas sum up to the level's share of the picture; they may overlap and reach outside. What one view
    loses the other one may still show.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.zeros((1, 2, 64, 64), np.uint8)
        >>> made = degrade(clean, "occlude/1", 3, dataset="demo", split="all", samples=np.array([0]))
        >>> bool((made.views[made.lost == 0] == 0).all()), 0 < float(made.lost.mean()) < 0.5
        (True, True)
    """

    name = "occlude/1"
    title = "occluders"
    about = "Three ellipses of drawn place, shape and grey level hide a part of each view, another one in each."
    views = "both"
    scale = "picture"
    fields = ("area in 1/256",)
    levels: ClassVar = ((3,), (9,), (37,), (90,), (154,))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        height, width = views.shape[2:]
        out, lost = copy(views), zeros(views)
        columns = arange(width, views, "int32")
        for view in sorted(set(planes)):
            drawn = draws.parameters(FIELDS * COUNT, view).reshape(-1, COUNT, FIELDS)
            for i in range(COUNT):
                middle, half, grey = self._ellipse(drawn[:, i], level[0], height, width)
                centre = on(middle.astype(np.int32), views)[:, None, None]
                inside = abs(columns - centre) < on(half.astype(np.int32), views)[:, :, None]
                hidden = cast(inside, "uint8")
                colour = on(grey.astype(np.uint8), views)[:, None, None] * hidden
                for plane, owner in enumerate(planes):
                    if owner == view:
                        out[:, plane] = out[:, plane] * (1 - hidden) + colour
                        lost[:, plane] |= hidden
        return Degraded(out, lost=lost)

    def _ellipse(self, drawn: np.ndarray, share: int, height: int, width: int) -> tuple[np.ndarray, ...]:
        """Column of the centre (n,), half-width + 1 in each row (n, h), 0 outside, and grey level (n,)."""
        area = share * height * width * PI[1] // (256 * COUNT * PI[0])  # of a square over the radius
        stretch = between(drawn[:, 2], 160, 410)  # height over width, squared, in 1/256: 5/8 to 8/5
        tall = np.maximum(1, whole_root(area * stretch // 256))[:, None]
        wide = np.maximum(1, whole_root(area * 256 // stretch))[:, None]
        row = between(drawn[:, 0], 0, height - 1)[:, None]
        rest = tall * tall - (np.arange(height) - row) ** 2
        half = np.where(rest < 0, 0, whole_root(wide * wide * np.maximum(rest, 0) // (tall * tall)) + 1)
        return between(drawn[:, 1], 0, width - 1), half, between(drawn[:, 3], 0, 255)


def whole_root(values: np.ndarray) -> np.ndarray:
    """The whole part of the square root of whole numbers below 2^52: int64. IEEE 754 rounds roots exactly.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.occlude import whole_root
        >>> whole_root(np.array([0, 8, 9, 2**50 - 1])).tolist() == [0, 2, 3, 2**25 - 1]
        True
    """
    found: np.ndarray = np.sqrt(values.astype(np.float64)).astype(np.int64)
    return found


DEGRADATION = Occlude()
