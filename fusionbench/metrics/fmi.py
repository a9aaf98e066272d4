"""FMI: mutual information between features of the fused image and its sources in small windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._fmi_features import Feature, feature_of
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side

CELLS = 9  # of a 3×3 window, column by column


@image_metric
def fmi(fused: Image, a: Image, b: Image, *more: Image, feature: Feature = "pixel") -> Array:
    """Mean over 3×3 windows of the normalised information with the sources: three or more (N,H,W) to (N,), about 0..1.

    Args:
        feature: grey values, their horizontal central differences, binary edges, or the two-dimensional DCT or
            discrete Meyer wavelet transform of the whole image.

    Each window is stretched to 0..1 and taken as a distribution over its nine cells; the joint distribution of two
    windows is the mixture of independence and a Fréchet bound that has their correlation.

    Raises:
        DataError: a side below 3 pixels.

    Source: Haghighat, Razian 2014 (AICT, fast FMI), after Haghighat, Aghagolzadeh, Seyedarabi 2011.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.fmi import fmi
        >>> a = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> fmi(a, a, a).round(4).tolist()
        [1.0]
        >>> b = 255 - a  # another distribution in every window
        >>> round(float(fmi(a, a, b)[0]), 2)
        0.89
    """
    need_side(fused, 3, "fmi")
    images = [feature_of(image, feature) for image in (fused, a, b, *more)]
    total = 0.0
    for bands in zip(*(image.bands(1) for image in images), strict=True):
        fused_band, *source_bands = bands
        for source_band in source_bands:
            total = total + _normalised_information(fused_band, source_band).sum(AXES)
        for band in bands:
            band.clear_cache()
    height, width = images[0].shape  # of the feature
    return total / ((2 + len(more)) * (height - 2) * (width - 2))


def _distribution(band: Image) -> tuple[Array, Array, Array, Array, Array]:
    """(values, pdf, cdf, entropy in bits, σ of the cell number) per window; the first three have 9 cells."""

    def compute() -> tuple[Array, Array, Array, Array, Array]:
        xp, x = band.xp, band.pixels
        height, width = x.shape[-2] - 2, x.shape[-1] - 2
        offsets = [(row, column) for column in range(3) for row in range(3)]
        values = xp.stack([x[..., row : row + height, column : column + width] for row, column in offsets])
        low, high = xp.amin(values, 0), xp.amax(values, 0)
        flat = high == low
        stretched = xp.where(flat, 1.0, (values - low) / xp.where(flat, 1.0, high - low))
        pdf = stretched / stretched.sum(0)
        cdf = xp.cumsum(pdf, 0)
        number = xp.arange(1, CELLS + 1, dtype=pdf.dtype, **({} if xp is np else {"device": x.device}))
        number = number.reshape(CELLS, *([1] * (pdf.ndim - 1)))
        variance = (number * number * pdf).sum(0) - (number * pdf).sum(0) ** 2
        return values, pdf, cdf, _bits(xp, pdf).sum(0), root(xp.clip(variance, 0, None))

    return band.cached("fmi distribution", compute)


def _bits(xp: Any, p: Array) -> Array:
    """-p log2|p|, 0 at 0: a mixture beyond its bound has negative cells, which the published code counts so."""
    return -p * xp.log2(xp.where(p == 0, 1.0, xp.abs(p)))


def _normalised_information(fused: Image, source: Image) -> Array:
    """2·I(F;S)/(H(F)+H(S)) per window; 1 where both windows are equal."""
    xp = fused.xp
    values_f, pdf_f, cdf_f, h_f, sigma_f = _distribution(fused)
    values_s, pdf_s, cdf_s, h_s, sigma_s = _distribution(source)
    centred_f, centred_s = pdf_f - 1 / CELLS, pdf_s - 1 / CELLS
    norm = root((centred_f * centred_f).sum(0) * (centred_s * centred_s).sum(0))
    usable = norm > 1e-15
    rho = xp.where(usable, (centred_f * centred_s).sum(0) / xp.where(usable, norm, 1.0), 0.0)
    positive = rho >= 0

    def frechet_cdf(i: int, j: int) -> Array:
        """Fréchet's bound of the joint cdf, upper for a positive correlation, else lower; 0 before the first cell."""
        if i < 0 or j < 0:
            return 0.0
        upper = xp.minimum(cdf_f[i], cdf_s[j])
        return xp.where(positive, upper, xp.clip(cdf_f[i] + cdf_s[j] - 1, 0, None))

    frechet_covariance = 0.0  # Hoeffding: the sum of joint cdf minus product of cdfs
    for i in range(CELLS):
        for j in range(CELLS):
            frechet_covariance = frechet_covariance + frechet_cdf(i, j) - cdf_f[i] * cdf_s[j]
    sigma_fs = sigma_f * sigma_s
    usable = (sigma_fs > 0) & (frechet_covariance != 0)
    phi = xp.where(usable, rho * sigma_fs / xp.where(usable, frechet_covariance, 1.0), 0.0)  # weight of the bound
    h_joint = 0.0
    previous = [0.0] * CELLS
    for i in range(CELLS):
        row = [frechet_cdf(i, j) for j in range(CELLS)]
        for j in range(CELLS):
            frechet_pdf = row[j] - previous[j] - (row[j - 1] - previous[j - 1] if j else 0.0)
            h_joint = h_joint + _bits(xp, phi * frechet_pdf + (1 - phi) * pdf_f[i] * pdf_s[j])
        previous = row
    information, h_sum = h_f + h_s - h_joint, h_f + h_s
    value = xp.where(h_sum > 0, 2 * information / xp.where(h_sum > 0, h_sum, 1.0), 0.0)
    return xp.where((values_f == values_s).all(0), 1.0, value)


METRIC = Metric(
    name="fmi",
    version="1",
    title="Feature mutual information",
    label="FMI",
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
        "Grey values are the feature, gradient is a parameter; fmi_edge, fmi_dct and fmi_wavelet have the others. "
        "Tables with FMI_pixel by one evaluator (linfeng) really have binary edges.",
    ),
    edge_cases="Equal windows count as 1, flat or not; a flat window against another one is close to 0.",
    differentiable=True,
    gradient="Of the bound that holds: extremes of windows and minima of distributions have kinks, and the value jumps "
    "to 1 where two windows are equal.",
    invariances=("swapping the sources", "one scale factor and offset per image"),
    min_side=3,
    min_reason="its windows are 3×3",
    oracle="a plain loop over the windows",
    many=True,
)
