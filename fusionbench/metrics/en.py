"""EN: Shannon entropy of the fused image's grey levels."""

from __future__ import annotations

import math

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._histograms import (
    Histogram,
    Rounding,
    entropy,
    image_entropy,
    is_soft,
    soft_entropy,
    soft_histogram,
)
from fusionbench.metrics._histograms import histogram as counts_of
from fusionbench.metrics._images import Array, Image, image_metric


@image_metric
def en(
    fused: Image,
    *,
    rounding: Rounding = "nearest",
    inside_log: float = 0.0,
    histogram: Histogram = "counted",
    width: float = 0.5,
) -> Array:
    """Entropy of the 256-bin histogram: (N,H,W) on 0..255 to (N,) bits, 0..8.

    Args:
        fused: grey images; values between two levels go to the nearest, halves to the even one.
        rounding: ``"floor"`` cuts off instead.
        inside_log: added to each probability inside the logarithm (a dialect's guard against log 0).
        histogram: ``"soft"`` has a gradient: a pixel counts at every level k in proportion to exp(-(x-k)²/2·width²),
            width in grey levels; the smaller it is, the closer the value and the steeper the gradient.

    Raises:
        UsageError: an image that requires grad without ``histogram="soft"``, or a width that is not positive.

    Source: Roberts, van Aardt, Ahmed 2008 (J. Appl. Remote Sens. 2, 023522), after Shannon 1948.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.en import en
        >>> eight_levels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) % 8
        >>> en(eight_levels).round(4).tolist()  # log2 of 8 equally frequent levels
        [3.0]
        >>> en(eight_levels, histogram="soft", width=0.3).round(4).tolist()
        [3.0045]
    """
    if is_soft(histogram, width):
        return soft_entropy(soft_histogram(fused, width)) / math.log(2)
    if inside_log:
        p = counts_of(fused, rounding) / fused.count
        return -(p * fused.xp.log2(p + inside_log)).sum(-1)
    nats = image_entropy(fused) if rounding == "nearest" else entropy(counts_of(fused, rounding))
    return nats / math.log(2)


METRIC = Metric(
    name="en",
    version="1",
    title="Entropy",
    label="EN",
    function=en,
    needs="fused",
    better="higher",
    unit="bits",
    range=(0.0, 8.0),
    tolerance=Tolerance(1e-3, 0.0, "a tenth of the last digit that tables print"),
    reference="Roberts, van Aardt, Ahmed 2008, J. Appl. Remote Sens. 2(1), 023522",
    formula="EN = -Σ_k p_k log2 p_k,  p = 256-bin histogram of round(F) / (H·W)",
    exploits="Noise and histogram stretching raise it; it never looks at the sources.",
    choices=(
        "256 bins of one grey level, values rounded half to even: cutting off instead moves real-valued "
        "images (0.2 bits on one average of two sources) and 8-bit images not at all.",
        "Saving the fused image as JPEG (quality 75) moved six real results by -0.02 to 0.05 bits.",
    ),
    edge_cases="A flat image has 0 bits.",
    gradient='Counts of grey levels have none; histogram="soft" has one.',
    invariances=("any reordering of the pixels", "any one-to-one change of grey levels"),
    oracle="scikit-image shannon_entropy; SciPy entropy",
)
