"""Standard normal noise that is a pure function of (key, sample id, draw): batches and devices cannot change it.

A fixed table of 2²² normals is computed once from Philox words by Box-Muller; a draw is a
window of the table at an offset given by a 64-bit hash of its key. Windows of one
latent group (at most a few thousand values) rarely overlap, and overlapping ones are
shifted, so that draws are independent for practical purposes. A draw costs one gather,
and a GPU reads the same numbers as a CPU.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

SIZE = 1 << 22
_MASK = (1 << 64) - 1


def noise_key(*words: int | str) -> int:
    """A 64-bit key from any words, e.g. ``noise_key(seed, "posterior")``."""
    text = "/".join(str(word) for word in words)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


@lru_cache(maxsize=4)
def _table(device: torch.device) -> Tensor:
    words = np.random.Philox(key=0x66757365).random_raw(SIZE // 2)
    uniform = ((words >> np.uint64(32)).astype(np.float64) + 1) / 2.0**32  # in (0, 1]
    angle = (words & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2 * math.pi / 2.0**32)
    radius = np.sqrt(-2 * np.log(uniform))
    values = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)]).astype(np.float32)
    return torch.from_numpy(values).to(device)


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)  # logical, where torch's is arithmetic


def _mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele et al., 2014) in wrapping int64."""
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)


def normal(ids: Tensor, draws: Tensor, shape: Sequence[int], key: int) -> Tensor:
    """Noise (R, *shape) float32 for rows given by ``ids`` (R,) and draw numbers ``draws`` (R,), both int64."""
    begin = _mix(_mix(ids * _signed(0x9E3779B97F4A7C15) + _signed(key)) + draws * _signed(0xD1B54A32D192ED03))
    count = math.prod(shape)
    index = (_shift(begin, 20)[:, None] + torch.arange(count, device=ids.device)) & (SIZE - 1)
    return _table(ids.device)[index].view(-1, *shape)
