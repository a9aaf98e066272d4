"""RMSE: root mean squared error of the fused image against its sources."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import root as square_root
from fusionbench.metrics._images import Array, Image, image_metric
from fusionbench.metrics._moments import squared_error


@image_metric
def rmse(fused: Image, a: Image, b: Image, *, root: Literal["of the mean", "of the sum"] = "of the mean") -> Array:
    """Mean of both roots of mean (X-F)²: three (N,H,W) on 0..255 to (N,), grey levels.

    Args:
        root: ``"of the sum"`` divides sqrt(Σ(X-F)²) by H·W, so that the value falls as the image grows.

    Source: Jagalingam, Hegde 2015 (Aquat. Procedia 4, 133).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.rmse import rmse
        >>> a, b, fused = (np.full((1, 8, 8), level, np.uint8) for level in (10, 30, 20))
        >>> rmse(fused, a, b).tolist(), rmse(a, a, b).tolist()  # on flat images any value between both is as good
        ([10.0], [10.0])
    """
    value = (square_root(squared_error(fused, a)) + square_root(squared_error(fused, b))) / 2
    return value / fused.count**0.5 if root == "of the sum" else value


METRIC = Metric(
    name="rmse",
    version="1",
    title="Root mean squared error",
    label="RMSE",
    function=rmse,
    needs="pair",
    better="lower",
    unit="grey levels",
    range=(0.0, 255.0),
    tolerance=Tolerance(0.01, 1e-4, "a ten-thousandth, or a tenth of the last digit that tables print"),
    reference="Jagalingam, Hegde 2015, Aquat. Procedia 4, 133–142",
    formula="RMSE = ½[sqrt(mean((A-F)²)) + sqrt(mean((B-F)²))]",
    exploits="A copy of either source, the average and every mixture in between have one and the same value, the "
    "minimum on many images.",
    choices=(
        "The mean of two roots, not the root of the mean. On 0..255; one code (vifb) divides the root of the sum by "
        "H·W, which is sqrt(H·W) times smaller.",
    ),
    edge_cases="0 for three equal images.",
    differentiable=True,
    invariances=("swapping the sources", "any reordering of the pixels", "inversion of all three images"),
    oracle="NumPy linalg.norm",
)
