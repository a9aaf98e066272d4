"""Losses of image-fusion networks: structure, gradients, intensities, and the decomposition of features.

Images are (N,C,H,W) in [0,1]. Every function returns one number per image (N,) unless it says otherwise; sums are
float32 whatever the precision of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.metrics._windows import sobel
from fusionbench.metrics.ssim import K1, K2
from fusionbench.models.precision import at_least_float32

P = ParamSpec("P")

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # Wang et al. 2004
SSIM_C1, SSIM_C2 = K1**2, K2**2  # for a data range of 1


def exact(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Run with float32 convolutions also inside autocast, where E[x²] − E[x]² in bfloat16 would be noise."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        devices = {x.device.type for x in args if isinstance(x, Tensor)}
        with torch.autocast(devices.pop(), enabled=False):
            return function(*args, **kwargs)

    return run


@exact
def torch_ssim(x: Tensor, y: Tensor, window: int = SSIM_WINDOW, sigma: float = SSIM_SIGMA) -> Tensor:
    """Mean structural similarity of x and y (N,C,H,W) in [0,1], in [−1,1], over the pixels whose window fits inside.

    Images smaller than the window are compared under the largest odd window that fits. Variances are clamped at
    zero, where float32 rounding of E[x²] − E[x]² leaves them negative on flat images; nothing else is clamped, so
    that images with a negative similarity still have a gradient.

    The value of the metric ``ssim_target``, in the precision of the images and for any size and number of channels: a
    step of training takes float32, and the weights of the window are computed in it, as they always were. The metric
    itself, in float64, has a gradient as well.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004, with Gaussian weights.
    """
    height, width = x.shape[-2:]
    window = min(window, *(size - 1 + size % 2 for size in (height, width)))
    x, y = at_least_float32(x), at_least_float32(y)
    distance = torch.arange(window, dtype=x.dtype, device=x.device) - (window - 1) / 2
    weights = torch.exp(-0.5 * (distance / sigma) ** 2)
    weights = weights / weights.sum()

    moments = torch.stack((x, y, x * x, y * y, x * y)).flatten(0, 2).unsqueeze(1)  # (5NC,1,H,W)
    moments = F.conv2d(F.conv2d(moments, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    mean_x, mean_y, xx, yy, xy = moments.reshape(5, *x.shape[:2], *moments.shape[-2:])
    variance_x = (xx - mean_x**2).clamp(min=0)
    variance_y = (yy - mean_y**2).clamp(min=0)
    similarity = (2 * mean_x * mean_y + SSIM_C1) * (2 * (xy - mean_x * mean_y) + SSIM_C2)
    similarity = similarity / ((mean_x**2 + mean_y**2 + SSIM_C1) * (variance_x + variance_y + SSIM_C2))
    result: Tensor = similarity.flatten(1).mean(1)
    return result


def content_loss(x: Tensor, y: Tensor, pixel_weight: float = 1.0, ssim_weight: float = 1.0) -> Tensor:
    """How far a reconstruction is from its image: mean squared error + (1 − SSIM), weighted (DAE-Fuse eq. 9)."""
    pixel = (at_least_float32(x) - at_least_float32(y)).square().flatten(1).mean(1)
    return pixel_weight * pixel + ssim_weight * (1 - torch_ssim(x, y))


def torch_sobel(x: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical slopes of (N,C,H,W), per channel and pixel: kernel (1,2,1)×(−1,0,1), edges repeated."""
    return sobel(F.pad(at_least_float32(x), (1, 1, 1, 1), mode="replicate"))


def sobel_magnitude(x: Tensor) -> Tensor:
    """|S_x| + |S_y| of (N,C,H,W), per channel and pixel."""
    across, down = torch_sobel(x)
    return across.abs() + down.abs()


def texture_loss(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Mean distance of the fused image's Sobel magnitude from the larger one of its sources (DAE-Fuse eq. 15)."""
    wanted = torch.maximum(sobel_magnitude(a), sobel_magnitude(b))
    return (sobel_magnitude(fused) - wanted).abs().flatten(1).mean(1)


def directed_texture_loss(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Mean of |S_x − T_x| + |S_y − T_y|, where T is at every pixel the slope of the source that is steeper there.

    :func:`texture_loss` compares magnitudes alone, so that it ignores the sign and direction of slopes, is not convex
    in the fused image, and has minima with dotted artefacts. This one keeps the sign, is convex, and is an upper bound:
    | |S| − |T| | ≤ |S − T|.
    """
    of_a, of_b = torch_sobel(a), torch_sobel(b)
    steeper = of_a[0].abs() + of_a[1].abs() >= of_b[0].abs() + of_b[1].abs()
    slopes = zip(torch_sobel(fused), of_a, of_b, strict=True)
    distance = torch.stack([(slope - torch.where(steeper, x, y)).abs() for slope, x, y in slopes]).sum(0)
    return distance.flatten(1).mean(1)


def intensity_loss(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Mean distance of the fused image from the brighter of its sources (DAE-Fuse eq. 16)."""
    return (at_least_float32(fused) - at_least_float32(torch.maximum(a, b))).abs().flatten(1).mean(1)


def additive_intensity_loss(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Mean distance of the fused image from a + b less the mean of the darker of the two.

    The target is as bright as the maximum (max + min = a + b), and shows what either source shows also where the
    other one is brighter; it may leave [0,1].
    """
    darker = at_least_float32(torch.minimum(a, b))
    wanted = at_least_float32(a) + at_least_float32(b) - darker.mean((-2, -1), keepdim=True)
    return (at_least_float32(fused) - wanted).abs().flatten(1).mean(1)


TEXTURES = {"magnitude": texture_loss, "directed": directed_texture_loss}
INTENSITIES = {"max": intensity_loss, "sum": additive_intensity_loss}


def torch_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson correlation over the pixels, per image and channel, averaged over channels: (N,) in [−1,1].

    A channel that is constant in either image has correlation 0, with a finite gradient.
    """
    x, y = at_least_float32(x).flatten(2), at_least_float32(y).flatten(2)
    x, y = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    # normalising each side by itself keeps the product of two small norms from underflowing
    x, y = F.normalize(x, dim=-1, eps=1e-6), F.normalize(y, dim=-1, eps=1e-6)
    return (x * y).sum(-1).clamp(-1, 1).mean(1)


def decomposition_loss(
    high_a: Tensor, high_b: Tensor, low_a: Tensor, low_b: Tensor, epsilon: float = 1.01, limit: float = 10.0
) -> Tensor:
    """Detail features should differ and base features agree: CC(high)² / (CC(low) + ε), a scalar in [0, ``limit``].

    The correlations are averaged over the batch first. With ε = 1.01 the denominator falls to 0.01 when the base
    features anti-correlate; it is held at 1/``limit``, which bounds the loss by ``limit`` and, unlike clamping the
    quotient, leaves the numerator its gradient.

    Source: DAE-Fuse eq. 8, after CDDFuse (Zhao et al., CVPR 2023).
    """
    high, low = torch_correlation(high_a, high_b).mean(), torch_correlation(low_a, low_b).mean()
    return high.square() / (low + epsilon).clamp(min=1 / limit)
