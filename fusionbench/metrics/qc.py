"""Q_C: local similarity of the fused image to each source, by their covariance with it (Cvejic)."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._piella import BOX, INDICES, bands, compiled_sums, similarity, weighted_by_covariance


@image_metric
def qc(
    fused: Image,
    a: Image,
    b: Image,
    *,
    index: Literal["universal", "unguarded", "blocks"] = "universal",
    limits: Literal["share", "value"] = "share",
) -> Array:
    """Mean of s q(A,F) + (1-s) q(B,F), s = σ_AF/(σ_AF+σ_BF) in 0..1: three (N,H,W) on 0..255 to (N,), -1..1.

    Args:
        index: q: the universal image quality index of 8×8 windows, SSIM without constants under a 7×7 Gaussian,
            or (the authors' code) the universal index of 4×4 blocks side by side, of which those count 0 that share
            nothing with either source.
        limits: where s leaves 0..1, ``"share"`` limits s; ``"value"`` (the published code) sets the window's value to 0
            or 1 instead.

    Raises:
        DataError: a side below 8 pixels (7 with the Gaussian).

    Source: Cvejic, Łoza, Bull, Canagarajah 2005 (Int. J. Signal Process. 2, 178).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qc import qc
        >>> a = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> b = np.full_like(a, 128)
        >>> qc(a, a, b).round(4).tolist(), qc(b, a, b).round(2).tolist()
        ([1.0], [0.5])
    """
    form = INDICES[index]
    need_side(fused, form.size, "qc")
    height, width = fused.shape
    sums = compiled_sums(fused, a, b, form) if limits == "share" else None
    if sums is not None:
        return sums[3] / ((height - form.size + 1) * (width - form.size + 1))
    total = 0.0
    for images in bands(form, fused, a, b):
        to_a, to_b = (similarity(images[0], source, form) for source in images[1:])
        if index == "blocks":  # bands begin at multiples of its side
            to_a, to_b = ((q[..., ::4, ::4], cov[..., ::4, ::4]) for q, cov in (to_a, to_b))
        values = weighted_by_covariance(fused.xp, to_a, to_b, limits)
        if index == "blocks":
            values = fused.xp.where((to_a[1] == 0) & (to_b[1] == 0), 0.0, values)
        total = total + values.sum(AXES)
    if index == "blocks":
        return total / ((height // form.size) * (width // form.size))
    return total / ((height - form.size + 1) * (width - form.size + 1))


METRIC = Metric(
    name="qc",
    version="1",
    title="Cvejic's similarity measure Q_C",
    label="Qc",
    function=qc,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Cvejic, Łoza, Bull, Canagarajah 2005, Int. J. Signal Process. 2(3), 178–182",
    formula="Q_C = mean_w[s q(A,F) + (1-s) q(B,F)],  s = σ_AF/(σ_AF+σ_BF) limited to 0..1,  q as in Q_S",
    exploits="The source that the fused image resembles gets the weight: copies of either source (0.82 and 0.77) "
    "and the larger of both pixels beat six published results (0.70 in the mean).",
    choices=(
        "s is limited to 0..1, as in the authors' code (Cvejic_metric.m, University of Bristol, v1.1 2012). The "
        "published code of others (liu-2012: metricCvejic.m of zhengliu6699/imageFusionMetrics) sets the whole "
        "window to 0 or 1 instead, so that a window that resembles one source negatively can count as perfect.",
        "The universal index in 8×8 boxes around every pixel, Piella's windows; the authors' code takes 4×4 blocks "
        "side by side (index='blocks'), and counts one that shares nothing with either source as 0, not by its "
        "brightness. That of others has a 7×7 Gaussian, and NaN for the whole image as soon as one window shares "
        "nothing with either source, where s is ½ here. Where one source is flat in a window, the sign of a "
        "rounding error decides in it whether the window counts: 1.4 % of one real result.",
    ),
    edge_cases="1 for three equal images, flat or not; about ½ for a copy of a flat source.",
    differentiable=True,
    invariances=("swapping the sources", "one scale factor on all three images"),
    min_side=BOX,
    min_reason="its windows are 8×8",
    oracle="a plain loop over the windows",
)
