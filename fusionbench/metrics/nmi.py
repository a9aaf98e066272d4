"""NMI: normalised mutual information of the fused image with its sources."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._histograms import (
    Histogram,
    image_entropy,
    is_soft,
    mutual_information,
    soft_entropy,
    soft_histogram,
    soft_mutual_information,
)
from fusionbench.metrics._images import Array, Image, image_metric


@image_metric
def nmi(
    fused: Image,
    a: Image,
    b: Image,
    *more: Image,
    by: Literal["each", "sources"] = "each",
    histogram: Histogram = "counted",
    width: float = 0.5,
) -> Array:
    """Mutual information over the entropies: three or more (N,H,W) on 0..255 to (N,), 0..1 a source.

    Args:
        fused, a, b: grey images; values between two levels go to the nearest, halves to the even one.
        by: ``"each"`` divides I(F;X) by (H(F)+H(X))/2 before summing; ``"sources"`` divides the sum
            by (H(A)+H(B)+…)/2.
        histogram: ``"soft"`` has a gradient by the fused image: a pixel of it counts at every level k in proportion to
            exp(-(x-k)²/2·width²), width in grey levels; levels of the sources are counted.

    NaN where an entropy in a denominator is 0 for both images.

    Raises:
        UsageError: an image that requires grad without ``histogram="soft"``, or a width that is not positive.

    Source: Hossny, Nahavandi, Creighton 2008 (Electron. Lett. 44, 1066), which corrects Qu's MI.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.nmi import nmi
        >>> a = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) % 8
        >>> b = a.transpose(0, 2, 1)  # independent of a
        >>> nmi(a, a, a).round(4).tolist(), nmi(a, a, b).round(4).tolist()
        ([2.0], [1.0])
    """
    soft, sources = is_soft(histogram, width), (a, b, *more)
    information = [
        soft_mutual_information(fused, source, width) if soft else mutual_information(fused, source)
        for source in sources
    ]
    entropies = [image_entropy(source) for source in sources]
    if by == "sources":
        return 2 * sum(information) / sum(entropies)
    h_f = soft_entropy(soft_histogram(fused, width)) if soft else image_entropy(fused)
    return 2 * sum(mi_fx / (h_f + h_x) for mi_fx, h_x in zip(information, entropies, strict=True))


METRIC = Metric(
    name="nmi",
    version="1",
    title="Normalised mutual information",
    label="NMI",
    function=nmi,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, 2.0),
    tolerance=Tolerance(1e-3, 0.0, "a tenth of the last digit that tables print"),
    reference="Hossny, Nahavandi, Creighton 2008, Electron. Lett. 44(18), 1066–1067",
    formula="Q_MI = 2·I(F;A)/(H(F)+H(A)) + 2·I(F;B)/(H(F)+H(B))",
    exploits="Copying one source unchanged gives 1 for that source.",
    choices=("Each source by its own entropies; another code (ivif-zoo) divides the sum by the sources' entropies.",),
    edge_cases="NaN where the fused image and a source are both flat; 0 where only the fused image is.",
    gradient='Counts of grey levels have none; histogram="soft" has one.',
    invariances=("swapping the sources", "any reordering of the pixels", "any one-to-one change of grey levels"),
    min_pixels=2,
    min_reason="one pixel has no entropy",
    undefined=("the fused image and a source are constant",),
    oracle="scikit-learn mutual_info_score and SciPy entropy",
    many=True,
)
