"""Q_P: how well features found by phase congruency survive in the fused image (Zhao)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._log_gabor import LowPass, filters_of
from fusionbench.metrics._phase_congruency import MARGIN, maps, padded_maps
from fusionbench.metrics._windows import gaussian, products, separable
from fusionbench.synth.kernel import whole

THRESHOLD, CONSTANT = 0.1, 1e-4
HALO, BAND_PIXELS = MARGIN, 1 << 16  # pixels that the correlations' window reaches; those that fit a processor's cache
SECONDS = 0.2e-6  # a pixel without compiled code
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
    maps_f, maps_a, maps_b = (padded_maps(image, filters) for image in (fused, a, b))
    loops = LOOPS.compiled(SECONDS * fused.count) if xp is np else None
    features: Array = 0
    sums: list[Array] = [0.0] * len(maps_f)
    for number, rows in enumerate(_bands(fused)):
        band_f, band_a, band_b = ([plane[..., rows, :] for plane in planes] for planes in (maps_f, maps_a, maps_b))
        strengths = band_a[0], band_b[0]
        features = features + _features(xp, *strengths).sum(AXES)
        for place, (map_f, map_a, map_b) in enumerate(zip(band_f, band_a, band_b, strict=True)):
            key = "qp sources", b.serial, filters.low_pass, number, place
            compute = functools.partial(_source_moments, loops, xp, strengths, map_a, map_b)
            sources = a.cached(key, compute) if a.persistent and b.persistent else compute()
            sums[place] = sums[place] + _correlations(loops, xp, map_f, sources, strengths).sum(AXES)
    product: Array = 1.0
    for total in sums:
        product = product * xp.where(features > 0, total / xp.clip(features, 1, None), xp.nan)
    return product


def has_features(image: Image) -> bool:
    """Whether the phase congruency of one image exceeds the threshold anywhere."""
    return bool((maps(image, filters_of(*image.shape, "centred"))[0] > THRESHOLD).any())


def _bands(image: Image) -> list[slice]:
    """Rows of padded maps, with those that the window reaches; a batch on a device is one band."""
    height, width = image.shape
    step = max(1, BAND_PIXELS // width) if image.xp is np else height
    return [slice(top, min(top + step, height) + 2 * HALO) for top in range(0, height, step)]


def _inside(x: Array) -> Array:
    return x[..., HALO:-HALO, HALO:-HALO]


def _features(xp: Any, of_a: Array, of_b: Array) -> Array:
    """Where A or B has a feature, from the padded congruencies of both."""
    return xp.maximum(_inside(of_a), _inside(of_b)) > THRESHOLD


def _moments(x: Array) -> tuple[Array, Array]:
    """Local mean and variance."""
    mean = separable(x, _window())
    return mean, products(x, x, _window(), means=(mean, mean))


def _window() -> np.ndarray:
    return gaussian(2 * HALO + 1, 1.5)


def _source_moments(
    loops: ModuleType | None, xp: Any, strengths: tuple[Array, Array], map_a: Array, map_b: Array
) -> list[tuple[Array, Array, Array]]:
    """(map, local mean, local variance) of A, B and the stronger of both, each where it has features."""
    return [(masked, *_moments(masked)) for masked in _masked(loops, xp, *strengths, map_a, map_b)]


def _masked(loops: ModuleType | None, xp: Any, of_a: Array, of_b: Array, map_a: Array, map_b: Array) -> Sequence[Array]:
    """Padded maps of A, B and the stronger of both, 0 where it has no feature."""
    if loops is not None:
        found = np.empty((3, *map_a.shape))
        loops.qp_masked(of_a, of_b, map_a, map_b, found)
        return [*found]
    masked_a, masked_b = map_a * (of_a > THRESHOLD), map_b * (of_b > THRESHOLD)
    return masked_a, masked_b, xp.where(of_a > of_b, masked_a, masked_b)


def _correlations(
    loops: ModuleType | None,
    xp: Any,
    fused: Array,
    sources: list[tuple[Array, Array, Array]],
    strengths: tuple[Array, Array],
) -> Array:
    """The largest of the local correlations, where a map has features; 0 elsewhere."""
    mean, variance = _moments(fused)
    covariances = [products(masked, fused, _window(), means=(of_source, mean)) for masked, of_source, _ in sources]
    return _best(loops, xp, variance, [of_source for *_, of_source in sources], covariances, strengths)


def _best(
    loops: ModuleType | None,
    xp: Any,
    variance: Array,
    variances: list[Array],
    covariances: list[Array],
    strengths: tuple[Array, Array],
) -> Array:
    if loops is not None:
        best = np.empty(variance.shape)
        # what OpenCV filtered, before the loops of windows were loaded, are views
        loops.qp_best(*strengths, HALO, *map(whole, (variance, *variances, *covariances)), best)
        return best
    masks = [_inside(strength) > THRESHOLD for strength in strengths]
    found = [
        (covariance + CONSTANT) / (root(abs(of_source * variance)) + CONSTANT) * mask
        for of_source, covariance, mask in zip(variances, covariances, [*masks, _features(xp, *strengths)], strict=True)
    ]
    return functools.reduce(xp.maximum, found)


def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one."""
    of_a, of_b, map_a, map_b = np.random.default_rng(0).random((4, 14, 71)) * 0.2
    variance, *others = np.random.default_rng(1).random((7, 4, 61)) - 0.2
    found = [
        [*_masked(each, np, of_a, of_b, map_a, map_b), _best(each, np, variance, others[:3], others[3:], (of_a, of_b))]
        for each in (None, loops)
    ]
    return all(np.array_equal(one, other) for one, other in zip(*found, strict=True))


LOOPS = Loops("qp", "fusionbench.metrics._correlations_compiled", _agrees)


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
