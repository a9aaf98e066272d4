"""What the batches of every kind of data set share: which split, on which device, stored or live."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

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

    def _refuse(self) -> NoReturn:
        raise TypeError(
            f'a stream gives batches: stream.batch(indices, epoch); a DataLoader takes dataset.torch("{self.split}")'
        )
