"""Measures of fused multispectral images (pansharpening): SAM, ERGAS, Q (UIQI), and QNR with D_λ and D_s.

They take images of many bands, (N,C,H,W) in any one unit (reflectance, radiance, digital numbers): none depends on the
scale. The metrics of pairs take grey images on 0..255, so these are no metrics of `fusionbench score`; they are
functions with records of their own, :data:`BAND_METRICS`. With a known truth (Wald's protocol: the sources degraded by
the ratio, the original bands as the target) take SAM, ERGAS and Q; without one QNR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fusionbench.core.errors import DataError, UsageError

Stack = np.ndarray  # or whatever NumPy takes without copying from a device


@dataclass(frozen=True)
class BandMetric:
    """A measure of images with many bands.

    Attributes:
        function: returns (N,) float64, one number per image.
        needs: its arguments in order: ``"fused"`` and ``"target"`` (N,C,H,W); ``"bands"`` (N,C,h,w), the multispectral
            source at its own size; ``"pan"`` (N,H,W), the panchromatic one.
        choices, edge_cases, exploits, oracle: as in :class:`fusionbench.core.types.Metric`.
    """

    name: str
    title: str
    function: Callable[..., np.ndarray]
    needs: tuple[str, ...]
    better: Literal["higher", "lower"]
    unit: str
    range: tuple[float, float]
    reference: str
    formula: str
    exploits: str
    edge_cases: str
    oracle: str
    choices: tuple[str, ...] = ()


def sam(fused: Stack, target: Stack) -> np.ndarray:
    """Spectral angle mapper, the mean angle between the spectra of a pixel: two (N,C,H,W) to (N,) degrees, 0..180.

    Pixels with an empty spectrum on either side have no angle and are left out; NaN if there is no other.

    Raises:
        UsageError: not (N,C,H,W), or another kind than numbers.
        DataError: shapes that differ, NaN or infinity.

    Source: Yuhas, Goetz, Boardman 1992 (JPL Airborne Geoscience Workshop, 147).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.multispectral import sam
        >>> target = np.ones((1, 2, 4, 4))
        >>> fused = target * np.array([1.0, 0.0]).reshape(1, 2, 1, 1)  # one of two bands is lost
        >>> sam(fused, target).round(6).tolist(), sam(3 * target, target).round(4).tolist()
        ([45.0], [0.0])
    """
    f, t = _stacks(("fused", fused), ("target", target))
    f_norm, t_norm = np.sqrt((f * f).sum(1)), np.sqrt((t * t).sum(1))
    counted = (f_norm > 0) & (t_norm > 0)
    cosine = (f * t).sum(1) / np.where(counted, f_norm * t_norm, 1.0)
    angles = np.where(counted, np.degrees(np.arccos(np.clip(cosine, -1, 1))), 0.0)
    return _quotient(angles.sum((1, 2)), counted.sum((1, 2)))


def ergas(fused: Stack, target: Stack, ratio: float = 4) -> np.ndarray:
    """100/ratio · sqrt(mean over bands of (RMSE/mean)²): two (N,C,H,W) to (N,), 0 for no error.

    Args:
        ratio: how many fine pixels make the side of a coarse one.

    NaN where a band of the target has a mean of 0.

    Raises:
        UsageError, DataError: as :func:`sam`; a ratio that is not positive.

    Source: Wald 2000 (Fusion of Earth Data, 99).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.multispectral import ergas
        >>> target = np.full((1, 3, 4, 4), 50.0)
        >>> ergas(target + 5, target, ratio=4).tolist()  # 100 / 4 · 5/50
        [2.5]
    """
    if not ratio > 0:
        raise UsageError(f"ergas takes a positive ratio of the pixels' sides, not {ratio!r}")
    f, t = _stacks(("fused", fused), ("target", target))
    error = ((f - t) ** 2).mean((2, 3))
    return np.asarray(100 / ratio * np.sqrt(_quotient(error, t.mean((2, 3)) ** 2).mean(1)))


def uiqi(fused: Stack, target: Stack, window: int = 8) -> np.ndarray:
    """Universal image quality index Q of each band, averaged: two (N,C,H,W) to (N,), -1..1.

    Args:
        window: pixels along each side of the windows, which overlap by all but one pixel and lie inside the image.

    Raises:
        UsageError, DataError: as :func:`sam`; images smaller than the window.

    Source: Wang, Bovik 2002 (IEEE Signal Process. Lett. 9, 81).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.multispectral import uiqi
        >>> target = (np.arange(512) * 37 % 251).reshape(1, 2, 16, 16)
        >>> uiqi(target, target).round(4).tolist(), uiqi(2 * target, target).round(4).tolist()  # (2·2/(1 + 2²))²
        ([1.0], [0.64])
    """
    f, t = _stacks(("fused", fused), ("target", target))
    return np.array([np.mean([_q(x, y, window) for x, y in zip(a, b, strict=True)]) for a, b in zip(f, t, strict=True)])


def d_lambda(fused: Stack, bands: Stack, window: int = 32, power: float = 1) -> np.ndarray:
    """Spectral distortion: how far Q between the bands moved, fused against source, to (N,), 0 is best.

    Args:
        fused: (N,C,H,W); ``bands``: (N,C,h,w), the multispectral source at its own size.
        window: as in :func:`uiqi`, for both sizes.
        power: p of (mean |ΔQ|^p)^(1/p).

    Raises:
        UsageError, DataError: as :func:`uiqi`; fewer than two bands.

    Source: Alparone, Aiazzi, Baronti, Garzelli, Nencini, Selva 2008 (Photogramm. Eng. Remote Sens. 74, 193).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.multispectral import d_lambda
        >>> bands = (np.arange(2048) ** 2 % 251).reshape(1, 2, 32, 32)
        >>> d_lambda(bands, bands).tolist()
        [0.0]
    """
    f, low = _bands(fused, bands)
    count = f.shape[1]
    if count < 2:
        raise DataError(f"d_lambda compares bands with each other and needs two or more, got {count}")
    values = []
    for image, source in zip(f, low, strict=True):
        moved = [
            abs(_q(image[i], image[j], window) - _q(source[i], source[j], window)) ** power
            for i in range(count)
            for j in range(i)
        ]
        values.append(np.mean(moved) ** (1 / power))  # Q is symmetric: each pair of bands once
    return np.array(values, np.float64)


def d_s(
    fused: Stack, bands: Stack, pan: Stack, pan_low: Stack | None = None, window: int = 32, power: float = 1
) -> np.ndarray:
    """Spatial distortion: how far Q of each band with the panchromatic image moved, to (N,), 0 is best.

    Args:
        fused, bands, window, power: as in :func:`d_lambda`.
        pan: (N,H,W), as large as the fused image.
        pan_low: (N,h,w), the panchromatic image at the size of ``bands``; by default means of the pixels under each
            coarse one, for which the sides must be multiples.

    Raises:
        UsageError, DataError: as :func:`d_lambda`; sizes that do not belong together.

    Source: Alparone and others 2008, as :func:`d_lambda`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.multispectral import d_s
        >>> pan = (np.arange(128 * 128) ** 2 % 251).reshape(1, 128, 128)
        >>> bands = pan.reshape(1, 1, 32, 4, 32, 4).mean((3, 5))
        >>> d_s(pan[:, None], bands, pan).round(6).tolist()  # Q with the panchromatic image is 1 at both sizes
        [0.0]
    """
    f, low = _bands(fused, bands)
    sharp = _array("pan", pan, 3)
    if sharp.shape != (f.shape[0], *f.shape[2:]):
        raise DataError(f"pan has shape {sharp.shape} but fused {f.shape}; it takes (N,H,W) of the same size")
    blurred = _degraded(sharp, low.shape[2:]) if pan_low is None else _array("pan_low", pan_low, 3)
    if blurred.shape != (low.shape[0], *low.shape[2:]):
        raise DataError(f"pan_low has shape {blurred.shape} but bands {low.shape}; it takes (N,h,w) of the same size")
    values = []
    for image, source, p, p_low in zip(f, low, sharp, blurred, strict=True):
        moved = [abs(_q(x, p, window) - _q(y, p_low, window)) ** power for x, y in zip(image, source, strict=True)]
        values.append(np.mean(moved) ** (1 / power))
    return np.array(values, np.float64)


def qnr(
    fused: Stack,
    bands: Stack,
    pan: Stack,
    pan_low: Stack | None = None,
    window: int = 32,
    alpha: float = 1,
    beta: float = 1,
) -> np.ndarray:
    """Quality with no reference, (1 - D_λ)^α · (1 - D_s)^β, to (N,), 1 is best. Arguments as in :func:`d_s`.

    Raises:
        UsageError, DataError: as :func:`d_s`.

    Source: Alparone and others 2008, as :func:`d_lambda`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.multispectral import qnr
        >>> pan = (np.arange(128 * 128) ** 2 % 251).reshape(1, 128, 128)
        >>> bands = pan.reshape(1, 1, 32, 4, 32, 4).mean((3, 5)).repeat(2, 1)
        >>> qnr(pan[:, None].repeat(2, 1), bands, pan).round(6).tolist()
        [1.0]
    """
    spectral = np.clip(1 - d_lambda(fused, bands, window), 0, None)
    spatial = np.clip(1 - d_s(fused, bands, pan, pan_low, window), 0, None)
    return np.asarray(spectral**alpha * spatial**beta)


def _array(name: str, stack: Any, axes: int) -> np.ndarray:
    form = {3: "(N,H,W)", 4: "(N,C,H,W)"}[axes]
    try:
        array = np.asarray(stack)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name}: expected an array {form}, got {type(stack).__name__} ({error})") from error
    if array.ndim != axes or array.dtype.kind not in "uif":
        raise UsageError(f"{name}: expected numbers {form}, got shape {array.shape} of {array.dtype}")
    if 0 in array.shape[1:]:
        raise UsageError(f"{name}: images of shape {array.shape} have nothing to score")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = int(np.argmax(~np.isfinite(array).reshape(len(array), -1).all(1)))
        raise DataError(f"{name} image {bad}: has NaN or infinity; fix the image, it has no score")
    return array


def _stacks(*named: tuple[str, Any]) -> list[np.ndarray]:
    arrays = [_array(name, stack, 4) for name, stack in named]
    for (name, _), array in zip(named[1:], arrays[1:], strict=True):
        if array.shape != arrays[0].shape:
            raise DataError(f"{named[0][0]} has shape {arrays[0].shape} but {name} {array.shape}; nothing is resized")
    return arrays


def _bands(fused: Any, bands: Any) -> tuple[np.ndarray, np.ndarray]:
    f, low = _array("fused", fused, 4), _array("bands", bands, 4)
    if f.shape[:2] != low.shape[:2]:
        raise DataError(f"fused has shape {f.shape} but bands {low.shape}; they take as many images and bands")
    return f, low


def _degraded(pan: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Means of the blocks of pixels under each coarse one."""
    (height, width), (rows, columns) = pan.shape[1:], size
    if height % rows or width % columns:
        raise DataError(f"pan of {height}×{width} pixels is no multiple of bands of {rows}×{columns}; pass pan_low")
    blocks = pan.reshape(len(pan), rows, height // rows, columns, width // columns)
    return np.asarray(blocks.mean((2, 4)))


def _q(x: np.ndarray, y: np.ndarray, window: int) -> float:
    """Mean over the windows of 4·σ_xy·x̄·ȳ / ((σ_x²+σ_y²)(x̄²+ȳ²)); what is 0/0 counts as alike."""
    import cv2

    if not 2 <= window <= min(x.shape):
        size = "×".join(map(str, x.shape))
        raise DataError(f"windows of {window}×{window} pixels (two or more) do not fit into an image of {size}")
    count, (height, width) = window**2, x.shape

    def sums(z: np.ndarray) -> np.ndarray:
        whole = cv2.boxFilter(z, cv2.CV_64F, (window, window), anchor=(0, 0), normalize=False)
        return np.asarray(whole)[: height - window + 1, : width - window + 1]

    s_x, s_y, s_xx, s_yy = sums(x), sums(y), sums(x * x), sums(y * y)
    var = count * (s_xx + s_yy) - s_x**2 - s_y**2  # count² times the sum of both variances
    flat = var <= 1e-12 * count * (s_xx + s_yy)  # rounding only
    cov = np.where(flat, 0.0, count * sums(x * y) - s_x * s_y)
    means = s_x**2 + s_y**2
    luminance = np.where(means > 0, 2 * s_x * s_y / np.where(means > 0, means, 1.0), 1.0)
    structure = np.where(flat, 1.0, 2 * cov / np.where(flat, 1.0, var))
    return float((luminance * structure).mean())


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """NaN where the denominator is 0."""
    return np.where(below == 0, np.nan, above / np.where(below == 0, 1, below))


_ALPARONE = "Alparone, Aiazzi, Baronti, Garzelli, Nencini, Selva 2008, Photogramm. Eng. Remote Sens. 74(2), 193–200"
_WINDOW = "Q over overlapping windows of 32×32 pixels at both sizes; toolboxes differ in window and overlap."

BAND_METRICS: Mapping[str, BandMetric] = {
    metric.name: metric
    for metric in (
        BandMetric(
            "sam", "Spectral angle mapper", sam, ("fused", "target"), "lower", "degrees", (0.0, 180.0),
            "Yuhas, Goetz, Boardman 1992, JPL Airborne Geoscience Workshop, 147–149",
            "SAM = mean arccos(⟨f,t⟩ / (‖f‖·‖t‖)) over the pixels",
            "The brightness of a pixel is free: coarse bands without any detail have a low angle.",
            "Pixels with an empty spectrum are left out; NaN where all are.",
            "torchmetrics spectral_angle_mapper",
            ("Degrees; torchmetrics returns radians.",),
        ),
        BandMetric(
            "ergas", "Relative global error in synthesis", ergas, ("fused", "target"), "lower", "1",
            (0.0, float("inf")), "Wald 2000, Fusion of Earth Data, 99–105",
            "ERGAS = 100/ratio · sqrt(mean_b (RMSE_b/mean_b)²)",
            "A blurred image scores well where the target is smooth; dark bands weigh most.",
            "NaN where a band of the target has a mean of 0.",
            "torchmetrics error_relative_global_dimensionless_synthesis",
            ("The mean is the target's; ratio 4 unless another is given.",),
        ),
        BandMetric(
            "uiqi", "Universal image quality index", uiqi, ("fused", "target"), "higher", "1", (-1.0, 1.0),
            "Wang, Bovik 2002, IEEE Signal Process. Lett. 9(3), 81–84",
            "Q = mean_w 4σ_xy·x̄·ȳ / ((σ_x²+σ_y²)(x̄²+ȳ²)), mean over the bands",
            "A blurred image scores well where the target is smooth.",
            "Two equal flat windows are alike (1); flat ones of other brightness are compared by their means alone.",
            "a plain loop over the windows",
            ("Windows of 8×8 pixels, as published; torchmetrics has Gaussian ones of 11 taps.",),
        ),
        BandMetric(
            "d_lambda", "Spectral distortion", d_lambda, ("fused", "bands"), "lower", "1", (0.0, 2.0), _ALPARONE,
            "D_λ = mean over pairs of bands of |Q(F_i,F_j) - Q(M_i,M_j)|",
            "Enlarging the coarse bands without any detail hardly moves Q between them.",
            "Two bands or more.", "a plain loop over the windows", (_WINDOW,),
        ),
        BandMetric(
            "d_s", "Spatial distortion", d_s, ("fused", "bands", "pan"), "lower", "1", (0.0, 2.0), _ALPARONE,
            "D_s = mean over bands of |Q(F_i,P) - Q(M_i,P_low)|",
            "It asks that Q with the panchromatic image stays, not that detail is there.",
            "The panchromatic image at the bands' size: means of blocks, unless it is given.",
            "a plain loop over the windows",
            (_WINDOW, "Published codes degrade the panchromatic image by filters of their own; pass pan_low for them."),
        ),
        BandMetric(
            "qnr", "Quality with no reference", qnr, ("fused", "bands", "pan"), "higher", "1", (0.0, 1.0), _ALPARONE,
            "QNR = (1-D_λ)^α·(1-D_s)^β, α = β = 1",
            "As its two factors; it needs no target and rewards what changes least.",
            "A distortion above 1 counts as 1.", "its two factors", (_WINDOW,),
        ),
    )
}  # fmt: skip
