"""Features of an image whose shared information FMI measures."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.metrics._gradients import recorded, refuse_gradient
from fusionbench.metrics._images import AXES, Array, Image
from fusionbench.metrics.ag import central

Feature = Literal["pixel", "gradient", "edge", "dct", "wavelet"]
WAVELET = "dmey"
ROUNDING = 1e-8  # coefficients below it are what rounding leaves of 0


def feature_of(image: Image, feature: Feature) -> Image:
    """The feature as an image, cached.

    ``"pixel"`` is the image itself, ``"gradient"`` its horizontal central differences, ``"edge"`` binary edges,
    ``"dct"`` the orthonormal two-dimensional DCT, ``"wavelet"`` the four bands of one level of the discrete Meyer
    wavelet: (H,W) gives about (H+61,W+61).

    Raises:
        UsageError: an unknown feature.
    """
    if feature == "pixel":
        return image
    if feature == "gradient":
        return image.cached(("fmi", feature), lambda: image.with_pixels(central(image.pixels)))
    if feature == "dct" and recorded(image.pixels):
        return image.cached(("fmi", feature), lambda: image.with_pixels(_recorded_dct(image)))
    transforms = {"edge": binary_edges, "dct": dct, "wavelet": wavelet_bands}
    if feature not in transforms:
        raise UsageError(f"fmi knows the features pixel, gradient, {', '.join(transforms)}, not {feature!r}")
    return image.cached(("fmi", feature), lambda: image.with_pixels(_on_the_cpu(image, transforms[feature])))


def _on_the_cpu(image: Image, transform: object) -> Array:
    """A transform of (..., H,W) arrays by NumPy, of tensors, too: the values are the same to the bit."""
    if image.xp is np:
        return transform(image.pixels)  # type: ignore[operator]
    refuse_gradient("its feature is computed outside of torch; detach() the images to score them", image.pixels)
    array = transform(image.pixels.cpu().numpy())  # type: ignore[operator]
    return image.xp.from_numpy(array).to(image.pixels.device)


def dct(x: np.ndarray) -> np.ndarray:
    """The orthonormal two-dimensional DCT-II."""
    import scipy.fft

    return _without_rounding(scipy.fft.dctn(x, axes=AXES, norm="ortho"))


def _recorded_dct(image: Image) -> Array:
    """The same, as products with the transform's matrices, which autograd records."""
    import scipy.fft

    down, right = (
        image.xp.from_numpy(scipy.fft.dct(np.eye(side), axis=0, norm="ortho")).to(image.pixels.device)
        for side in image.shape
    )
    found = down @ image.pixels @ right.T
    return found.masked_fill(found.abs() < ROUNDING, 0.0)


def wavelet_bands(x: np.ndarray) -> np.ndarray:
    """[approximation, horizontal; vertical, diagonal] of one level, the image continued by reflection."""
    import pywt

    approximation, (horizontal, vertical, diagonal) = pywt.dwt2(x, WAVELET, mode="symmetric", axes=AXES)
    upper, lower = (np.concatenate(two, -1) for two in ((approximation, horizontal), (vertical, diagonal)))
    return _without_rounding(np.concatenate([upper, lower], -2))


def _without_rounding(x: np.ndarray) -> np.ndarray:
    x[np.abs(x) < ROUNDING] = 0
    return x


def binary_edges(x: np.ndarray) -> np.ndarray:
    """Sobel edges, 1 or 0: stronger than twice the image's root mean square, and the strongest across their direction.

    Of two equal neighbours the right or lower one counts; beyond the border nothing is stronger.
    """
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    columns = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    rows = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    across = np.abs(columns[..., 2:] - columns[..., :-2])
    down = np.abs(rows[..., 2:, :] - rows[..., :-2, :])
    energy = across * across + down * down
    strong = energy > 4 * energy.mean(AXES, keepdims=True)
    peak = (across >= down) & _peaks(energy) | (down >= across) & _peaks(energy.swapaxes(-1, -2)).swapaxes(-1, -2)
    found: np.ndarray = strong & peak
    return found.astype(np.float64)


def _peaks(x: np.ndarray) -> np.ndarray:
    """Where no left neighbour is larger and the right neighbour is smaller."""
    found = np.ones(x.shape, bool)
    found[..., 1:] &= x[..., :-1] <= x[..., 1:]
    found[..., :-1] &= x[..., :-1] > x[..., 1:]
    return found
