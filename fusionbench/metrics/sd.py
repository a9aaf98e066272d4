"""SD: standard deviation of the fused image."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, whole_levels
from fusionbench.metrics._moments import mean_grey, variance


@image_metric
def sd(
    fused: Image,
    *,
    ddof: int = 0,
    arithmetic: Literal["float", "uint8"] = "float",
    pooling: Literal["mean", "sum/255"] = "mean",
) -> Array:
    """Standard deviation of the grey values: (N,H,W) on 0..255 to (N,), grey levels, 0..127.5.

    Args:
        ddof: 1 divides by H·W - 1.
        arithmetic: ``"uint8"`` saturates every step at 0 and 255, as 8-bit MATLAB arrays do.
        pooling: ``"sum/255"`` takes the root of the sum on the 0..1 scale, which grows with the image.

    Source: Rao 1997 (Meas. Sci. Technol. 8, 576).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.sd import sd
        >>> sd(np.array([[[0, 255]]], np.uint8)).round(4).tolist()  # half black, half white: the maximum
        [127.5]
        >>> sd(np.array([[[0, 255]]], np.uint8), ddof=1).round(4).tolist()
        [180.3122]
    """
    xp = fused.xp
    if arithmetic == "uint8":
        above = xp.clip(whole_levels(fused, fused.pixels - mean_grey(fused)[..., None, None]), 0, None)
        return xp.sqrt(xp.clip(above * above, None, 255).mean(AXES))
    if pooling == "sum/255":
        return root(variance(fused) * fused.count) / 255
    scale = fused.count / (fused.count - ddof) if ddof else 1.0
    return root(variance(fused) * scale)


METRIC = Metric(
    name="sd",
    version="1",
    title="Standard deviation",
    label="SD",
    function=sd,
    needs="fused",
    better="higher",
    unit="grey levels",
    range=(0.0, 127.5),
    tolerance=Tolerance(0.01, 0.0, "the last digit that tables print"),
    reference="Rao 1997, Meas. Sci. Technol. 8(6), 576",
    formula="SD = sqrt(mean((F - mean F)²))",
    exploits="Stretching the contrast of any one source raises it without bound up to black and white.",
    choices=(
        "Population (divided by H·W): dividing by H·W - 1 moves a 640×480 image by 2e-6 relative.",
        "On 0..255: tables with SD near 10 come from saturating 8-bit arithmetic (dialect linfeng-2022), "
        "tables with SD near 70 to 100 from a sum that is not divided by the number of pixels (rfn-nest).",
    ),
    edge_cases="A flat image has 0.",
    differentiable=True,
    gradient="0 of a flat image, where the root has no slope.",
    invariances=("any reordering of the pixels", "adding a constant", "inversion 255 - F"),
    oracle="NumPy std",
)
