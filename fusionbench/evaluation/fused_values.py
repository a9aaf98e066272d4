"""Whether what a method made is an image: finite values of [0,1], as every model is asked for.

Rounded to 8 bits without a look, a value that is no number became black and the scale of 0 to 255 white.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_OVERSHOOT = 1.0  # beyond [0,1] that is cut off: filters and networks overshoot, by less


def problem_of_fused(fused: torch.Tensor) -> str | None:
    """What is wrong with the values of fused images, as the end of a sentence; None where nothing is.

    Example:
        >>> import torch
        >>> from fusionbench.evaluation.fused_values import problem_of_fused
        >>> problem_of_fused(torch.full((1, 1, 4, 4), 254.5))
        'has values up to 254.5; fused images are in [0,1]: divide by 255'
        >>> problem_of_fused(torch.full((1, 1, 4, 4), 1.01)) is None  # an overshoot, which is cut off
        True
    """
    if not fused.is_floating_point():
        return f"is of {str(fused.dtype).removeprefix('torch.')}; fused images are floating point in [0,1]"
    if fused.numel() == 0:
        return None
    low, high = (float(value) for value in fused.detach().aminmax())
    if not low <= high or low in (float("-inf"), float("inf")) or high == float("inf"):  # a NaN is neither
        return "has values that are not finite"
    if high > 1 + _OVERSHOOT:
        return f"has values up to {high:.4g}; fused images are in [0,1]" + (": divide by 255" if high <= 256 else "")
    if low < -_OVERSHOOT:
        return f"has values down to {low:.4g}; fused images are in [0,1]"
    return None
