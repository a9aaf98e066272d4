"""Pastes of cut-outs on many canvases at once, in NumPy and torch: only the pixels that a cut-out reaches are visited.

A rotated cut-out covers a run of columns in each row of the canvas. The runs of all canvases are found first, exactly
and in integers; their pixels are then one long list. Four planes of 8 bits (three colours and alpha) are interpolated
together, as lanes of one 64-bit number, two planes as lanes of a 32-bit one: a lane of 8 bits times a weight of 8 bits
stays in its 16 bits. The formulas, and so the bits, are those of :func:`fusionbench.synth.augment.sample`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusionbench.synth import augment
from fusionbench.synth.arrays import Array, arange, cast, clip, is_tensor, like, nonzero, pick, repeat, stack, take

FIELDS = 6  # of a paste: cut-out, row, column, angle, grow, flip


@dataclass(frozen=True, eq=False)
class LaneBank:
    """A bank of cut-outs with its planes in lanes.

    Attributes:
        lanes: (m·(h+4)·(w+4),) int32 for one colour, int64 for three; two zero pixels around every cut-out.
        shape: m, h, w.
        colours: 1 or 3.
    """

    lanes: np.ndarray
    shape: tuple[int, int, int]
    colours: int

    @classmethod
    def of(cls, bank: np.ndarray) -> LaneBank | None:
        """The lanes of ``bank`` uint8 (m, h, w, C+1); None where its planes do not fit into lanes.

        They do with one colour or three, none of which is above alpha: then no sum leaves its lane.

        Example:
            >>> import numpy as np
            >>> from fusionbench.synth.pasting import LaneBank
            >>> half = np.full((1, 1, 1, 2), 128, np.uint8)  # white, half transparent
            >>> [hex(value) for value in LaneBank.of(half).lanes if value]
            ['0x800080']
            >>> LaneBank.of(half * np.array([1, 0], np.uint8)) is None  # a colour without alpha
            True
        """
        colours = bank.shape[-1] - 1
        if colours not in (1, 3) or (bank[..., :-1] > bank[..., -1:]).any():
            return None
        planes = augment.pad_edges(bank).astype(np.int32 if colours == 1 else np.int64)
        lanes = planes[0] | planes[1] << 16  # colour, alpha
        if colours == 3:  # the even lanes and the odd ones are taken apart later: alpha is the last odd one
            lanes = planes[0] | planes[2] << 16 | planes[1] << 32 | planes[3] << 48
        m, h, w = bank.shape[:3]
        return cls(np.ascontiguousarray(lanes).reshape(-1), (m, h, w), colours)

    def paste(self, images: Array, params: Array) -> Array:
        """uint8 ``images`` (n, H, W, C) with the pastes of int16 ``params`` (n, 1 + 6·most) over them, in order.

        Raises:
            IndexError: the parameters name a cut-out that is not in the bank.
        """
        dtype = "int32" if self.colours == 1 else "int64"
        planes = [cast(images[..., channel], dtype).reshape(-1) for channel in range(self.colours)]
        canvases = planes if self.colours == 1 else [planes[0] | planes[1] << 32, planes[2]]
        lanes = like(self.lanes, images)
        for run in self._runs(params, images.shape[1], images.shape[2]):
            self._blend(canvases, lanes, *run)
        if self.colours == 3:
            canvases = [canvases[0] & 255, canvases[0] >> 32, canvases[1]]
        return cast(stack(canvases, 1), "uint8").reshape(images.shape)

    def _runs(self, params: Array, height: int, width: int) -> list[tuple[Array, Array]]:
        """Of every layer of pastes the runs of pixels that the cut-outs reach: their lengths (k,), and int32 (k, 6).

        The six are linear in the number p of a pixel in the layer's list: its place on the canvases is [0] + p, the
        position in the cut-out in parts of 2^15 of a pixel is [1] + [3]·p, [2] + [4]·p, and the cut-out begins at [5].
        """
        m, h, w = self.shape
        most = (params.shape[1] - 1) // FIELDS
        layer, canvas = nonzero(params[:, 0][None] > arange(most, params, "int16")[:, None])
        fields = cast(params[:, 1:], "int64").reshape(-1, FIELDS)[canvas * most + layer]
        cutout, row, column, angle, grow, flip = (fields[:, i] for i in range(FIELDS))
        if len(fields) and not bool(((cutout >= 0) & (cutout < m)).all()):
            raise IndexError(f"the parameters name a cut-out that is not among {m}")
        shrink = (h * augment.ONE) // (grow + h)  # the inverse map divides by the scale
        a = (take(augment.SINE, (angle + 64) & 255) * shrink) >> 14
        b = (take(augment.SINE, angle & 255) * shrink) >> 14
        mirror = 1 - 2 * flip
        y = 2 * arange(height, params, "int64") - 2 * row[:, None]
        u = a[:, None] * y - (2 * b * column)[:, None]
        v = -(b * mirror)[:, None] * y - (2 * a * mirror * column)[:, None]
        u_step, v_step = (2 * b)[:, None] + 0 * y, (2 * a * mirror)[:, None] + 0 * y
        starts, stops = zip(_span(u, u_step, (h + 1) << 14, width), _span(v, v_step, (w + 1) << 14, width), strict=True)
        start, stop = _larger(*starts), -_larger(-stops[0], -stops[1])
        which, where = nonzero(stop > start)
        start, u, v, u_step, v_step = (value[which, where] for value in (start, u, v, u_step, v_step))
        length = stop[which, where] - start
        border, stride = augment.BORDER, w + 2 * augment.BORDER
        base = cutout[which] * ((h + 2 * border) * stride) + border * stride + border
        place = (canvas[which] * height + where) * width
        u, v = u + (h - 1 << 14), v + (w - 1 << 14)
        layers = layer[which]
        found = []
        for number in range(most):
            mine = slice(*(int((layers < bound).sum()) for bound in (number, number + 1)))
            count = length[mine]
            back = count.cumsum(0) - count - start[mine]  # the list's pixel p is in column p - back
            columns = [place[mine] - back, u[mine] - back * u_step[mine], v[mine] - back * v_step[mine]]
            columns += [u_step[mine], v_step[mine], base[mine]]
            found.append((count, stack([cast(each, "int32") for each in columns], 1)))  # sums wrap around, and back
        return found

    def _blend(self, canvases: list[Array], lanes: Array, count: Array, rows: Array) -> None:
        """Paste one layer of runs on the flat ``canvases``, in place."""
        rows = repeat(rows, count)
        pixel = arange(len(rows), rows, "int32")
        r, c = (rows[:, 1] + rows[:, 3] * pixel) >> 7, (rows[:, 2] + rows[:, 4] * pixel) >> 7
        stride = self.shape[2] + 2 * augment.BORDER
        tap = cast((r >> 8) * stride + (c >> 8) + rows[:, 5], "int64")
        wide = "int32" if self.colours == 1 else "int64"
        fy, fx = cast(r & 255, wide), cast(c & 255, wide)
        ones = 1 if self.colours == 1 else 1 | 1 << 32  # in every second lane
        left, below = pick(lanes, tap), pick(lanes, tap + stride)
        upper = (left << 8) + (pick(lanes, tap + 1) - left) * fx
        lower = (below << 8) + (pick(lanes, tap + (stride + 1)) - below) * fx
        even = _weigh(upper, lower, fy, ones)
        odd = _weigh(upper >> 16, lower >> 16, fy, ones)
        through = 255 - (odd if self.colours == 1 else odd >> 32)
        place = cast(rows[:, 0] + pixel, "int64")
        for canvas, front in zip(canvases, (even, odd & 255), strict=False):
            behind = pick(canvas, place) * through + 127 * ones
            # a quotient by 255 of anything below 2^16, by shifts
            canvas[place] = front + (((behind + ones + ((behind >> 8) & (255 * ones))) >> 8) & (255 * ones))


def _weigh(upper: Array, lower: Array, fy: Array, ones: int) -> Array:
    """Two rows of every second lane of 16 bits, weighed and rounded to 8 bits; the lanes between are used up."""
    upper, lower = upper & (65535 * ones), lower & (65535 * ones)
    return (((upper << 8) + (lower - upper) * fy + 32768 * ones) >> 16) & (255 * ones)


def _span(at: Array, step: Array, limit: int, count: int) -> tuple[Array, Array]:
    """The whole numbers 0 ≤ x < count with -limit ≤ at + step·x < limit: the first, and the one behind the last."""
    falling, still = cast(step < 0, "int64"), cast(step == 0, "int64")
    sign = 1 - 2 * falling
    at, step, low, high = at * sign, step * sign + still, falling - limit, falling + limit
    inside = cast((low <= at) & (at < high), "int64")
    start = (1 - still) * -((at - low) // step)
    stop = (1 - still) * -((at - high) // step) + still * inside * count
    return clip(start, 0, count), clip(stop, 0, count)


def _larger(a: Array, b: Array) -> Array:
    return a.maximum(b) if is_tensor(a) else np.maximum(a, b)
