"""L^{AB/F}: edges of the sources that the fused image lost."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import Array, Image, image_metric, need_side
from fusionbench.metrics.nabf import WEAK_WEIGHT, edge_losses, lost_where


@image_metric
def labf(
    fused: Image,
    a: Image,
    b: Image,
    *,
    floor: float = WEAK_WEIGHT,
    unit: bool = False,
    edges: Literal["kumar", "qabf"] = "kumar",
) -> Array:
    """Share of edge weight lost where the fused image is no stronger than both sources: three (N,H,W) to (N,), 0..1.

    With the artefacts of ``nabf`` and the edges kept, Σ(Q_AF w_A + Q_BF w_B)/Σ(w_A+w_B), it adds up to 1.

    Args:
        floor: weight of edges weaker than 2 grey levels.
        unit: take the gradients on the 0..1 scale, where no edge is strong and all weigh the same.
        edges: ``"qabf"`` takes preservation and its constants from Qabf, folded angles, and weighs all edges by g^1.5,
            as ``nabf`` does; NaN where both sources are flat.

    Raises:
        DataError: an image narrower or lower than 3 pixels.

    Source: Petrović, Xydeas 2005 (IEEE ICCV, 1866) as computed by Kumar 2013 (Signal Image Video Process. 7, 1125).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.labf import labf
        >>> flat = np.full((1, 16, 16), 128, np.uint8)
        >>> texture = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> labf(flat, texture, texture).round(2).tolist(), labf(texture, texture, texture).round(4).tolist()
        ([0.99], [0.0003])
    """
    need_side(fused, 3, "labf")
    if edges == "qabf":
        return lost_where(fused, a, b, stronger=False)
    _, lost, total = edge_losses(fused, (a, b), floor, unit)
    return lost / total


METRIC = Metric(
    name="labf",
    version="1",
    title="Fusion loss L^{AB/F}",
    label="Labf",
    function=labf,
    needs="pair",
    better="lower",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Kumar 2013, Signal Image Video Process. 7(6), 1125–1143; Petrović, Xydeas 2005, IEEE ICCV, 1866–1871",
    formula="L = Σ_{g_F≤g_A or g_F≤g_B} [(1-Q_AF)w_A + (1-Q_BF)w_B] / Σ(w_A+w_B),  Q and w as in N^{AB/F}",
    exploits="Noise and sharpening that make edges stronger than both sources' turn losses into artefacts, which "
    "nabf counts and this does not: pure noise has 0.20, six published results 0.16.",
    choices=("Constants, weights and mirrored border of nabf, so that the parts add up; not those of qabf.",),
    edge_cases="0.0003, not 0, for three equal images; about 1 for a flat fused image; 0.0003 for flat images.",
    differentiable=True,
    invariances=("swapping the sources", "adding a constant to any image"),
    min_side=3,
    min_reason="Sobel's masks are 3×3",
    oracle="a direct composition with SciPy convolve2d",
)
