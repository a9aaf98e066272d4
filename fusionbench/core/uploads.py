"""Small arrays on their way to a device, without waiting for it.

A plain copy from ordinary memory to a GPU waits until everything that was asked of the GPU before is done. From
page-locked memory it joins the queue, and the host goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def upload(values: Any, device: torch.device | str) -> torch.Tensor:
    """Whole numbers (n,), an array, list or tensor on any device, as an int64 tensor on ``device``.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.uploads import upload
        >>> upload(np.array([2, 0, 1], np.int32), "cpu")
        tensor([2, 0, 1])
    """
    import torch

    if not isinstance(values, torch.Tensor):
        values = torch.as_tensor(np.asarray(values, np.int64))
    return send(values.to(torch.int64), device)


def send(values: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """A tensor on ``device``, as it is.

    Example:
        >>> import torch
        >>> from fusionbench.core.uploads import send
        >>> send(torch.zeros(2, 3), "meta").device
        device(type='meta')
    """
    import torch

    place = torch.device(device)
    if values.device.type == "cpu" and place.type == "cuda":
        values = values.pin_memory()
    return values.to(place, non_blocking=place.type != "cpu")  # what goes to the CPU is read there at once
