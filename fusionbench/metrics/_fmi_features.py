"""Features of an image whose shared information FMI measures."""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.metrics._gradients import recorded, refuse_gradient
from fusionbench.metrics._images import AXES, Array, Image
from fusionbench.metrics.ag import central

Feature = Literal["pixel", "gradient", "edge", "dct", "wavelet"]
WAVELET = "dmey"
STEP = 16  # values of a band that one product makes: with more, more of its matrix is 0
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
    if feature == "edge" and image.grey is not None:
        return image.cached(("fmi", feature), lambda: image.with_pixels(binary_edges(image.stored)))
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
    by_rows = _both_bands(x)  # (…, 2, H', W)
    by_columns = _both_bands(np.ascontiguousarray(by_rows.swapaxes(-1, -2)))  # (…, of rows, of columns, W', H')
    height, width = by_columns.shape[-1], by_columns.shape[-2]
    # PyWavelets calls horizontal what is the high band of the columns: beside the approximation, not below it
    bands = np.moveaxis(by_columns, (-3, -1, -4, -2), (-4, -3, -2, -1))
    return _without_rounding(bands.reshape(*x.shape[:-2], 2 * height, 2 * width))


def _both_bands(x: np.ndarray) -> np.ndarray:
    """Low and high band of every column: (…,H,W) gives (…,2,(H+61)//2,W).

    As products of one banded matrix with overlapping pieces of the columns, in a sixth of the time of PyWavelets'
    convolutions.
    """
    matrix = _banded_filters()
    height, width = x.shape[-2:]
    taps = matrix.shape[1] - 2 * (STEP - 1)
    outputs = (height + taps - 1) // 2
    pieces = -(-outputs // STEP)
    padded = np.empty((*x.shape[:-2], 2 * STEP * (pieces - 1) + matrix.shape[1], width))
    before, reach = taps - 2, 2 * outputs + taps - 2
    at = np.pad(np.arange(height), (before, reach - (height + before)), mode="symmetric")
    padded[..., :before, :] = x[..., at[:before], :]
    padded[..., before : before + height, :] = x
    padded[..., before + height : reach, :] = x[..., at[before + height :], :]
    padded[..., reach:, :] = 0
    found = np.empty((*x.shape[:-2], 2, pieces * STEP, width))
    for top in range(0, pieces * STEP, STEP):
        here = padded[..., 2 * top : 2 * top + matrix.shape[1], :]
        for band, filters in enumerate((matrix[:STEP], matrix[STEP:])):
            np.matmul(filters, here, out=found[..., band, top : top + STEP, :])
    return found[..., :outputs, :]


@functools.cache
def _banded_filters() -> np.ndarray:
    """The matrix that makes STEP values of the low and STEP of the high band of 2·STEP+60 pixels of a column."""
    import pywt

    low, high = (np.array(taps[::-1]) for taps in pywt.Wavelet(WAVELET).filter_bank[:2])
    matrix = np.zeros((2 * STEP, len(low) + 2 * (STEP - 1)))
    for place in range(STEP):
        matrix[place, 2 * place : 2 * place + len(low)] = low
        matrix[STEP + place, 2 * place : 2 * place + len(low)] = high
    return matrix


def _without_rounding(x: np.ndarray) -> np.ndarray:
    x[np.abs(x) < ROUNDING] = 0
    return x


def binary_edges(x: np.ndarray) -> np.ndarray:
    """Sobel edges, 1 or 0: stronger than twice the image's root mean square, and the strongest across their direction.

    Of two equal neighbours the right or lower one counts; beyond the border nothing is stronger. Of whole grey levels
    (uint8) everything is computed in integers, which makes the same edges in a third of the time.
    """
    whole = x.dtype == np.uint8
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    padded = padded.astype(np.int16) if whole else padded
    columns = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    rows = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    across = np.abs(columns[..., 2:] - columns[..., :-2])
    down = np.abs(rows[..., 2:, :] - rows[..., :-2, :])
    if whole:
        energy = np.square(across, dtype=np.int32)
        energy += np.square(down, dtype=np.int32)
        # of whole numbers, more than a number is more than what is left of it without its fraction
        strong = energy > np.floor(4 * energy.mean(AXES, keepdims=True, dtype=np.float64)).astype(np.int32)
    else:
        energy = across * across + down * down
        strong = energy > 4 * energy.mean(AXES, keepdims=True)
    strong &= ((across >= down) & _peaks(energy, -1)) | ((down >= across) & _peaks(energy, -2))
    edges: np.ndarray = strong.astype(np.uint8 if whole else np.float64)
    return edges


def _peaks(x: np.ndarray, axis: int) -> np.ndarray:
    """Where no neighbour before is larger and the one after is smaller."""
    later, earlier = ((..., part) if axis == -1 else (..., part, slice(None)) for part in (np.s_[1:], np.s_[:-1]))
    rising = x[earlier] <= x[later]
    found = np.ones(x.shape, bool)
    found[later] = rising
    found[earlier] &= ~rising
    return found
