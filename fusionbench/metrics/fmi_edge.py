"""FMI_edge: feature mutual information of binary edges."""

from __future__ import annotations

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import Array, Image, image_metric
from fusionbench.metrics.fmi import fmi


@image_metric
def fmi_edge(fused: Image, a: Image, b: Image) -> Array:
    """:func:`fusionbench.metrics.fmi.fmi` of binary edges: three (N,H,W) to (N,), about 0..1.

    Raises:
        DataError: a side below 3 pixels.

    Source: Haghighat, Razian 2014 (AICT, fast FMI), after Haghighat, Aghagolzadeh, Seyedarabi 2011.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.fmi_edge import fmi_edge
        >>> a = np.tile(np.arange(16, dtype=np.uint8) // 8 * 90, (1, 16, 1))  # one edge
        >>> b = a.transpose(0, 2, 1)
        >>> fmi_edge(a, a, a).round(4).tolist(), fmi_edge(a, a, b).round(2).tolist()
        ([1.0], [0.81])
    """
    value: Array = fmi.kernel(fused, a, b, feature="edge")  # type: ignore[attr-defined]
    return value


METRIC = Metric(
    name="fmi_edge",
    version="1",
    title="Feature mutual information of binary edges",
    label="FMI_edge",
    function=fmi_edge,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Haghighat, Razian 2014, IEEE AICT, 1–3; Haghighat, Aghagolzadeh, Seyedarabi 2011, CEE 37(5), 744–756",
    formula="FMI of e(A), e(B), e(F),  e = 1 at thinned Sobel edges of g² > 4·mean(g²), else 0",
    exploits="Most windows have no edge in either image and count as 1: a constant image (0.88) beats the average "
    "and six published results (0.85).",
    choices=(
        "Sobel's gradient with replicated border, a threshold from the image itself, thinned to the strongest pixel "
        "across the edge, as MATLAB's edge is described; its thinning is compiled, so that pixels may differ. Tables "
        "by one evaluator (linfeng) call this FMI_pixel.",
    ),
    edge_cases="1 for equal images, flat or not, and for any flat images.",
    gradient="Edges are there or not.",
    invariances=("swapping the sources", "one scale factor on all three images"),
    min_side=3,
    min_reason="its windows are 3×3",
    oracle="a plain loop over pixels and windows",
)
