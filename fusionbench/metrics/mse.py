"""MSE: mean squared error of the fused image against its sources, or against a target."""

from __future__ import annotations

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import Array, Image, image_metric
from fusionbench.metrics._moments import squared_error


@image_metric
def mse(fused: Image, a: Image, b: Image, *more: Image, scale: float = 1.0) -> Array:
    """The mean of mean (A-F)², mean (B-F)², …: three or more (N,H,W) on 0..255 to (N,), squared grey levels.

    Args:
        scale: factor on the images (1/255 for the 0..1 scale).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.mse import mse
        >>> a, b, fused = (np.full((1, 8, 8), level, np.uint8) for level in (10, 30, 20))
        >>> mse(fused, a, b).tolist(), mse(a, a, b).tolist()  # the average is the minimum
        ([100.0], [200.0])
    """
    sources = (a, b, *more)
    return sum(squared_error(fused, source) for source in sources) * (scale**2 / len(sources))


@image_metric
def mse_target(fused: Image, target: Image) -> Array:
    """Mean (T-F)² against a known target: two (N,H,W) on 0..255 to (N,), squared grey levels.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.mse import mse_target
        >>> target = np.full((1, 8, 8), 100, np.uint8)
        >>> mse_target(target + 3, target).tolist()
        [9.0]
    """
    return squared_error(fused, target)


METRIC = Metric(
    name="mse",
    version="1",
    title="Mean squared error",
    label="MSE",
    function=mse,
    needs="pair",
    better="lower",
    unit="grey levels²",
    range=(0.0, 65025.0),
    tolerance=Tolerance(0.1, 1e-4, "a ten-thousandth, or a tenth of a squared grey level"),
    reference="Jagalingam, Hegde 2015, Aquat. Procedia 4, 133–142",
    formula="MSE = (mean((A-F)²) + mean((B-F)²)) / 2",
    exploits="The plain average of both sources is its exact minimum.",
    choices=("Mean of the two sources on 0..255; on 0..1 (linfeng, ivif-zoo) it is 65,025 times smaller.",),
    edge_cases="0 for three equal images.",
    differentiable=True,
    invariances=("swapping the sources", "any reordering of the pixels", "inversion of all three images"),
    oracle="scikit-image mean_squared_error",
    many=True,
)

TARGET_METRIC = Metric(
    name="mse_target",
    version="1",
    title="Mean squared error against the target",
    label="MSE to the target",
    function=mse_target,
    needs="target",
    better="lower",
    unit="grey levels²",
    range=(0.0, 65025.0),
    tolerance=Tolerance(0.1, 1e-4, "a ten-thousandth, or a tenth of a squared grey level"),
    reference="Wang, Bovik 2009, IEEE Signal Process. Mag. 26(1), 98–117",
    formula="MSE = mean((T-F)²)",
    exploits="A blurred mean image has a smaller error than a sharp sample.",
    edge_cases="0 where the images are equal.",
    differentiable=True,
    invariances=("swapping the images", "any reordering of the pixels", "inversion of both images"),
    oracle="scikit-image mean_squared_error",
)
