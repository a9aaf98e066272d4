"""SSIM: structural similarity of the fused image with its sources, or with a target."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import added, multiplied
from fusionbench.metrics._images import AXES, Array, Image, clamp_min, image_metric, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import Border, gaussian, local_covariance, local_moments, ones

Terms = tuple[Array, Array, Array]
Moments = tuple[Array, Array]
Constants = tuple[float, float, float]
K1, K2 = 0.01, 0.03
SECONDS = 8e-9  # a pixel and source without compiled code, beside the filters


@image_metric
def ssim(
    fused: Image,
    a: Image,
    b: Image,
    *more: Image,
    window: Literal["gaussian", "uniform"] = "gaussian",
    size: int = 11,
    data_range: float = 255.0,
    sample: bool = False,
    border: Border = "valid",
    over: Literal["mean", "sum"] = "mean",
    opposite: Literal["counts", "is nothing"] = "counts",
) -> Array:
    """Mean of SSIM(A,F), SSIM(B,F), …: three or more (N,H,W) on 0..255, sides of at least 11, to (N,), -1..1.

    Args:
        window: Gaussian of sigma 1.5, or a box; ``size`` taps along each side.
        data_range: L of the stabilising constants (0.01·L)² and (0.03·L)².
        sample: divide covariances by n - 1 instead of n.
        border: ``"valid"`` averages where the window lies inside the image.
        over: mean or sum of the two sources.
        opposite: whether windows of opposite structure lower the mean or count as 0.

    Raises:
        DataError: a side below the window's.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004 (IEEE Trans. Image Process. 13, 600).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.ssim import ssim
        >>> a = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)[None]  # a checkerboard
        >>> ssim(a, a, a).round(4).tolist()
        [1.0]
        >>> ssim(a, a, 255 - a).round(4).tolist()  # 1 with a, almost -1 with its inverse
        [0.0018]
    """
    found = similarities(fused, (a, b, *more), window, size, data_range, sample, border, opposite == "counts")
    return sum(found) / len(found) if over == "mean" else sum(found)


@image_metric
def ssim_target(fused: Image, target: Image) -> Array:
    """SSIM against a known target: two (N,H,W) on 0..255, sides of at least 11, to (N,), -1..1.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.ssim import ssim_target
        >>> flat = np.full((1, 16, 16), 100, np.uint8)
        >>> ssim_target(flat, flat).round(4).tolist()
        [1.0]
        >>> ssim_target(flat + 20, flat).round(4).tolist()  # (2·100·120 + C1) / (100² + 120² + C1), C1 = 6.5025
        [0.9836]
    """
    return similarities(fused, (target,))[0]


def similarities(
    fused: Image,
    sources: Sequence[Image],
    window: str = "gaussian",
    size: int = 11,
    data_range: float = 255.0,
    sample: bool = False,
    border: Border = "valid",
    signed: bool = True,
) -> list[Array]:
    """SSIM of the fused image with each source."""
    need_side(fused, size if border == "valid" else 1, "ssim")
    bands = [image.bands(size // 2) if border == "valid" else [image] for image in (fused, *sources)]
    totals: list[Array] = [0.0] * len(sources)
    options = (window, size, data_range, sample, border, signed)
    for fused_band, *source_bands in zip(*bands, strict=True):
        for i, source_band in enumerate(source_bands):
            totals[i] = totals[i] + _quarter_map(fused_band, source_band, *options).sum(AXES)
        for band in (fused_band, *source_bands):
            band.clear_cache()
    height, width = fused.shape
    windows = (height - size + 1) * (width - size + 1) if border == "valid" else height * width
    return [total * 4 / windows for total in totals]


def _quarter_map(
    fused: Image, source: Image, window: str, size: int, data_range: float, sample: bool, border: Border, signed: bool
) -> Array:
    """A quarter of the SSIM map: with C1/2 and C2/2 in the numerator both factors of 2 cancel out."""
    weights = gaussian(size, 1.5) if window == "gaussian" else ones(size)
    key = (window, size, border)
    half_c1, half_c2 = (K1 * data_range) ** 2 / 2, (K2 * data_range) ** 2 / 2
    correction = size**2 / (size**2 - 1) if sample else 1.0
    of_fused, of_source = (local_moments(image, weights, border, key) for image in (fused, source))
    sigma_fs = local_covariance(fused, source, weights, border, (of_fused[0], of_source[0]))
    constants = half_c1, half_c2, correction
    if (loops := _loops(fused)) is not None:
        return _compiled_values(loops, sigma_fs, of_fused, of_source, constants, signed)
    terms_key = "ssim", key, constants
    terms_f: Terms = fused.cached(terms_key, lambda: _terms(*of_fused, *constants))
    terms_s: Terms = source.cached(terms_key, lambda: _terms(*of_source, *constants))
    return _values(sigma_fs, terms_f, terms_s, constants, signed)


def _terms(mu: Array, sigma_sq: Array, half_c1: float, half_c2: float, correction: float) -> Terms:
    """(μ, μ² + C1/2, σ² + C2/2): the terms of two images add up to the factors of the denominator."""
    return mu, mu * mu + half_c1, sigma_sq * correction + half_c2


def _compiled_values(
    loops: ModuleType, sigma_fs: Array, fused: Moments, source: Moments, constants: Constants, signed: bool
) -> Array:
    """:func:`_values` from the moments, with the same bits."""
    values = np.ravel(sigma_fs)
    loops.ssim_values(values, *(np.ravel(each) for each in (*fused, *source)), *constants, signed)
    return values.reshape(sigma_fs.shape)


def _values(sigma_fs: Array, fused: Terms, source: Terms, constants: Constants, signed: bool) -> Array:
    """(μ_F·μ_S + C1/2)·(σ_FS + C2/2) / ((μ_F² + μ_S² + C1)·(σ_F² + σ_S² + C2)), in the memory of the covariance."""
    half_c1, half_c2, correction = constants
    if correction != 1:
        sigma_fs = multiplied(sigma_fs, correction)
    sigma_fs = added(sigma_fs, half_c2)
    if not signed:
        sigma_fs = clamp_min(sigma_fs, 0.0)
    numerator = multiplied(sigma_fs, added(fused[0] * source[0], half_c1))
    denominator = multiplied(fused[1] + source[1], fused[2] + source[2])
    # a new array, contiguous wherever the covariance came from: NumPy adds those that are not in another order
    return numerator / denominator


def _loops(image: Image) -> ModuleType | None:
    return LOOPS.compiled(SECONDS * image.count) if image.xp is np else None


def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one."""
    mu_f, sigma_f, mu_s, sigma_s, sigma_fs = np.random.default_rng(0).random((5, 3, 101)) * 99
    constants = (3.25, 29.0, 1.01)
    of_fused, of_source = _terms(mu_f, sigma_f, *constants), _terms(mu_s, sigma_s, *constants)
    return all(
        np.array_equal(
            _values(sigma_fs - 60, of_fused, of_source, constants, signed),
            _compiled_values(loops, sigma_fs - 60, (mu_f, sigma_f), (mu_s, sigma_s), constants, signed),
        )
        for signed in (True, False)
    )


LOOPS = Loops("ssim", "fusionbench.metrics._table_compiled", _agrees)
_REFERENCE = "Wang, Bovik, Sheikh, Simoncelli 2004, IEEE Trans. Image Process. 13(4), 600–612"

METRIC = Metric(
    name="ssim",
    version="1",
    title="Structural similarity",
    label="SSIM",
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
    differentiable=True,
    invariances=(
        "swapping the sources",
        "swapping source and fused image",
        "mirroring and transposing all three images",
    ),
    min_side=11,
    min_reason="its windows are 11×11",
    oracle="scikit-image structural_similarity; torchmetrics; piq",
    many=True,
)

TARGET_METRIC = Metric(
    name="ssim_target",
    version="1",
    title="Structural similarity against the target",
    label="SSIM to the target",
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
    differentiable=True,
    invariances=("swapping the images", "mirroring and transposing both images"),
    min_side=11,
    min_reason="its windows are 11×11",
    oracle="scikit-image structural_similarity; torchmetrics; piq",
)
