"""``noise/1``: Gaussian noise from a pinned table of 65,536 quantiles, indexed by 16-bit outputs.

Entry i of the table is the standard normal quantile at (i + ½)/65536 in parts of 4096, rounded; it is exactly
antisymmetric, so the mean is 0, and ends at ±4.325 standard deviations. The noise of a standard deviation σ is the
table times round(σ·255·256), rounded half away from zero to whole grey levels, in integer arithmetic.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np

from fusionbench.synth import kernel
from fusionbench.synth.arrays import Array, is_tensor, take, uncompiled
from fusionbench.synth.random import UINT16_PER_BLOCK, Key, uint16_outputs, uint64_outputs, words_of

ID = "noise/1"
UNIT = 4096  # table units in one standard deviation
TABLE_SHA256 = "1ea009ce409dac97d6bd609266910f809c5fb912f78e16bd89145b08174d6fc5"


@lru_cache(maxsize=1)
def table() -> np.ndarray:
    """The pinned quantile table: int16 (65536,), ascending.

    Raises:
        RuntimeError: the shipped file is damaged.

    Example:
        >>> from fusionbench.synth.noise import UNIT, table
        >>> quantiles = table()
        >>> quantiles.shape, int(quantiles.astype(int).sum())  # antisymmetric, so the mean is 0
        ((65536,), 0)
        >>> round(int(quantiles[-1]) / UNIT, 3)
        4.325
    """
    with resources.files("fusionbench.synth").joinpath("noise_1.npz").open("rb") as stream:
        upper = np.load(stream, allow_pickle=False)["upper"]
    full = np.concatenate([-upper[::-1], upper]).astype("<i2")
    if hashlib.sha256(full.tobytes()).hexdigest() != TABLE_SHA256:
        raise RuntimeError("the table of noise/1 is damaged; install fusionbench again")
    full.flags.writeable = False
    return full


@lru_cache(maxsize=16)
def scaled(level: int) -> np.ndarray:
    """Noise in grey levels for a standard deviation of ``level``/256 grey levels: int16 (65536,).

    Example:
        >>> from fusionbench.synth.noise import scaled
        >>> levels = scaled(10 * 256)  # a standard deviation of 10 grey levels
        >>> int(levels[0]), int(levels[-1]), round(float(levels.std()), 2)
        (-43, 43, 10.0)
    """
    wide = table().astype(np.int64)
    magnitude = (np.abs(wide) * level + UNIT * 128) // (UNIT * 256)
    out = (np.sign(wide) * magnitude).astype(np.int16)
    out.flags.writeable = False
    result: np.ndarray = out
    return result


@dataclass(frozen=True)
class Noise:
    """Distribution of the noise: standard deviation in 1/256 of a grey level (0.25 of full scale is 16320).

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.noise import ID, Noise
        >>> from fusionbench.synth.random import stream_key
        >>> noise = Noise.of(0.25)
        >>> drawn = noise.draw(stream_key(ID, "demo", "train", seed=0), np.arange(4), values=1000)
        >>> noise.level, drawn.shape, round(float(drawn.std()) / 255, 2)
        (16320, (4, 1000), 0.25)
    """

    level: int

    @classmethod
    def of(cls, sigma: float) -> Noise:
        """Noise of standard deviation ``sigma``, as a fraction of full scale."""
        return cls(round(sigma * 255 * 256))

    def blocks(self, values: int) -> int:
        """Philox blocks per sample and view of ``values`` noise values."""
        return -(-values // UINT16_PER_BLOCK)

    @uncompiled
    def draw(self, key: Key, samples: Array, values: int, *, view: int = 0, epoch: int = 0) -> Array:
        """Noise of ``samples`` (n,) in grey levels: int16 (n, values)."""
        if not is_tensor(samples) and (fast := kernel.compiled(len(samples) * values)):
            out = np.empty((len(samples), values), np.int16)
            numbers = kernel.whole(np.asarray(samples, np.int64))
            fast.noise(out, numbers, *words_of(view, epoch, *key), scaled(self.level))
            return out
        outputs = uint16_outputs(uint64_outputs(key, samples, self.blocks(values), view=view, epoch=epoch))
        return take(scaled(self.level), outputs[:, :values])
