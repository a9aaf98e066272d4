"""Q_Y: structural similarity with the more relevant source of each window (Yang)."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._windows import gaussian, local_covariance, local_moments

SIZE = 7
SIMILAR = 0.75  # windows of sources this similar are averaged by variance; of others the better one counts
GUARD = 2e-16


@image_metric
def qy(fused: Image, a: Image, b: Image, *, flat: Literal["compared", "left out"] = "compared") -> Array:
    """Mean of a local choice between SSIM(A,F) and SSIM(B,F): three (N,H,W) on 0..255, sides ≥ 7, to (N,), -1..1.

    Args:
        flat: whether windows in which both sources are flat count; NaN if they do not and there is no other.

    Raises:
        DataError: a side below 7 pixels.

    Source: Yang, Zhang, Wang, Liu 2008 (Inf. Fusion 9, 156). Gaussian window 7×7 of sigma 1.5.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qy import qy
        >>> a = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> b = np.full_like(a, 128)
        >>> qy(a, a, b).round(4).tolist(), qy(b, a, b).round(4).tolist()  # each is one of the sources
        ([1.0], [1.0])
    """
    need_side(fused, SIZE, "qy")
    xp = fused.xp
    s_ab, s_af, s_bf = _ssim_map(a, b), _ssim_map(fused, a), _ssim_map(fused, b)
    sigma_a_sq, sigma_b_sq = _moments(a)[1], _moments(b)[1]
    total = sigma_a_sq + sigma_b_sq
    lambda_a = xp.where(total > 0, sigma_a_sq / xp.where(total > 0, total, 1.0), 0.5)
    value = xp.where(s_ab >= SIMILAR, lambda_a * s_af + (1 - lambda_a) * s_bf, xp.maximum(s_af, s_bf))
    if flat == "left out":
        counts = total > 0
        return xp.where(counts, value, 0.0).sum(AXES) / counts.sum(AXES)
    return value.mean(AXES)


def _moments(image: Image) -> tuple[Array, Array]:
    """(μ, σ²): the rounding error of a flat window's variance is set to 0."""

    def compute() -> tuple[Array, Array]:
        mean, variance = local_moments(image, gaussian(SIZE, 1.5), "valid", ("gaussian", SIZE, "valid"))
        return mean, image.xp.where(variance < 1e-9, 0.0, variance)

    return image.cached("qy moments", compute)


def _ssim_map(x: Image, y: Image) -> Array:
    """SSIM practically without stabilising constants; 1 for two equal flat windows, 0 where only one is flat."""

    def compute() -> Array:
        xp = x.xp
        (mu_x, sigma_x_sq), (mu_y, sigma_y_sq) = _moments(x), _moments(y)
        mu_xy = mu_x * mu_y
        sigma_xy = local_covariance(x, y, gaussian(SIZE, 1.5), "valid", (mu_x, mu_y))
        sigma_xy = xp.where((sigma_x_sq == 0) | (sigma_y_sq == 0), 0.0, sigma_xy)
        luminance = (2 * mu_xy + GUARD) / (mu_x**2 + mu_y**2 + GUARD)
        return luminance * (2 * sigma_xy + GUARD) / (sigma_x_sq + sigma_y_sq + GUARD)

    return x.cached(("qy similarity", y.serial), compute)


METRIC = Metric(
    name="qy",
    version="1",
    title="Yang's structural similarity measure Q_Y",
    label="Qy",
    function=qy,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Yang, Zhang, Wang, Liu 2008, Inf. Fusion 9(2), 156–160",
    formula="Q_Y = mean[λ s(A,F) + (1-λ) s(B,F) where s(A,B) ≥ 0.75, else max(s(A,F), s(B,F))],  λ = σ_A²/(σ_A²+σ_B²)",
    exploits="Copying whole regions of either source gives 1 there.",
    choices=(
        "Flat windows: two equal ones are alike (1), one flat one is unlike (0). The published code gives NaN for the "
        "whole image as soon as one such window occurs.",
    ),
    edge_cases="1 for three equal images, flat or not; sides below 7 pixels are refused.",
    differentiable=True,
    gradient="Between jumps: which of two formulas a window takes is a threshold.",
    invariances=("swapping the sources",),
    min_side=SIZE,
    min_reason="its windows are 7×7",
    oracle="a direct SciPy convolve2d composition",
)
