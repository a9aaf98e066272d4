"""Q_W: Q_S with every window weighted by the variance that the sources have there (Piella, Heijmans)."""

from __future__ import annotations

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import Array, Image, image_metric, need_side
from fusionbench.metrics._piella import BOX, INDICES, piella_means
from fusionbench.metrics.qs import Similarity


@image_metric
def qw(fused: Image, a: Image, b: Image, *, index: Similarity = "universal") -> Array:
    """Q_S weighted by max(σ_A², σ_B²): three (N,H,W) on 0..255, sides ≥ 8, to (N,), -1..1.

    Args:
        index: the universal image quality index of 8×8 windows, or SSIM under an 11×11 Gaussian.

    NaN where both sources are flat: no window has a weight.

    Raises:
        DataError: a side below 8 pixels (11 with SSIM).

    Source: Piella, Heijmans 2003 (IEEE ICIP III, 173).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qw import qw
        >>> a = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> b = np.full_like(a, 128)
        >>> qw(a, a, b).round(4).tolist(), qw(255 - a, a, b).round(1).tolist()
        ([1.0], [-1.0])
    """
    form = INDICES[index]
    need_side(fused, form.size, "qw")
    return piella_means(fused, a, b, form)[1]


METRIC = Metric(
    name="qw",
    version="1",
    title="Piella's weighted fusion quality index Q_W",
    label="Qw",
    function=qw,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Piella, Heijmans 2003, IEEE ICIP, vol. III, 173–176",
    formula="Q_W = Σ_w c[λ q(A,F) + (1-λ) q(B,F)] / Σ_w c,  c = max(σ_A², σ_B²), λ and q as in Q_S",
    exploits="Only where a source has contrast it counts: noise in flat areas is free. The larger of both pixels "
    "(0.73) beats six published results (0.72 in the mean).",
    choices=(
        "The paper's index and boxes, as in Q_S; the published code (liu-2012) has SSIM and counts windows in which "
        "both sources are flat with a weight of ½.",
    ),
    edge_cases="1 for three equal images that are not flat; NaN where both sources are flat.",
    differentiable=True,
    invariances=("swapping the sources", "one scale factor on all three images"),
    min_side=BOX,
    min_reason="its windows are 8×8",
    undefined=("both sources are constant",),
    oracle="a plain loop over the windows",
)
