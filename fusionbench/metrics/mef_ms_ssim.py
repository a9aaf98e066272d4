"""MEF-MS-SSIM: MEF-SSIM over three scales, the "MS_SSIM" of several MATLAB evaluators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import Array, Image, image_metric, need_side
from fusionbench.metrics.mef_ssim import SIZE, structural_quality

WEIGHTS = (0.0448, 0.2856, 0.3001)  # of the scales from fine to coarse, before they are divided by their sum
TOTAL = WEIGHTS[0] + WEIGHTS[1] + WEIGHTS[2]  # ``sum`` is rounded otherwise from Python 3.12 on
MIN_SIDE = SIZE * 2 ** (len(WEIGHTS) - 1)  # 44


@image_metric
def mef_ms_ssim(fused: Image, a: Image, b: Image, *more: Image) -> Array:
    """Product over three scales of MEF-SSIM to the power of its weight: (N,H,W) on 0..255, sides ≥ 44, to (N,), 0..1.

    Each scale is the 2×2 average of the one before, from the top left corner; at an odd side the last row or column is
    repeated. A negative scale counts as 0. Two sources or more: further stacks follow ``b``.

    Raises:
        DataError: a side below 44 pixels.

    Source: Ma, Zeng, Wang 2015 (IEEE Trans. Image Process. 24, 3345).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.mef_ms_ssim import mef_ms_ssim
        >>> blocks = np.kron(np.arange(144).reshape(1, 12, 12) * 37 % 251, np.ones((4, 4))).astype(np.uint8)
        >>> mef_ms_ssim(blocks, blocks, blocks // 8).round(3).tolist()
        [1.0]
        >>> mef_ms_ssim(255 - blocks, blocks, blocks // 8).round(3).tolist()
        [0.0]
    """
    need_side(fused, MIN_SIDE, "mef_ms_ssim")
    scales: Sequence[Image] = (fused, a, b, *more)
    product: Array = 1.0
    for place, weight in enumerate(WEIGHTS):
        if place:
            scales = [_halved(image) for image in scales]
        quality = structural_quality(scales[0], scales[1:])
        product = product * fused.xp.clip(quality, 0, None) ** (weight / TOTAL)
    return product


def _halved(image: Image) -> Image:
    return image.cached("mef_ms_ssim half", lambda: image.with_pixels(_average_2x2(image.pixels)))


def _average_2x2(x: Array) -> Array:
    """2×2 averages from the top left corner; the last row and column of an odd side are repeated."""
    below, right = ([*range(1, side, 2), *range(side - 1, side - 1 + side % 2)] for side in x.shape[-2:])
    rows = x[..., ::2, :] + x[..., below, :]
    half = (rows[..., ::2] + rows[..., right]) / 4
    return np.ascontiguousarray(half) if isinstance(half, np.ndarray) else half.contiguous()


METRIC = Metric(
    name="mef_ms_ssim",
    version="1",
    title="Multi-scale structural similarity for multi-exposure fusion",
    label="MEF-MS-SSIM",
    function=mef_ms_ssim,
    needs="pair",
    many=True,
    better="higher",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Ma, Zeng, Wang 2015, IEEE Trans. Image Process. 24(11), 3345–3356",
    formula=f"Q = Π_s Q_s^(w_s/Σw),  Q_s: MEF-SSIM of scale s,  w = {WEIGHTS}",
    exploits="Any change of brightness is free, as in MEF-SSIM.",
    choices=(
        "Printed as MS_SSIM by some MATLAB evaluators and as MEF_SSIM by the MEFB benchmark; the ordinary MS-SSIM "
        "against each source (ms_ssim) is another measure.",
        "A negative scale counts as 0; the original takes its power and returns a complex number.",
        "At an odd side the last row or column is averaged with itself, as in the original.",
    ),
    edge_cases="Three equal images give almost 1, flat or not; sides below 44 pixels are refused.",
    differentiable=True,
    invariances=("swapping the sources", "adding a constant to any image", "inversion of all three images"),
    min_side=MIN_SIDE,
    min_reason="the coarsest of its three scales has no 11×11 window left",
    oracle="a plain loop over the windows; the authors' code in Octave on real images",
)
