"""VIFF: visual information fidelity for fusion (Han's measure, not the sum of VIF over two sources)."""

from __future__ import annotations

from types import ModuleType
from typing import Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, image_metric, namespace, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import Border, products
from fusionbench.metrics.vif import MIN_SIDE, TINY, at_scale, statistics, taps

SIGMA_N_SQ = 0.005 * 255**2  # variance of the visual noise
WEIGHTS = (1.0, 0.0, 0.15, 1.0)  # of the scales from fine to coarse; their sum is 2.15
GUARD = 1e-7
SECONDS = 30e-9  # a pixel and source without compiled code, beside the filters
_FORM: tuple[str, str, Border] = ("float", "centred", "valid")


@image_metric
def viff(fused: Image, a: Image, b: Image, *, sources: Literal["smaller gain", "sum"] = "smaller gain") -> Array:
    """Visual information, in each window of the source with the smaller gain: three (N,H,W) on 0..255, sides ≥ 41.

    Returns (N,), 1 for three equal images.

    Args:
        sources: ``"sum"`` adds up what F keeps of each source over all four scales, without a choice and unweighted:
            VIF with another visual noise. A flat source counts as 1 there.

    Raises:
        DataError: a side below 41 pixels.

    Source: Han, Cai, Cao, Xu 2013 (Inf. Fusion 14, 127).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.viff import viff
        >>> texture = (np.arange(48 * 48) * 37 % 251).astype(np.uint8).reshape(1, 48, 48)
        >>> viff(texture, texture, texture).round(4).tolist()
        [1.0]
        >>> viff(np.full_like(texture, 128), texture, texture).round(4).tolist()
        [0.0]
    """
    need_side(fused, MIN_SIDE, "viff")
    if sources == "sum":
        return _kept(fused, a) + _kept(fused, b)
    total = 0.0
    for scale, weight in enumerate(WEIGHTS):
        if weight:
            total = total + weight * _fidelity(fused, a, b, scale)
    return total / sum(WEIGHTS)


def _fidelity(fused: Image, a: Image, b: Image, scale: int) -> Array:
    """F_s = Σ FVID / Σ FVIND of one scale, each window from the source with the smaller gain g."""
    xp = fused.xp
    (g_a, kept_a, there_a), (g_b, kept_b, there_b) = (_information(fused, source, scale) for source in (a, b))
    from_a = g_a < g_b
    fvid, fvind = xp.where(from_a, kept_a, kept_b), xp.where(from_a, there_a, there_b)
    return (xp.log10(fvid) + GUARD).sum(AXES) / (xp.log10(fvind) + GUARD).sum(AXES)


def _kept(fused: Image, source: Image) -> Array:
    """Σ VID / Σ VIND over all scales and windows of one source."""
    parts = [_information(fused, source, scale) for scale in range(len(WEIGHTS))]
    kept, there = (sum(fused.xp.log10(part[place]).sum(AXES) for part in parts) for place in (1, 2))
    return fused.xp.where(there > 0, kept / fused.xp.where(there > 0, there, 1.0), 1.0)


def _information(fused: Image, source: Image, scale: int) -> tuple[Array, Array, Array]:
    """(g, x, y) per window: gain, and visual information with and without distortion, log10(x) and log10(y).

    In decimal digits, the unit that GUARD is in.
    """
    level_f, level_s = at_scale(fused, scale), at_scale(source, scale)
    mu_f, sigma_f_sq = statistics(level_f, scale, _FORM)
    mu_s, sigma_s_sq = statistics(level_s, scale, _FORM)
    sigma_sf = products(level_f.pixels, level_s.pixels, taps(scale, "centred"), means=(mu_f, mu_s))
    loops = LOOPS.compiled(SECONDS * sigma_sf.size) if fused.xp is np else None
    return _values(loops, sigma_sf, sigma_s_sq, sigma_f_sq)


def _values(
    loops: ModuleType | None, sigma_sf: Array, sigma_s_sq: Array, sigma_f_sq: Array
) -> tuple[Array, Array, Array]:
    if loops is not None:
        found = np.empty((3, *sigma_sf.shape))
        given = (np.ravel(each) for each in (sigma_sf, sigma_s_sq, sigma_f_sq))
        loops.viff_information(*given, TINY, SIGMA_N_SQ, found.reshape(3, -1))
        return found[0], found[1], found[2]
    xp = namespace(sigma_sf)
    flat_s, flat_f = sigma_s_sq < TINY, sigma_f_sq < TINY
    g = sigma_sf / (sigma_s_sq + TINY)
    sigma_v_sq = sigma_f_sq - g * sigma_sf
    g, sigma_v_sq = xp.where(flat_s, 0.0, g), xp.where(flat_s, sigma_f_sq, sigma_v_sq)
    sigma_s_sq = xp.where(flat_s, 0.0, sigma_s_sq)
    g, sigma_v_sq = xp.where(flat_f, 0.0, g), xp.where(flat_f, 0.0, sigma_v_sq)
    sigma_v_sq = xp.where(g < 0, sigma_f_sq, sigma_v_sq)
    g, sigma_v_sq = xp.clip(g, 0, None), xp.clip(sigma_v_sq, TINY, None)
    return g, 1 + g * g * sigma_s_sq / (sigma_v_sq + SIGMA_N_SQ), 1 + sigma_s_sq / SIGMA_N_SQ


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one, with flat windows among others."""
    covariance, var_s, var_f = np.random.default_rng(0).random((3, 7, 101)) * 99
    var_s[:2], var_f[1:3] = 0, 0
    both = [_values(each, covariance - 50, var_s, var_f) for each in (None, loops)]
    return all(np.array_equal(one, other) for one, other in zip(*both, strict=True))


LOOPS = Loops("viff", "fusionbench.metrics._pairs_compiled", _agrees)


METRIC = Metric(
    name="viff",
    version="1",
    title="Visual information fidelity for fusion",
    label="VIFF",
    function=viff,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, float("inf")),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Han, Cai, Cao, Xu 2013, Inf. Fusion 14(2), 127–135",
    formula=f"VIFF = Σ_s p_s·F_s / 2.15,  p = {WEIGHTS},  F_s over the source with the smaller gain, "
    f"noise {SIGMA_N_SQ}",
    exploits="Contrast gain raises it above 1.",
    choices=(
        "Grey images as they are; the original takes L of CIELAB for colour.",
        "chenzpstar's default leaves out the choice between the sources and the scales' weights and prints a sum.",
    ),
    edge_cases="1 for flat images of any value; sides below 41 pixels are refused.",
    differentiable=True,
    gradient="0 where a gain is negative, which counts as none; each window takes the slope of the source that counts.",
    invariances=("swapping the sources",),
    min_side=MIN_SIDE,
    min_reason="the coarsest of its four scales has no window left",
    oracle="a direct SciPy convolve2d composition",
)
