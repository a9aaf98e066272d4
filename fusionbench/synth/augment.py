"""``augment/1``: flips, rotations, scaling and shifts by fixed-point bilinear sampling, for live training.

Angles are 256ths of a turn with sine and cosine in parts of 2^14, positions in 256ths of a pixel, weights in 8 bits:
integers throughout, as a library's warp differs between releases and processors.
Epoch 0 is never augmented: it is the stored data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fusionbench.synth.arrays import Array, arange, cast, clip, is_tensor, like, stack, take, uncompiled
from fusionbench.synth.random import Key, bounded, uint16_outputs, uint64_outputs

ID = "augment/1"
ONE = 1 << 14
SINE = np.array([round(ONE * math.sin(2 * math.pi * angle / 256)) for angle in range(256)], np.int32)
BORDER = 2  # zero pixels around an image, so that every tap outside reads zero


def largest_scale(size: int) -> int:
    """By how many pixels images of ``size`` may shrink: to more than an eighth, so that products fit into 32 bits.

    Example:
        >>> from fusionbench.synth.augment import largest_scale
        >>> largest_scale(16), largest_scale(32), largest_scale(1)
        (13, 27, 0)
    """
    return (7 * size - 1) // 8


def pad_edges(images: Array) -> Array:
    """uint8 (n, h, w, K) as zero-padded planes (K, n, h+4, w+4), the input of :func:`sample`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.augment import pad_edges
        >>> pad_edges(np.zeros((5, 8, 8, 3), np.uint8)).shape
        (3, 5, 12, 12)
    """
    if is_tensor(images):
        from torch.nn.functional import pad

        return pad(images.movedim(3, 0).contiguous(), (BORDER,) * 4)
    planes = np.moveaxis(images, 3, 0)
    return np.pad(planes, ((0, 0), (0, 0), (BORDER, BORDER), (BORDER, BORDER)))


def sample(
    images: Array, which: Array, centre: Array, angle: Array, grow: Array, flip: Array, height: int, width: int
) -> list[Array]:
    """Place images on empty canvases, rotated, scaled and mirrored: K planes of int32 (n, height, width), 0..255.

    Args:
        images: padded uint8 (K, m, h+4, w+4).
        which: (n,) image of each canvas.
        centre: (n, 2) row and column, in half pixels, of the position of the image's centre.
        angle: (n,) in 256ths of a turn.
        grow: (n,) the image's height becomes h + grow pixels.
        flip: (n,) 1 mirrors left and right.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.augment import pad_edges, sample
        >>> image = np.array([[10, 20], [30, 40]], np.uint8).reshape(1, 2, 2, 1)
        >>> zero, centre = np.zeros(1, np.int64), np.array([[1, 1]])  # in half pixels: the middle of the canvas
        >>> (plane,) = sample(pad_edges(image), zero, centre, zero, zero, zero, height=2, width=2)
        >>> plane.tolist()
        [[[10, 20], [30, 40]]]
        >>> (mirrored,) = sample(pad_edges(image), zero, centre, zero, zero, zero + 1, height=2, width=2)
        >>> mirrored.tolist()
        [[[20, 10], [40, 30]]]
    """
    h, w = images.shape[2] - 2 * BORDER, images.shape[3] - 2 * BORDER
    shrink = (h * ONE) // (cast(grow, "int32") + h)  # the inverse map divides by the scale
    a = (take(SINE, (angle + 64) & 255) * shrink) >> 14
    b = (take(SINE, angle & 255) * shrink) >> 14
    y = 2 * arange(height, which, "int32") - cast(centre[:, 0], "int32")[:, None]
    x = 2 * arange(width, which, "int32") - cast(centre[:, 1], "int32")[:, None]
    mirror = 1 - 2 * cast(flip, "int32")
    rows = (a[:, None] * y)[:, :, None] + (b[:, None] * x)[:, None, :]
    columns = ((a * mirror)[:, None] * x)[:, None, :] - ((b * mirror)[:, None] * y)[:, :, None]
    rows = (rows >> 7) + (h - 1) * 128
    columns = (columns >> 7) + (w - 1) * 128
    fy, fx = rows & 255, columns & 255
    top = clip(rows >> 8, -BORDER, h) + BORDER
    left = clip(columns >> 8, -BORDER, w) + BORDER
    stride = w + 2 * BORDER
    at = cast(which, "int64")[:, None, None] * ((h + 2 * BORDER) * stride) + top * stride + left
    corners = [(at + offset).reshape(-1) for offset in (0, 1, stride, stride + 1)]
    out = []
    for plane in images:  # one plane after the other: arithmetic on a short last axis is slow
        flat = plane.reshape(-1)
        taps = [cast(flat.index_select(0, i) if is_tensor(flat) else flat.take(i), "int32") for i in corners]
        a, b, c, d = (tap.reshape(at.shape) for tap in taps)
        upper = a * 256 + (b - a) * fx
        lower = c * 256 + (d - c) * fx
        out.append((upper * 256 + (lower - upper) * fy + 32768) >> 16)
    return out


@dataclass(frozen=True)
class Augment:
    """Distribution of the augmentation of a target.

    Attributes:
        flip: mirror left and right with probability ½.
        rotate: rotate by any of 256 angles.
        scale: largest change of the image's size in pixels, up and down.
        shift: largest shift on each axis in pixels.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.augment import ID, Augment
        >>> from fusionbench.synth.random import stream_key
        >>> targets = np.arange(3, dtype=np.uint8).reshape(1, 1, 3)
        >>> augment, key = Augment(flip=True), stream_key(ID, "demo", "train", seed=0)
        >>> [augment.apply(key, targets, np.array([0]), epoch).flatten().tolist() for epoch in (0, 3, 4)]
        [[0, 1, 2], [0, 1, 2], [2, 1, 0]]
    """

    flip: bool = False
    rotate: bool = False
    scale: int = 0
    shift: int = 0

    @uncompiled
    def apply(self, key: Key, targets: Array, samples: Array, epoch: int) -> Array:
        """Augmented uint8 ``targets`` (n, H, W[, C]) of ``samples`` (n,) in ``epoch``; in epoch 0 the targets."""
        if epoch == 0 or not len(samples):
            return targets
        outputs = uint16_outputs(uint64_outputs(key, samples, 1, epoch=epoch))
        flip = bounded(outputs[:, 0], 0, 1) * int(self.flip)
        if not (self.rotate or self.scale or self.shift):
            mirrored = targets.flip(2) if is_tensor(targets) else targets[:, :, ::-1]
            chosen = flip.reshape(-1, *[1] * (targets.ndim - 1)) == 1
            return mirrored.where(chosen, targets) if is_tensor(targets) else np.where(chosen, mirrored, targets)
        height, width = targets.shape[1:3]
        angle = bounded(outputs[:, 1], 0, 255) * int(self.rotate)
        grow = bounded(outputs[:, 2], -self.scale, self.scale)
        middle = like(np.array([height - 1, width - 1], np.int32), outputs)
        moved = [2 * bounded(outputs[:, 3 + axis], -self.shift, self.shift) + middle[axis] for axis in (0, 1)]
        centre = stack(moved, 1)
        images = targets if targets.ndim == 4 else targets[..., None]
        which = arange(len(samples), samples, "int64")
        planes = sample(pad_edges(images), which, centre, angle, grow, flip, height, width)
        return cast(stack(planes, 3), "uint8").reshape(targets.shape)
