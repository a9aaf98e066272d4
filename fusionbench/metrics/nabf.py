"""N^{AB/F}: edges of the fused image that no source has (artefacts)."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import arctan_of_quotient, recorded, refuse_gradient, root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import sobel, sobel_in_order
from fusionbench.metrics.qabf import edge_gradients, edge_preservation, padded
from fusionbench.synth.kernel import whole

STRONG, WEAK_WEIGHT, POWER = 2.0, 0.001, 1.5
GAMMA_G, KAPPA_G, SIGMA = 0.9999, 19.0, 0.5
GAMMA_ALPHA, KAPPA_ALPHA = 0.9995, 22.0
SECONDS = 20e-9  # a pixel of an image without compiled code


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
    if edges == "qabf":
        return lost_where(fused, a, b, *more, stronger=True)
    artefacts, _, total = edge_losses(fused, (a, b, *more), floor, unit)
    return artefacts / total


def edge_losses(fused: Image, sources: Sequence[Image], floor: float, unit: bool) -> tuple[Array, Array, Array]:
    """Σ(1 - Q_XF)·w where the fused image is stronger than all sources, the same elsewhere, and Σw, cached."""

    def compute() -> tuple[Array, Array, Array]:
        xp, (artefacts, lost, total) = fused.xp, (0.0, 0.0, 0.0)
        for bands in zip(*(padded(image, "reflect", unit).bands(1) for image in (fused, *sources)), strict=True):
            edges = [_gradients(band, unit) for band in bands]
            artefact = functools.reduce(operator.and_, (edges[0][0] > strength for strength, _ in edges[1:]))
            loops = _loops(bands[0])
            for source in edges[1:]:
                g = source[0]
                weight = xp.where(g >= STRONG, g * root(g) if xp is np else g**POWER, floor)
                loss = _losses(loops, xp, source, edges[0], weight)
                artefacts = artefacts + xp.where(artefact, loss, 0.0).sum(AXES)
                lost = lost + xp.where(artefact, 0.0, loss).sum(AXES)
                total = total + weight.sum(AXES)
            for band in bands:
                band.clear_cache()
        return artefacts, lost, total

    return fused.cached(("edge losses", floor, unit, *(source.serial for source in sources)), compute)


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
    """(strength g, orientation α) by Sobel's masks divided by 8."""
    return _gradients(padded(image, "reflect", unit), unit)


def _gradients(band: Image, unit: bool) -> tuple[Array, Array]:
    """The same of an image that is padded already, cached."""

    def compute() -> tuple[Array, Array]:
        xp, loops = band.xp, None if band.grey is None else _loops(band)
        if loops is not None:
            return _compiled_gradients(loops, band.pixels)
        sx, sy = (side / 8 for side in (sobel_in_order(band.pixels, "window") if unit else sobel(band.pixels)))
        # where nothing changes along either axis the orientation is 0
        flat = (sx == 0) & (sy == 0)
        quotient_of = xp.where(flat, 1.0, sy)
        angle = arctan_of_quotient(sx, quotient_of) if recorded(sx) else xp.arctan(sx / quotient_of)
        return root(sx * sx + sy * sy), xp.where(flat, 0.0, angle)

    return band.cached(("nabf edges", unit), compute)


def _compiled_gradients(loops: ModuleType, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:func:`_gradients` of whole numbers, whose sums are exact in any order."""
    strength, tangent = np.empty((2, x.shape[0] - 2, x.shape[1] - 2))
    loops.nabf_gradients(whole(x), 8.0, strength, tangent)
    return strength, np.arctan(tangent, out=tangent)


def _losses(
    loops: ModuleType | None, xp: Any, source: tuple[Array, Array], fused: tuple[Array, Array], weight: Array
) -> Array:
    """(1 - Q_XF)·w per pixel, Q_XF: preservation of strength and of orientation."""
    (g, alpha), (g_f, alpha_f) = source, fused
    if loops is not None:
        exponents, losses = np.empty((2, weight.size)), np.empty(weight.shape)
        given = (np.ravel(each) for each in (*source, *fused))
        loops.nabf_exponents(*given, KAPPA_G, KAPPA_ALPHA, SIGMA, exponents)
        np.exp(exponents, out=exponents)
        loops.nabf_losses(exponents, np.ravel(weight), GAMMA_G, GAMMA_ALPHA, losses.reshape(-1))
        return losses
    smaller, larger = xp.minimum(g, g_f), xp.maximum(g, g_f)
    ratio = xp.where(smaller == 0, 0.0, smaller / xp.where(larger == 0, 1.0, larger))
    alignment = xp.abs(xp.abs(alpha - alpha_f) - math.pi / 2) * 2 / math.pi
    q_g = GAMMA_G / (1 + xp.exp(-KAPPA_G * (ratio - SIGMA)))
    q_alpha = GAMMA_ALPHA / (1 + xp.exp(-KAPPA_ALPHA * (alignment - SIGMA)))
    return (1 - xp.sqrt(q_g * q_alpha)) * weight


def _loops(image: Image) -> ModuleType | None:
    return LOOPS.compiled(SECONDS * image.count) if image.xp is np else None


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one, with flat places and equal edges among others."""
    x = (np.arange(9 * 90).reshape(9, 90) * 37 % 251 // 3 % 40).astype(np.float64)
    x[:, :30] = 7
    edges = [_gradients(Image(each), False) for each in (x, np.ascontiguousarray(x[::-1]))]
    losses = [_losses(each, np, edges[0], edges[1], edges[0][0] + 1) for each in (None, loops)]
    return np.array_equal(*losses) and all(map(np.array_equal, edges[0], _compiled_gradients(loops, x)))


LOOPS = Loops("nabf", "fusionbench.metrics._pairs_compiled", _agrees)


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
