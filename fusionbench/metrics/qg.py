"""Q_G: kept edges, averaged over pixels (Xydeas and Petrović's measure as Liu et al. compute it)."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import added, divided, multiplied, recorded, subtracted
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import Border, magnitude, sobel
from fusionbench.metrics.qabf import padded
from fusionbench.synth.kernel import whole

KAPPA_G, MIDDLE_G = 10.0, 0.5
KAPPA_ALPHA, MIDDLE_ALPHA = 20.0, 0.75
TINY = 1e-5  # stands for 0 in the denominators
SECONDS = 20e-9  # a pixel of three images without compiled code


@image_metric
def qg(fused: Image, a: Image, b: Image, *, border: Border = "replicate") -> Array:
    """Mean over pixels of the edge preservation weighted by both gradients: three (N,H,W) on 0..255 to (N,), 0..0.987.

    Args:
        border: how the images are padded for Sobel's masks.

    Raises:
        DataError: an image narrower or lower than 3 pixels.

    Source: Xydeas, Petrović 2000 (Proc. SPIE 4051, 89); constants and mean after Liu et al. 2012.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qg import qg
        >>> texture = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> qg(texture, texture, texture).round(4).tolist()  # the maximum
        [0.9867]
        >>> qg(np.full_like(texture, 128), texture, texture).round(2).tolist()
        [0.0]
    """
    need_side(fused, 3, "qg")
    total = 0.0
    for bands in zip(*(padded(image, border, False).bands(1) for image in (fused, a, b)), strict=True):
        fused_band, band_a, band_b = bands
        loops = LOOPS.compiled(SECONDS * fused_band.count) if fused.xp is np else None
        total = total + _pixels(loops, fused_band, band_a, band_b).sum(AXES)
        for band in bands:
            band.clear_cache()
    return total / fused.count


def _pixels(loops: ModuleType | None, fused: Image, a: Image, b: Image) -> Array:
    """(Q_AF g_A + Q_BF g_B)/(g_A + g_B); where no source has an edge both count the same."""
    if loops is not None:
        return _compiled_pixels(loops, *([whole(each) for each in _edges(image)] for image in (fused, a, b)))
    q_a, q_b = _preservation(a, fused), _preservation(b, fused)
    g_a, g_b = _edges(a)[0], _edges(b)[0]
    return divided(added(multiplied(q_a, g_a), multiplied(q_b, g_b)), g_a + g_b)


def _compiled_pixels(loops: ModuleType, fused: list[np.ndarray], *sources: list[np.ndarray]) -> np.ndarray:
    values, exponents = np.empty(fused[0].shape), np.empty((len(sources), 2, fused[0].size))
    for edges, found in zip(sources, exponents, strict=True):
        given = (each.reshape(-1) for each in (*edges, *fused))
        loops.qg_exponents(*given, -KAPPA_ALPHA * 2 / math.pi, KAPPA_ALPHA * MIDDLE_ALPHA, found)
    np.exp(exponents, out=exponents)
    loops.qg_values(*exponents, *(edges[0].reshape(-1) for edges in sources), values.reshape(-1))
    return values


def _edges(band: Image) -> tuple[Array, Array]:
    """(strength, not 0; orientation in -90°..90°, in radians), cached."""

    def compute() -> tuple[Array, Array]:
        xp = band.xp
        sx, sy = sobel(band.pixels)
        strength = magnitude(sx, sy)
        strength = xp.where(strength == 0, TINY, strength)
        tangent = sy / xp.where(sx == 0, TINY, sx)
        if recorded(tangent):
            tangent = tangent.where(sx != 0, tangent.detach())
        return strength, xp.arctan(tangent)

    return band.cached("qg edges", compute)


def _preservation(source: Image, fused: Image) -> Array:
    """Q_XF = 1/[(1 + e^{-κ_g(G-σ_g)})(1 + e^{-κ_α(A-σ_α)})], A folded: opposite edges are alike."""
    xp = fused.xp
    (g, alpha), (g_f, alpha_f) = _edges(source), _edges(fused)
    ratio = divided(xp.minimum(g, g_f), xp.maximum(g, g_f))
    ratio = added(_exp(xp, multiplied(subtracted(ratio, MIDDLE_G), -KAPPA_G)), 1)
    angle = xp.abs(subtracted(xp.abs(alpha - alpha_f), math.pi / 2))
    angle = added(multiplied(angle, -KAPPA_ALPHA * 2 / math.pi), KAPPA_ALPHA * MIDDLE_ALPHA)
    return 1 / multiplied(ratio, added(_exp(xp, angle), 1))


def _exp(xp: Any, x: Array) -> Array:
    return xp.exp(x) if recorded(x) else xp.exp(x, out=x)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one, with flat places and equal edges among others."""
    x = (np.arange(9 * 90).reshape(9, 90) * 37 % 251).astype(np.uint8)
    flat = np.where(np.arange(90) < 30, 90, x).astype(np.uint8)
    for triple in ((x[::-1], x, flat), (flat, flat[::-1], 255 - flat)):
        images = [Image(None, grey=np.ascontiguousarray(each)) for each in triple]
        if not np.array_equal(*(_pixels(each, *images) for each in (None, loops))):
            return False
    return True


LOOPS = Loops("qg", "fusionbench.metrics._pairs_compiled", _agrees)


METRIC = Metric(
    name="qg",
    version="1",
    title="Gradient-based measure Q_G",
    label="Qg",
    function=qg,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Xydeas, Petrović 2000, Proc. SPIE 4051, 89–98; Liu et al. 2012, IEEE TPAMI 34(1), 94–109",
    formula="Q_G = mean[(Q_AF g_A + Q_BF g_B)/(g_A+g_B)],  "
    "Q_XF = 1/[(1+e^{-10(G-0.5)})(1+e^{-20(A-0.75)})],  A = ||α_X-α_F|-90°|/90°",
    exploits="Every pixel counts the same, so that flat areas kept flat have the maximum; opposite edges count as "
    "kept. A copy of one source (0.60) and an average of twice the contrast (0.52) beat six published "
    "results (0.44).",
    choices=(
        "Another measure than Qabf, which tables also call Q_G (dialect gtf-qg): other constants, the orientation "
        "folded at 90°, and a mean of quotients instead of a quotient of sums.",
        "The border is continued by its edge values; zeros outside (liu-2012) add a false edge.",
        "1e-5 stands for a gradient of 0, as in the published code: where no image has an edge the maximum is counted.",
    ),
    edge_cases="0.9867, the maximum, for three equal images, flat or not.",
    differentiable=True,
    invariances=("swapping the sources", "adding a constant to any image"),
    min_side=3,
    min_reason="Sobel's masks are 3×3",
    oracle="a plain loop over the pixels",
)
