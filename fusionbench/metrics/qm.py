"""Q_M: how well the fused image keeps the sources' Haar details at two scales (Wang, Liu)."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side

EXPONENTS = (2 / 3, 1 / 3)  # of the fine and the coarse scale
BANDS = 3  # horizontal, vertical and diagonal
Details = tuple[Array, Array, Array]


@image_metric
def qm(fused: Image, a: Image, b: Image, *, bands: Literal["mean", "sum"] = "mean") -> Array:
    """Product over scales of the kept details, weighted by their energy: three (N,H,W) on 0..255 to (N,), 0..1.

    Args:
        bands: the three bands of a scale are averaged, or summed (the value is then in 0..3).

    At an odd side the last row or column of that scale is left out. A scale in which no source has a detail is left
    out; NaN where none has one at either scale.

    Raises:
        DataError: a side below 4 pixels.

    Source: Wang, Liu 2008 (IEEE ICSP, 965); Haar wavelets and the exponents after Liu et al. 2012.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qm import qm
        >>> a = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> qm(a, a, a).round(4).tolist(), qm(255 - a, a, a).round(2).tolist()
        ([1.0], [0.12])
    """
    need_side(fused, 4, "qm")
    xp = fused.xp
    kept, present = [], []
    for scale in range(len(EXPONENTS)):
        details = haar_details(fused)[scale]
        top, total = 0.0, 0.0
        for source in (a, b):
            theirs, energy = haar_details(source)[scale], _energy(source, scale)
            same = sum(xp.exp(-xp.abs(x - y)) for x, y in zip(theirs, details, strict=True))
            top = top + (same * energy).sum(AXES)
            total = total + energy.sum(AXES)
        present.append(total > 0)
        kept.append(xp.where(total > 0, top / xp.where(total > 0, total, 1.0), 1.0))
    if bands == "mean":
        kept = [value / BANDS for value in kept]
    both = kept[0] ** EXPONENTS[0] * kept[1] ** EXPONENTS[1]
    one = xp.where(present[0], kept[0], xp.where(present[1], kept[1], xp.nan))
    return xp.where(present[0] & present[1], both, one)


def haar_details(image: Image) -> list[Details]:
    """(horizontal, vertical, diagonal) details of each scale by the orthonormal Haar wavelet, cached."""

    def compute() -> list[Details]:
        found, x = [], image.pixels
        for _ in EXPONENTS:
            height, width = (side // 2 * 2 for side in x.shape[-2:])
            rows = x[..., 0:height:2, :width], x[..., 1:height:2, :width]
            low, high = rows[0] + rows[1], rows[0] - rows[1]
            (low_left, low_right), (left, right) = (_columns(half) for half in (low, high))
            found.append(((left + right) / 2, (low_left - low_right) / 2, (left - right) / 2))
            x = (low_left + low_right) / 2
        return found

    return image.cached("haar details", compute)


def _columns(x: Array) -> tuple[Array, Array]:
    return x[..., 0::2], x[..., 1::2]


def _energy(source: Image, scale: int) -> Array:
    return source.cached(("haar energy", scale), lambda: sum(x * x for x in haar_details(source)[scale]))


METRIC = Metric(
    name="qm",
    version="1",
    title="Wang and Liu's multi-scale measure Q_M",
    label="Qm",
    function=qm,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Wang, Liu 2008, IEEE ICSP, 965–968; Liu et al. 2012, IEEE TPAMI 34(1), 94–109",
    formula="Q_M = Q_1^(2/3) Q_2^(1/3),  Q_s = Σ(E_A w_A + E_B w_B)/Σ(w_A+w_B),  "
    "E_X = mean_{H,V,D} e^{-|X_d-F_d|},  w = X_H²+X_V²+X_D²",
    exploits="Differences of a few grey levels count as lost, so that only pixels copied unchanged score: copies "
    "of one source (0.58 and 0.49) and the larger of both pixels (0.50) leave six published results (0.13 "
    "in the mean) far behind.",
    choices=(
        "The mean of the three bands, so that three equal images have 1; the published code (liu-2012; metricPWW.m of "
        "zhengliu6699/imageFusionMetrics, read at commit d6f7f1a) sums them, up to 3. Two Haar scales, weights and "
        "exponents 2/3 and 1/3 are that code's; the text of the paper was not at hand.",
        "Details in grey levels, from images on 0..255: on 0..1 nearly every fusion would have 1.",
    ),
    edge_cases="NaN where no source has any detail in 4×4 blocks.",
    differentiable=True,
    invariances=("swapping the sources", "adding a constant to any image"),
    min_side=4,
    min_reason="two scales take 4×4 pixels",
    undefined=("both sources are constant in every 4×4 block",),
    oracle="PyWavelets dwt2 with haar",
)
