"""Q_NCIE: nonlinear correlation information entropy of the sources and the fused image."""

from __future__ import annotations

import math

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._histograms import LEVELS, mutual_information
from fusionbench.metrics._images import Array, Image, image_metric

COUNT = 3  # images whose correlations are the matrix
UNRELATED = 1 - math.log(COUNT, LEVELS)  # 0.8019: three independent images


@image_metric
def qncie(fused: Image, a: Image, b: Image) -> Array:
    """1 minus the entropy of the eigenvalues of the nonlinear correlations: three (N,H,W) to (N,), 0.8019..1.

    The correlation of two images is their mutual information with logarithms to base 256.

    Source: Wang, Shen, Zhang 2005 (Physica D 200, 287); for fusion Wang, Shen, Jin 2008 (Image Fusion, chapter 19).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qncie import qncie
        >>> a = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)  # all levels
        >>> b = np.full_like(a, 9)
        >>> qncie(a, a, a).round(4).tolist(), qncie(b, a, b).round(4).tolist()
        ([1.0], [0.8019])
    """
    xp = fused.xp
    fa, fb, ab = (mutual_information(*two) / math.log(LEVELS) for two in ((fused, a), (fused, b), (a, b)))
    one = xp.ones_like(fa)
    matrix = xp.stack([one, ab, fa, ab, one, fb, fa, fb, one], -1).reshape(*fa.shape, COUNT, COUNT)
    share = xp.clip(xp.linalg.eigvalsh(matrix), 0, None) / COUNT  # rounding makes -1e-17 of 0
    entropy = -(share * xp.log(xp.where(share > 0, share, 1.0))).sum(-1) / math.log(LEVELS)
    return 1 - entropy


METRIC = Metric(
    name="qncie",
    version="1",
    title="Nonlinear correlation information entropy Q_NCIE",
    label="Qncie",
    function=qncie,
    needs="pair",
    better="higher",
    unit="1",
    range=(UNRELATED, 1.0),
    tolerance=Tolerance(1e-4, 0.0, "the last digit that tables print; six real results lie within 0.802 and 0.811"),
    reference="Wang, Shen, Zhang 2005, Physica D 200(3–4), 287–295; Wang, Shen, Jin 2008, Image Fusion, 469–492",
    formula="Q_NCIE = 1 + Σ_i (λ_i/3) log256(λ_i/3),  λ: eigenvalues of [1 I_AB I_AF; I_AB 1 I_BF; I_AF I_BF 1], I in "
    "base 256",
    exploits="A copy of one source has the most (0.85, six published results 0.81). Inverting or relabelling the "
    "fused image changes nothing, and the correlation of the sources counts, which no fusion changes. The "
    "scale starts at 0.8019, not at 0.",
    choices=(
        "Grey levels are the bins, as in the published code; bins of equal frequency are in the first paper. "
        "The diagonal is 1 whatever an image's entropy, so that equal images have 1 only where all 256 levels are "
        "equally frequent.",
    ),
    edge_cases="0.8019 where an image shares nothing with the others (constant images).",
    gradient="Counts grey levels.",
    invariances=("swapping the sources", "any reordering of the pixels", "any one-to-one change of grey levels"),
    oracle="scikit-learn mutual_info_score and NumPy eigvals",
)
