"""Seconds and peak memory of what is fused, measured around one call after the other."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench.core.allocator import release_freed_memory

if TYPE_CHECKING:
    import torch


class CostWatch:
    """The cost of fusing images one by one on ``device``.

    Memory is what is held beyond what was held before an image: on CUDA by the allocator, on Linux by the process,
    whose high mark the kernel lets a process reset; elsewhere it is not known. Freed memory that the process keeps is
    given back first, or images that were fused before would have paid for it. That takes time from the image that
    comes: it is done where an image is larger than all before, and the others, which need no more, are not measured.

    Example:
        >>> import torch
        >>> from fusionbench.evaluation.watch_cost import CostWatch
        >>> watch = CostWatch(torch.device("cpu"))
        >>> with watch.image(pixels=64):
        ...     _ = torch.ones(8, 8).sum()
        >>> watch.cost()["ms_per_image"] > 0
        True
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self.peaks = device, list[float](), list[float]()
        self.largest = 0

    @contextlib.contextmanager
    def image(self, pixels: int) -> Iterator[None]:
        """Note what the body costs, which fuses an image of so many pixels."""
        before = self._held_before(pixels)
        begun = time.perf_counter()
        yield
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)
        self.seconds.append(time.perf_counter() - begun)
        after = self._held_at_most() if before is not None else None
        if before is not None and after is not None:
            self.peaks.append(after - before)
        self.largest = max(self.largest, pixels)

    def cost(self) -> dict[str, float | None]:
        """Median of ``ms_per_image``, and the largest ``peak_mib``, None where it is not known.

        Raises:
            ValueError: no image was fused.
        """
        peak = max(self.peaks) if self.peaks else None
        return {"ms_per_image": 1000 * statistics.median(self.seconds), "peak_mib": peak}

    def _held_before(self, pixels: int) -> float | None:
        """MiB that are held now, with the high mark reset; None where it is not to be measured."""
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            return float(torch.cuda.memory_allocated(self.device)) / 2**20
        if pixels <= self.largest:
            return None
        release_freed_memory()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        return _resident("VmRSS")

    def _held_at_most(self) -> float | None:
        if self.device.type == "cuda":
            import torch

            return float(torch.cuda.max_memory_allocated(self.device)) / 2**20
        return _resident("VmHWM")


def _resident(field: str) -> float | None:
    """``VmRSS`` or ``VmHWM`` of this process in MiB, None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
    except (OSError, StopIteration):
        return None
