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

    place = torch.device(device)
    if isinstance(values, torch.Tensor):
        return values.to(device=place, dtype=torch.int64, non_blocking=values.is_pinned())
    here = torch.as_tensor(np.asarray(values, np.int64))
    if place.type == "cpu":
        return here
    if place.type == "cuda":
        here = here.pin_memory()
    return here.to(place, non_blocking=True)
