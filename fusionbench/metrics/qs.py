"""Q_S: local similarity of the fused image to each source, by the sources' local variance (Piella, Heijmans)."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import Array, Image, image_metric, need_side
from fusionbench.metrics._piella import BOX, INDICES, piella_means

Similarity = Literal["universal", "ssim"]


@image_metric
def qs(fused: Image, a: Image, b: Image, *, index: Similarity = "universal") -> Array:
    """Mean of λ q(A,F) + (1-λ) q(B,F) over all windows: three (N,H,W) on 0..255, sides ≥ 8, to (N,), -1..1.

    Args:
        index: q: the universal image quality index of 8×8 windows, or SSIM under an 11×11 Gaussian.

    Raises:
        DataError: a side below 8 pixels (11 with SSIM).

    Source: Piella, Heijmans 2003 (IEEE ICIP III, 173); Wang, Bovik 2002 (IEEE Signal Process. Lett. 9, 81) for q.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qs import qs
        >>> a = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> b = np.full_like(a, 128)
        >>> qs(a, a, b).round(4).tolist(), qs(b, a, b).round(4).tolist()  # a has all the variance
        ([1.0], [0.0])
    """
    form = INDICES[index]
    need_side(fused, form.size, "qs")
    return piella_means(fused, a, b, form)[0]


METRIC = Metric(
    name="qs",
    version="1",
    title="Piella's fusion quality index Q_S",
    label="Qs",
    function=qs,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Piella, Heijmans 2003, IEEE ICIP, vol. III, 173–176",
    formula="Q_S = mean_w[λ q(A,F) + (1-λ) q(B,F)],  λ = σ_A²/(σ_A²+σ_B²),  "
    "q = 4σ_XF μ_X μ_F / [(σ_X²+σ_F²)(μ_X²+μ_F²)] in 8×8 windows",
    exploits="The plain average has as much as six published results (0.68 and 0.67 in the mean), sharpened it has "
    "more (0.71).",
    choices=(
        "The paper's index without constants in 8×8 boxes. The published code (liu-2012) has SSIM with C1 and C2 under "
        "an 11×11 Gaussian, where low contrast counts little: 0.07 to 0.22 more on six real results.",
        "Flat windows: two are compared by their means, one of the two has 0; λ is ½ where both sources are flat.",
    ),
    edge_cases="1 for three equal images, flat or not; 0 for a flat fused image and sources that are nowhere flat.",
    differentiable=True,
    invariances=("swapping the sources", "one scale factor on all three images"),
    min_side=BOX,
    min_reason="its windows are 8×8",
    oracle="a plain loop over the windows",
)
