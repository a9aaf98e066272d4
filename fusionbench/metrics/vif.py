"""VIF: visual information fidelity in the pixel domain (VIF-p), between each source and the fused image."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any, Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import added, divided, filled, multiplied, subtracted, subtracted_from
from fusionbench.metrics._images import AXES, Array, Image, clamp_min, image_metric, need_side, whole_levels
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import (
    Border,
    downsample,
    exact_exp,
    gaussian,
    local_moments,
    products,
    separable,
    with_sum_one,
)

SIZES = (17, 9, 5, 3)  # window of each scale, 2^(5-s) + 1, with a sigma of a fifth of it
MIN_SIDE = 41  # below it the fourth scale is empty
SIGMA_N_SQ = 2.0  # variance of the visual noise N for images on 0..255
TINY = 1e-10
SECONDS = 8e-9  # a pixel, scale and source without compiled code, beside the filters
_GROUP = 16  # factors multiplied before one logarithm: each is below 2^15, so a product stays below 2^240


@image_metric
def vif(
    fused: Image,
    a: Image,
    b: Image,
    *more: Image,
    over: Literal["sum", "mean"] = "sum",
    arithmetic: Literal["float", "uint8"] = "float",
    window: Literal["centred", "off-centre"] = "centred",
    border: Border = "valid",
) -> Array:
    """VIFp(A,F) + VIFp(B,F) + …: three or more (N,H,W) on 0..255, sides of at least 41, to (N,).

    Args:
        over: sum or mean of the two sources.
        arithmetic: ``"uint8"`` lets the products of the first scale saturate at 255, as 8-bit MATLAB arrays do.
        window, border: a dialect's window (its taps run over linspace(-N/2, N/2) rounded down) and padding.

    It is 2 for three equal images. A flat source has no information to lose: its VIF is 1. Not symmetric in source and
    fused image.

    Raises:
        DataError: a side below 41 pixels.

    Source: Sheikh, Bovik 2006 (IEEE Trans. Image Process. 15, 430), pixel-domain version, noise variance 2.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.vif import vif
        >>> a = (np.arange(48 * 48) * 37 % 251).astype(np.uint8).reshape(1, 48, 48)
        >>> flat = np.full_like(a, 128)
        >>> vif(a, a, a).round(4).tolist(), vif(flat, a, a).round(4).tolist()  # all of the information, none of it
        ([2.0], [0.0])
        >>> vif(flat, a, flat).round(4).tolist()  # a flat source has no information to lose
        [1.0]
    """
    need_side(fused, MIN_SIDE if border == "valid" else 9, "vif")
    form = (arithmetic, window, border)
    images = (fused, a, b, *more)
    fused_info, source_info = [0.0] * (len(images) - 1), [0.0] * (len(images) - 1)
    scales = [[at_scale(image, scale, window, border) for image in images] for scale in range(len(SIZES))]
    for scale, levels in enumerate(scales):
        halo = SIZES[scale] // 2
        # padding needs the whole image
        bands = [level.bands(halo) if border == "valid" else [level] for level in levels]
        for fused_band, *source_bands in zip(*bands, strict=True):
            for i, source in enumerate(source_bands):
                fused_info[i] = fused_info[i] + fused_information(source, fused_band, scale, form)
                source_info[i] = source_info[i] + source_information(source, scale, form)
            for band in (fused_band, *source_bands):
                band.clear_cache()
    # a flat source has no information to lose
    found = [_share(fused.xp, x, y) for x, y in zip(fused_info, source_info, strict=True)]
    return sum(found) / len(found) if over == "mean" else sum(found)


def _share(xp: Any, kept: Array, whole: Array) -> Array:
    """``kept / whole``, 1 where there is nothing to keep."""
    return xp.where(whole > 0, kept / xp.where(whole > 0, whole, 1.0), 1.0)


@functools.cache
def taps(scale: int, window: str) -> np.ndarray:
    """Weights of a scale's window along one axis, sum 1."""
    size = SIZES[scale]
    if window == "centred":
        return gaussian(size, size / 5)
    # floor division of a negative number places the first tap one further out than the last
    places, sigma = np.linspace(-size // 2, size // 2, size), size / 5
    return with_sum_one(exact_exp(-(places**2) / (2 * sigma * sigma)))


def at_scale(image: Image, scale: int, window: str = "centred", border: Border = "valid") -> Image:
    """The image of a scale (0 is full size): each is smoothed by its own window, then every second pixel is taken."""
    if scale == 0:
        return image
    key = ("vif scale", scale, window, border)
    return image.cached(
        key,
        lambda: image.with_pixels(downsample(at_scale(image, scale - 1, window, border), taps(scale, window), border)),
    )


def statistics(image: Image, scale: int, form: tuple[str, str, Border]) -> tuple[Array, Array]:
    """Local mean μ and variance σ² (clipped at 0) of an image of one scale, cached."""
    arithmetic, window, border = form
    weights = taps(scale, window)

    def compute() -> tuple[Array, Array]:
        if arithmetic == "uint8" and scale == 0:
            mean = separable(image.pixels, weights, border=border)
            variance = separable(_saturated(image, image), weights, border=border) - mean * mean
            return mean, clamp_min(variance, 0.0)
        return local_moments(image, weights, border, form, clip=True)

    return image.cached(("vif statistics", scale, form), compute)


def covariance_at_scale(x: Image, y: Image, scale: int, form: tuple[str, str, Border]) -> Array:
    """Local covariance of two images of one scale."""
    arithmetic, window, border = form
    weights = taps(scale, window)
    means = statistics(x, scale, form)[0], statistics(y, scale, form)[0]
    if arithmetic == "uint8" and scale == 0:
        return subtracted(separable(_saturated(x, y), weights, border=border), means[0] * means[1])
    return products(x.pixels, y.pixels, weights, border, means)


def _saturated(x: Image, y: Image) -> Array:
    return x.xp.clip(whole_levels(x, x.pixels) * whole_levels(y, y.pixels), None, 255)


def fused_information(source: Image, fused: Image, scale: int, form: tuple[str, str, Border]) -> Array:
    """Σ ln(1 + g²·σ_S²/(σ_V² + σ_N²)) at one scale: what the eye extracts about the source from F = g·S + V.

    With g = σ_SF/σ_S² and σ_V² = σ_F² − g·σ_SF. In place, as the arrays are large and the formula is the metric's cost.
    """
    gain, signal, _ = _of_source(source, scale, form)
    variance, covariance = statistics(fused, scale, form)[1], covariance_at_scale(source, fused, scale, form)
    return _fused_logarithms(_loops(source), covariance, variance, gain, signal)


def _fused_logarithms(
    loops: ModuleType | None, sigma_sf: Array, sigma_f_sq: Array, gain: Array, signal: Array
) -> Array:
    """Σ ln(1 + g²·σ_S²/(σ_V² + σ_N²)), overwriting the covariance; gain and signal are from :func:`_source_terms`."""
    if loops is not None:
        groups = _groups(sigma_sf.size)
        loops.vif_values(*(np.ravel(each) for each in (sigma_sf, sigma_f_sq, gain, signal)), groups)
        return _sum_of_groups(groups, sigma_sf.size)
    flat = _where_flat(sigma_f_sq)
    sigma_sf = clamp_min(sigma_sf, 0.0)  # a negative gain counts as none
    if flat is not None:
        sigma_sf = filled(sigma_sf, flat, 0.0)
    sigma_sf_sq = multiplied(sigma_sf, sigma_sf)
    g_sigma_sf = sigma_sf_sq * gain
    sigma_v_sq_plus_n = clamp_min(subtracted_from(sigma_f_sq + SIGMA_N_SQ, g_sigma_sf), TINY + SIGMA_N_SQ)
    return log_sum(added(divided(multiplied(sigma_sf_sq, signal), sigma_v_sq_plus_n), 1))


def source_information(source: Image, scale: int, form: tuple[str, str, Border]) -> Array:
    """Σ ln(1 + σ_S²/σ_N²) at one scale: what the eye extracts from the source itself."""
    return _of_source(source, scale, form)[2]


def _of_source(source: Image, scale: int, form: tuple[str, str, Border]) -> tuple[Array, Array, Array]:
    """What depends on the source alone, cached: the factors of :func:`_source_terms` and its information."""

    key = "vif source", scale, form
    return source.cached(key, lambda: _source_terms(_loops(source), statistics(source, scale, form)[1]))


def _source_terms(loops: ModuleType | None, sigma_s_sq: Array) -> tuple[Array, Array, Array]:
    """(g/σ_SF, g²·σ_S²/σ_SF², Σ ln(1 + σ_S²/σ_N²)); where it is flat: 0, 0 and the logarithm of 1."""
    if loops is not None:
        gain, signal = np.empty((2, *sigma_s_sq.shape))
        groups = _groups(sigma_s_sq.size)
        loops.vif_source(np.ravel(sigma_s_sq), gain.reshape(-1), signal.reshape(-1), groups)
        return gain, signal, _sum_of_groups(groups, sigma_s_sq.size)
    g_over_sigma_sf, snr = 1 / (sigma_s_sq + TINY), sigma_s_sq / SIGMA_N_SQ
    flat = _where_flat(sigma_s_sq)
    if flat is not None:
        g_over_sigma_sf, snr = filled(g_over_sigma_sf, flat, 0.0), filled(snr, flat, 0.0)
    return g_over_sigma_sf, multiplied(g_over_sigma_sf * g_over_sigma_sf, sigma_s_sq), log_sum(added(snr, 1))


def _loops(image: Image) -> ModuleType | None:
    return LOOPS.compiled(SECONDS * image.count) if image.xp is np else None


def _where_flat(sigma_sq: Array) -> Array | None:
    """Mask of windows without variance, or None if there are none."""
    flat = sigma_sq < TINY
    return flat if bool(flat.any()) else None


def log_sum(values: Array) -> Array:
    """Sum of natural logarithms of values in 1..2^15 over the last two axes, one logarithm per 16 values."""
    if isinstance(values, np.ndarray):
        flat = values.reshape(-1)
        whole = len(flat) // _GROUP
        products = np.multiply.reduce(flat[: whole * _GROUP].reshape(_GROUP, whole), axis=0)
        return np.log(products).sum() + np.log(flat[whole * _GROUP :]).sum()
    return values.log().sum(AXES)


def _groups(count: int) -> np.ndarray:
    """Where compiled code puts what :func:`log_sum` of so many values takes logarithms of."""
    return np.empty(count // _GROUP + count % _GROUP)


def _sum_of_groups(groups: np.ndarray, count: int) -> Array:
    logarithms, whole = np.log(groups), count // _GROUP
    return logarithms[:whole].sum() + logarithms[whole:].sum()


@np.errstate(divide="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one, with flat windows among others."""
    variance, covariance = np.random.default_rng(0).random((2, 3, 101)) * 9
    flat = np.arange(303).reshape(3, 101) % 7 < 3
    both = []
    for each in (None, loops):
        gain, signal, information = _source_terms(each, np.where(flat, 0.0, variance))
        given = covariance - 4, np.where(flat[::-1], 0.0, variance[::-1]), gain, signal
        both.append([gain, signal, information, _fused_logarithms(each, *given)])
    return all(np.array_equal(one, other) for one, other in zip(*both, strict=True))


LOOPS = Loops("vif", "fusionbench.metrics._table_compiled", _agrees)


METRIC = Metric(
    name="vif",
    version="1",
    title="Visual information fidelity",
    label="VIF",
    function=vif,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, float("inf")),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Sheikh, Bovik 2006, IEEE Trans. Image Process. 15(2), 430–444",
    formula="VIF = Σ_{X=A,B} [Σ_s Σ ln(1 + g²s1/(sv+2))] / [Σ_s Σ ln(1 + s1/2)],  4 scales, windows of 17, 9, 5, 3",
    exploits="Copying the source with the finer texture unchanged beats published methods; contrast gain raises it.",
    choices=(
        "Pixel domain, not the wavelet domain, and not Han's VIFF (that is viff).",
        "Sum of the two sources; a mean is half of it.",
        "Images on 0..255 with noise variance 2; the same images on 0..1 give another number (1.6 % more on one pair).",
        "Windows inside the image only; zero padding and an off-centre window give 2 to 30 % more (ivif-zoo).",
        "Saving the fused image as JPEG (quality 75) lowered six real results by 0.00 to 0.20.",
        "float64: float32 is wrong by up to 4e-4 relative.",
    ),
    edge_cases="A flat source counts as 1; a flat fused image has no information about a structured source (0); "
    "sides below 41 pixels are refused.",
    differentiable=True,
    gradient="0 where the covariance of a window is negative, which counts as none.",
    invariances=("swapping the sources", "mirroring all three images when both sides are 1 mod 8"),
    min_side=MIN_SIDE,
    min_reason="the coarsest of its four scales has no window left",
    oracle="torchmetrics visual_information_fidelity; piq vif_p; a direct SciPy convolve2d composition",
    many=True,
)
