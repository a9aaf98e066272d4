"""CC: correlation of the fused image with its sources."""

from __future__ import annotations

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import Array, Image, image_metric
from fusionbench.metrics._moments import pearson


@image_metric
def cc(fused: Image, a: Image, b: Image, *more: Image) -> Array:
    """Mean of Pearson's r of the fused image with each source: three or more (N,H,W) on 0..255 to (N,), -1..1.

    NaN where an image is flat: r does not exist there.

    Source: Deshmukh, Bhosale 2010 (Int. J. Image Process. 4, 484).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.cc import cc
        >>> a = np.tile(np.arange(8, dtype=np.uint8) * 10, (1, 8, 1))
        >>> b = a.transpose(0, 2, 1)  # not correlated with a
        >>> cc((a + b) / 2, a, b).round(4).tolist()  # 1/√2 with each
        [0.7071]
    """
    sources = (a, b, *more)
    return sum(pearson(fused, source) for source in sources) / len(sources)


METRIC = Metric(
    name="cc",
    version="1",
    title="Correlation coefficient",
    label="CC",
    function=cc,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(1e-3, 0.0, "a tenth of the last digit that tables print"),
    reference="Deshmukh, Bhosale 2010, Int. J. Image Process. 4(5), 484–508",
    formula="CC = (r(A,F) + r(B,F)) / 2,  r: Pearson over all pixels",
    exploits="The plain average of both sources is close to its maximum.",
    choices=("Mean of the two sources, as every implementation has it.",),
    edge_cases="NaN where the fused image or a source is flat.",
    differentiable=True,
    invariances=("swapping the sources", "any reordering of the pixels", "positive scale and offset of any image"),
    min_side=1,
    min_pixels=2,
    min_reason="one pixel has no variance",
    undefined=("a source is constant", "the fused image is constant"),
    oracle="NumPy corrcoef; SciPy pearsonr",
    many=True,
)
