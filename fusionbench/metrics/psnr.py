"""PSNR: peak signal-to-noise ratio of the fused image against its sources, or against a target."""

from __future__ import annotations

from typing import Literal

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, Array, Image, image_metric
from fusionbench.metrics._moments import squared_error


@image_metric
def psnr(
    fused: Image,
    a: Image,
    b: Image,
    *more: Image,
    peak: Literal["255", "max of fused", "65025", "root of sums"] = "255",
    of: Literal["mean error", "each source"] = "mean error",
) -> Array:
    """10 log10(255²/MSE) with the mean MSE of the sources: three or more (N,H,W) on 0..255 to (N,) dB; inf: no error.

    Args:
        peak: ``"max of fused"`` takes the fused image's brightest value; ``"65025"`` puts a peak of 255 over an
            error on the 0..1 scale (48.13 dB too high); ``"root of sums"`` takes sqrt(Σ(X-F)²)/(H·W) for the
            squared error.
        of: ``"each source"`` is the mean of two values in dB, each with 1e-8·255² added to its error.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.psnr import psnr
        >>> a, b, fused = (np.full((1, 8, 8), level, np.uint8) for level in (10, 30, 20))
        >>> psnr(fused, a, b).round(4).tolist()  # 10 log10(255² / 100)
        [28.1308]
    """
    xp = fused.xp
    errors = [squared_error(fused, source) for source in (a, b, *more)]
    if of == "each source":
        return sum(_decibel(xp, 255.0**2, error + 1e-8 * 255**2) for error in errors) / len(errors)
    if peak == "root of sums":
        error = sum(root(e / fused.count) for e in errors) / len(errors)
        return _decibel(xp, 255.0**2, error)
    error = sum(errors) / len(errors)
    if peak == "max of fused":
        brightest = xp.amax(fused.pixels, AXES)
        return _decibel(xp, brightest**2, error)
    return _decibel(xp, 255.0**4 if peak == "65025" else 255.0**2, error)


@image_metric
def psnr_target(fused: Image, target: Image) -> Array:
    """10 log10(255²/MSE) against a known target: two (N,H,W) on 0..255 to (N,) dB; inf where they are equal.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.psnr import psnr_target
        >>> target = np.full((1, 8, 8), 100, np.uint8)
        >>> psnr_target(target + 1, target).round(4).tolist()  # an error of one grey level
        [48.1308]
    """
    return _decibel(fused.xp, 255.0**2, squared_error(fused, target))


def _decibel(xp: object, power: Array, error: Array) -> Array:
    return 10 * xp.log10(power / error)  # type: ignore[attr-defined]


METRIC = Metric(
    name="psnr",
    version="1",
    title="Peak signal-to-noise ratio",
    label="PSNR",
    function=psnr,
    needs="pair",
    better="higher",
    unit="dB",
    range=(0.0, float("inf")),
    tolerance=Tolerance(0.01, 0.0, "the last digit that tables print"),
    reference="Jagalingam, Hegde 2015, Aquat. Procedia 4, 133–142",
    formula="PSNR = 10 log10(255² / MSE),  MSE = (mean((A-F)²) + mean((B-F)²)) / 2",
    exploits="The plain average of both sources is its exact maximum.",
    choices=(
        "Peak 255; the brightest value of F instead (cddfuse) moves it by up to a few dB on dark images.",
        "Values of 58 to 69 dB (linfeng, ivif-zoo) put a peak of 255 over an error on 0..1: 48.13 dB too much.",
    ),
    edge_cases="inf for three equal images.",
    differentiable=True,
    invariances=("swapping the sources", "any reordering of the pixels", "inversion of all three images"),
    undefined=("the fused image equals both sources",),
    oracle="scikit-image peak_signal_noise_ratio",
    many=True,
)

TARGET_METRIC = Metric(
    name="psnr_target",
    version="1",
    title="Peak signal-to-noise ratio against the target",
    label="PSNR to the target",
    function=psnr_target,
    needs="target",
    better="higher",
    unit="dB",
    range=(0.0, float("inf")),
    tolerance=Tolerance(0.01, 0.0, "the last digit that tables print"),
    reference="Huynh-Thu, Ghanbari 2008, Electron. Lett. 44(13), 800–801",
    formula="PSNR = 10 log10(255² / mean((T-F)²))",
    exploits="A blurred mean image scores higher than a sharp sample.",
    edge_cases="inf where the images are equal.",
    differentiable=True,
    invariances=("swapping the images", "any reordering of the pixels", "inversion of both images"),
    undefined=("the fused image equals the target",),
    oracle="scikit-image peak_signal_noise_ratio",
)
