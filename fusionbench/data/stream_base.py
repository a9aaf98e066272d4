"""What the batches of every kind of data set share: which split, on which device, stored or live."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    import torch

    from fusionbench.data.dataset import Dataset


class StreamBase:
    """A split of a data set on a device; a subclass has ``batch`` and ``sample_names``."""

    def __init__(self, dataset: Dataset, split: str, device: str | torch.device = "cpu", live: bool = True) -> None:
        self.dataset, self.split, self.live, self._device = dataset, split, live, device

    @cached_property
    def device(self) -> torch.device:
        """Where batches are made; torch is imported for it."""
        import torch

        return torch.device(self._device)

    def __len__(self) -> int:
        return self.dataset.size(self.split)

    def __getitem__(self, index: Any) -> NoReturn:
        self._refuse()

    def __iter__(self) -> NoReturn:
        self._refuse()

    def checked(self, indices: Any) -> np.ndarray:
        """The sample indices, an integer array, list or tensor on any device, as int64 on the host.

        Arrays count negative numbers from the end; here an index also decides crops, masks and noise, so that -1 would
        be a sample that is in no split.

        Raises:
            IndexError: an index outside the split.
        """
        ids = np.asarray(indices.cpu() if hasattr(indices, "cpu") else indices, np.int64)
        if ids.size and (ids.min() < 0 or ids.max() >= len(self)):
            raise IndexError(f"index {ids.min()}..{ids.max()} is outside 0..{len(self) - 1}")
        return ids

    def _refuse(self) -> NoReturn:
        raise TypeError(
            f'a stream gives batches: stream.batch(indices, epoch); a DataLoader takes dataset.torch("{self.split}")'
        )
