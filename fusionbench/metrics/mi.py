"""MI: mutual information of the fused image with its sources."""

from __future__ import annotations

import math
from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._histograms import (
    Histogram,
    image_entropy,
    is_soft,
    mutual_information,
    soft_mutual_information,
)
from fusionbench.metrics._images import Array, Image, image_metric


@image_metric
def mi(
    fused: Image,
    a: Image,
    b: Image,
    *more: Image,
    unit: Literal["bits", "nats"] = "bits",
    top: int = 255,
    joint: Literal["measured", "ignored"] = "measured",
    histogram: Histogram = "counted",
    width: float = 0.5,
) -> Array:
    """I(F;A) + I(F;B) + … from 256-bin histograms: three or more (N,H,W) on 0..255 to (N,) bits, 0..16.

    Args:
        fused, a, b: grey images; values between two levels go to the nearest, halves to the even one.
        unit: bits or nats (1 bit = 0.693 nats).
        top: brightest level of the joint histogram; higher ones are merged with it (254 in one dialect).
        joint: ``"ignored"`` gives twice the entropy of F, which one published code prints as MI.
        histogram: ``"soft"`` has a gradient by the fused image: a pixel of it counts at every level k in proportion to
            exp(-(x-k)²/2·width²), width in grey levels; levels of the sources are counted.

    Raises:
        UsageError: an image that requires grad without ``histogram="soft"``, or a width that is not positive.

    Source: Qu, Zhang, Yan 2002 (Electron. Lett. 38, 313).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.mi import mi
        >>> a = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) % 8  # 3 bits
        >>> mi(a, a, a).round(4).tolist(), mi(a, a, a, unit="nats").round(4).tolist()
        ([6.0], [4.1589])
        >>> b = a.transpose(0, 2, 1)  # independent of a
        >>> mi(a, a, b).round(4).tolist()
        [3.0]
    """
    if is_soft(histogram, width):
        nats = sum(soft_mutual_information(fused, source, width, top) for source in (a, b, *more))
    elif joint == "ignored":
        nats = 2 * image_entropy(fused)
    else:
        nats = sum(mutual_information(fused, source, top) for source in (a, b, *more))
    return nats / math.log(2) if unit == "bits" else nats


METRIC = Metric(
    name="mi",
    version="1",
    title="Mutual information",
    label="MI",
    function=mi,
    needs="pair",
    better="higher",
    unit="bits",
    range=(0.0, 16.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Qu, Zhang, Yan 2002, Electron. Lett. 38(7), 313–315",
    formula="MI = I(F;A) + I(F;B),  I(x;y) = H(x) + H(y) - H(x,y) over 256 grey levels",
    exploits="Copying one source unchanged gives I = H(source), which no real fusion reaches.",
    choices=(
        "Bits: values in nats (cddfuse, vifb) are 0.693 of these.",
        "Sum of the two sources, not normalised; nmi is the normalised form.",
        "Values near 13 in RFN-Nest-style tables are twice the entropy of F and hold no mutual information (rfn-nest).",
    ),
    edge_cases="0 for a flat fused image; 2·H for three equal images.",
    gradient='Counts of grey levels have none; histogram="soft" has one.',
    invariances=("swapping the sources", "any reordering of the pixels", "any one-to-one change of grey levels"),
    oracle="scikit-learn mutual_info_score",
    many=True,
)
