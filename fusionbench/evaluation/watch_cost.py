"""Seconds and peak memory of what is fused, measured around one call."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@contextlib.contextmanager
def watch_cost(device: torch.device, seconds: list[float], peaks: list[float]) -> Iterator[None]:
    """Note the seconds that the body takes, and its peak memory in MiB beyond what was held before.

    On CUDA the peak is the allocator's; on Linux it is the process's resident set, whose high mark the kernel lets a
    process reset; elsewhere nothing is noted.

    Example:
        >>> import torch
        >>> from fusionbench.evaluation.watch_cost import watch_cost
        >>> seconds, peaks = [], []
        >>> with watch_cost(torch.device("cpu"), seconds, peaks):
        ...     _ = torch.ones(8).sum()
        >>> len(seconds), seconds[0] > 0
        (1, True)
    """
    cuda = device.type == "cuda"
    if cuda:
        import torch

        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before: float | None = torch.cuda.memory_allocated(device) / 2**20
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
    begun = time.perf_counter()
    yield
    if cuda:
        torch.cuda.synchronize(device)
    seconds.append(time.perf_counter() - begun)
    after = torch.cuda.max_memory_allocated(device) / 2**20 if cuda else _resident("VmHWM")
    if before is not None and after is not None:
        peaks.append(after - before)


def _resident(field: str) -> float | None:
    """``VmRSS`` or ``VmHWM`` of this process in MiB, None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
    except (OSError, StopIteration):
        return None
