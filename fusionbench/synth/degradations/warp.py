"""Moving a view by a field, in fixed-point bilinear sampling: positions in 1/256 pixel, weights in 8 bits.

A pixel shows what stood at its place minus the field. Outside of the picture its edge goes on, and is marked as lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from fusionbench.synth.arrays import Array, arange, cast, clip, is_tensor
from fusionbench.synth.degradations.base import Degraded
from fusionbench.synth.degradations.draws import copy, zeros

ONE = 256  # positions in a pixel


def warp(plane: Array, field: Array) -> Array:
    """uint8 ``plane`` (n, h, w) moved by int32 ``field`` (n, 2, h, w), in 1/256 pixel: uint8 (n, h, w).

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.warp import warp
        >>> plane, field = np.array([[[10, 20, 30, 40]]], np.uint8), np.zeros((1, 2, 1, 4), np.int32)
        >>> field[:, 1] = 128  # half a pixel to the right
        >>> warp(plane, field).tolist()
        [[[10, 15, 25, 35]]]
    """
    count, height, width = plane.shape
    rows, columns = source_of(field)
    rows, columns = clip(rows, 0, (height - 1) * ONE), clip(columns, 0, (width - 1) * ONE)
    top, left, down, right = rows >> 8, columns >> 8, rows & 255, columns & 255
    first = arange(count, field, "int64")[:, None, None] * (height * width)
    at = first + top * width + left
    # the last row and column have no neighbour, and weigh it with nothing
    below = cast(top < height - 1, "int64") * width
    beside = cast(left < width - 1, "int64")
    flat = plane.reshape(-1)
    a, b, c, d = (_tap(flat, index) for index in (at, at + beside, at + below, at + below + beside))
    upper = (a << 8) + (b - a) * right
    lower = (c << 8) + (d - c) * right
    return cast(((upper << 8) + (lower - upper) * down + 32768) >> 16, "uint8")


def source_of(field: Array) -> tuple[Array, Array]:
    """Row and column in 1/256 pixel of what each pixel shows: int32 (n, h, w)."""
    height, width = field.shape[2:]
    row = (arange(height, field, "int32") << 8)[None, :, None]
    column = (arange(width, field, "int32") << 8)[None, None, :]
    return row - field[:, 0], column - field[:, 1]


def outside(field: Array) -> Array:
    """Where a pixel shows nothing of the picture: uint8 (n, h, w), 1 where what it shows lies outside."""
    height, width = field.shape[2:]
    rows, columns = source_of(field)
    gone = (rows < 0) | (rows > (height - 1) * ONE) | (columns < 0) | (columns > (width - 1) * ONE)
    return cast(gone, "uint8")


def _tap(flat: Array, index: Array) -> Array:
    values = flat.index_select(0, index.reshape(-1)).reshape(index.shape) if is_tensor(flat) else flat.take(index)
    return cast(values, "int32")


def moved(views: Array, planes: Sequence[int], field: Array) -> Degraded:
    """Pairs uint8 (n, P, h, w) whose view 0 is moved by int32 ``field`` (n, 2, h, w), with field and what is lost."""
    out, lost = copy(views), zeros(views)
    gone = outside(field)
    for plane, view in enumerate(planes):
        if view == 0:
            out[:, plane] = warp(views[:, plane], field)
            lost[:, plane] = gone
    return Degraded(out, field, lost)
