"""CE: cross entropy of the grey levels of the sources and of the fused image."""

from __future__ import annotations

import math
from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._histograms import histogram
from fusionbench.metrics._images import Array, Image, image_metric


@image_metric
def ce(fused: Image, a: Image, b: Image, *, sources: Literal["mean", "sum"] = "mean") -> Array:
    """Mean of D(A‖F) and D(B‖F) of the 256-bin histograms: three (N,H,W) on 0..255 to (N,) bits, lower is better.

    Levels that the fused image or the source does not have are left out, as in every published code; otherwise the
    value would be infinite as soon as the fused image lacks one level of a source.

    Args:
        sources: ``"sum"`` adds both divergences, as one published toolkit does: twice the value.

    Source: Bulanon, Burks, Alchanatis 2009 (Biosyst. Eng. 103, 12), where cross entropy is this divergence.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.ce import ce
        >>> a = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) % 4  # four equally frequent levels
        >>> b = np.minimum(a, 1)  # two levels, a quarter and three quarters
        >>> ce(a, a, a).tolist(), ce(a, b, b).round(4).tolist()  # ¾ log2(¾ / ¼)
        ([0.0], [1.1887])
    """
    both = _divergence(a, fused) + _divergence(b, fused)
    return both if sources == "sum" else both / 2


def _divergence(source: Image, fused: Image) -> Array:
    """Σ p log2(p/q) over the levels that both images have."""
    xp, p, q = fused.xp, histogram(source), histogram(fused)
    both = (p > 0) & (q > 0)
    ratio = xp.where(both, p, 1.0) / xp.where(both, q, 1.0)
    return (p * xp.log(ratio)).sum(-1) / (source.count * math.log(2))


METRIC = Metric(
    name="ce",
    version="1",
    title="Cross entropy",
    label="CE",
    function=ce,
    needs="pair",
    better="lower",
    unit="bits",
    range=(-0.531, math.inf),
    tolerance=Tolerance(1e-3, 0.0, "a tenth of the last digit that tables print"),
    reference="Bulanon, Burks, Alchanatis 2009, Biosyst. Eng. 103(1), 12–22",
    formula="CE = ½[Σ_k p_A log2(p_A/p_F) + Σ_k p_B log2(p_B/p_F)] over levels k that both histograms have",
    exploits="It sees histograms alone: any reordering of a source's pixels counts as that source. A black or "
    "constant image has less (-0.06 in the mean of six published results) than they do (0.98), and 16 "
    "grey levels instead of 256 have -0.16.",
    choices=(
        "The mean of both sources, in bits. Levels that one of the two images lacks are left out, as in the published "
        "code; by the formula alone the value would be infinite. Chenzpstar's toolkit prints the sum.",
    ),
    edge_cases="0 for three equal images; 0 where the fused image has no level of either source; "
    "negative where it concentrates on few levels.",
    gradient="Counts grey levels.",
    invariances=("swapping the sources", "any reordering of the pixels", "any one-to-one change of grey levels"),
    oracle="a plain loop over the levels; SciPy entropy where all levels occur",
)
