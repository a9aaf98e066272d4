"""VIF: visual information fidelity in the pixel domain (VIF-p), between each source and the fused image."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fusionbench.contracts import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, at_least, image_metric, need_side
from fusionbench.metrics._windows import Border, gaussian, halve, local_moments, separable

SIZES = (17, 9, 5, 3)  # window of each scale, 2^(5-s) + 1, with a sigma of a fifth of it
MIN_SIDE = 41  # below it the fourth scale is empty
NOISE = 2.0  # variance of the visual noise for images on 0..255
TINY = 1e-10
_GROUP = 16  # factors multiplied before one logarithm: each is below 2^15, so a product stays below 2^240


@image_metric
def vif(
    fused: Image,
    a: Image,
    b: Image,
    *,
    over: Literal["sum", "mean"] = "sum",
    arithmetic: Literal["float", "uint8"] = "float",
    window: Literal["centred", "off-centre"] = "centred",
    border: Border = "valid",
) -> Array:
    """VIFp(A,F) + VIFp(B,F): three (N,H,W) on 0..255, sides of at least 41, to (N,); 2 for three equal images.

    Args:
        over: sum or mean of the two sources.
        arithmetic: ``"uint8"`` lets the products of the first scale saturate at 255, as 8-bit MATLAB arrays do.
        window, border: a dialect's window (its taps run over linspace(-N/2, N/2) rounded down) and padding.

    A flat source has no information to lose: its share is 1. Not symmetric in source and fused image.

    Raises:
        DataError: a side below 41 pixels.

    Source: Sheikh, Bovik 2006 (IEEE Trans. Image Process. 15, 430), pixel-domain version, noise variance 2.
    """
    need_side(fused, MIN_SIDE if border == "valid" else 9, "vif")
    form = (arithmetic, window, border)
    kept, available = [0.0, 0.0], [0.0, 0.0]
    scales = [[at_scale(image, scale, window, border) for image in (fused, a, b)] for scale in range(len(SIZES))]
    for scale, levels in enumerate(scales):
        halo = SIZES[scale] // 2
        # a padded image stays in one piece
        bands = [level.bands(halo) if border == "valid" else [level] for level in levels]
        for of_f, *of_sources in zip(*bands, strict=True):
            for place, source in enumerate(of_sources):
                kept[place] = kept[place] + _passed(source, of_f, scale, form)
                available[place] = available[place] + _available(source, scale, form)
            for band in (of_f, *of_sources):
                band.release()
    # a flat source has no information to lose
    shares = [fused.xp.where(y > 0, x / y, 1.0) for x, y in zip(kept, available, strict=True)]
    return (shares[0] + shares[1]) / 2 if over == "mean" else shares[0] + shares[1]


def taps(scale: int, window: str) -> np.ndarray:
    """Weights of a scale's window along one axis, sum 1."""
    size = SIZES[scale]
    if window == "centred":
        return gaussian(size, size / 5)
    # a floor division of a negative number puts the first tap one further out than the last
    weights = np.exp(-(np.linspace(-size // 2, size // 2, size) ** 2) / (2 * (size / 5) ** 2))
    return weights / weights.sum()


def at_scale(image: Image, scale: int, window: str = "centred", border: Border = "valid") -> Image:
    """The image of a scale (0 is full size): each is smoothed by its own window and every second pixel kept."""
    if scale == 0:
        return image
    key = ("vif scale", scale, window, border)
    return image.keep(
        key,
        lambda: image.derived(halve(at_scale(image, scale - 1, window, border), taps(scale, window), border)),
    )


def statistics(image: Image, scale: int, form: tuple[str, str, Border]) -> tuple[Array, Array]:
    """Local mean and variance (clipped at 0) of an image of one scale, kept."""
    arithmetic, window, border = form
    weights = taps(scale, window)

    def make() -> tuple[Array, Array]:
        if arithmetic == "uint8" and scale == 0:
            mean = separable(image.pixels, weights, border=border)
            variance = separable(_saturated(image, image), weights, border=border) - mean * mean
        else:
            mean, variance = local_moments(image, weights, border, form)
        return mean, at_least(variance, 0.0)

    return image.keep(("vif statistics", scale, form), make)


def covariance(x: Image, y: Image, scale: int, form: tuple[str, str, Border]) -> Array:
    """Local covariance of two images of one scale."""
    arithmetic, window, border = form
    product = _saturated(x, y) if arithmetic == "uint8" and scale == 0 else x.pixels * y.pixels
    result = separable(product, taps(scale, window), border=border)
    result -= statistics(x, scale, form)[0] * statistics(y, scale, form)[0]
    return result


def _saturated(x: Image, y: Image) -> Array:
    return x.xp.clip(x.xp.round(x.pixels) * x.xp.round(y.pixels), None, 255)


def _passed(source: Image, fused: Image, scale: int, form: tuple[str, str, Border]) -> Array:
    """Sum over pixels of ln(1 + g²·s1/(sv + noise)) at one scale: the channel F = g·source + N(0, sv)."""
    inverse, weight = source.keep(("vif inverse", scale, form), lambda: _inverse(statistics(source, scale, form)[1]))
    dull, noisy = fused.keep(("vif noisy", scale, form), lambda: _noisy(statistics(fused, scale, form)[1]))
    square = covariance(source, fused, scale, form)
    square = at_least(square, 0.0)  # a negative gain counts as none
    if dull is not None:
        square[dull] = 0
    square *= square
    noise = square * inverse  # g times the covariance
    noise = at_least(fused.xp.subtract(noisy, noise, out=noise), TINY + NOISE)
    square *= weight
    square /= noise
    square += 1
    return log_sum(square)


def _inverse(s1: Array) -> tuple[Array, Array]:
    """g per covariance, and g²·s1 per squared covariance; both 0 where the source has no variance."""
    inverse = 1 / (s1 + TINY)
    weak = _where_flat(s1)
    if weak is not None:
        inverse[weak] = 0
    weight = inverse * inverse
    weight *= s1
    return inverse, weight


def _where_flat(variance: Array) -> Array | None:
    """Mask of what counts as no variance, or None for nowhere."""
    flat = variance < TINY
    return flat if bool(flat.any()) else None


def _noisy(s2: Array) -> tuple[Array | None, Array]:
    """(where the fused image has no variance, or None for nowhere; its variance plus the noise of the eye)."""
    return _where_flat(s2), s2 + NOISE


def _available(source: Image, scale: int, form: tuple[str, str, Border]) -> Array:
    """Sum over pixels of ln(1 + s1/noise) at one scale: what a perfect image would pass."""

    def make() -> Array:
        s1 = statistics(source, scale, form)[1]
        ratio = s1 / NOISE
        weak = _where_flat(s1)
        if weak is not None:
            ratio[weak] = 0
        ratio += 1
        return log_sum(ratio)

    return source.keep(("vif available", scale, form), make)


def log_sum(values: Array) -> Array:
    """Sum of natural logarithms of values in 1..2^15 over the last two axes, one logarithm per 16 values."""
    if isinstance(values, np.ndarray):
        flat = values.reshape(-1)
        whole = len(flat) // _GROUP
        products = np.multiply.reduce(flat[: whole * _GROUP].reshape(_GROUP, whole), axis=0)
        return np.log(products).sum() + np.log(flat[whole * _GROUP :]).sum()
    return values.log().sum(AXES)


METRIC = Metric(
    name="vif",
    version="1",
    title="Visual information fidelity",
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
    edge_cases="A flat source counts as 1; a flat fused image keeps nothing of a structured source (0); "
    "sides below 41 pixels are refused.",
    invariances=("swapping the sources", "mirroring all three images when both sides are 1 mod 8"),
    min_side=MIN_SIDE,
    min_reason="the coarsest of its four scales has no window left",
    oracle="torchmetrics visual_information_fidelity; piq vif_p; a direct SciPy convolve2d composition",
)
