"""EI: edge intensity of the fused image."""

from __future__ import annotations

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._windows import Border, magnitude, sobel
from fusionbench.metrics.qabf import padded


@image_metric
def ei(fused: Image, *, border: Border = "replicate") -> Array:
    """Mean magnitude of Sobel's gradient: (N,H,W) on 0..255 to (N,), grey levels, 0..1140.4.

    Args:
        border: how the image is padded for Sobel's mask.

    Raises:
        DataError: an image narrower or lower than 3 pixels.

    Source: Rajalingam, Priya 2018 (Int. J. Eng. Sci. Invention 7, 52); the masks are not normalised.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.ei import ei
        >>> ramp = np.tile(np.arange(8, dtype=np.uint8) * 3, (1, 8, 1))
        >>> ei(ramp).tolist()  # 8 times the slope of 3; half of it in the first and last columns
        [21.0]
    """
    need_side(fused, 3, "ei")
    total = 0.0
    for band in padded(fused, border, False).bands(1):
        total = total + magnitude(*sobel(band.pixels)).sum(AXES)
        band.clear_cache()
    return total / fused.count


METRIC = Metric(
    name="ei",
    version="1",
    title="Edge intensity",
    label="EI",
    function=ei,
    needs="fused",
    better="higher",
    unit="grey levels",
    range=(0.0, 1140.4),
    tolerance=Tolerance(0.05, 0.0, "half of the last digit that tables print"),
    reference="Rajalingam, Priya 2018, Int. J. Eng. Sci. Invention 7(2), 52–60",
    formula="EI = mean(sqrt(s_x² + s_y²)),  s_x, s_y: Sobel's masks [1 2 1]ᵀ[-1 0 1] and its transpose",
    exploits="Noise, sharpening and stretching raise it (noise alone fourfold); it never looks at the sources.",
    choices=(
        "The border is continued by its edge values (vifb); zeros outside (ivif-zoo) add a false edge: 0 to 20 % more "
        "on six real results.",
        "Sobel's masks as they are; divided by 8 the value would be in grey levels per pixel.",
    ),
    edge_cases="A flat image has 0; images below 3×3 are refused.",
    differentiable=True,
    invariances=("adding a constant", "mirroring", "transposition", "inversion 255 - F"),
    min_side=3,
    min_reason="Sobel's masks are 3×3",
    oracle="SciPy sobel and hypot",
)
