"""Q_Y: structural similarity with the more relevant source of each window (Yang)."""

from __future__ import annotations

from types import ModuleType
from typing import Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import gaussian, local_covariance, local_moments
from fusionbench.synth.kernel import whole

SIZE = 7
SIMILAR = 0.75  # windows of sources this similar are averaged by variance; of others the better one counts
GUARD = 2e-16
SECONDS = 50e-9  # a pixel of three images without compiled code, beside the filters


@image_metric
def qy(fused: Image, a: Image, b: Image, *, flat: Literal["compared", "left out"] = "compared") -> Array:
    """Mean of a local choice between SSIM(A,F) and SSIM(B,F): three (N,H,W) on 0..255, sides ≥ 7, to (N,), -1..1.

    Args:
        flat: whether windows in which both sources are flat count; NaN if they do not and there is no other.

    Raises:
        DataError: a side below 7 pixels.

    Source: Yang, Zhang, Wang, Liu 2008 (Inf. Fusion 9, 156). Gaussian window 7×7 of sigma 1.5.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qy import qy
        >>> a = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> b = np.full_like(a, 128)
        >>> qy(a, a, b).round(4).tolist(), qy(b, a, b).round(4).tolist()  # each is one of the sources
        ([1.0], [1.0])
    """
    need_side(fused, SIZE, "qy")
    total, counted = 0.0, 0.0
    for images in zip(*(image.bands(SIZE // 2) for image in (fused, a, b)), strict=True):
        if flat == "left out":
            counts = _moments(images[1])[1] + _moments(images[2])[1] > 0
            total = total + fused.xp.where(counts, _values(*images), 0.0).sum(AXES)
            counted = counted + counts.sum(AXES)
        else:
            total = total + _values(*images).sum(AXES)
        for image in images:
            image.clear_cache()
    height, width = fused.shape
    return total / (counted if flat == "left out" else (height - SIZE + 1) * (width - SIZE + 1))


def _values(fused: Image, a: Image, b: Image) -> Array:
    """Of every window the mean of both similarities by variance, or the larger one."""
    loops = LOOPS.compiled(SECONDS * fused.count) if fused.xp is np else None
    return _plain_values(fused, a, b) if loops is None else _compiled_values(loops, fused, a, b)


def _plain_values(fused: Image, a: Image, b: Image) -> Array:
    xp = fused.xp
    s_ab, s_af, s_bf = _ssim_map(a, b), _ssim_map(fused, a), _ssim_map(fused, b)
    sigma_a_sq, sigma_b_sq = _moments(a)[1], _moments(b)[1]
    total = sigma_a_sq + sigma_b_sq
    lambda_a = xp.where(total > 0, sigma_a_sq / xp.where(total > 0, total, 1.0), 0.5)
    return xp.where(s_ab >= SIMILAR, lambda_a * s_af + (1 - lambda_a) * s_bf, xp.maximum(s_af, s_bf))


def _compiled_values(loops: ModuleType, fused: Image, a: Image, b: Image) -> np.ndarray:
    moments = [_window_moments(image) for image in (fused, a, b)]
    (of_f, of_a, of_b), weights = moments, gaussian(SIZE, 1.5)
    cov_fa, cov_fb = (
        local_covariance(fused, source, weights, "valid", (of_f[0], mean[0])) for source, mean in ((a, of_a), (b, of_b))
    )
    values: np.ndarray = whole(local_covariance(a, b, weights, "valid", (of_a[0], of_b[0])))
    given = [np.ravel(each) for each in (*of_f, *of_a, *of_b, cov_fa, cov_fb)]
    loops.qy_values(*given, values.reshape(-1))
    return values


def _window_moments(image: Image) -> tuple[Array, Array]:
    return local_moments(image, gaussian(SIZE, 1.5), "valid", ("gaussian", SIZE, "valid"))


def _moments(image: Image) -> tuple[Array, Array]:
    """(μ, σ²): the rounding error of a flat window's variance is set to 0."""

    def compute() -> tuple[Array, Array]:
        mean, variance = _window_moments(image)
        return mean, image.xp.where(variance < 1e-9, 0.0, variance)

    return image.cached("qy moments", compute)


def _ssim_map(x: Image, y: Image) -> Array:
    """SSIM practically without stabilising constants; 1 for two equal flat windows, 0 where only one is flat."""

    def compute() -> Array:
        xp = x.xp
        (mu_x, sigma_x_sq), (mu_y, sigma_y_sq) = _moments(x), _moments(y)
        mu_xy = mu_x * mu_y
        sigma_xy = local_covariance(x, y, gaussian(SIZE, 1.5), "valid", (mu_x, mu_y))
        sigma_xy = xp.where((sigma_x_sq == 0) | (sigma_y_sq == 0), 0.0, sigma_xy)
        luminance = (2 * mu_xy + GUARD) / (mu_x * mu_x + mu_y * mu_y + GUARD)
        return luminance * (2 * sigma_xy + GUARD) / (sigma_x_sq + sigma_y_sq + GUARD)

    return x.cached(("qy similarity", y.serial), compute)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one: flat, inverted and unrelated windows."""
    x = (np.arange(13 * 60).reshape(13, 60) * 37 % 251) ** 1.1
    flat = np.where(np.arange(60) < 20, 90.3, x)
    triples = (x[::-1], x, flat), (flat, flat[::-1], 255 - flat), (x // 2, x, x + 3)
    for triple in triples:
        images = [Image(np.ascontiguousarray(each)) for each in triple]
        if not np.array_equal(_plain_values(*images), _compiled_values(loops, *images)):
            return False
    return True


LOOPS = Loops("qy", "fusionbench.metrics._piella_compiled", _agrees)


METRIC = Metric(
    name="qy",
    version="1",
    title="Yang's structural similarity measure Q_Y",
    label="Qy",
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
    differentiable=True,
    gradient="Between jumps: which of two formulas a window takes is a threshold.",
    invariances=("swapping the sources",),
    min_side=SIZE,
    min_reason="its windows are 7×7",
    oracle="a direct SciPy convolve2d composition",
)
