"""``occlude/2``: cut-outs of objects stand before each camera, as in FusionT-LESS."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, cast, clip, take
from fusionbench.synth.augment import SINE
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, copy, on, zeros
from fusionbench.synth.degradations.occlude import whole_root
from fusionbench.synth.degradations.silhouettes import SIDE, drawn_bank

COUNT = 3  # cut-outs of a view
FIELDS = 7  # cut-out, row, column, angle, mirrored, and the greys of its darkest and its brightest shade
ONE = 16  # binary digits of a position in a cut-out


class OccludeByCutOuts(Degradation):
    """``occlude/2``: three cut-outs over every view, each turned, mirrored and at a place of its own.

    Each has a third of the level's share of the picture as its area; they may overlap and reach outside. Their shading
    is spread between two drawn greys: a thing looks one way to a thermal camera and another way to a visible one.

    Args:
        bank: cut-outs, uint8 (m, 256, 256), 0 outside of the object (:func:`fusionbench.synth.degradations.silhouettes.
            bank_of`). By default 32 objects that are drawn. With other ones the name goes on with their digest, so that
            what is drawn and recorded is of these.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.zeros((1, 2, 64, 64), np.uint8)
        >>> made = degrade(clean, "occlude/2", 3, dataset="demo", split="all", samples=np.array([0]))
        >>> bool((made.views[made.lost == 0] == 0).all()), 0 < float(made.lost.mean()) < 0.5
        (True, True)
    """

    name = "occlude/2"
    title = "cut-outs"
    about = "Three cut-outs of objects, turned, mirrored and shaded, hide a part of each view, another one in each."
    views = "both"
    scale = "picture"
    fields = ("area in 1/256",)
    levels: ClassVar = ((3,), (9,), (30,), (70,), (144,))

    def __init__(self, bank: np.ndarray | None = None) -> None:
        self._own = bank
        if bank is not None:
            digest = hashlib.sha256(np.ascontiguousarray(bank).tobytes()).hexdigest()[:12]
            # an attribute of the object: the family with other cut-outs is another family
            self.name = f"{type(self).name}+{digest}"  # type: ignore[misc]
            self.title = f"{len(bank)} own cut-outs"  # type: ignore[misc]

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        height, width = views.shape[2:]
        out, lost = copy(views), zeros(views)
        for view in sorted(set(planes)):
            drawn = draws.parameters(FIELDS * COUNT, view).reshape(-1, COUNT, FIELDS)
            for i in range(COUNT):
                shade = self._shade(drawn[:, i], level[0], height, width, views)
                hidden = cast(shade > 0, "uint8")
                dark, light = (between(drawn[:, i, at], 0, 255).astype(np.int32) for at in (5, 6))
                first, span = on(dark, views)[:, None, None], on(light - dark, views)[:, None, None]
                colour = cast(first + (cast(shade, "int32") * span >> 8), "uint8") * hidden
                kept = 1 - hidden
                for plane, owner in enumerate(planes):
                    if owner == view:
                        out[:, plane] = out[:, plane] * kept + colour
                        lost[:, plane] |= hidden
        return Degraded(out, lost=lost)

    def _shade(self, drawn: np.ndarray, share: int, height: int, width: int, views: Array) -> Array:
        """The shading of a cut-out of each sample at its place: uint8 (n, h, w), 0 beside it."""
        padded, areas = self._padded
        which = between(drawn[:, 0], 0, len(areas) - 1)
        area = share * height * width // (256 * COUNT)
        size = np.maximum(1, whole_root(area * SIDE * SIDE // areas[which]))  # pixels of its side on the picture
        step = (SIDE << ONE) // size
        angle = between(drawn[:, 3], 0, 255)
        cosine, sine = (step * SINE[(angle + turn) & 255] >> 14 for turn in (64, 0))
        mirror = 1 - 2 * between(drawn[:, 4], 0, 1)
        away = []
        for at, count in ((1, height), (2, width)):
            # Beyond a side's length nothing of it can lie; kept there, products stay within int32
            place = np.arange(count) - between(drawn[:, at], 0, count - 1)[:, None]
            away.append(np.clip(place, -size[:, None], size[:, None]))
        y, x = away
        middle = (SIDE + 2) << (ONE - 1)
        parts = [cosine[:, None] * y + middle, sine[:, None] * x]
        parts += [(cosine * mirror)[:, None] * x + middle, (-sine * mirror)[:, None] * y]
        down, along, right, across = (on(part.astype(np.int32), views) for part in parts)
        row = clip((down[:, :, None] + along[:, None, :]) >> ONE, 0, SIDE + 1)
        column = clip((right[:, None, :] + across[:, :, None]) >> ONE, 0, SIDE + 1)
        row *= SIDE + 2
        row += column
        row += on((which * (SIDE + 2) * (SIDE + 2)).astype(np.int32), views)[:, None, None]
        return take(padded, row)

    @cached_property
    def _padded(self) -> tuple[np.ndarray, np.ndarray]:
        """All cut-outs with a pixel of nothing around, flat, and how many pixels each has."""
        bank = drawn_bank() if self._own is None else self._own
        return np.pad(bank, ((0, 0), (1, 1), (1, 1))).reshape(-1), (bank > 0).sum(axis=(1, 2)).astype(np.int64)


DEGRADATION = OccludeByCutOuts()
