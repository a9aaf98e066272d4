"""SCD: sum of the correlations of differences."""

from __future__ import annotations

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import Array, Image, image_metric
from fusionbench.metrics._moments import difference_correlation


@image_metric
def scd(fused: Image, a: Image, b: Image) -> Array:
    """r(A, F-B) + r(B, F-A): three (N,H,W) on 0..255 to (N,), -2..2.

    The difference of the fused image and one source should resemble the other source. NaN where a source is
    flat or where F equals a source up to a constant: the difference then has no variance to correlate.

    Source: Aslantas, Bendes 2015 (AEU Int. J. Electron. Commun. 69, 1890).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.scd import scd
        >>> a = np.tile(np.arange(8, dtype=np.uint8) * 15, (1, 8, 1))
        >>> b = a.transpose(0, 2, 1)
        >>> scd(a + b, a, b).round(4).tolist()  # F - B is A, and F - A is B
        [2.0]
    """
    return difference_correlation(a, fused, b) + difference_correlation(b, fused, a)


METRIC = Metric(
    name="scd",
    version="1",
    title="Sum of the correlations of differences",
    label="SCD",
    function=scd,
    needs="pair",
    better="higher",
    unit="1",
    range=(-2.0, 2.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Aslantas, Bendes 2015, AEU Int. J. Electron. Commun. 69(12), 1890–1896",
    formula="SCD = r(A, F-B) + r(B, F-A),  r: Pearson over all pixels",
    exploits="Stretching the contrast of the plain average ranks first on published sets.",
    choices=("Sum of the two sources, differences neither rounded nor clipped, as every implementation has it.",),
    edge_cases="NaN where a source is flat, or where F - A or F - B is constant (a copied source).",
    differentiable=True,
    invariances=("swapping the sources", "any reordering of the pixels", "adding a constant to any image"),
    min_pixels=2,
    min_reason="one pixel has no variance",
    undefined=("a source is constant", "the fused image minus a source is constant"),
    oracle="NumPy corrcoef of the differences; SciPy pearsonr",
)
