"""Any image size: reflect-pad an image to a multiple of a block size, and crop back.

``torch.nn.functional.pad(mode="reflect")`` refuses to pad by the image's own size or more; here the mirror is
repeated, as in ``numpy.pad``, so that a 3×5 image passes through an 8×8 patch embedding as well.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mirrored_indices(size: int, padded: int) -> Tensor:
    """Positions 0..``padded``−1 folded into 0..``size``−1 without repeating the edge: 0 1 2 1 0 1 2 …"""
    if size < 1 or padded < size:
        raise ValueError(f"cannot mirror {size} pixels out to {padded}")
    period = max(2 * size - 2, 1)
    position = torch.arange(padded) % period
    return torch.minimum(position, period - position) if size > 1 else position


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Mirror (…,H,W) at its lower and right border out to the next multiple; ``x`` itself where it fits already.

    Undo with ``[..., :H, :W]``.
    """
    height, width = x.shape[-2:]
    rows, columns = -height % multiple, -width % multiple
    if rows:
        x = x.index_select(-2, mirrored_indices(height, height + rows).to(x.device))
    if columns:
        x = x.index_select(-1, mirrored_indices(width, width + columns).to(x.device))
    return x
