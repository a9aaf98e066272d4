"""From bytes to numbers in [0, 1], with the same bits on every device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """Value/255 as float32 of uint8 images of any shape, correctly rounded, on their device.

    On CUDA torch divides by a Python number by multiplying with its reciprocal, which gives other bits than a division
    for 126 of the 256 values. A divisor that lies on the device is divided by.

    Example:
        >>> import torch
        >>> from fusionbench.core.unit_range import to_unit
        >>> [round(value, 3) for value in to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist()]
        [0.0, 0.2, 1.0]
    """
    import torch

    result = images.to(torch.float32)
    if result.device.type == "cpu":
        return result.div_(255)  # in place: a second array would cost as much as all the rest
    return result.div_(torch.full((), 255.0, device=result.device))
