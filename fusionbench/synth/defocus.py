"""``defocus/1``: views of one sharp target, each in focus at another depth, blurred elsewhere by a disc.

The scene has a depth from 0, the far plane, to V-1, the near one, in parts of 256, and view v is in focus at depth v:

* with ellipses or cut-outs, the shapes drawn for layer v = 1..V-1 lie at depth v, in front of those before them, and
  what they leave is at depth 0;
* with a :class:`SmoothDepth`, a grid of random depths, interpolated in between.

A pixel at depth d is sharp in view v where |d - v| ≤ ½, so that every pixel of the target is sharp in one view at
least. From there the radius grows in proportion to the distance, up to the sample's ``blur`` at the other end. A view's
pixel is that of the whole target blurred by a disc of this radius; between two whole radii both are mixed. So colours
of the foreground reach over its outline where that is out of focus, but the outline itself stays sharp: real lenses
spread it, too.

The disc of radius r has the pixels with dx² + dy² ≤ r² + r. Its mean is rounded half up; beyond the border the border's
pixels go on. Everything is integers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isqrt

import numpy as np

from fusionbench.synth.arrays import Array, arange, cast, clip, in_memory, is_tensor, like, stack, uncompiled
from fusionbench.synth.augment import Augment
from fusionbench.synth.ellipses import Ellipses
from fusionbench.synth.live_views import LiveViews
from fusionbench.synth.overlay import Overlays, OverlayViews
from fusionbench.synth.random import UINT16_PER_BLOCK, Key, bounded, uint16_outputs, uint64_outputs

ID = "defocus/1"
UNIT = 256  # of depth from one plane of focus to the next, and of a radius in one pixel
_CHUNK = 1 << 18  # values of targets whose blurred copies are held at once
_CHUNK_TENSOR = 1 << 23


@dataclass(frozen=True)
class SmoothDepth:
    """A depth without edges: ``grid`` × ``grid`` random numbers over the image, spread from far to near.

    Between the points of the grid the depth follows 3t² - 2t³ along both axes.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.defocus import SmoothDepth
        >>> ramp = np.array([[0, 255, 0, 255]], np.int16)  # 2 × 2 points: far on the left, near on the right
        >>> SmoothDepth(2).levels(ramp, 1, 5).tolist()
        [[[0, 39, 127, 215, 255]]]
    """

    grid: int = 4

    def params(self, key: Key, samples: Array, epoch: int) -> Array:
        """The grid of ``samples`` (n,): int16 (n, grid²), each stretched to 0..255."""
        blocks = -(-(self.grid**2) // UINT16_PER_BLOCK)
        drawn = uint16_outputs(uint64_outputs(key, samples, blocks, epoch=epoch, purpose=1))[:, : self.grid**2]
        wide = cast(bounded(drawn, 0, 1023), "int32")
        if not len(wide):
            return cast(wide, "int16")
        low = wide.amin(1)[:, None] if is_tensor(wide) else wide.min(1)[:, None]
        high = wide.amax(1)[:, None] if is_tensor(wide) else wide.max(1)[:, None]
        return cast((wide - low) * 255 // clip(high - low, 1, 1023), "int16")

    def levels(self, params: Array, height: int, width: int) -> Array:
        """Depths 0..255 of ``params`` (n, grid²): int32 (n, H, W)."""
        points = cast(params, "int32").reshape(-1, self.grid, self.grid)
        (top, down), (left, right) = (_interpolation(self.grid, side) for side in (height, width))
        for axis, place, share in ((1, top, down), (2, left, right)):
            near, far = (_along(points, axis, like(place + step, points)) for step in (0, 1))
            weight = like(share, points)
            weight = weight[:, None] if axis == 1 else weight
            points = near * (UNIT - weight) + far * weight
        return points >> 16


@lru_cache(maxsize=32)
def _interpolation(grid: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Of every pixel along an axis the grid point before it, and the weight of the next one in parts of 256: int32."""
    places = np.arange(side, dtype=np.int64) * (grid - 1) * UNIT // max(1, side - 1)
    before = np.minimum(places // UNIT, grid - 2)
    part = places - before * UNIT
    share = (3 * UNIT * part**2 - 2 * part**3) // UNIT**2
    return before.astype(np.int32), share.astype(np.int32)


def _along(values: Array, axis: int, index: Array) -> Array:
    return values.index_select(axis, index.long()) if is_tensor(values) else np.take(values, index, axis)


@dataclass(frozen=True, eq=False)
class DefocusViews(LiveViews):
    """Generates the views of a split of a data set.

    Attributes:
        dataset, split, seed: with the algorithms' ids they determine the random streams.
        height, width, channels, views: shape of a sample; two views or more.
        blur: smallest and largest radius of a sample's blur, in pixels.
        depth: the shapes of the nearer layers (their number and size), or a smooth depth.
        bank: the cut-outs where ``depth`` is :class:`Overlays`, uint8 (m, h, w, C+1); their alpha is the shape.
        live: how targets are augmented from the first live epoch on, if at all.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth import DefocusViews, Ellipses
        >>> synth = DefocusViews("demo", "train", 0, 32, 32, 1, 2, (3, 3), Ellipses(1, (8, 8)))
        >>> target = (np.arange(1024) * 89 % 251).astype(np.uint8).reshape(1, 32, 32)
        >>> (far, near), = synth.make_views(target, np.array([5]))
        >>> bool(((far == target[0]) | (near == target[0])).all())  # every pixel is sharp somewhere
        True
    """

    dataset: str
    split: str
    seed: int
    height: int
    width: int
    channels: int
    views: int
    blur: tuple[int, int]
    depth: Ellipses | Overlays | SmoothDepth
    bank: np.ndarray | None = None
    live: Augment | None = None

    @property
    def depth_fields(self) -> int:
        """Parameters of one layer."""
        if isinstance(self.depth, Ellipses):
            return 4 * self.depth.count
        return self.depth.grid**2 if isinstance(self.depth, SmoothDepth) else self.depth.fields

    @property
    def param_fields(self) -> int:
        """Number of int16 parameters of one view: the blur, and its layer's (zeros in the first view), or the grid."""
        return 1 + self.depth_fields

    @cached_property
    def _shapes(self) -> OverlayViews:
        """Pastes white cut-outs, one canvas a layer: what they leave of black is their alpha."""
        assert isinstance(self.depth, Overlays) and self.bank is not None
        white = np.ascontiguousarray(np.repeat(self.bank[..., -1:], 2, axis=3))
        shape = (self.height, self.width, 1, max(1, self.views - 1))
        return OverlayViews(self.dataset, self.split, self.seed, *shape, self.depth, white)

    @uncompiled
    def params(self, samples: Array, epoch: int = 0) -> Array:
        """Parameters of ``samples`` (n,): int16 (n, V, fields)."""
        key, depth = self.key(ID), self.depth
        drawn = uint16_outputs(uint64_outputs(key, samples, 1, epoch=epoch))
        blur = cast(bounded(drawn[:, :1], *self.blur), "int16")
        if isinstance(depth, Overlays):
            nearer = self._shapes.params(samples, epoch)
            layers = [nearer[:, layer] for layer in range(self.views - 1)]
        elif isinstance(depth, Ellipses):
            shapes = self.key(depth.algorithm)
            layers = [
                depth.params(shapes, samples, self.height, self.width, view=layer, epoch=epoch).reshape(
                    len(samples), self.depth_fields
                )
                for layer in range(1, self.views)
            ]
        else:
            layers = [depth.params(key, samples, epoch)] * self.views
        first = [] if isinstance(depth, SmoothDepth) else [layers[0] * 0]
        joined = [_joined(blur, layer) for layer in (*first, *layers)]
        return stack(joined, 1)

    @uncompiled
    def depths(self, params: Array) -> Array:
        """Depth of ``params`` (n, V, fields) in parts of 256 of the distance of two planes: int32 (n, H, W)."""
        depth, own = self.depth, params[..., 1:]
        if isinstance(depth, SmoothDepth):
            return depth.levels(own[:, 0], self.height, self.width) * UNIT * (self.views - 1) // 255
        if isinstance(depth, Ellipses):
            flat = own[:, 1:].reshape(-1, depth.count, 4)
            inside = depth.mask(flat, self.height, self.width) > 127
        else:
            black = own[:, 0, 0] * 0
            canvas = cast(black[:, None, None] + _zeros(self.height, self.width, own), "uint8")
            inside = self._shapes.make_views(canvas, cast(black, "int64"), params=own[:, 1:]) > 127
        inside = inside.reshape(len(params), self.views - 1, self.height, self.width)
        found = cast(inside[:, 0], "int32") * UNIT
        for layer in range(1, self.views - 1):
            front = cast(inside[:, layer], "int32")
            found = found * (1 - front) + front * (UNIT * (layer + 1))
        return found

    @uncompiled
    def radii(self, params: Array) -> Array:
        """Radius of the blur in parts of 256 of a pixel: int32 (n, V, H, W), 0 in focus."""
        depth, blur = self.depths(params), cast(params[:, 0, 0], "int32")[:, None, None]
        reach = UNIT * (self.views - 1) - UNIT // 2
        each = []
        for view in range(self.views):
            away = depth - UNIT * view
            distance = clip(away.abs() if is_tensor(away) else np.abs(away), UNIT // 2, UNIT * self.views) - UNIT // 2
            each.append(distance * (UNIT * blur) // reach)
        return stack(each, 1)

    def covered(self, params: np.ndarray) -> list[int]:
        """Of the NumPy ``params`` of n samples: how many of n·H·W pixels are in focus in the first 1, 2, … V views."""
        counts = [0] * self.views
        step = max(1, _CHUNK // (self.views * self.height * self.width))
        for i in range(0, len(params), step):
            sharp = np.logical_or.accumulate(self.radii(params[i : i + step]) == 0, axis=1)
            for view, found in enumerate(np.count_nonzero(sharp, axis=(0, 2, 3)).tolist()):
                counts[view] += found
        return counts

    @uncompiled
    def make_views(self, targets: Array, samples: Array, epoch: int = 0, params: Array | None = None) -> Array:
        """Views of uint8 ``targets`` (n, H, W[, C]) with indices ``samples`` (n,): uint8 (n, V, H, W[, C])."""
        if in_memory(targets, samples) and (params is None or in_memory(params)):
            given = None if params is None else params.numpy()
            return sys.modules["torch"].from_numpy(self.make_views(targets.numpy(), samples.numpy(), epoch, given))
        if params is None:
            params = self.params(samples, epoch)
        shape = (targets.shape[0], self.views, *targets.shape[1:])
        images = targets if targets.ndim == 4 else targets[..., None]
        limit = _CHUNK_TENSOR if is_tensor(targets) else _CHUNK
        step = max(1, limit // (self.views * self.height * self.width * self.channels))
        parts = [self._chunk(images[i : i + step], params[i : i + step]) for i in range(0, len(images), step)]
        if not parts:
            return targets.new_empty(shape) if is_tensor(targets) else np.empty(shape, np.uint8)
        return (sys.modules["torch"].cat(parts) if is_tensor(targets) else np.concatenate(parts)).reshape(shape)

    def _chunk(self, images: Array, params: Array) -> Array:
        radii = self.radii(params)[..., None]
        total: Array = 0
        for radius, blurred in _blurred(images, self.blur[1]):
            away = radii - UNIT * radius
            weight = clip(UNIT - (away.abs() if is_tensor(away) else np.abs(away)), 0, UNIT)
            if radius == 0 or is_tensor(weight) or weight.any():
                total = weight * blurred[:, None] + total
        return cast((total + UNIT // 2) >> 8, "uint8")


def _joined(blur: Array, layer: Array) -> Array:
    return sys.modules["torch"].cat((blur, layer), 1) if is_tensor(layer) else np.concatenate((blur, layer), 1)


def _zeros(height: int, width: int, kind: Array) -> Array:
    return cast(arange(height, kind, "int32")[:, None] * 0 + arange(width, kind, "int32") * 0, "int16")


@lru_cache(maxsize=32)
def disc(radius: int) -> tuple[int, ...]:
    """Half-widths of the rows -radius..radius of the disc: the pixels with dx² + dy² ≤ r² + r.

    Example:
        >>> from fusionbench.synth.defocus import disc
        >>> disc(2), sum(2 * half + 1 for half in disc(2))
        ((1, 2, 2, 2, 1), 21)
    """
    return tuple(isqrt(radius * radius + radius - dy * dy) for dy in range(-radius, radius + 1))


def _blurred(images: Array, most: int) -> Iterator[tuple[int, Array]]:
    """Radius 0, 1, … ``most`` and uint8 ``images`` (n, H, W, C) blurred by a disc of it, as int32."""
    wide = cast(images, "int32")
    yield 0, wide
    height, width = images.shape[1:3]
    rows = clip(arange(height + 2 * most, images, "int64") - most, 0, height - 1)
    columns = clip(arange(width + 2 * most + 1, images, "int64") - most - 1, 0, width - 1)
    padded = wide[:, rows][:, :, columns]
    sums = padded.cumsum(2, dtype=padded.dtype)
    for radius in range(1, most + 1):
        halves = disc(radius)
        count = sum(2 * half + 1 for half in halves)
        total: Array = 0
        for dy, half in zip(range(-radius, radius + 1), halves, strict=True):
            top = most + dy
            band = sums[:, top : top + height]
            # sums[x] is that of the pixels up to x-1-most: the run from x-half to x+half is a difference of two
            run = band[:, :, most + half + 1 : most + half + 1 + width] - band[:, :, most - half : most - half + width]
            total = run + total
        yield radius, (2 * total + count) // (2 * count)
