"""MEF-SSIM: structure of the fused image against the strongest structure of all its sources."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import gaussian, local_covariance, local_moments, ones

SIZE = 11
K = 0.03
STEEPEST = 10.0  # the exponent p from which weighting counts as taking the maximum
CONTRAST_FLOOR = 0.001  # added to every source's contrast
EPS = float(np.finfo(np.float64).eps)
SECONDS = 60e-9  # a pixel of three images without compiled code, beside the filters


@image_metric
def mef_ssim(fused: Image, a: Image, b: Image, *more: Image) -> Array:
    """Structure of F against the desired structure of all sources: (N,H,W) on 0..255, sides ≥ 11, to (N,), -1..1.

    For each 11×11 window the desired patch has the highest contrast of the sources and the direction of their weighted
    structures; the fused patch is compared with it by the contrast and structure terms of SSIM. Means play no part.
    Two sources or more: further stacks follow ``b``.

    Raises:
        DataError: a side below 11 pixels.

    Source: Ma, Zeng, Wang 2015 (IEEE Trans. Image Process. 24, 3345), one scale.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.mef_ssim import mef_ssim
        >>> texture = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> faint = texture // 8
        >>> mef_ssim(texture, texture, faint).round(3).tolist()  # the source with the contrast
        [1.0]
        >>> mef_ssim(faint, texture, faint, faint).round(3).tolist()  # three sources
        [0.254]
    """
    need_side(fused, SIZE, "mef_ssim")
    return structural_quality(fused, (a, b, *more))


def structural_quality(fused: Image, sources: Sequence[Image]) -> Array:
    """Mean over the windows of the similarity with the desired patch, cached: the finest of several scales is the image
    itself."""

    def compute() -> Array:
        height, width = fused.shape
        total = 0.0
        for bands in zip(*(image.bands(SIZE // 2) for image in (fused, *sources)), strict=True):
            loops = LOOPS.compiled(SECONDS * bands[0].count) if fused.xp is np and len(sources) == 2 else None
            total = total + _similarity(loops, bands[0], bands[1:]).sum(AXES)
            for band in bands:
                band.clear_cache()
        return total / ((height - SIZE + 1) * (width - SIZE + 1))

    return fused.cached(("mef_ssim", *(source.serial for source in sources)), compute)


def _similarity(loops: ModuleType | None, fused: Image, sources: Sequence[Image]) -> Array:
    """(2σ_rF + C) / (σ_r² + σ_F² + C) per window; the desired patch is r = s·Σ_k c_k(x_k - μ_k), C = (0.03·255)².

    Compiled code is for two sources.
    """
    weights, key = gaussian(SIZE, 1.5), ("gaussian", SIZE, "valid")
    coefficients = _desired(fused.xp, sources) if loops is None else _compiled_desired(loops, sources)
    constant = (K * 255) ** 2
    mu_f, sigma_f_sq = local_moments(fused, weights, "valid", key)
    means, variances = zip(*(local_moments(source, weights, "valid", key) for source in sources), strict=True)
    with_fused = [
        local_covariance(fused, source, weights, "valid", (mu_f, mean))
        for source, mean in zip(sources, means, strict=True)
    ]
    among = {
        (i, j): local_covariance(sources[i], sources[j], weights, "valid", (means[i], means[j]))
        for i in range(len(sources))
        for j in range(i)
    }
    if loops is not None:
        values = np.empty(mu_f.shape)
        given = (np.ravel(each) for each in (sigma_f_sq, *variances, *with_fused, among[1, 0]))
        loops.mef_ssim_values(coefficients, *given, constant, values.reshape(-1))
        return values
    sigma_rf, sigma_r_sq = 0.0, 0.0
    for i in range(len(sources)):
        sigma_rf = sigma_rf + coefficients[i] * with_fused[i]
        sigma_r_sq = sigma_r_sq + coefficients[i] ** 2 * variances[i]
        for j in range(i):
            sigma_r_sq = sigma_r_sq + 2 * coefficients[i] * coefficients[j] * among[i, j]
    return (2 * sigma_rf + constant) / (sigma_r_sq + sigma_f_sq + constant)


def _compiled_desired(loops: ModuleType, sources: Sequence[Image]) -> np.ndarray:
    """:func:`_desired` of two sources, (2,n), but for tangents and powers, which are NumPy's in both."""
    box, key = ones(SIZE), ("box", SIZE, "valid")
    means, variances = zip(*(local_moments(source, box, "valid", key) for source in sources), strict=True)
    product = local_covariance(sources[1], sources[0], box, "valid", (means[1], means[0]))
    given = [np.ravel(each) for each in (*variances, product)]
    powers, factors = np.empty((3, product.size)), np.empty((2, product.size))
    loops.mef_ssim_agreement(*given, powers)
    exponent = np.minimum(np.tan(powers[0], out=powers[0]), STEEPEST, out=powers[0])
    np.power(powers[1:], exponent, out=powers[1:])
    loops.mef_ssim_factors(*given, powers[1:], factors)
    return factors


def _desired(xp: Any, sources: Sequence[Image]) -> list[Array]:
    """The factors s·c_k of the sources' structures in the desired patch, per window of 11×11 pixels."""
    box, key, count = ones(SIZE), ("box", SIZE, "valid"), SIZE**2
    means, variances = zip(*(local_moments(source, box, "valid", key) for source in sources), strict=True)
    # in the box moments whole-number sums are exact, so a flat window has a variance of exactly 0
    norms = [root(count * xp.clip(variance, 0, None)) for variance in variances]
    products = {}  # (x_i - μ_i)·(x_j - μ_j) per window
    for i, source in enumerate(sources):
        products[i, i] = norms[i] ** 2
        for j in range(i):
            products[i, j] = count * local_covariance(source, sources[j], box, "valid", (means[i], means[j]))
    sum_sq = sum(value * (1 if i == j else 2) for (i, j), value in products.items())
    # how far the sources' structures agree: 1 the same direction, 0 cancelling out
    agreement = (root(xp.clip(sum_sq, 0, None)) + EPS) / (sum(norms) + EPS)
    agreement = xp.clip(agreement, EPS, 1 - EPS)
    power = xp.clip(xp.tan(math.pi / 2 * agreement), None, STEEPEST)
    contrasts = [norm + CONTRAST_FLOOR for norm in norms]
    strengths = [(contrast / SIZE) ** power + EPS for contrast in contrasts]
    total = sum(strengths)
    factors = [s / total / contrast for s, contrast in zip(strengths, contrasts, strict=True)]
    length_sq = sum(factors[i] * factors[j] * value * (1 if i == j else 2) for (i, j), value in products.items())
    length = root(xp.clip(length_sq, 0, None))
    highest = contrasts[0]
    for contrast in contrasts[1:]:
        highest = xp.maximum(highest, contrast)
    scale = xp.where(length > 0, highest / xp.where(length > 0, length, 1.0), 0.0)
    return [factor * scale for factor in factors]


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one: flat, inverted and unrelated windows."""
    x = (np.arange(15 * 70).reshape(15, 70) * 37 % 251) ** 1.1
    flat = np.where(np.arange(70) < 30, 90.0, x)
    for triple in ((x[::-1], x, flat), (flat, flat[::-1], 255 - flat), (flat, flat, flat)):
        images = [Image(np.ascontiguousarray(each)) for each in triple]
        if not np.array_equal(*(_similarity(each, images[0], images[1:]) for each in (None, loops))):
            return False
    return True


LOOPS = Loops("mef_ssim", "fusionbench.metrics._pairs_compiled", _agrees)
_CHOICES = (
    "No luminance term: an image may be darker or brighter than both sources without losing anything.",
    "Grey images: the authors' code takes grey, too; its later version for colour is another measure.",
)
_EXPLOITS = "Any change of brightness is free; a gain or offset of the whole image costs only what it adds in contrast."

METRIC = Metric(
    name="mef_ssim",
    version="1",
    title="Structural similarity for multi-exposure fusion",
    label="MEF-SSIM",
    function=mef_ssim,
    needs="pair",
    many=True,
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Ma, Zeng, Wang 2015, IEEE Trans. Image Process. 24(11), 3345–3356",
    formula="Q = mean_w (2σ_rF + C)/(σ_r² + σ_F² + C),  r = max_k‖x̃_k‖ · Σ_k w_k x̃_k/‖x̃_k‖ normalised,  "
    "w_k ∝ (‖x̃_k‖/11)^p,  p = min(10, tan(πR/2)),  R = ‖Σx̃_k‖/Σ‖x̃_k‖,  C = (0.03·255)²",
    exploits=_EXPLOITS,
    choices=("One scale; tables mostly print the product over three scales (mef_ms_ssim).", *_CHOICES),
    edge_cases="Three equal images give almost 1 (0.001 is added to the contrast), flat or not; sides below 11 pixels "
    "are refused.",
    differentiable=True,
    invariances=("swapping the sources", "adding a constant to any image", "inversion of all three images"),
    min_side=SIZE,
    min_reason="its windows are 11×11",
    oracle="a plain loop over the windows",
)
