"""SSIM: structural similarity of the fused image with its sources, or with a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from fusionbench.contracts import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._windows import Border, gaussian, local_covariance, local_moments, ones

K1, K2 = 0.01, 0.03


@image_metric
def ssim(
    fused: Image,
    a: Image,
    b: Image,
    *,
    window: Literal["gaussian", "uniform"] = "gaussian",
    size: int = 11,
    data_range: float = 255.0,
    sample: bool = False,
    border: Border = "valid",
    over: Literal["mean", "sum"] = "mean",
) -> Array:
    """Mean of SSIM(A,F) and SSIM(B,F): three (N,H,W) on 0..255, sides of at least 11, to (N,), -1..1.

    Args:
        window: Gaussian of sigma 1.5, or a box; ``size`` taps along each side.
        data_range: L of the stabilising constants (0.01·L)² and (0.03·L)².
        sample: divide covariances by n - 1 instead of n.
        border: ``"valid"`` averages where the window lies inside the image.
        over: mean or sum of the two sources.

    Raises:
        DataError: a side below the window's.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004 (IEEE Trans. Image Process. 13, 600).
    """
    form = (window, size, data_range, sample, border)
    shares = similarities(fused, (a, b), *form)
    return (shares[0] + shares[1]) / 2 if over == "mean" else shares[0] + shares[1]


@image_metric
def ssim_target(fused: Image, target: Image) -> Array:
    """SSIM against a known target: two (N,H,W) on 0..255, sides of at least 11, to (N,), -1..1."""
    return similarities(fused, (target,))[0]


def similarities(
    fused: Image,
    sources: Sequence[Image],
    window: str = "gaussian",
    size: int = 11,
    data_range: float = 255.0,
    sample: bool = False,
    border: Border = "valid",
) -> list[Array]:
    """SSIM of the fused image with each source."""
    need_side(fused, size if border == "valid" else 1, "ssim")
    bands = [image.bands(size // 2) if border == "valid" else [image] for image in (fused, *sources)]
    totals: list[Array] = [0.0] * len(sources)
    for of_f, *of_sources in zip(*bands, strict=True):
        for place, source in enumerate(of_sources):
            totals[place] = totals[place] + _quarter(of_f, source, window, size, data_range, sample, border).sum(AXES)
        for band in (of_f, *of_sources):
            band.release()
    height, width = fused.shape
    windows = (height - size + 1) * (width - size + 1) if border == "valid" else height * width
    return [total * 4 / windows for total in totals]


def _quarter(
    fused: Image, source: Image, window: str, size: int, data_range: float, sample: bool, border: Border
) -> Array:
    """A quarter of SSIM under every position of the window: with halved constants both factors of 2 cancel out."""
    weights = gaussian(size, 1.5) if window == "gaussian" else ones(size)
    key = (window, size, border)
    half1, half2 = (K1 * data_range) ** 2 / 2, (K2 * data_range) ** 2 / 2
    factor = size**2 / (size**2 - 1) if sample else 1.0
    form = (key, half1, half2, factor)
    mean_f, square_f, spread_f = fused.keep(("ssim", form), lambda: _halves(fused, weights, *form))
    mean_s, square_s, spread_s = source.keep(("ssim", form), lambda: _halves(source, weights, *form))
    product = mean_f * mean_s
    value = local_covariance(fused, source, weights, border, product)
    if factor != 1:
        value *= factor
    value += half2
    product += half1
    value *= product
    below = square_f + square_s
    below *= spread_f + spread_s
    value /= below
    return value


def _halves(
    image: Image, weights: np.ndarray, key: tuple[str, int, Border], half1: float, half2: float, factor: float
) -> tuple[Array, Array, Array]:
    """(mean, mean² + C1/2, variance + C2/2): two images' halves add up to the denominators of SSIM."""
    mean, variance = local_moments(image, weights, key[2], key)
    return mean, mean * mean + half1, variance * factor + half2


_REFERENCE = "Wang, Bovik, Sheikh, Simoncelli 2004, IEEE Trans. Image Process. 13(4), 600–612"

METRIC = Metric(
    name="ssim",
    version="1",
    title="Structural similarity",
    function=ssim,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference=_REFERENCE,
    formula="SSIM = (s(A,F) + s(B,F))/2,  s = mean[(2μμ'+C1)(2σ''+C2) / ((μ²+μ'²+C1)(σ²+σ'²+C2))]",
    exploits="The plain average of both sources ranks first on published sets.",
    choices=(
        "Gaussian window of 11 taps, sigma 1.5, population covariances, inside the image only, L = 255.",
        "Mean of the two sources; cddfuse, vifb and ivif-zoo print the sum.",
        "cddfuse sums 7×7 box windows with L = 2 on 0..255, nearly without stabilising constants: 1.03 instead of "
        "2·0.69 on its own TNO images.",
        "torchmetrics reflects the image at its border and keeps the border; piq halves images above 384 pixels first.",
    ),
    edge_cases="Three equal images give 1, flat or not; sides below 11 pixels are refused.",
    invariances=(
        "swapping the sources",
        "swapping source and fused image",
        "mirroring and transposing all three images",
    ),
    min_side=11,
    min_reason="its windows are 11×11",
    oracle="scikit-image structural_similarity; torchmetrics; piq",
)

TARGET_METRIC = Metric(
    name="ssim_target",
    version="1",
    title="Structural similarity against the target",
    function=ssim_target,
    needs="target",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference=_REFERENCE,
    formula="SSIM = mean[(2μμ'+C1)(2σ''+C2) / ((μ²+μ'²+C1)(σ²+σ'²+C2))]",
    exploits="A blurred mean image scores well where the target is smooth.",
    choices=("Gaussian window of 11 taps, sigma 1.5, population covariances, inside the image only, L = 255.",),
    edge_cases="Two equal images give 1, flat or not; sides below 11 pixels are refused.",
    invariances=("swapping the images", "mirroring and transposing both images"),
    min_side=11,
    min_reason="its windows are 11×11",
    oracle="scikit-image structural_similarity; torchmetrics; piq",
)
