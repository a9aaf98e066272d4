"""VIFF: visual information fidelity for fusion (Han's measure, not the sum of VIF over two sources)."""

from __future__ import annotations

from fusionbench.contracts import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._windows import Border, separable
from fusionbench.metrics.vif import MIN_SIDE, TINY, at_scale, statistics, taps

NOISE = 0.005 * 255**2
WEIGHTS = (1.0, 0.0, 0.15, 1.0)  # of the scales from fine to coarse; their sum is 2.15
GUARD = 1e-7
_FORM: tuple[str, str, Border] = ("float", "centred", "valid")


@image_metric
def viff(fused: Image, a: Image, b: Image) -> Array:
    """Information kept of the locally better-hidden source: three (N,H,W) on 0..255, sides ≥ 41, to (N,).

    Raises:
        DataError: a side below 41 pixels.

    Source: Han, Cai, Cao, Xu 2013 (Inf. Fusion 14, 127).
    """
    need_side(fused, MIN_SIDE, "viff")
    total = 0.0
    for scale, weight in enumerate(WEIGHTS):
        if weight:
            total = total + weight * _fidelity(fused, a, b, scale)
    return total / sum(WEIGHTS)


def _fidelity(fused: Image, a: Image, b: Image, scale: int) -> Array:
    """Sum of what is kept over sum of what there was, at each place of the source with the smaller gain."""
    xp = fused.xp
    (gain_a, kept_a, there_a), (gain_b, kept_b, there_b) = (_channel(fused, source, scale) for source in (a, b))
    first = gain_a < gain_b
    kept, there = xp.where(first, kept_a, kept_b), xp.where(first, there_a, there_b)
    return (kept + GUARD).sum(AXES) / (there + GUARD).sum(AXES)


def _channel(fused: Image, source: Image, scale: int) -> tuple[Array, Array, Array]:
    """(gain, information kept, information there) per window, in decimal digits: the guard is on that scale."""
    xp = fused.xp
    level_f, level_s = at_scale(fused, scale), at_scale(source, scale)
    mean_f, s2 = statistics(level_f, scale, _FORM)
    mean_s, s1 = statistics(level_s, scale, _FORM)
    shared = separable(level_f.pixels * level_s.pixels, taps(scale, "centred")) - mean_f * mean_s
    weak, dull = s1 < TINY, s2 < TINY
    gain = shared / (s1 + TINY)
    noise = s2 - gain * shared
    gain, noise, s1 = xp.where(weak, 0.0, gain), xp.where(weak, s2, noise), xp.where(weak, 0.0, s1)
    gain, noise = xp.where(dull, 0.0, gain), xp.where(dull, 0.0, noise)
    noise = xp.where(gain < 0, s2, noise)
    gain, noise = xp.clip(gain, 0, None), xp.clip(noise, TINY, None)
    return gain, xp.log10(1 + gain * gain * s1 / (noise + NOISE)), xp.log10(1 + s1 / NOISE)


METRIC = Metric(
    name="viff",
    version="1",
    title="Visual information fidelity for fusion",
    function=viff,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, float("inf")),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Han, Cai, Cao, Xu 2013, Inf. Fusion 14(2), 127–135",
    formula=f"VIFF = Σ_s p_s·F_s / 2.15,  p = {WEIGHTS},  F_s over the source with the smaller gain, noise {NOISE}",
    exploits="Contrast gain raises it above 1.",
    choices=("Grey images as they are; the original takes L of CIELAB for colour.",),
    edge_cases="1 for flat images of any value; sides below 41 pixels are refused.",
    invariances=("swapping the sources",),
    min_side=MIN_SIDE,
    min_reason="the coarsest of its four scales has no window left",
    oracle="a direct SciPy convolve2d composition",
)
