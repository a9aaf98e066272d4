"""Q_P: how well features found by phase congruency survive in the fused image (Zhao)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._log_gabor import LowPass, filters_of
from fusionbench.metrics._phase_congruency import maps
from fusionbench.metrics._windows import gaussian, separable

THRESHOLD, CONSTANT = 0.1, 1e-4
HALO, BAND_PIXELS = 5, 1 << 16  # rows that the window of the correlations reaches; pixels that fit a processor's cache
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
    filters = filters_of(*fused.shape, low_pass)
    maps_f, maps_a, maps_b = (maps(image, filters) for image in (fused, a, b))
    features: Array = 0
    sums: list[Array] = [0.0] * len(maps_f)
    for number, (rows, inside) in enumerate(_bands(fused)):
        band_f, band_a, band_b = ([plane[..., rows, :] for plane in planes] for planes in (maps_f, maps_a, maps_b))
        from_a = band_a[0] > band_b[0]
        masks = [band_a[0] > THRESHOLD, band_b[0] > THRESHOLD]
        masks.append((from_a & masks[0]) | (~from_a & masks[1]))
        features = features + masks[2][..., inside, :].sum(AXES)
        for place, (map_f, map_a, map_b) in enumerate(zip(band_f, band_a, band_b, strict=True)):
            key = "qp sources", b.serial, filters.low_pass, number, place
            compute = functools.partial(_source_moments, xp, map_a, map_b, from_a, masks)
            sources = a.cached(key, compute) if a.persistent and b.persistent else compute()
            best = _correlations(xp, map_f, sources, masks)
            sums[place] = sums[place] + best[..., inside, :].sum(AXES)
    product: Array = 1.0
    for total in sums:
        product = product * xp.where(features > 0, total / xp.clip(features, 1, None), xp.nan)
    return product


def has_features(image: Image) -> bool:
    """Whether the phase congruency of one image exceeds the threshold anywhere."""
    return bool((maps(image, filters_of(*image.shape, "centred"))[0] > THRESHOLD).any())


def _bands(image: Image) -> list[tuple[slice, slice]]:
    """(rows with those that the filters reach, the band among them); a batch on a device is one band."""
    height, width = image.shape
    if image.xp is not np:
        return [(slice(0, height), slice(0, height))]
    step = max(1, BAND_PIXELS // width)
    spans = [(max(0, top - HALO), top, min(top + step, height)) for top in range(0, height, step)]
    return [(slice(first, end + HALO), slice(top - first, end - first)) for first, top, end in spans]


def _smooth(x: Array) -> Array:
    return separable(x, gaussian(2 * HALO + 1, 1.5), border="zero")


def _source_moments(
    xp: Any, map_a: Array, map_b: Array, from_a: Array, masks: list[Array]
) -> list[tuple[Array, Array, Array]]:
    """(map, local mean, local variance) of A, B and the stronger of both, each where it has features."""
    found = []
    for source, mask in zip((map_a, map_b, xp.where(from_a, map_a, map_b)), masks, strict=True):
        masked = source * mask
        mean = _smooth(masked)
        found.append((masked, mean, _smooth(masked * masked) - mean * mean))
    return found


def _correlations(xp: Any, fused: Array, sources: list[tuple[Array, Array, Array]], masks: list[Array]) -> Array:
    """The largest of the local correlations, where a map has features; 0 elsewhere."""
    mu_f = _smooth(fused)
    sigma_f_sq = _smooth(fused * fused) - mu_f * mu_f
    best = None
    for (masked, mu_s, sigma_s_sq), mask in zip(sources, masks, strict=True):
        sigma_sf = _smooth(masked * fused) - mu_s * mu_f
        correlation = (sigma_sf + CONSTANT) / (root(abs(sigma_s_sq * sigma_f_sq)) + CONSTANT) * mask
        best = correlation if best is None else xp.maximum(best, correlation)
    return best


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
