"""Q_E: Q_W of the images times Q_W of their edge images (Piella, Heijmans)."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import Array, Image, image_metric, need_side
from fusionbench.metrics._piella import BOX, INDICES, piella_means, prewitt_image
from fusionbench.metrics._windows import Border
from fusionbench.metrics.qs import Similarity


@image_metric
def qe(
    fused: Image,
    a: Image,
    b: Image,
    *,
    index: Similarity = "universal",
    border: Border = "replicate",
    factors: Literal["both", "edges", "edges once"] = "both",
) -> Array:
    """Q_W(A,B,F)·Q_W(A',B',F') of magnitudes X' of the gradient: three (N,H,W) on 0..255, sides ≥ 8, to (N,), -1..1.

    Args:
        index: the universal image quality index of 8×8 windows, or SSIM under an 11×11 Gaussian.
        border: how the images are padded for the gradient.
        factors: ``"edges"`` takes the square of the second factor, as a widespread repair of the published code has it;
            ``"edges once"`` that factor alone.

    NaN where both sources are flat: no window has a weight.

    Raises:
        DataError: a side below 8 pixels (11 with SSIM).

    Source: Piella, Heijmans 2003 (IEEE ICIP III, 173), exponent α = 1.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qe import qe
        >>> a = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> b = np.full_like(a, 128)
        >>> qe(a, a, b).round(4).tolist()
        [1.0]
    """
    form = INDICES[index]
    need_side(fused, form.size, "qe")
    edge_f, edge_a, edge_b = (prewitt_image(image, border) for image in (fused, a, b))
    edges = piella_means(edge_f, edge_a, edge_b, form)[1]
    if factors == "edges once":
        return edges
    return edges * (edges if factors == "edges" else piella_means(fused, a, b, form)[1])


METRIC = Metric(
    name="qe",
    version="1",
    title="Piella's edge-dependent fusion quality index Q_E",
    label="Qe",
    function=qe,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Piella, Heijmans 2003, IEEE ICIP, vol. III, 173–176",
    formula="Q_E = Q_W(A,B,F) · Q_W(A',B',F'),  X' = |∇X| by Prewitt's masks",
    exploits="The larger of both pixels (0.53) and a sharpened average (0.50) beat six published results (0.48 in "
    "the mean). Where both factors are negative the product is positive.",
    choices=(
        "Prewitt's masks as in the published code; the paper says edge images only. The border is continued by its "
        "edge values, zeros outside (liu-2012) are a false edge of every image.",
        "The published code stops at an undefined variable in place of the first factor. A repair in wide use "
        "(liu-2012 here) squares the second factor: no image enters but by its edges.",
    ),
    edge_cases="1 for three equal images that are not flat; NaN where both sources are flat.",
    differentiable=True,
    invariances=("swapping the sources", "one scale factor on all three images"),
    min_side=BOX,
    min_reason="its windows are 8×8",
    undefined=("both sources are constant",),
    oracle="a plain loop over the windows of the images and of SciPy's prewitt",
)
