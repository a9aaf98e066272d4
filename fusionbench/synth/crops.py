"""``crop-flip/1``: random crops and flips of registered pairs, the same for every view of a pair.

Positions come from 32 random bits by multiply and shift, so that a range of k places is even to within k/2^32.
Epoch 0 is never random: it is the centred crop, as it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.synth.arrays import Array, arange, cast, stack, uncompiled
from fusionbench.synth.random import bounded, stream_key, uint16_outputs, uint64_outputs

ID = "crop-flip/1"


@dataclass(frozen=True)
class CropFlip:
    """Distribution of the live crops of a split.

    Attributes:
        dataset, split, seed: with the algorithm's id they determine the key of the random stream.
        height, width: of a crop.
        horizontal, vertical: flip left and right, up and down, with probability ½ each.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.crops import CropFlip
        >>> crops = CropFlip("demo", "train", seed=0, height=2, width=2, horizontal=True)
        >>> pair = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
        >>> params = crops.params(np.array([0]), np.array([4]), np.array([4]), epoch=0)
        >>> params.tolist(), crops.cut([pair], params)[0].tolist()  # epoch 0: the centre of both views
        ([[1, 1, 0, 0]], [[[5, 6], [9, 10]], [[21, 22], [25, 26]]])
    """

    dataset: str
    split: str
    seed: int
    height: int
    width: int
    horizontal: bool = False
    vertical: bool = False

    @uncompiled
    def params(self, samples: Array, heights: Array, widths: Array, epoch: int) -> Array:
        """Top, left, flipped left and right, flipped up and down: int64 (n, 4) of ``samples`` (n,) in ``epoch``.

        Args:
            heights, widths: int64 (n,), of the pairs; at least those of a crop.
        """
        tops, lefts = heights - self.height, widths - self.width
        if epoch == 0 or not len(samples):
            return stack([tops // 2, lefts // 2, tops * 0, tops * 0], 1)
        key = stream_key(ID, self.dataset, self.split, self.seed)
        outputs = cast(uint16_outputs(uint64_outputs(key, samples, 1, epoch=epoch)), "int64")
        top = ((outputs[:, 0] + (outputs[:, 1] << 16)) * (tops + 1)) >> 32
        left = ((outputs[:, 2] + (outputs[:, 3] << 16)) * (lefts + 1)) >> 32
        mirrored = bounded(outputs[:, 4], 0, 1) * int(self.horizontal)
        turned = bounded(outputs[:, 5], 0, 1) * int(self.vertical)
        return stack([top, left, cast(mirrored, "int64"), cast(turned, "int64")], 1)

    def cut(self, pairs: Sequence[np.ndarray], params: np.ndarray, views: int = 2) -> np.ndarray:
        """The crops of ``pairs``, n of uint8 (V, h, w), at ``params`` (n, 4): uint8 (n, V, height, width)."""
        out = np.empty((len(pairs), views, self.height, self.width), np.uint8)
        for made, pair, (top, left, mirrored, turned) in zip(out, pairs, params.tolist(), strict=True):
            crop = pair[:, top : top + self.height, left : left + self.width]
            made[:] = crop[:, :: -1 if turned else 1, :: -1 if mirrored else 1]
        return out

    def gather(
        self, pixels: Array, offsets: Array, heights: Array, widths: Array, params: Array, views: int = 2
    ) -> Array:
        """The same as :meth:`cut` from concatenated pairs, in one read: for devices.

        Args:
            pixels: uint8 (N,), the views of every pair row by row.
            offsets, heights, widths: int64 (n,): the offset of each pair in ``pixels``, and its size.
        """
        top, left, mirrored, turned = (params[:, i, None] for i in range(4))
        row, column = arange(self.height, params, "int64")[None], arange(self.width, params, "int64")[None]
        row = top + row + turned * (self.height - 1 - 2 * row)
        column = left + column + mirrored * (self.width - 1 - 2 * column)
        inside = (row * widths[:, None])[:, :, None] + column[:, None, :]
        first = offsets[:, None] + arange(views, params, "int64")[None] * (heights * widths)[:, None]
        return pixels[first[:, :, None, None] + inside[:, None]]
