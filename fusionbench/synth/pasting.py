"""Pastes of cut-outs on many canvases at once, in NumPy and torch: only the pixels that a cut-out reaches are visited.

A rotated cut-out covers a run of columns in each row of the canvas. The runs of all canvases are found first, exactly
and in integers; their pixels are then one long list. Four planes of 8 bits (three colours and alpha) are interpolated
together, as lanes of one 64-bit number, two planes as lanes of a 32-bit one: a lane of 8 bits times a weight of 8 bits
stays in its 16 bits. The formulas, and so the bits, are those of :func:`fusionbench.synth.augment.sample`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from fusionbench.synth import augment
from fusionbench.synth.arrays import Array, arange, cast, clip, is_tensor, like, nonzero, pick, repeat, stack, take

FIELDS = 6  # of a paste: cut-out, row, column, angle, grow, flip


@dataclass(frozen=True, eq=False)
class LaneBank:
    """A bank of cut-outs with its planes in lanes.

    Attributes:
        lanes: (m·(h+4)·(w+4),) int32 for one colour, int64 for three; two zero pixels around every cut-out.
        values, steps: what interpolation needs of a pixel: 256 times its lanes and a half to round by, and the lanes of
            its neighbour on the right less its own.
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

    def paste(self, images: Array, params: Array, together: bool = False) -> Array:
        """uint8 ``images`` (n, H, W, C) with the pastes of int16 ``params`` (n, 1 + 6·most) over them, in order.

        Args:
            together: interpolate all layers of pastes at once. A processor wants one at a time, for its cache; a device
                all of them, as its time goes into launches.

        Raises:
            IndexError: the parameters name a cut-out that is not in the bank.
        """
        planes = [cast(images[..., channel], self._wide).reshape(-1) for channel in range(self.colours)]
        canvases = planes if self.colours == 1 else [planes[0] | planes[1] << 32, planes[2]]
        values, steps = like(self.values, images), like(self.steps, images)
        lengths, rows, runs, pixels = self._runs(params, images.shape[1], images.shape[2])
        groups = [slice(0, len(runs) - 1)] if together else [slice(i, i + 1) for i in range(len(runs) - 1)]
        for group in groups:
            bounds = pixels[group.start : group.stop + 1]
            mine = slice(runs[group.start], runs[group.stop])
            if bounds[0] == bounds[-1]:
                continue
            of_pixels = [repeat(row[mine], lengths[mine], bounds[-1] - bounds[0]) for row in rows]
            place, through, fronts = self._fronts(values, steps, of_pixels, bounds[0])
            for first, last in pairwise(bound - bounds[0] for bound in bounds):
                layer = slice(first, last)
                for canvas, front in zip(canvases, fronts, strict=True):
                    self._blend(canvas, place[layer], through[layer], front[layer])
        if self.colours == 3:
            canvases = [canvases[0], canvases[0] >> 32, canvases[1]]
        # the lowest byte of each, taken before they are interleaved: an eighth of the memory
        return stack([cast(canvas, "uint8") for canvas in canvases], 1).reshape(images.shape)

    @cached_property
    def values(self) -> np.ndarray:
        ones = self._ones | self._ones << 16
        # 128 is half of what the vertical step, whose weights sum to 256, shifts out
        result: np.ndarray = (self.lanes << 8) + np.array(128 * ones).astype(self.lanes.dtype)
        return result

    @cached_property
    def steps(self) -> np.ndarray:
        result: np.ndarray = np.append(self.lanes[1:], self.lanes[-1:]) - self.lanes
        return result

    @property
    def _wide(self) -> str:
        return "int32" if self.colours == 1 else "int64"

    @property
    def _ones(self) -> int:
        """A one in every second lane."""
        return 1 if self.colours == 1 else 1 | 1 << 32

    def _runs(self, params: Array, height: int, width: int) -> tuple[Array, list[Array], list[int], list[int]]:
        """The runs of pixels that the cut-outs reach, layer by layer of pastes: lengths (k,), six int32 (k,), and where
        each layer begins in the list of runs and in the list of their pixels, and where these lists end.

        The six are linear in the number p of a pixel in the list: its place on the canvases is [0] + p, the position in
        the cut-out in parts of 2^15 of a pixel is [1] + [3]·p, [2] + [4]·p, and the cut-out begins at [5].
        """
        m, h, w = self.shape
        most = (params.shape[1] - 1) // FIELDS
        layer, canvas = nonzero(params[:, 0][None] > arange(most, params, "int16")[:, None])
        fields = cast(params[:, 1:], "int32").reshape(-1, FIELDS)[canvas * most + layer]
        cutout, row, column, angle, grow, flip = (fields[:, i] for i in range(FIELDS))
        if len(fields) and not bool(((cutout >= 0) & (cutout < m)).all()):
            raise IndexError(f"the parameters name a cut-out that is not among {m}")
        shrink = (h * augment.ONE) // (grow + h)  # the inverse map divides by the scale
        a = (take(augment.SINE, (angle + 64) & 255) * shrink) >> 14
        b = (take(augment.SINE, angle & 255) * shrink) >> 14
        mirror = 1 - 2 * flip
        y = 2 * arange(height, params, "int32") - 2 * row[:, None]
        u = a[:, None] * y - (2 * b * column)[:, None]
        v = -(b * mirror)[:, None] * y - (2 * a * mirror * column)[:, None]
        u_step, v_step = 2 * b, 2 * a * mirror
        first, last = _span(u, u_step[:, None], (h + 1) << 14, width)
        start, stop = _span(v, v_step[:, None], (w + 1) << 14, width)
        start, stop = _larger(start, first), -_larger(-stop, -last)
        which, where = nonzero(stop > start)
        reached = which * height + where
        start, stop, u, v = (pick(value.reshape(-1), reached) for value in (start, stop, u, v))
        lengths, u_step, v_step = stop - start, pick(u_step, which), pick(v_step, which)
        border, stride = augment.BORDER, w + 2 * augment.BORDER
        base = cutout[which] * ((h + 2 * border) * stride) + border * stride + border
        place = (canvas[which] * height + where) * width
        u, v = u + ((h - 1) << 14), v + ((w - 1) << 14)
        ends = lengths.cumsum(0)
        back = cast(ends, "int32") - stop  # pixel p of the list is in column p - back
        columns = (place - back, u - back * u_step, v - back * v_step, u_step, v_step, base)
        rows = [cast(each, "int32") for each in columns]  # sums wrap around, and back
        runs = [0, *(layer[which][:, None] <= arange(most, layer, "int64")).sum(0).tolist()]
        behind = ends[[max(run - 1, 0) for run in runs]].tolist() if len(ends) else runs
        pixels = [end if run else 0 for run, end in zip(runs, behind, strict=True)]
        return lengths, rows, runs, pixels

    def _fronts(self, values: Array, steps: Array, rows: list[Array], first: int) -> tuple[Array, Array, list[Array]]:
        """Of pixels ``first``, … of the list, with the six of their runs: place, 255 - alpha, and colours in lanes."""
        # In place wherever nobody looks again: a new array costs as much as the sum that goes into it.
        place, u, v, r, c, base = rows
        pixel = arange(len(place), place, "int32") + first
        for at, step in ((u, r), (v, c)):
            step *= pixel
            step += at
            step >>= 7
        fy, fx = cast(r & 255, self._wide), cast(c & 255, self._wide)
        r >>= 8
        c >>= 8
        stride = self.shape[2] + 2 * augment.BORDER
        r *= stride
        r += c
        r += base
        tap = cast(r, "int64")
        upper, lower = pick(values, tap), pick(values[stride:], tap)
        for row, change in ((upper, steps), (lower, steps[stride:])):
            to_right = pick(change, tap)
            to_right *= fx
            row += to_right
        even = self._weigh(upper & (65535 * self._ones), lower & (65535 * self._ones), fy)
        odd = self._weigh(_odd(upper), _odd(lower), fy)
        place += pixel
        far = cast(place, "int64")
        return (far, 255 - odd, [even]) if self.colours == 1 else (far, 255 - (odd >> 32), [even, odd])

    def _weigh(self, upper: Array, lower: Array, fy: Array) -> Array:
        """Two rows of 16 bits in every second lane, weighed and rounded to 8 bits, in place of the first."""
        lower -= upper
        lower *= fy
        upper <<= 8
        upper += lower
        halves = _halves(upper)
        halves >>= 16
        return upper

    def _blend(self, canvas: Array, place: Array, through: Array, front: Array) -> None:
        """Paste a layer on a flat canvas, in place."""
        behind = pick(canvas, place)
        behind *= through
        behind += 128 * self._ones
        halves = _halves(behind)
        halves += halves >> 8  # (x + (x >> 8)) >> 8 of x = 128 + product is (127 + product) // 255
        halves >>= 8
        behind += front
        canvas[place] = behind


def _halves(words: Array) -> Array:
    """The same memory as int32, where a shift moves no bit from one lane of 32 bits to the other."""
    return words.view(sys.modules["torch"].int32) if is_tensor(words) else words.view(np.int32)


def _odd(words: Array) -> Array:
    """The upper of every two lanes of 16 bits, moved to the lower, in place."""
    if is_tensor(words):  # whose shift brings the sign along
        halves = _halves(words)
        halves >>= 16
        halves &= 65535
    else:
        unsigned = words.view(np.uint32)
        unsigned >>= 16
    return words


def _span(at: Array, step: Array, limit: int, count: int) -> tuple[Array, Array]:
    """The whole numbers 0 ≤ x < count with -limit ≤ at + step·x < limit: the first, and the one behind the last."""
    falling, still = cast(step < 0, "int32"), cast(step == 0, "int32")
    sign = 1 - 2 * falling
    at, step, low, high = at * sign, step * sign + still, falling - limit, falling + limit
    inside = cast((low <= at) & (at < high), "int32")
    start = (1 - still) * -((at - low) // step)
    stop = (1 - still) * -((at - high) // step) + still * inside * count
    return clip(start, 0, count), clip(stop, 0, count)


def _larger(a: Array, b: Array) -> Array:
    return a.maximum(b) if is_tensor(a) else np.maximum(a, b)
