"""``drop/1``: one of the views stops being read out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, is_tensor
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, between, copy, on, zeros


class Drop(Degradation):
    """``drop/1``: a share of the rows of one drawn view is missing (black) or frozen (the last row read goes on).

    Rows are lost at the bottom or at the top. Where all are, the view is black: nothing was read that could freeze.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.full((1, 2, 16, 16), 90, np.uint8)
        >>> made = degrade(clean, "drop/1", 5, dataset="demo", split="all", samples=np.array([0]))
        >>> sorted(made.views.mean(axis=(2, 3))[0].tolist())  # one is gone
        [0.0, 90.0]
    """

    name = "drop/1"
    title = "dropped view"
    about = "One of the views, drawn for each pair, loses a share of its rows: they are black, or the last row goes on."
    views = "both"
    scale = "picture"
    fields = ("rows in 1/256",)
    levels: ClassVar = ((16,), (32,), (64,), (128,), (256,))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        height = views.shape[2]
        drawn = draws.parameters(3)
        which = between(drawn[:, 0], 0, max(planes))
        frozen, upwards = between(drawn[:, 1], 0, 1), between(drawn[:, 2], 0, 1)
        gone = -(-level[0] * height // 256)
        place = np.arange(height)[None]
        place = np.where(upwards[:, None] == 1, height - 1 - place, place)  # in the order of reading
        dead = place >= height - gone
        last = max(0, height - gone - 1)
        source = np.where(dead & (frozen[:, None] == 1), last, place)
        source = np.where(upwards[:, None] == 1, height - 1 - source, source)
        black = dead & ((frozen[:, None] == 0) | (gone == height))
        out, lost = copy(views), zeros(views)
        rows, alive = on(source.astype(np.int64), views), on((~black).astype(np.uint8), views)
        for plane, view in enumerate(planes):
            mine = np.flatnonzero(which == view)
            if not len(mine):
                continue
            index = on(mine, views)
            shown, chosen = views[:, plane][index], rows[index]
            if is_tensor(views):
                made = shown.gather(1, chosen[:, :, None].expand(shown.shape))
            else:
                made = np.take_along_axis(shown, chosen[:, :, None], 1)
            out[index, plane] = made * alive[index][:, :, None]
            lost[index, plane] = on(dead[mine].astype(np.uint8), views)[:, :, None] | lost[index, plane]
        return Degraded(out, lost=lost)


DEGRADATION = Drop()
