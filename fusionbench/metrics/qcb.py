"""Q_CB: how much of the sources' visible local contrast the fused image keeps (Chen–Blum)."""

from __future__ import annotations

import functools
import math
from types import ModuleType

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._frequency import cycles, filtered, stretched
from fusionbench.metrics._images import AXES, Array, Image, image_metric, namespace, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import exact_exp, separable

SCALE = 30.0  # cycles per image over this enter the contrast sensitivity, in steps of half a cycle
F0, F1, DIP = 15.3870, 1.3456, 0.7622
Z = 1e-4  # beside powers of 3 and 2 of the contrast
MIN_SIDE = 31
SECONDS = 15e-9  # a pixel of an image without compiled code, beside the filters
DARK = 1e-9  # a Fourier transform in float64 leaves errors of 1e-15 of the brightest pixel


@image_metric
def qcb(fused: Image, a: Image, b: Image, *, stretch: bool = False, dark: float = DARK) -> Array:
    """Mean preserved contrast after masking: three (N,H,W) on 0..255, sides of at least 31, to (N,), 0..1.

    Args:
        stretch: stretch every image to 0..255 first.
        dark: share of an image's brightest pixel up to which a local mean counts as black, without contrast. With 0, as
            in published code, a black background far from every edge has the contrast of rounding errors: the value
            then depends on the Fourier transform at hand (5e-4 on PET slices).

    Where no image has contrast, the preservation is 1.

    Raises:
        DataError: a side below 31 pixels, the width of the contrast filters.

    Source: Chen, Blum 2009 (Image Vis. Comput. 27, 1421).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qcb import qcb
        >>> texture = (np.arange(1024) * 37 % 251).astype(np.uint8).reshape(1, 32, 32)
        >>> qcb(texture, texture, texture).round(4).tolist()
        [1.0]
        >>> qcb(texture / 2, texture / 2, texture / 2).round(4).tolist()  # contrast is relative to brightness
        [1.0]
    """
    need_side(fused, MIN_SIDE, "qcb")
    contrasts = [_masked_contrast(stretched(image, stretch), dark) for image in (fused, a, b)]
    return _values(_loops(fused), *contrasts).mean(AXES)


def _values(loops: ModuleType | None, c_f: Array, c_a: Array, c_b: Array) -> Array:
    """λ_A q(A,F) + λ_B q(B,F) of every pixel from masked contrasts; λ by their squares."""
    if loops is not None:
        values = np.empty(c_f.shape)
        loops.qcb_values(*(np.ravel(each) for each in (c_f, c_a, c_b)), values.reshape(-1))
        return values
    xp = namespace(c_f)
    c_a_sq, c_b_sq = c_a * c_a, c_b * c_b
    total = c_a_sq + c_b_sq
    lambda_a = xp.where(total > 0, c_a_sq / xp.where(total > 0, total, 1.0), 0.5)
    return lambda_a * _preservation(xp, c_a, c_f) + (1 - lambda_a) * _preservation(xp, c_b, c_f)


def _preservation(xp: object, source: Array, fused: Array) -> Array:
    """Q_XF: the smaller over the larger masked contrast; 1 where both are 0."""
    larger = xp.maximum(source, fused)  # type: ignore[attr-defined]
    smaller = xp.minimum(source, fused)  # type: ignore[attr-defined]
    return xp.where(larger > 0, smaller / xp.where(larger > 0, larger, 1.0), 1.0)  # type: ignore[attr-defined]


def _masked_contrast(image: Image, dark: float) -> Array:
    """C' = C³/(C² + Z) of Peli's contrast C = |fine/coarse − 1| of the image filtered by contrast sensitivity."""

    def compute() -> Array:
        perceived = filtered(image.pixels, _sensitivity(*image.shape))
        fine, coarse = (separable(perceived, _gaussian(sigma), border="zero") for sigma in (2.0, 4.0))
        return _contrast(_loops(image), fine, coarse, dark * image.xp.amax(image.pixels, AXES)[..., None, None])

    return image.cached(("qcb contrast", dark), compute)


def _contrast(loops: ModuleType | None, fine: Array, coarse: Array, level: Array) -> Array:
    """The masked contrast; none where the coarse mean is not above ``level``."""
    if loops is not None:
        found = np.empty(fine.shape)
        loops.qcb_contrast(np.ravel(fine), np.ravel(coarse), float(level[0, 0]), Z, found.reshape(-1))
        return found
    xp = namespace(fine)
    black = xp.abs(coarse) <= level
    contrast = xp.where(black, 0.0, xp.abs(fine / xp.where(black, 1.0, coarse) - 1))
    square = contrast * contrast
    return square * contrast / (square + Z)


def _loops(image: Image) -> ModuleType | None:
    return LOOPS.compiled(SECONDS * image.count) if image.xp is np else None


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one, with black places among others."""
    fine, coarse, other = np.random.default_rng(0).random((3, 7, 101)) * 3
    coarse[:3] = 0
    level, both = np.full((1, 1), 1e-9), []
    for each in (None, loops):
        contrasts = [_contrast(each, *given, level) for given in ((fine, coarse), (other, coarse), (other, fine))]
        both.append([*contrasts, _values(each, *contrasts)])
    return all(np.array_equal(one, other) for one, other in zip(*both, strict=True))


LOOPS = Loops("qcb", "fusionbench.metrics._pairs_compiled", _agrees)


@functools.lru_cache(maxsize=8)
def _sensitivity(height: int, width: int) -> np.ndarray:
    u, v = cycles(height, width)
    r = np.hypot(*(2 * side / SCALE for side in (u, v)))
    return np.exp(-((r / F0) ** 2)) - DIP * np.exp(-((r / F1) ** 2))


@functools.cache
def _gaussian(sigma: float) -> np.ndarray:
    """31 taps of the density, not normalised to sum 1."""
    taps = np.arange(-15, 16)
    return exact_exp(-(taps**2) / (2 * sigma * sigma)) / (math.sqrt(2 * math.pi) * sigma)


METRIC = Metric(
    name="qcb",
    version="2",
    title="Chen–Blum's contrast preservation Q_CB",
    label="Qcb",
    function=qcb,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Chen, Blum 2009, Image Vis. Comput. 27(10), 1421–1432",
    formula="Q_CB = mean(λ_A q(A,F) + λ_B q(B,F)),  q = min/max of masked contrasts, λ by their squares",
    exploits="Choosing pixels of the source with more contrast gives 1 there.",
    choices=(
        "Images as they are: the published code stretches each to 0..255 first, which changes the value by up to a "
        "quarter on images that do not fill the range (vifb, liu-2012).",
        "A local mean of less than 1e-9 of the brightest pixel has no contrast. Published code divides whatever is "
        "there: on large black backgrounds (PET, SPECT) these are rounding errors, so that its value is up to 0.09 "
        "lower and differs by up to 5e-4 between Fourier transforms (vifb, liu-2012).",
        "Difference-of-Gaussians sensitivity and the scale of 30 of the published code.",
    ),
    edge_cases="1 for three equal images, flat or not; sides below 31 pixels are refused.",
    differentiable=True,
    gradient="One-sided where two contrasts are equal.",
    invariances=("swapping the sources", "one scale factor on all three images"),
    min_side=MIN_SIDE,
    min_reason="its contrast filters are 31 pixels wide",
    oracle="a direct NumPy FFT and SciPy ndimage composition",
)
