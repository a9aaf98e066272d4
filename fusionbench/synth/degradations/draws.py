"""Random numbers of a degradation, addressed by sample and place.

The 16-bit output number i of a sample is output i % 256 of the run of 16 Philox blocks with the number
sample·2^24 + i // 256: where a number lies does not depend on how many are drawn, so pictures of different sizes
never share a run, and a larger picture only goes on. The counter's second word is the view or plane, its fourth says
what is drawn: :data:`PIXELS` on the device, one for each pixel; :data:`PARAMETERS` by NumPy, for whatever has to be
known before pixels are touched.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from fusionbench.synth.arrays import Array, arange, is_tensor
from fusionbench.synth.random import UINT16_PER_BLOCK, Key, uint16_outputs, uint64_outputs

PIXELS, PARAMETERS = 0, 1  # of what: Philox's purpose
BLOCKS = 16  # of a run
RUN = BLOCKS * UINT16_PER_BLOCK
RUNS_BITS = 24  # a sample has 2^24 runs, 2^32 outputs
MOST_SAMPLES = 1 << 31


@dataclass(frozen=True)
class Draws:
    """The numbers of ``samples`` (int64 (n,), NumPy's) in ``epoch``, as the kind of array that ``like`` is.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.draws import Draws
        >>> from fusionbench.synth.random import stream_key
        >>> draws = Draws(stream_key("shift/1", "demo", "all", seed=0), np.array([0, 7]), 0, np.zeros(1))
        >>> few, many = draws.pixels(3, plane=1), draws.pixels(1000, plane=1)
        >>> few.shape, bool((few == many[:, :3]).all())
        ((2, 3), True)
    """

    key: Key
    samples: np.ndarray
    epoch: int
    like: Array

    def part(self, where: slice) -> Draws:
        """The numbers of some of the samples."""
        return Draws(self.key, self.samples[where], self.epoch, self.like)

    def pixels(self, count: int, plane: int, purpose: int = PIXELS) -> Array:
        """The first ``count`` 16-bit outputs of a plane: uint16 (n, count), or int32 for a tensor."""
        return self._outputs(self.samples, count, plane, purpose, self.like)

    def parameters(self, count: int, view: int = 0) -> np.ndarray:
        """The first ``count`` outputs of a view that the host needs to know: int64 (n, count), 0..65535."""
        found: np.ndarray = self._outputs(self.samples, count, view, PARAMETERS, self.samples).astype(np.int64)
        return found

    def _outputs(self, samples: np.ndarray, count: int, view: int, purpose: int, like: Array) -> Array:
        runs = -(-count // RUN)
        first = samples << RUNS_BITS
        if is_tensor(like):
            torch = sys.modules["torch"]
            first = torch.from_numpy(first).to(like.device)
        numbers = (first[:, None] + arange(runs, first, "int64")).reshape(-1)
        drawn = uint64_outputs(self.key, numbers, BLOCKS, view=view, epoch=self.epoch, purpose=purpose)
        return uint16_outputs(drawn).reshape(len(samples), runs * RUN)[:, :count]


def between(outputs: np.ndarray, low: int, high: int) -> np.ndarray:
    """Whole numbers low..high, both included, from 16-bit outputs: int64. The range may have up to 65,536 numbers.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.draws import between
        >>> between(np.array([0, 32768, 65535]), -2, 1).tolist()
        [-2, 0, 1]
    """
    found: np.ndarray = (outputs.astype(np.int64) * (high - low + 1) >> 16) + low
    return found


def on(values: np.ndarray, like: Array) -> Array:
    """NumPy's ``values`` as the kind of array that ``like`` is, on its device.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from fusionbench.synth.degradations.draws import on
        >>> on(np.array([1, 2]), torch.zeros(1)).tolist()
        [1, 2]
    """
    whole = np.ascontiguousarray(values)
    return sys.modules["torch"].from_numpy(whole).to(like.device) if is_tensor(like) else whole


def copy(views: Array) -> Array:
    """A contiguous copy to write to."""
    return views.clone(memory_format=sys.modules["torch"].contiguous_format) if is_tensor(views) else views.copy()


def zeros(views: Array) -> Array:
    """uint8 zeros in the shape of ``views``, on its device."""
    shape = tuple(views.shape)
    if is_tensor(views):
        torch = sys.modules["torch"]
        return torch.zeros(shape, dtype=torch.uint8, device=views.device)
    return np.zeros(shape, np.uint8)
