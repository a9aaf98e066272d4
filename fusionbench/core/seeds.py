"""Seeds and orders that are functions of words alone: the same in every process, on every machine."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(*words: int | str) -> int:
    """A 63-bit seed from words, e.g. ``derive_seed(0, dataset.id, "fcn")``: no two purposes share a stream.

    Example:
        >>> from fusionbench.core.seeds import derive_seed
        >>> derive_seed(0, "fusiondigits", "fcn")
        6463107129121236356
        >>> derive_seed(0, "fusiondigits", "cvae") == derive_seed(0, "fusiondigits", "fcn")
        False
    """
    text = "/".join(str(word) for word in words)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def epoch_order(seed: int, epoch: int, samples: int) -> np.ndarray:
    """The order in which a training with this seed sees its samples in an epoch: a permutation, int64 (samples,).

    Example:
        >>> from fusionbench.core.seeds import epoch_order
        >>> sorted(epoch_order(seed=0, epoch=3, samples=5).tolist())
        [0, 1, 2, 3, 4]
    """
    generator = np.random.Generator(np.random.Philox(derive_seed(seed, "order", epoch)))
    return generator.permutation(samples)
