"""How much memory a model needs to fuse a pair of a given size, found from two small pairs.

The count has to be the same on every machine, since the size of tiles follows from it: it adds up the tensors that
exist between the operations of torch while the model fuses two small pairs. Neither free memory nor what the
allocator holds plays a part. A model that computes outside torch, or whose passes are cheaper than counting them,
states its need itself: ``bytes_per_pixel``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fusionbench.core.interfaces import Fuses
from fusionbench.core.types import Batch

PROBES = (64, 128)  # sides of the small pairs
# What operations hold inside, and what the allocator cannot use again: measured for the networks at 640×480, the memory
# of a process grows by 0.9 to 1.0 times the count (docs/fuse-large.md).
MARGIN = 1.05


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of the storages that exist after every operation, without those of ``known``."""

    def __init__(self, known: Iterator[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known = {tensor.untyped_storage()._cdata for tensor in known}
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.live = {key: entry for key, entry in self.live.items() if not entry[0].expired()}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and (key := tensor.untyped_storage()._cdata) not in self.known:
                self.live[key] = (StorageWeakRef(tensor.untyped_storage()), tensor.untyped_storage().nbytes())
        self.peak = max(self.peak, sum(size for _, size in self.live.values()))
        return result


@dataclass(frozen=True)
class FusingMemory:
    """Bytes that fusing one pair needs beyond the pair and the model: ``per_pixel`` of pairs up to ``pixels``, and
    ``growth`` more per pixel for every further pixel (attention between pixels).

    Example:
        >>> from fusionbench.models.fusing_memory import FusingMemory
        >>> FusingMemory(per_pixel=100, growth=0.0, pixels=65536).of(1000, 1000)
        100000000
    """

    per_pixel: int
    growth: float
    pixels: int

    def of(self, height: int, width: int) -> int:
        """Bytes for one pair of this size."""
        area = height * width
        return int(area * (self.per_pixel + self.growth * max(0, area - self.pixels)))


_FOUND: weakref.WeakKeyDictionary[Any, FusingMemory] = weakref.WeakKeyDictionary()


def fusing_memory(model: Fuses) -> FusingMemory:
    """The memory that ``model`` needs, measured once for a model object by fusing two small pairs of noise.

    A model can state its need in an attribute ``bytes_per_pixel`` instead.

    Example:
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.models.fusing_memory import fusing_memory
        >>> model = create_model("average", ImageSpec(channels=1, height=64, width=64, views=2))
        >>> 16 <= fusing_memory(model).per_pixel <= 64  # two images in float64, and their mean
        True
    """
    if (declared := getattr(model, "bytes_per_pixel", None)) is not None:
        return FusingMemory(int(declared), 0.0, 0)
    if (found := _FOUND.get(model)) is None:
        small, large = (peak_bytes(model, side) / side**2 for side in PROBES)
        growth = (large - small) / (PROBES[1] ** 2 - PROBES[0] ** 2)
        # a few percent are borders and padding
        growth = MARGIN * growth if large > 1.1 * small else 0.0
        # rounded up to 32 bytes: versions of torch differ by a small tensor here and there
        per_pixel = -int(-MARGIN * max(large, 32) // 32) * 32
        found = _FOUND[model] = FusingMemory(per_pixel, growth, PROBES[1] ** 2)
    return found


def peak_bytes(model: Fuses, side: int) -> int:
    """Bytes of the tensors and arrays that exist at most while ``model`` fuses a pair of noise, side × side."""
    device = device_of(model)
    views = torch.rand((1, 2, 1, side, side), generator=torch.Generator().manual_seed(0)).to(device)
    batch = pairs_as_batch(views)
    known = [views, batch.present, batch.ids]
    if isinstance(model, nn.Module):
        known += [*model.parameters(), *model.buffers()]
    counter = _LiveTensors(iter(known))
    with torch.no_grad(), counter:
        model.fuse(batch)
    return counter.peak


def pairs_as_batch(views: Tensor) -> Batch:
    """Complete pairs (N,2,1,H,W), or stacks of more views, as a batch without targets."""
    count = len(views)
    present = torch.ones(views.shape[:2], dtype=torch.bool, device=views.device)
    return Batch(None, views, present, torch.arange(count, device=views.device))


def device_of(model: Fuses) -> torch.device:
    """Where a model computes: the device of its first parameter or buffer, the CPU if it has none."""
    if isinstance(model, nn.Module):
        for tensor in (*model.parameters(), *model.buffers()):
            return tensor.device
    return torch.device("cpu")
