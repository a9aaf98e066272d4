"""What all makers of views have in common: the keys of their streams, and the targets of live epochs."""

from __future__ import annotations

from fusionbench.synth import augment as augment_module
from fusionbench.synth.arrays import Array, uncompiled
from fusionbench.synth.augment import Augment
from fusionbench.synth.random import Key, stream_key


class LiveViews:
    """Base of the dataclasses that make views; they have these fields.

    Attributes:
        dataset, split, seed: with an algorithm's name they determine the key of its random stream.
        live: what happens to targets in live epochs; None: nothing.

    Example:
        >>> from dataclasses import dataclass
        >>> from fusionbench.synth.live_views import LiveViews
        >>> @dataclass(frozen=True)
        ... class Plain(LiveViews):
        ...     dataset: str = "demo"
        ...     split: str = "train"
        ...     seed: int = 0
        ...     live: None = None
        >>> len(Plain().key("plain/1")), Plain().key("plain/1") == Plain(seed=1).key("plain/1")
        (2, False)
    """

    dataset: str
    split: str
    seed: int
    live: Augment | None

    def key(self, algorithm: str) -> Key:
        """The key of an algorithm's stream."""
        return stream_key(algorithm, self.dataset, self.split, self.seed)

    @uncompiled
    def augmented(self, targets: Array, samples: Array, epoch: int) -> Array:
        """The targets of a live epoch; in epoch 0 the targets themselves."""
        if self.live is None:
            return targets
        return self.live.apply(self.key(augment_module.ID), targets, samples, epoch)
