"""``block/1``: blocks of 8×8 pixels whose DCT is quantised, as JPEG does it, in integers of its own.

No codec: what those decode differs between releases. There is no chroma and no subsampling; each plane is quantised by
the luminance table of the standard (ITU-T T.81, annex K.1), scaled by a quality as the Independent JPEG Group does it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fusionbench.synth.arrays import Array, cast, clip, is_tensor, like, stack
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import Draws, copy

SIDE = 8
# fmt: off
LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
], np.int64).reshape(SIDE, SIDE)
# fmt: on
COSINES = [
    [
        round(4096 * (math.sqrt(0.125) if u == 0 else 0.5) * math.cos((2 * x + 1) * u * math.pi / 16))
        for x in range(SIDE)
    ]
    for u in range(SIDE)
]


@functools.cache
def steps(quality: int) -> np.ndarray:
    """Steps of quantisation of a quality 1 to 100: int64 (8, 8), 1..255.

    Example:
        >>> from fusionbench.synth.degradations.block import steps
        >>> steps(50)[0, :3].tolist(), steps(10)[0, :3].tolist()
        ([16, 11, 10], [80, 55, 50])
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((LUMINANCE * scale + 50) // 100, 1, 255)


class Block(Degradation):
    """``block/1``. Nothing is drawn.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(2, 1)
        >>> made = degrade(clean, "block/1", 5, dataset="demo", split="all", samples=np.array([0])).views
        >>> bool((made != clean).any())
        True
    """

    name = "block/1"
    title = "block compression"
    about = "Both views in blocks of 8×8 pixels whose DCT is quantised by JPEG's table: what strong compression leaves."
    views = "both"
    fields = ("quality, 1 to 100",)
    levels: ClassVar = ((92,), (80,), (51,), (25,), (14,))

    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        out = copy(views)
        for plane in range(views.shape[1]):
            out[:, plane] = quantised(views[:, plane], level[0])
        return Degraded(out)


def quantised(planes: Array, quality: int) -> Array:
    """uint8 ``planes`` (n, h, w) after quantisation: uint8. Sides that are no multiples of 8 are filled with the edge.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.block import quantised
        >>> np.unique(quantised(np.full((1, 9, 9), 77, np.uint8), 50)).tolist()  # 77 by a step of 2
        [78]
    """
    count, height, width = planes.shape
    tall, wide = -(-height // SIDE), -(-width // SIDE)
    if (tall * SIDE, wide * SIDE) != (height, width):
        planes = _filled(planes, tall * SIDE, wide * SIDE)
    blocks = cast(planes.reshape(count, tall, SIDE, wide, SIDE), "int32")
    # the axes of a block first: every step of the transform is one over all blocks
    blocks = (blocks.permute(2, 4, 0, 1, 3) if is_tensor(blocks) else blocks.transpose(2, 4, 0, 1, 3)) - 128
    blocks = blocks.reshape(SIDE, SIDE, count * tall * wide)
    step = steps(quality)
    reciprocal = (2 * 65536 + step) // (2 * step)
    found = _turned(_forward(_turned(_forward(blocks, 256)), 4096))  # 16 times the coefficients
    found = (found * like(reciprocal.astype(np.int32)[:, :, None], planes) + (1 << 19)) >> 20
    found = found * like((step * 16).astype(np.int32)[:, :, None], planes)
    found = _backward(_turned(_backward(_turned(found), 4096)), 65536) + 128
    found = cast(clip(found, 0, 255), "uint8").reshape(SIDE, SIDE, count, tall, wide)
    found = found.permute(2, 3, 0, 4, 1) if is_tensor(found) else found.transpose(2, 3, 0, 4, 1)
    return found.reshape(count, tall * SIDE, wide * SIDE)[:, :height, :width]


def _forward(blocks: Array, scale: int) -> Array:
    """The DCT along the first axis of int32 (8, …), in parts of 4096, over ``scale``."""
    low, high = [blocks[i] for i in range(4)], [blocks[7 - i] for i in range(4)]
    sums, rests = [a + b for a, b in zip(low, high, strict=True)], [a - b for a, b in zip(low, high, strict=True)]
    outer, inner, across, within = sums[0] + sums[3], sums[1] + sums[2], sums[0] - sums[3], sums[1] - sums[2]
    made: list[Array] = [None] * SIDE
    made[0] = (outer + inner) * COSINES[0][0]
    made[4] = (outer - inner) * COSINES[4][0]
    made[2] = across * COSINES[2][0] + within * COSINES[2][1]
    made[6] = across * COSINES[6][0] + within * COSINES[6][1]
    for u in (1, 3, 5, 7):
        made[u] = sum(rest * cosine for rest, cosine in zip(rests, COSINES[u], strict=False))
    return (stack(made, 0) + scale // 2) >> _bits(scale)


def _backward(blocks: Array, scale: int) -> Array:
    """The inverse DCT along the first axis of int32 (8, …), in parts of 4096, over ``scale``."""
    even, odd = blocks[0] * COSINES[0][0], blocks[4] * COSINES[4][0]
    outer, inner = even + odd, even - odd
    across = blocks[2] * COSINES[2][0] + blocks[6] * COSINES[6][0]
    within = blocks[2] * COSINES[2][1] + blocks[6] * COSINES[6][1]
    sums = [outer + across, inner + within, inner - within, outer - across]
    rests = [sum(blocks[u] * COSINES[u][i] for u in (1, 3, 5, 7)) for i in range(4)]
    made = [a + b for a, b in zip(sums, rests, strict=True)]
    made += [a - b for a, b in zip(sums[::-1], rests[::-1], strict=True)]
    return (stack(made, 0) + scale // 2) >> _bits(scale)


def _bits(scale: int) -> int:
    return scale.bit_length() - 1


def _turned(blocks: Array) -> Array:
    """The first two axes exchanged."""
    return blocks.transpose(0, 1) if is_tensor(blocks) else blocks.swapaxes(0, 1)


def _filled(planes: Array, height: int, width: int) -> Array:
    rows, columns = (
        np.minimum(np.arange(size), had - 1) for size, had in ((height, planes.shape[1]), (width, planes.shape[2]))
    )
    if is_tensor(planes):
        return planes.index_select(1, like(rows, planes)).index_select(2, like(columns, planes))
    return planes.take(rows, axis=1).take(columns, axis=2)


DEGRADATION = Block()
