"""A data set in memory with the interface of ``fusionbench.data.dataset.Dataset``: simple shapes behind windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fusionbench.core.types import Batch, ImageSpec

SPEC = ImageSpec(channels=1, height=16, width=16, views=3, crop=(12, 12))


class MemoryDataset:
    """``train`` and ``test`` splits of bars and boxes; each view shows one half of the target."""

    name, version = "memory", "1.0.0"
    splits = ("train", "test")

    def __init__(self, spec: ImageSpec = SPEC, train: int = 48, test: int = 12) -> None:
        self.spec, self.id = spec, f"memory-{spec}-{train}-{test}"
        self._sizes = {"train": train, "test": test}

    def size(self, split: str) -> int:
        return self._sizes[split]

    def stream(self, split: str, device: Any = "cpu", live: bool = True) -> MemoryStream:
        return MemoryStream(self, split, device, live)


class MemoryStream:
    def __init__(self, dataset: MemoryDataset, split: str, device: Any, live: bool) -> None:
        self.dataset, self.split, self.device, self.live = dataset, split, device, live

    def batch(self, indices: Any, epoch: int = 0) -> Batch:
        spec = self.dataset.spec
        samples = [self._sample(int(index), epoch if self.live else 0) for index in indices]
        targets = torch.from_numpy(np.stack([target for target, _ in samples]))
        views = torch.from_numpy(np.stack([view for _, view in samples]))
        present = torch.ones(len(samples), spec.views, dtype=torch.bool)
        return Batch(targets, views, present, torch.as_tensor(np.asarray(indices), dtype=torch.int64))

    def _sample(self, index: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        spec = self.dataset.spec
        rng = np.random.default_rng([len(self.split), index])
        target = np.zeros((spec.channels, spec.height, spec.width), np.float32)
        top, left = rng.integers(2, spec.height // 2), rng.integers(2, spec.width // 2)
        target[:, top : top + spec.height // 3, left : left + spec.width // 3] = rng.uniform(0.5, 1.0)
        noise = np.random.default_rng([len(self.split), index, epoch])
        views = np.repeat(target[None], spec.views, axis=0)
        for view in views:
            begin = noise.integers(0, spec.width // 2)
            view[..., begin : begin + spec.width // 2] = 0.0
        return target, views


def batch_of(count: int = 4, spec: ImageSpec = SPEC, first: int = 0) -> Batch:
    """The first training samples of a memory data set, all views present."""
    return MemoryDataset(spec).stream("train", live=False).batch(range(first, first + count))
