"""Every maker of views has the same key for the same algorithm, and leaves targets alone where nothing is live."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusionbench.synth.augment import ID, Augment
from fusionbench.synth.live_views import LiveViews
from fusionbench.synth.random import stream_key


@dataclass(frozen=True)
class Plain(LiveViews):
    dataset: str = "demo"
    split: str = "train"
    seed: int = 3
    live: Augment | None = None


def test_keys_and_targets() -> None:
    targets = np.arange(8, dtype=np.uint8).reshape(4, 1, 2)
    samples = np.arange(4)
    assert Plain().key("x/1") == stream_key("x/1", "demo", "train", 3)
    assert Plain().augmented(targets, samples, 5) is targets
    live = Augment(flip=True)
    expected = live.apply(stream_key(ID, "demo", "train", 3), targets, samples, 5)
    assert (Plain(live=live).augmented(targets, samples, 5) == expected).all() and (expected != targets).any()
