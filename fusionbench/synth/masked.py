"""Masked views: the target inside a union of ellipses, zero elsewhere, plus noise on every pixel, clipped to 0..255."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from fusionbench.synth import kernel
from fusionbench.synth import noise as noise_module
from fusionbench.synth.arrays import Array, cast, clip, in_memory, is_tensor, stack, uncompiled
from fusionbench.synth.augment import Augment
from fusionbench.synth.ellipses import Ellipses
from fusionbench.synth.live_views import LiveViews
from fusionbench.synth.noise import Noise
from fusionbench.synth.random import words_of

_CHUNK_BYTES = 1 << 19  # int16 noise of a chunk: with its words and output it stays near a core's L2 cache
_CHUNK_BYTES_TENSOR = 1 << 26  # on a device large chunks keep it busy; the words take sixteen times as much


@dataclass(frozen=True)
class MaskedViews(LiveViews):
    """Generates the views of a split of a data set.

    Attributes:
        dataset, split, seed: with the algorithm's id they determine the key of the random stream.
        height, width, channels, views: shape of a sample.
        ellipses, noise: the distributions; with ``noise`` None the visible part is an exact copy.
        live: how targets are augmented from the first live epoch on, if at all.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth import Ellipses, MaskedViews
        >>> synth = MaskedViews("demo", "train", 0, 16, 16, 1, views=3, ellipses=Ellipses(2, (3, 5)))
        >>> targets, samples = np.full((2, 16, 16), 200, np.uint8), np.array([0, 7])
        >>> views = synth.make_views(targets, samples)
        >>> views.shape, np.unique(views).tolist()
        ((2, 3, 16, 16), [0, 200])
        >>> bool((views[1:] == synth.make_views(targets[1:], samples[1:])).all())  # sample 7 by itself
        True
    """

    dataset: str
    split: str
    seed: int
    height: int
    width: int
    channels: int
    views: int
    ellipses: Ellipses
    noise: Noise | None = None
    live: Augment | None = None

    @property
    def param_fields(self) -> int:
        """Number of int16 parameters of one view."""
        return 4 * self.ellipses.count

    @uncompiled
    def params(self, samples: Array, epoch: int = 0) -> Array:
        """Parameters of ``samples`` (n,): int16 (n, V, 4·count)."""
        key = self.key(self.ellipses.algorithm)
        each = [
            self.ellipses.params(key, samples, self.height, self.width, view=view, epoch=epoch)
            for view in range(self.views)
        ]
        return stack(each, 1).reshape(len(samples), self.views, self.param_fields)

    @uncompiled
    def masks(self, params: Array) -> Array:
        """Masks of ``params`` (n, V, 4·count): uint8 (n, V, H, W), 255 where the target is visible."""
        flat = params.reshape(-1, self.ellipses.count, 4)
        mask = self.ellipses.mask(flat, self.height, self.width)
        return mask.reshape(*params.shape[:2], self.height, self.width)

    def covered(self, params: np.ndarray) -> list[int]:
        """Of the NumPy ``params`` of n samples: how many of n·H·W pixels are visible in the first 1, 2, … V views."""
        counts = [0] * self.views
        step = max(1, _CHUNK_BYTES // (self.views * self.height * self.width))
        for i in range(0, len(params), step):
            masks = self.masks(params[i : i + step])
            union = np.zeros_like(masks[:, 0])
            for view in range(self.views):
                union |= masks[:, view]
                counts[view] += int(np.count_nonzero(union))
        return counts

    @uncompiled
    def make_views(self, targets: Array, samples: Array, epoch: int = 0, params: Array | None = None) -> Array:
        """Views of uint8 ``targets`` (n, H, W[, C]) with indices ``samples`` (n,): uint8 (n, V, H, W[, C])."""
        if in_memory(targets, samples) and (params is None or in_memory(params)):
            given = None if params is None else params.numpy()
            return sys.modules["torch"].from_numpy(self.make_views(targets.numpy(), samples.numpy(), epoch, given))
        if params is None:
            params = self.params(samples, epoch)
        values = self.height * self.width * self.channels
        limit = _CHUNK_BYTES_TENSOR if is_tensor(targets) else _CHUNK_BYTES
        step = max(1, limit // (2 * values))
        shape = (targets.shape[0], self.views, *targets.shape[1:])
        if is_tensor(targets):
            torch = sys.modules["torch"]
            parts = [
                self._chunk_tensor(targets[i : i + step], samples[i : i + step], epoch, params[i : i + step])
                for i in range(0, len(targets), step)
            ]
            return torch.cat(parts) if parts else torch.empty(shape, dtype=torch.uint8, device=targets.device)
        out = np.empty(shape, np.uint8)
        count = self.ellipses.count
        right = params.shape == (len(targets), self.views, 4 * count) and len(samples) == len(targets)
        right = right and targets.shape[1:3] == (self.height, self.width) and params.dtype == np.int16
        if right and targets.dtype == np.uint8 and (fast := kernel.compiled(out.size)):  # it believes what it is given
            images = targets.reshape(len(targets), self.height, self.width, self.channels)
            fast.masked_views(
                out.reshape(len(targets), self.views, *images.shape[1:]),
                kernel.whole(images),
                kernel.whole(params.reshape(len(params), self.views, count, 4)),
                kernel.whole(np.asarray(samples, np.int64)),
                *self.ellipses.run_table(self.width),
                self.noise is not None,
                noise_module.scaled(0 if self.noise is None else self.noise.level),
                *words_of(epoch, *self.key(noise_module.ID)),
            )
            return out
        for i in range(0, len(targets), step):
            part = slice(i, i + step)
            self._chunk_numpy(targets[part], samples[part], epoch, params[part], out[part])
        return out

    def _visible(self, target: Array, mask: Array, out: np.ndarray | None = None) -> Array:
        if self.channels > 1:  # one mask for all channels
            mask = mask[..., None]
            mask = mask.expand_as(target) if is_tensor(mask) else np.repeat(mask, self.channels, axis=-1)
        return target & mask if out is None else np.bitwise_and(target, mask, out=out)

    def _chunk_numpy(
        self, target: np.ndarray, samples: np.ndarray, epoch: int, params: np.ndarray, out: np.ndarray
    ) -> None:
        masks = self.masks(params)
        for view in range(self.views):
            if self.noise is None:
                self._visible(target, masks[:, view], out[:, view])
                continue
            visible = self._visible(target, masks[:, view])
            values = self.height * self.width * self.channels
            noise = self.noise.draw(self.key(noise_module.ID), samples, values, view=view, epoch=epoch)
            noise += visible.reshape(noise.shape)
            np.clip(noise, 0, 255, out=noise)
            out[:, view] = noise.reshape(visible.shape)

    def _chunk_tensor(self, target: Array, samples: Array, epoch: int, params: Array) -> Array:
        masks = self.masks(params)
        each = []
        for view in range(self.views):
            visible = self._visible(target, masks[:, view])
            if self.noise is not None:
                values = self.height * self.width * self.channels
                noise = self.noise.draw(self.key(noise_module.ID), samples, values, view=view, epoch=epoch)
                visible = cast(clip(cast(visible, "int16") + noise.reshape(visible.shape), 0, 255), "uint8")
            each.append(visible)
        return stack(each, 1)
