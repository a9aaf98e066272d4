"""Where a network under autocast needs full precision: float32, or float64 where the caller computes in float64.

``x.float()`` would round a float64 pass to float32 in the middle; the check of gradients compares with such a pass.
"""

from __future__ import annotations

from torch import Tensor, float64


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32, or as it is where it is float64."""
    return x if x.dtype == float64 else x.float()
