"""Q_SF: how far the fused image's spatial frequency is from that of the sources' larger differences (Zheng)."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import multiplied, root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._kernel import Loops

# (rows down, columns right, weight): along rows, columns and both diagonals, by one over the distance of the pixels
DIRECTIONS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, math.sqrt(0.5)), (1, -1, math.sqrt(0.5)))
SECONDS = 10e-9  # a pixel of two images without compiled code


@image_metric
def qsf(fused: Image, a: Image, b: Image, *, signed: bool = False) -> Array:
    """|SF(F) - SF_R|/SF_R with four directions: three (N,H,W) on 0..255 to (N,), 0 is best.

    Args:
        signed: without the absolute value: below 0 where detail is lost, above 0 where noise came in.

    NaN or infinite where both sources are flat.

    Raises:
        DataError: an image narrower or lower than 2 pixels.

    Source: Zheng, Essock, Hansen, Haun 2007 (Inf. Fusion 8, 177).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qsf import qsf
        >>> a = np.tile(np.arange(8, dtype=np.uint8) * 6, (1, 8, 1))
        >>> b = np.zeros_like(a)
        >>> qsf(a, a, b).tolist(), qsf(a // 2, a, b, signed=True).round(4).tolist()  # half of the steps
        ([0.0], [-0.5])
    """
    need_side(fused, 2, "qsf")
    own = fused.cached("own differences", lambda: _larger(fused, fused))
    value = root(own) / root(a.cached(("larger differences", b.serial), lambda: _larger(a, b))) - 1
    return value if signed else fused.xp.abs(value)


def _larger(a: Image, b: Image) -> Array:
    """Weighted sum of max(|∇A|, |∇B|)²."""
    loops = LOOPS.compiled(SECONDS * a.count) if a.grey is not None and b.grey is not None else None
    if loops is not None:
        return _compiled_larger(loops, a, b)
    total = 0.0
    for rows, columns, weight in DIRECTIONS:
        of_a, of_b = (_difference(image, rows, columns) for image in (a, b))
        largest = multiplied(of_a, of_a)
        if b is not a:
            largest = a.xp.maximum(largest, multiplied(of_b, of_b))
        total = total + weight * largest.sum(AXES)
    return total


def _compiled_larger(loops: ModuleType, a: Image, b: Image) -> np.float64:
    """The same of whole grey levels, whose sums are exact in any order."""
    sums = np.zeros(len(DIRECTIONS), np.int64)
    loops.qsf_sums(a.grey, b.grey, sums)
    total = np.float64(0.0)
    for (*_, weight), value in zip(DIRECTIONS, sums, strict=True):
        total = total + weight * np.float64(value)
    return total


def _difference(image: Image, rows: int, columns: int) -> Array:
    """Every pixel minus the one so many rows above it and columns to its left (to its right if below 0)."""
    x, (height, width) = image.pixels, image.shape
    right = x[..., rows:, max(columns, 0) : width + min(columns, 0)]
    return right - x[..., : height - rows, max(-columns, 0) : width - max(columns, 0)]


def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the values of this one."""
    x, y = ((np.arange(11 * 70) * step % 251).reshape(11, 70).astype(np.uint8) for step in (37, 91))
    plain = [Image(each.astype(np.float64)) for each in (x, y)]
    return bool(_compiled_larger(loops, Image(None, grey=x), Image(None, grey=y)) == _larger(*plain))


LOOPS = Loops("qsf", "fusionbench.metrics._pairs_compiled", _agrees)


METRIC = Metric(
    name="qsf",
    version="1",
    title="Spatial frequency error Q_SF",
    label="Qsf",
    function=qsf,
    needs="pair",
    better="lower",
    unit="1",
    range=(0.0, math.inf),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Zheng, Essock, Hansen, Haun 2007, Inf. Fusion 8(2), 177–192",
    formula="Q_SF = |SF_F - SF_R|/SF_R,  SF² = Σ_d w_d mean(∇_d²) over rows, columns (w = 1) and both diagonals "
    "(w = √½),  ∇_d of R: the larger of |∇_d A| and |∇_d B|",
    exploits="One number of the fused image is compared with one of the sources: an average of twice the contrast "
    "is nearer to 0 (0.12) than six published results (0.32), and noise of the right strength brings any "
    "image there.",
    choices=(
        "The absolute value, as the paper reads it: 0 is ideal. Tables and the published code (liu-2012) have the "
        "sign, below 0 for lost detail and above for noise; what they rank by differs.",
        "All sums are divided by H·W, so that it cancels.",
    ),
    edge_cases="1 for a flat fused image; no value where both sources are flat.",
    differentiable=True,
    invariances=(
        "swapping the sources",
        "adding a constant to any image",
        "inversion of all three images",
        "one scale factor on all three images",
    ),
    min_side=2,
    min_reason="differences take two pixels along each axis",
    undefined=("both sources are constant",),
    oracle="a plain loop over the pixels",
)
