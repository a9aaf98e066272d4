"""N^{AB/F}: edges of the fused image that no source has (artefacts)."""

from __future__ import annotations

import functools
import math
import operator
from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import arctan_of_quotient, recorded, refuse_gradient, root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._windows import on_unit_scale, pad_border, sobel, sobel_in_order
from fusionbench.metrics.qabf import edge_gradients, edge_preservation, padded

STRONG, WEAK_WEIGHT, POWER = 2.0, 0.001, 1.5
GAMMA_G, KAPPA_G, SIGMA = 0.9999, 19.0, 0.5
GAMMA_ALPHA, KAPPA_ALPHA = 0.9995, 22.0


@image_metric
def nabf(
    fused: Image,
    a: Image,
    b: Image,
    *more: Image,
    floor: float = WEAK_WEIGHT,
    unit: bool = False,
    edges: Literal["kumar", "qabf"] = "kumar",
) -> Array:
    """Share of edge weight lost to artefacts: three or more (N,H,W) on 0..255 to (N,), 0..1, lower is better.

    Args:
        floor: weight of edges weaker than 2 grey levels.
        unit: take the gradients on the 0..1 scale, where no edge is strong and all weigh the same; the last bits, which
            decide what is an artefact where gradients are equal, are those of the published MATLAB code.
        edges: ``"qabf"`` takes preservation and its constants from Qabf, folded angles, and weighs all edges by g^1.5.

    NaN where all weights are 0 (two flat sources with ``floor`` 0 or the edges of Qabf).

    Raises:
        DataError: an image narrower or lower than 3 pixels.

    Source: Petrović, Xydeas 2004 (Proc. SPIE 5913 form of the measure) as modified by Kumar 2013
    (Signal Image Video Process. 7, 1125).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.nabf import nabf
        >>> flat = np.full((1, 16, 16), 128, np.uint8)
        >>> noise = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> nabf(flat, flat, flat).tolist()
        [0.0]
        >>> nabf(noise, flat, flat).round(2).tolist()  # no source has any of its edges
        [0.98]
    """
    if unit:
        why = "on the 0..1 scale rounding decides which gradients are equal; detach() the images to score them"
        refuse_gradient(why, *(image.stored for image in (fused, a, b)))
    need_side(fused, 3, "nabf")
    xp = fused.xp
    if edges == "qabf":
        return lost_where(fused, a, b, *more, stronger=True)
    g_f = normalised_gradients(fused, unit)[0]
    sources = (a, b, *more)
    artefact = functools.reduce(operator.and_, (g_f > normalised_gradients(source, unit)[0] for source in sources))
    artefacts, total = 0.0, 0.0
    for source in sources:
        g = normalised_gradients(source, unit)[0]
        weight = xp.where(g >= STRONG, g**POWER, floor)
        lost = xp.where(artefact, 1 - _edge_preservation(source, fused, unit), 0.0)
        artefacts = artefacts + (lost * weight).sum(AXES)
        total = total + weight.sum(AXES)
    return artefacts / total


def lost_where(fused: Image, *sources: Image, stronger: bool) -> Array:
    """The same sum with Q_XF of Qabf, where the fused image is stronger than all sources, or where it is not.

    Qabf and both sums add up to 1.
    """
    images = (fused, *sources)
    maps = [edge_gradients(padded(image, "reflect", False), ("reflect", "folded", None)) for image in images]
    artefact = functools.reduce(operator.and_, (maps[0][0] > strength for strength, _ in maps[1:]))
    counts = artefact if stronger else ~artefact
    lost, total = 0.0, 0.0
    for source in maps[1:]:
        weight = source[0] ** POWER
        q = edge_preservation(source, maps[0], "one", fused, folded=True)
        lost = lost + fused.xp.where(counts, (1 - q) * weight, 0.0).sum(AXES)
        total = total + weight.sum(AXES)
    return lost / total


def normalised_gradients(image: Image, unit: bool) -> tuple[Array, Array]:
    """(strength g, orientation α) by Sobel's masks divided by 8, cached."""

    def compute() -> tuple[Array, Array]:
        xp = image.xp
        padded = pad_border(on_unit_scale(image.pixels) if unit else image.pixels, 1, "reflect")
        sx, sy = (side / 8 for side in (sobel_in_order(padded, "window") if unit else sobel(padded)))
        # where nothing changes along either axis the orientation is 0
        flat = (sx == 0) & (sy == 0)
        quotient_of = xp.where(flat, 1.0, sy)
        angle = arctan_of_quotient(sx, quotient_of) if recorded(sx) else xp.arctan(sx / quotient_of)
        return root(sx * sx + sy * sy), xp.where(flat, 0.0, angle)

    return image.cached(("nabf edges", unit), compute)


def _edge_preservation(source: Image, fused: Image, unit: bool) -> Array:
    """Q_XF: preservation of strength and of orientation, per pixel."""
    xp = fused.xp
    (g, alpha), (g_f, alpha_f) = normalised_gradients(source, unit), normalised_gradients(fused, unit)
    smaller, larger = xp.minimum(g, g_f), xp.maximum(g, g_f)
    ratio = xp.where(smaller == 0, 0.0, smaller / xp.where(larger == 0, 1.0, larger))
    alignment = xp.abs(xp.abs(alpha - alpha_f) - math.pi / 2) * 2 / math.pi
    q_g = GAMMA_G / (1 + xp.exp(-KAPPA_G * (ratio - SIGMA)))
    q_alpha = GAMMA_ALPHA / (1 + xp.exp(-KAPPA_ALPHA * (alignment - SIGMA)))
    return xp.sqrt(q_g * q_alpha)


METRIC = Metric(
    name="nabf",
    version="1",
    title="Fusion artefacts N^{AB/F}",
    label="Nabf",
    function=nabf,
    needs="pair",
    better="lower",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Kumar 2013, Signal Image Video Process. 7(6), 1125–1143, after Petrović, Xydeas",
    formula="N = Σ_{g_F>g_A,g_B} [(1-Q_AF)w_A + (1-Q_BF)w_B] / Σ(w_A+w_B),  w = g^1.5 where g ≥ 2, else 0.001",
    exploits="Blurring the fused image removes every artefact and every detail.",
    choices=(
        "Images on 0..255: on 0..1 (rfn-nest) no gradient reaches 2 and all edges weigh the same.",
        "The fused image is the first argument; one published script (linfeng) hands over the infrared image instead.",
    ),
    edge_cases="0 for a flat fused image; NaN where every weight is 0.",
    differentiable=True,
    gradient="Between jumps: the value jumps where a fused gradient passes a source's, and where a source's passes 2 "
    "grey levels.",
    invariances=("swapping the sources", "adding a constant to any image"),
    min_side=3,
    min_reason="Sobel's masks are 3×3",
    oracle="a direct loop-free composition with SciPy convolve2d",
    many=True,
)
