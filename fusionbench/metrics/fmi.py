"""FMI: mutual information between features of the fused image and its sources in small windows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fusionbench.contracts import Metric, Tolerance
from fusionbench.errors import UsageError
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics.ag import central

CELLS = 9  # of a 3×3 window, column by column
Feature = Literal["pixel", "gradient", "dct"]


@image_metric
def fmi(fused: Image, a: Image, b: Image, *, feature: Feature = "pixel") -> Array:
    """Mean over 3×3 windows of the normalised information with both sources: three (N,H,W) to (N,), about 0..1.

    Args:
        feature: grey values, their horizontal central differences, or the two-dimensional DCT of the whole image.

    Each window is stretched to 0..1 and taken as a distribution over its nine cells; the joint distribution of two
    windows is the mixture of independence and a Fréchet bound that has their correlation.

    Raises:
        DataError: a side below 3 pixels.

    Source: Haghighat, Razian 2014 (AICT, fast FMI), after Haghighat, Aghagolzadeh, Seyedarabi 2011.
    """
    need_side(fused, 3, "fmi")
    images = [_feature(image, feature) for image in (fused, a, b)]
    total = 0.0
    for bands in zip(*(image.bands(1) for image in images), strict=True):
        of_f, *of_sources = bands
        for source in of_sources:
            total = total + _information(of_f, source).sum(AXES)
        for band in bands:
            band.release()
    height, width = fused.shape
    return total / (2 * (height - 2) * (width - 2))


def _feature(image: Image, feature: Feature) -> Image:
    if feature == "pixel":
        return image
    if feature == "gradient":
        return image.keep(("fmi", feature), lambda: image.derived(central(image.pixels)))
    if feature == "dct":
        return image.keep(("fmi", feature), lambda: image.derived(_dct(image)))
    raise UsageError(f"fmi knows the features pixel, gradient and dct, not {feature!r}")


def _dct(image: Image) -> Array:
    import scipy.fft

    if image.xp is np:
        return scipy.fft.dctn(image.pixels, norm="ortho")
    array = scipy.fft.dctn(image.pixels.cpu().numpy(), axes=AXES, norm="ortho")
    return image.xp.from_numpy(array).to(image.pixels.device)


def _cells(band: Image) -> tuple[Array, Array, Array, Array, Array]:
    """(values, distribution, its sums, entropy in bits, deviation of the cell number), the first three with 9 cells."""

    def make() -> tuple[Array, Array, Array, Array, Array]:
        xp, x = band.xp, band.pixels
        height, width = x.shape[-2] - 2, x.shape[-1] - 2
        places = [(row, column) for column in range(3) for row in range(3)]
        values = xp.stack([x[..., row : row + height, column : column + width] for row, column in places])
        low, high = xp.amin(values, 0), xp.amax(values, 0)
        flat = high == low
        spread = xp.where(flat, 1.0, (values - low) / xp.where(flat, 1.0, high - low))
        share = spread / spread.sum(0)
        sums = xp.cumsum(share, 0)
        number = xp.arange(1, CELLS + 1, dtype=share.dtype, **({} if xp is np else {"device": x.device}))
        number = number.reshape(CELLS, *([1] * (share.ndim - 1)))
        variance = (number * number * share).sum(0) - (number * share).sum(0) ** 2
        return values, share, sums, _bits(xp, share).sum(0), xp.sqrt(xp.clip(variance, 0, None))

    return band.keep("fmi cells", make)


def _bits(xp: Any, share: Array) -> Array:
    """-p log2|p|, 0 at 0: a mixture beyond its bound has negative cells, which the published code counts so."""
    return -share * xp.log2(xp.where(share == 0, 1.0, xp.abs(share)))


def _information(fused: Image, source: Image) -> Array:
    """2·I/(H+H) per window; 1 where both windows are equal."""
    xp = fused.xp
    values_f, share_f, sums_f, bits_f, spread_f = _cells(fused)
    values_s, share_s, sums_s, bits_s, spread_s = _cells(source)
    off_f, off_s = share_f - 1 / CELLS, share_s - 1 / CELLS
    below = xp.sqrt((off_f * off_f).sum(0) * (off_s * off_s).sum(0))
    usable = below > 1e-15
    correlation = xp.where(usable, (off_f * off_s).sum(0) / xp.where(usable, below, 1.0), 0.0)
    positive = correlation >= 0

    def bound(i: int, j: int) -> Array:
        """Fréchet's bound of the joint sums, upper or lower as the correlation's sign asks; 0 before the first cell."""
        if i < 0 or j < 0:
            return 0.0
        upper = xp.minimum(sums_f[i], sums_s[j])
        return xp.where(positive, upper, xp.clip(sums_f[i] + sums_s[j] - 1, 0, None))

    excess = 0.0
    for i in range(CELLS):
        for j in range(CELLS):
            excess = excess + bound(i, j) - sums_f[i] * sums_s[j]
    spread = spread_f * spread_s
    usable = (spread > 0) & (excess != 0)
    mixture = xp.where(usable, correlation * spread / xp.where(usable, excess, 1.0), 0.0)
    joint = 0.0
    before = [0.0] * CELLS
    for i in range(CELLS):
        row = [bound(i, j) for j in range(CELLS)]
        for j in range(CELLS):
            extreme = row[j] - before[j] - (row[j - 1] - before[j - 1] if j else 0.0)
            joint = joint + _bits(xp, mixture * extreme + (1 - mixture) * share_f[i] * share_s[j])
        before = row
    shared, total = bits_f + bits_s - joint, bits_f + bits_s
    value = xp.where(total > 0, 2 * shared / xp.where(total > 0, total, 1.0), 0.0)
    return xp.where((values_f == values_s).all(0), 1.0, value)


METRIC = Metric(
    name="fmi",
    version="1",
    title="Feature mutual information",
    function=fmi,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Haghighat, Razian 2014, IEEE AICT, 1–3; Haghighat, Aghagolzadeh, Seyedarabi 2011, CEE 37(5), 744–756",
    formula="FMI = mean_w ½[2I(F;A)/(H_F+H_A) + 2I(F;B)/(H_F+H_B)] over 3×3 windows as distributions",
    exploits="Copying one source makes its half exactly 1.",
    choices=(
        "Grey values are the feature; gradient and dct are parameters. Tables with FMI_pixel by one evaluator "
        "(linfeng) really have binary edges.",
    ),
    edge_cases="Equal windows count as 1, flat or not; a flat window against another one is close to 0.",
    invariances=("swapping the sources", "one scale factor and offset per image"),
    min_side=3,
    min_reason="its windows are 3×3",
    oracle="a plain loop over the windows",
)
