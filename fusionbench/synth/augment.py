"""``augment/1``: flips, rotations, scaling and shifts by fixed-point bilinear sampling, for live training.

Angles are 256ths of a turn with sine and cosine in parts of 2^14, positions in 256ths of a pixel, weights in 8 bits:
integers throughout, where a library's warp differs between releases and processors.
Epoch 0 is never augmented: it is what is stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fusionbench.synth.arrays import Array, arange, cast, clip, is_tensor, like, stack, take
from fusionbench.synth.random import Key, bounded, lanes, words

ID = "augment/1"
ONE = 1 << 14
_SINE = np.array([round(ONE * math.sin(2 * math.pi * angle / 256)) for angle in range(256)], np.int32)
_BORDER = 2  # zero pixels around an image, so that every tap outside reads zero


def bordered(images: Array) -> Array:
    """uint8 (n, h, w, K) with a border of zeros: (n, h+4, w+4, K), as :func:`sample` wants it."""
    if is_tensor(images):
        from torch.nn.functional import pad

        return pad(images, (0, 0, _BORDER, _BORDER, _BORDER, _BORDER))
    return np.pad(images, ((0, 0), (_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)))


def sample(
    images: Array, which: Array, centre: Array, angle: Array, grow: Array, flip: Array, height: int, width: int
) -> Array:
    """Place images on empty canvases, turned, scaled and mirrored: uint8 (n, height, width, K).

    Args:
        images: bordered uint8 (m, h+4, w+4, K).
        which: (n,) image of each canvas.
        centre: (n, 2) row and column, in half pixels, where the centre of the image comes to lie.
        angle: (n,) in 256ths of a turn.
        grow: (n,) the image's height becomes h + grow pixels.
        flip: (n,) 1 mirrors left and right.
    """
    h, w = images.shape[1] - 2 * _BORDER, images.shape[2] - 2 * _BORDER
    shrink = (h * ONE) // (cast(grow, "int32") + h)  # the inverse map divides by the scale
    a = (take(_SINE, (angle + 64) & 255) * shrink) >> 14
    b = (take(_SINE, angle & 255) * shrink) >> 14
    y = 2 * arange(height, which, "int32") - cast(centre[:, 0], "int32")[:, None]
    x = 2 * arange(width, which, "int32") - cast(centre[:, 1], "int32")[:, None]
    mirror = 1 - 2 * cast(flip, "int32")
    rows = (a[:, None] * y)[:, :, None] + (b[:, None] * x)[:, None, :]
    columns = ((a * mirror)[:, None] * x)[:, None, :] - ((b * mirror)[:, None] * y)[:, :, None]
    rows = (rows >> 7) + (h - 1) * 128
    columns = (columns >> 7) + (w - 1) * 128
    fy, fx = (rows & 255)[..., None], (columns & 255)[..., None]
    top = clip(rows >> 8, -_BORDER, h) + _BORDER
    left = clip(columns >> 8, -_BORDER, w) + _BORDER
    stride = w + 2 * _BORDER
    at = cast(which, "int64")[:, None, None] * ((h + 2 * _BORDER) * stride) + top * stride + left
    flat = images.reshape(-1, images.shape[3])

    def tap(offset: int) -> Array:
        if is_tensor(flat):
            return cast(flat.index_select(0, (at + offset).reshape(-1)), "int32").reshape(*at.shape, -1)
        return np.take(flat, at + offset, axis=0, mode="wrap").astype(np.int32)

    upper = tap(0) * (256 - fx) + tap(1) * fx
    lower = tap(stride) * (256 - fx) + tap(stride + 1) * fx
    return cast((upper * (256 - fy) + lower * fy + 32768) >> 16, "uint8")


@dataclass(frozen=True)
class Augment:
    """The law of a target's augmentation.

    Attributes:
        flip: mirror left and right with probability ½.
        rotate: turn by any of 256 angles.
        scale: largest growth and shrinkage of the image in pixels.
        shift: largest move on each axis in pixels.
    """

    flip: bool = False
    rotate: bool = False
    scale: int = 0
    shift: int = 0

    def apply(self, key: Key, targets: Array, samples: Array, epoch: int) -> Array:
        """Augmented uint8 ``targets`` (n, H, W[, C]) of ``samples`` (n,) in ``epoch``; in epoch 0 the targets."""
        if epoch == 0 or not len(samples):
            return targets
        lane = lanes(words(key, samples, 1, epoch=epoch))
        flip = bounded(lane[:, 0], 0, 1) * int(self.flip)
        if not (self.rotate or self.scale or self.shift):
            mirrored = targets.flip(2) if is_tensor(targets) else targets[:, :, ::-1]
            chosen = flip.reshape(-1, *[1] * (targets.ndim - 1)) == 1
            return mirrored.where(chosen, targets) if is_tensor(targets) else np.where(chosen, mirrored, targets)
        height, width = targets.shape[1:3]
        angle = bounded(lane[:, 1], 0, 255) * int(self.rotate)
        grow = bounded(lane[:, 2], -self.scale, self.scale)
        middle = like(np.array([height - 1, width - 1], np.int32), lane)
        moved = [2 * bounded(lane[:, 3 + axis], -self.shift, self.shift) + middle[axis] for axis in (0, 1)]
        centre = stack(moved, 1)
        images = targets if targets.ndim == 4 else targets[..., None]
        out = sample(
            bordered(images), arange(len(samples), samples, "int64"), centre, angle, grow, flip, height, width
        )
        return out.reshape(targets.shape)


