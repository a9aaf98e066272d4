"""Q_P: how well features found by phase congruency survive in the fused image (Zhao)."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._windows import gaussian, separable

SCALES, ORIENTATIONS = 4, 6
MIN_WAVELENGTH, STEP = 3.0, 2.1  # wavelength of the finest filters in pixels, and its growth from scale to scale
BANDWIDTH, ANGULAR = 0.55, 1.2
NOISE_SIGMAS, NOISE_SCALE = 2.0, 1.7
CUT, SHARPNESS = 0.5, 10.0
GUARD, THRESHOLD, CONSTANT = 1e-4, 0.1, 1e-4
LowPass = Literal["centred", "off by one"]
MIN_SIDE = 28  # one wavelength of the coarsest filters


@image_metric
def qp(fused: Image, a: Image, b: Image, *, low_pass: LowPass = "centred") -> Array:
    """Product of three local correlations of phase congruency maps: three (N,H,W) on 0..255, sides ≥ 28, to (N,).

    The maps are phase congruency and its maximum and minimum moment; each is correlated with that of A, of B and
    of the stronger of both, and the best counts. NaN where no source has a feature.

    Args:
        low_pass: ``"off by one"`` puts the filters' low-pass one bin off the centre at odd sizes.

    Raises:
        DataError: a side below 28 pixels.

    Source: Zhao, Laganière, Liu 2007 (Int. J. Innov. Comput. Inf. Control 3, 1433); Kovesi 1999, 2003.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qp import qp
        >>> a = np.zeros((1, 32, 32), np.uint8)
        >>> a[0, 8:24, 8:24] = 200  # a square
        >>> qp(a, a, a).round(2).tolist()
        [0.92]
        >>> qp(np.full_like(a, 50), a, a).round(2).tolist()  # the exploit: a constant image
        [1.0]
    """
    need_side(fused, MIN_SIDE, "qp")
    xp = fused.xp
    maps_f, maps_a, maps_b = (_maps(image, low_pass) for image in (fused, a, b))
    pc_a, pc_b = maps_a[0], maps_b[0]
    from_a = pc_a > pc_b
    product: Array = 1.0
    masks = [pc_a > THRESHOLD, pc_b > THRESHOLD]
    masks.append(xp.where(from_a, pc_a, pc_b) > THRESHOLD)
    features = masks[2].sum(AXES)
    for map_f, map_a, map_b in zip(maps_f, maps_a, maps_b, strict=True):
        stronger = xp.where(from_a, map_a, map_b)
        best = _correlations(xp, map_f, [map_a, map_b, stronger], masks)
        product = product * xp.where(features > 0, best.sum(AXES) / xp.clip(features, 1, None), xp.nan)
    return product


def has_features(image: Image) -> bool:
    """Whether the phase congruency of one image exceeds the threshold anywhere."""
    return bool((_maps(image, "centred")[0] > THRESHOLD).any())


def _correlations(xp: Any, fused: Array, maps: list[Array], masks: list[Array]) -> Array:
    """The largest of the local correlations, where a map has features; 0 elsewhere."""
    weights = gaussian(11, 1.5)

    def smooth(x: Array) -> Array:
        return separable(x, weights, border="zero")

    mu_f = smooth(fused)
    sigma_f_sq = smooth(fused * fused) - mu_f * mu_f
    best = None
    for source, mask in zip(maps, masks, strict=True):
        masked = xp.where(mask, source, 0.0)
        mu_s = smooth(masked)
        sigma_s_sq = smooth(masked * masked) - mu_s * mu_s
        sigma_sf = smooth(masked * fused) - mu_s * mu_f
        correlation = (sigma_sf + CONSTANT) / (root(xp.abs(sigma_s_sq * sigma_f_sq)) + CONSTANT)
        correlation = xp.where(mask, correlation, 0.0)
        best = correlation if best is None else xp.maximum(best, correlation)
    return best


def _maps(image: Image, low_pass: LowPass) -> tuple[Array, Array, Array]:
    """(phase congruency, its maximum moment, its minimum moment), cached."""
    return image.cached(("phase congruency", low_pass), lambda: _compute_maps(image, low_pass))


def _compute_maps(image: Image, low_pass: LowPass) -> tuple[Array, Array, Array]:
    xp, x = image.xp, image.pixels
    height, width = image.shape
    spectrum = xp.fft.fft2(x)
    energy_sum, amplitude_sum, xx, yy, xy = 0.0, 0.0, 0.0, 0.0, 0.0
    for orientation in range(ORIENTATIONS):
        filters, noise_gain = _filters(height, width, orientation, low_pass)
        energy, amplitudes = _energy(xp, spectrum, filters, noise_gain)
        energy_sum, amplitude_sum = energy_sum + energy, amplitude_sum + amplitudes
        congruency = xp.where(amplitudes > 0, energy / xp.where(amplitudes > 0, amplitudes, 1.0), 0.0)
        angle = orientation * math.pi / ORIENTATIONS
        cosine, sine = congruency * math.cos(angle), congruency * math.sin(angle)
        xx, yy, xy = xx + cosine * cosine, yy + sine * sine, xy + cosine * sine
    xx, yy, xy = xx / (ORIENTATIONS / 2), yy / (ORIENTATIONS / 2), xy / ORIENTATIONS
    spread = root(xy * xy + (xx - yy) ** 2) + GUARD
    return energy_sum / (amplitude_sum + GUARD), (xx + yy + spread) / 2, (xx + yy - spread) / 2


def _energy(xp: Any, spectrum: Array, filters: np.ndarray, noise_gain: float) -> tuple[Array, Array]:
    """(weighted local energy above the noise, sum of amplitudes) of one orientation."""
    responses, amplitudes = [], []
    for log_gabor in filters:
        response = xp.fft.ifft2(spectrum * (log_gabor if xp is np else xp.from_numpy(log_gabor).to(spectrum.device)))
        responses.append(response)
        amplitudes.append(xp.abs(response))
    even, odd = sum(r.real for r in responses), sum(r.imag for r in responses)
    length = root(even * even + odd * odd) + GUARD
    even, odd = even / length, odd / length
    energy = sum(r.real * even + r.imag * odd - xp.abs(r.real * odd - r.imag * even) for r in responses)
    squares = (amplitudes[0] * amplitudes[0]).reshape(*amplitudes[0].shape[:-2], -1)
    # the median of a Rayleigh amplitude's square gives its mean, free of the few strong edges
    power = _median(xp, squares) / math.log(2)
    tau = root(power * noise_gain)
    threshold = tau * (math.sqrt(math.pi / 2) + NOISE_SIGMAS * math.sqrt(2 - math.pi / 2)) / NOISE_SCALE
    energy = xp.clip(energy - threshold[..., None, None], 0, None)
    total, largest = sum(amplitudes), functools.reduce(xp.maximum, amplitudes)
    width = total / (largest + GUARD) / SCALES  # of the frequency spread: a feature at one scale counts less
    return energy / (1 + xp.exp((CUT - width) * SHARPNESS)), total


def _median(xp: Any, values: Array) -> Array:
    if xp is np:
        return np.median(values, axis=-1)
    return xp.quantile(values, 0.5, dim=-1) if values.shape[-1] < 1 << 24 else values.median(-1).values


@functools.lru_cache(maxsize=ORIENTATIONS)
def _filters(height: int, width: int, orientation: int, low_pass: LowPass) -> tuple[np.ndarray, float]:
    """Log-Gabor filters (scales,H,W) of one orientation, and the gain that turns noise power into energy²/2."""
    x, y = _frequencies(width)[None, :], _frequencies(height)[:, None]
    radius, theta = np.hypot(x, y), np.arctan2(-y, x)
    radius[0, 0] = 1
    shift = np.fft.ifftshift if low_pass == "centred" else np.fft.fftshift  # they differ at odd sizes
    low_x, low_y = (shift(np.arange(n) - n // 2)[None] / n for n in (width, height))
    smooth = 1 / (1 + (np.hypot(low_x, low_y.T) / 0.45) ** 30)
    angle = orientation * math.pi / ORIENTATIONS
    d_theta = np.abs(np.arctan2(np.sin(theta - angle), np.cos(theta - angle)))
    angular = np.exp(-(d_theta**2) / (2 * (math.pi / ORIENTATIONS / ANGULAR) ** 2))
    filters = np.empty((SCALES, height, width))
    for scale in range(SCALES):
        centre = 1 / (MIN_WAVELENGTH * STEP**scale)
        radial = np.exp(-(np.log(radius / centre) ** 2) / (2 * math.log(BANDWIDTH) ** 2)) * smooth
        radial[0, 0] = 0
        filters[scale] = radial * angular
    kernels = np.fft.ifft2(filters).real * math.sqrt(height * width)
    squares = (kernels**2).sum()
    products = (kernels.sum(0) ** 2).sum() - squares  # twice the sum over pairs of scales
    return filters, float((squares + products) / (filters[0] ** 2).sum())


def _frequencies(size: int) -> np.ndarray:
    """Cycles per pixel of the FFT's bins; of an odd size the range is -½..½, as the published filters have it."""
    return np.fft.ifftshift(np.arange(size) - size // 2) / (size - 1 if size % 2 else size)


METRIC = Metric(
    name="qp",
    version="1",
    title="Zhao's phase congruency measure Q_P",
    label="Qp",
    function=qp,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(5e-3, 0.0, "half of the last digit that tables print"),
    reference="Zhao, Laganière, Liu 2007, Int. J. Innov. Comput. Inf. Control 3(6A), 1433–1447",
    formula="Q_P = P_pc · P_M · P_m,  each the mean of the best local correlation over places with a feature",
    exploits="A constant image scores above 0.99 and beats every fusion: without features both variances and the "
    "covariance vanish, and the constants of the correlation give 1. Copying a source scores high too.",
    choices=(
        "Four scales, six orientations, noise threshold and constants of the published code.",
        "Low-pass in the centre of the spectrum; the published code has it one bin off at odd sizes, which moves one "
        "pair by 7e-4 relative (liu-2012).",
    ),
    edge_cases="NaN where neither source has a feature (flat images); sides below 28 pixels are refused.",
    differentiable=True,
    gradient="Between jumps: which places have a feature is a threshold, and the best of three correlations counts.",
    invariances=("swapping the sources, up to places where both have the same phase congruency",),
    min_side=MIN_SIDE,
    min_reason="its coarsest filters have a wavelength of 28 pixels",
    undefined=("no source has a feature",),
    oracle="published values on six real triples",
)
