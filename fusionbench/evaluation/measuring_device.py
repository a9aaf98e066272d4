"""The device that a call of ``evaluate`` computes on, for protocols that train a reader of what a method makes.

The device of the model does not tell: a rule without parameters lies on none, and the detector that reads its images
is to be trained on the GPU all the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_device: ContextVar[torch.device | str] = ContextVar("device", default="cpu")


@contextlib.contextmanager
def measuring_on(device: torch.device | str) -> Iterator[None]:
    """What is measured within computes on ``device``.

    Example:
        >>> from fusionbench.evaluation.measuring_device import measuring_device, measuring_on
        >>> with measuring_on("cuda:0"):
        ...     measuring_device()
        'cuda:0'
    """
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


def measuring_device() -> torch.device | str:
    """The device of the innermost :func:`measuring_on`; the processor outside of any.

    Example:
        >>> from fusionbench.evaluation.measuring_device import measuring_device
        >>> measuring_device()
        'cpu'
    """
    return _device.get()
