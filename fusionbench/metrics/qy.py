"""Q_Y: structural similarity that follows the source that matters at each place (Yang)."""

from __future__ import annotations

from fusionbench.contracts import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._windows import gaussian, local_covariance, local_moments

SIZE = 7
SAME = 0.75  # sources this similar are averaged by their variance, others compete
GUARD = 2e-16


@image_metric
def qy(fused: Image, a: Image, b: Image) -> Array:
    """Mean of a local choice between SSIM(A,F) and SSIM(B,F): three (N,H,W) on 0..255, sides ≥ 7, to (N,), -1..1.

    Raises:
        DataError: a side below 7 pixels.

    Source: Yang, Zhang, Wang, Liu 2008 (Inf. Fusion 9, 156). Gaussian window 7×7 of sigma 1.5.
    """
    need_side(fused, SIZE, "qy")
    xp = fused.xp
    between, to_a, to_b = _similarity(a, b), _similarity(fused, a), _similarity(fused, b)
    spread_a, spread_b = _moments(a)[1], _moments(b)[1]
    both = spread_a + spread_b
    share = xp.where(both > 0, spread_a / xp.where(both > 0, both, 1.0), 0.5)
    value = xp.where(between >= SAME, share * to_a + (1 - share) * to_b, xp.maximum(to_a, to_b))
    return value.mean(AXES)


def _moments(image: Image) -> tuple[Array, Array]:
    """(mean, variance): rounding noise of a flat window is set to 0."""

    def make() -> tuple[Array, Array]:
        mean, variance = local_moments(image, gaussian(SIZE, 1.5), "valid", ("gaussian", SIZE, "valid"))
        return mean, image.xp.where(variance < 1e-9, 0.0, variance)

    return image.keep("qy moments", make)


def _similarity(x: Image, y: Image) -> Array:
    """SSIM practically without stabilising constants; 1 for two equal flat windows, 0 where only one is flat."""

    def make() -> Array:
        xp = x.xp
        (mean_x, spread_x), (mean_y, spread_y) = _moments(x), _moments(y)
        means = mean_x * mean_y
        shared = local_covariance(x, y, gaussian(SIZE, 1.5), "valid", means)
        shared = xp.where((spread_x == 0) | (spread_y == 0), 0.0, shared)
        luminance = (2 * means + GUARD) / (mean_x**2 + mean_y**2 + GUARD)
        return luminance * (2 * shared + GUARD) / (spread_x + spread_y + GUARD)

    return x.keep(("qy similarity", id(y)), make)


METRIC = Metric(
    name="qy",
    version="1",
    title="Yang's structural similarity measure Q_Y",
    function=qy,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Yang, Zhang, Wang, Liu 2008, Inf. Fusion 9(2), 156–160",
    formula="Q_Y = mean[λ s(A,F) + (1-λ) s(B,F) where s(A,B) ≥ 0.75, else max(s(A,F), s(B,F))],  λ = σ_A²/(σ_A²+σ_B²)",
    exploits="Copying whole regions of either source gives 1 there.",
    choices=(
        "Flat windows: two equal ones are alike (1), one flat one is unlike (0). The published code gives NaN for the "
        "whole image as soon as one such window occurs.",
    ),
    edge_cases="1 for three equal images, flat or not; sides below 7 pixels are refused.",
    invariances=("swapping the sources",),
    min_side=SIZE,
    min_reason="its windows are 7×7",
    oracle="a direct SciPy convolve2d composition",
)
