"""MS-SSIM: multi-scale structural similarity of the fused image with its sources."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import positive_power
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._windows import gaussian, local_covariance, local_moments, pad_border
from fusionbench.metrics.ssim import K1, K2

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SIZE = 11
OddSides = Literal["drop", "zero", "reflect"]
MIN_SIDE = SIZE * 2 ** (len(WEIGHTS) - 1)  # 176: the coarsest scale still has one window


@image_metric
def ms_ssim(
    fused: Image,
    a: Image,
    b: Image,
    *more: Image,
    data_range: float = 255.0,
    over: Literal["mean", "sum"] = "mean",
    odd: OddSides = "drop",
    opposite: Literal["in the mean", "is nothing"] = "in the mean",
) -> Array:
    """Mean of MS-SSIM(A,F), MS-SSIM(B,F), …: three or more (N,H,W) on 0..255, sides of at least 176, to (N,), 0..1.

    Five scales, each the 2×2 average of the one before; a negative contrast term counts as 0.

    Args:
        data_range: L of the stabilising constants (0.01·L)² and (0.03·L)².
        over: mean or sum of the two sources.
        odd: at an odd side, ``"drop"`` leaves out the last row or column; ``"zero"`` puts one of zeros before the
            first, as pytorch-msssim does; ``"reflect"`` puts the last but one after the last, as chenzpstar's code.
        opposite: ``"is nothing"`` counts every window of opposite structure as 0, not only a negative mean.

    Raises:
        DataError: a side below 176 pixels.

    Source: Wang, Simoncelli, Bovik 2003 (Asilomar Conf. Signals Syst. Comput., 1398).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.ms_ssim import ms_ssim
        >>> stripes = np.tile((np.arange(176) // 16 % 2 * 255).astype(np.uint8), (1, 176, 1))
        >>> ms_ssim(stripes, stripes, stripes).round(4).tolist()
        [1.0]
        >>> ms_ssim(stripes, stripes, 255 - stripes).round(4).tolist()  # the inverse has no structure in common
        [0.5]
    """
    need_side(fused, MIN_SIDE, "ms_ssim")
    sources, signed = (a, b, *more), opposite == "in the mean"
    total = sum(_multi_scale_ssim(fused, source, data_range, odd, signed) for source in sources)
    return total / len(sources) if over == "mean" else total


def _multi_scale_ssim(fused: Image, source: Image, data_range: float, odd: str, signed: bool) -> Array:
    product: Array = 1.0
    for scale, weight in enumerate(WEIGHTS):
        last = scale == len(WEIGHTS) - 1
        images = _at_scale(fused, scale, odd), _at_scale(source, scale, odd)
        term = _contrast_structure(*images, data_range, last, signed)
        product = product * positive_power(term, weight)
    return product


def _at_scale(image: Image, scale: int, odd: str) -> Image:
    """2×2 averages of the scale before."""
    if scale == 0:
        return image
    key = ("ms_ssim scale", scale, odd)
    return image.cached(key, lambda: image.with_pixels(_average_2x2(_at_scale(image, scale - 1, odd).pixels, odd)))


def _average_2x2(x: Array, odd: str) -> Array:
    height, width = x.shape[-2:]
    if odd == "zero" and (height % 2 or width % 2):
        x = pad_border(x, 1, "zero")[..., 1 - height % 2 :, 1 - width % 2 :]
        height, width = height + height % 2, width + width % 2
    if odd == "reflect":
        x = pad_border(x, 1, "reflect")[..., 1:, 1:]
        height, width = height + height % 2, width + width % 2
    x = x[..., : height // 2 * 2, : width // 2 * 2]
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def _contrast_structure(fused: Image, source: Image, data_range: float, with_luminance: bool, signed: bool) -> Array:
    """Mean of contrast·structure, times luminance at the coarsest scale."""
    weights = gaussian(SIZE, 1.5)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mu_f, sigma_f_sq = local_moments(fused, weights, "valid", ("gaussian", SIZE, "valid"))
    mu_s, sigma_s_sq = local_moments(source, weights, "valid", ("gaussian", SIZE, "valid"))
    mu_fs = mu_f * mu_s
    sigma_fs = local_covariance(fused, source, weights, "valid", (mu_f, mu_s))
    ssim_map = (2 * sigma_fs + c2) / (sigma_f_sq + sigma_s_sq + c2)
    if not signed:
        ssim_map = fused.xp.clip(ssim_map, 0, None)
    if with_luminance:
        ssim_map = ssim_map * (2 * mu_fs + c1) / (mu_f**2 + mu_s**2 + c1)
    return np.float64(ssim_map.mean()) if fused.xp is np else ssim_map.mean(AXES)


METRIC = Metric(
    name="ms_ssim",
    version="1",
    title="Multi-scale structural similarity",
    label="MS-SSIM",
    function=ms_ssim,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Wang, Simoncelli, Bovik 2003, Asilomar Conf. Signals Syst. Comput., 1398–1402",
    formula=f"MS-SSIM = l_5 · Π_s cs_s^w_s,  w = {WEIGHTS}; mean of the two sources",
    exploits="The plain average of both sources ranks near the top.",
    choices=(
        "The ordinary five-scale measure against each source; MEF-MS-SSIM, printed as MS_SSIM by some MATLAB codes, "
        "is another one.",
        "Windows inside the image only; torchmetrics reflects the image at its border.",
        "Halving: 2×2 averages from the top left corner; at an odd side the last row or column of that scale is left "
        "out: a side of 179 has scales of 179, 89, 44, 22, 11 pixels. Padding before the pooling gives 179, 90, 45, "
        "23, 12: zeros before the first (odd='zero': pytorch-msssim, ivif-zoo), or the last but one after the last "
        "(odd='reflect': chenzpstar).",
        "Mean of the two sources; ivif-zoo prints the sum.",
    ),
    edge_cases="Three equal images give 1; sides below 176 pixels are refused.",
    differentiable=True,
    gradient="0 where a scale's contrast term is not positive.",
    invariances=("swapping the sources", "swapping source and fused image"),
    min_side=MIN_SIDE,
    min_reason="the coarsest of its five scales has no 11×11 window left",
    oracle="piq multi_scale_ssim; a composition of scikit-image structural_similarity",
    many=True,
)
