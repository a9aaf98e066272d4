"""``overlay/1``: views with cut-outs pasted over the target, each rotated, scaled and mirrored at random.

A bank of cut-outs is uint8 (m, h, w, C+1): colours premultiplied by alpha, and alpha last. A paste is
``front + (back·(255-alpha) + 127)//255`` in integers. Stored views and live ones are the same function.
:mod:`fusionbench.synth.pasting` has the loops over pixels, where numba is installed :mod:`fusionbench.synth.compiled`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fusionbench.synth import augment, kernel
from fusionbench.synth.arrays import Array, cast, in_memory, is_tensor, like, stack, uncompiled
from fusionbench.synth.augment import Augment
from fusionbench.synth.live_views import LiveViews
from fusionbench.synth.pasting import LaneBank
from fusionbench.synth.random import UINT16_PER_BLOCK, bounded, uint16_outputs, uint64_outputs

ID = "overlay/1"
FIELDS = ("cutout", "row", "column", "angle", "grow", "flip")  # of one paste; before them a view has their number
_CHUNK = 3 << 15  # pixels of views processed at once: more leave the L2 cache, fewer are lost in calls of NumPy
_CHUNK_TENSOR = 1 << 23  # on a device, where the lists of all layers take up to 220 bytes a pixel


@dataclass(frozen=True)
class Overlays:
    """Distribution of the pastes: minimum and maximum number, largest change of size in pixels, rotation, mirroring.

    Example:
        >>> from fusionbench.synth.overlay import Overlays
        >>> overlays = Overlays(count=(1, 3))
        >>> overlays.fields, overlays.blocks  # the number of pastes, and six parameters of each
        (19, 2)
    """

    count: tuple[int, int]
    scale: int = 0
    rotate: bool = True
    flip: bool = True

    @property
    def fields(self) -> int:
        """int16 parameters of a view."""
        return 1 + len(FIELDS) * self.count[1]

    @property
    def blocks(self) -> int:
        """Philox blocks per sample and view."""
        return -(-self.fields // UINT16_PER_BLOCK)


@dataclass(frozen=True, eq=False)
class OverlayViews(LiveViews):
    """Generates the views of a split; ``bank`` has its cut-outs, uint8 (m, h, w, C+1).

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth import Overlays, OverlayViews
        >>> bank = np.full((1, 4, 4, 2), 255, np.uint8)  # one white square: colour and alpha
        >>> synth = OverlayViews("demo", "train", 0, 16, 16, 1, 3, Overlays((1, 1), rotate=False), bank)
        >>> views = synth.make_views(np.zeros((1, 16, 16), np.uint8), np.array([0]))
        >>> views.shape, int(views.max())
        ((1, 3, 16, 16), 255)
    """

    dataset: str
    split: str
    seed: int
    height: int
    width: int
    channels: int
    views: int
    overlays: Overlays
    bank: np.ndarray
    live: Augment | None = None

    @property
    def param_fields(self) -> int:
        return self.overlays.fields

    @cached_property
    def _lanes(self) -> LaneBank | None:
        return LaneBank.of(self.bank)

    @cached_property
    def _padded(self) -> np.ndarray:
        """The bank with a border for :func:`fusionbench.synth.compiled.pastes`."""
        return np.ascontiguousarray(np.moveaxis(self._bordered, 0, 3))

    @cached_property
    def _bordered(self) -> np.ndarray:
        result: np.ndarray = augment.pad_edges(np.ascontiguousarray(self.bank))
        return result

    @uncompiled
    def params(self, samples: Array, epoch: int = 0) -> Array:
        """Parameters of ``samples`` (n,): int16 (n, V, 1 + 6·largest count)."""
        key, overlays = self.key(ID), self.overlays
        ranges = (
            (0, len(self.bank) - 1),
            (0, self.height - 1),
            (0, self.width - 1),
            (0, 255 if overlays.rotate else 0),
            (-overlays.scale, overlays.scale),
            (0, 1 if overlays.flip else 0),
        )
        each = []
        for view in range(self.views):
            outputs = uint16_outputs(uint64_outputs(key, samples, overlays.blocks, view=view, epoch=epoch))
            columns = [bounded(outputs[:, 0], *overlays.count)]
            for paste in range(overlays.count[1]):
                at = 1 + paste * len(FIELDS)
                columns += [bounded(outputs[:, at + i], *limits) for i, limits in enumerate(ranges)]
            each.append(cast(stack(columns, 1), "int16"))
        return stack(each, 1)

    @uncompiled
    def make_views(self, targets: Array, samples: Array, epoch: int = 0, params: Array | None = None) -> Array:
        """Views of uint8 ``targets`` (n, H, W[, C]) with indices ``samples`` (n,): uint8 (n, V, H, W[, C])."""
        if in_memory(targets, samples) and (params is None or in_memory(params)):
            given = None if params is None else params.numpy()
            return sys.modules["torch"].from_numpy(self.make_views(targets.numpy(), samples.numpy(), epoch, given))
        if params is None:
            params = self.params(samples, epoch)
        images = targets if targets.ndim == 4 else targets[..., None]
        shape = (targets.shape[0], self.views, *targets.shape[1:])
        tensor = is_tensor(targets)
        if not tensor and self._right(images, params) and (fast := kernel.compiled(int(np.prod(shape)))):
            out = np.empty((len(images), self.views, *images.shape[1:]), np.uint8)
            if not fast.pastes(out, kernel.whole(images), kernel.whole(params), self._padded, augment.SINE):
                raise IndexError(f"the parameters name a cut-out that is not among {len(self.bank)}")
            return out.reshape(shape)
        device = tensor and targets.device.type != "cpu"
        step = max(1, (_CHUNK_TENSOR if device else _CHUNK) // (self.views * self.height * self.width))
        chunks = []
        for i in range(0, len(targets), step):
            part = images[i : i + step, None]
            each = part.expand(-1, self.views, -1, -1, -1) if tensor else np.repeat(part, self.views, 1)
            flat = params[i : i + step].reshape(-1, self.param_fields)
            canvases = each.reshape(-1, *images.shape[1:])
            lanes = self._lanes
            chunks.append(self._paste(canvases, flat) if lanes is None else lanes.paste(canvases, flat, device))
        if not chunks:
            return targets.new_empty(shape) if tensor else np.empty(shape, np.uint8)
        return (sys.modules["torch"].cat(chunks) if tensor else np.concatenate(chunks)).reshape(shape)

    def _right(self, images: np.ndarray, params: np.ndarray) -> bool:
        """Whether shapes and types are those that compiled code takes without looking."""
        here = images.shape == (len(images), self.height, self.width, self.channels) and images.dtype == np.uint8
        fields = params.shape == (len(images), self.views, self.param_fields) and params.dtype == np.int16
        return here and fields and self.bank.dtype == np.uint8 and self.bank.shape[3] == self.channels + 1

    def _paste(self, images: Array, params: Array) -> Array:
        """One view, plane by plane and with every pixel, for banks with colours above alpha."""
        bank = like(self._bordered, images)
        overlays = self.overlays
        out = [cast(images[..., channel], "int32") for channel in range(self.channels)]
        for paste in range(overlays.count[1]):
            which, row, column, angle, grow, flip = (
                cast(params[:, 1 + paste * len(FIELDS) + i], "int32") for i in range(len(FIELDS))
            )
            centre = stack([2 * row, 2 * column], 1)
            *colours, alpha = augment.sample(bank, which, centre, angle, grow, flip, self.height, self.width)
            used = cast(params[:, 0] > paste, "int32")[:, None, None]
            through = 255 - alpha * used
            for channel, colour in enumerate(colours):
                behind = out[channel] * through + 127
                # a quotient by 255 of anything below 2^16, by shifts
                out[channel] = colour * used + ((behind + 1 + (behind >> 8)) >> 8)
        return cast(stack(out, 3).clip(0, 255), "uint8")

    def covered(self, params: np.ndarray) -> list[int]:
        """Of ``params`` of n samples: how many of n·H·W pixels are half visible in the first 1, 2, … V views."""
        alpha = np.zeros_like(self.bank[..., :2])
        alpha[..., 1] = self.bank[..., -1]
        only = replace(self, channels=1, bank=alpha)
        counts = [0] * self.views
        step = max(1, _CHUNK // (self.height * self.width))
        for i in range(0, len(params), step):
            part = params[i : i + step]
            white = np.full((len(part), self.height, self.width), 255, np.uint8)
            seen = only.make_views(white, np.zeros(len(part), np.int64), params=part) >= 128
            union = np.zeros_like(seen[:, 0])
            for view in range(self.views):
                union |= seen[:, view]
                counts[view] += int(np.count_nonzero(union))
        return counts
