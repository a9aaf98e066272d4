"""Numbers too small for full precision, which processors compute with in tens of times the time, taken as zero.

A softmax over 64 channels makes weights of 1e-40, and features times such weights go through every layer that follows:
MFEIF with its authors' weights took four times as long for values that change no bit of the fused image.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def flushed_denormals(device: torch.device) -> Iterator[None]:
    """Within it, float32 values below 1.2e-38 in size (float64: 2.2e-308) count as 0 in this thread on a CPU.

    Afterwards it is as before. Nothing happens on other devices, and on processors that cannot.

    Example:
        >>> import torch
        >>> from fusionbench.models.denormals import flushed_denormals
        >>> tiny = torch.tensor([1.0]) * 2.0**-126
        >>> with flushed_denormals(torch.device("cuda")):
        ...     (tiny / 2 > 0).tolist()
        [True]
    """
    if device.type != "cpu":
        yield
        return
    before = flushes_denormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def flushes_denormals() -> bool:
    """Whether this thread takes such numbers as zero now; torch can set it and not tell."""
    return float(torch.full((1,), 2.0**-126).mul_(0.5)) == 0.0
