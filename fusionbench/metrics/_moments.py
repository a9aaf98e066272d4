"""Means, variances and covariances over whole images.

Whole grey levels are summed as integers, so nothing is lost however close two images are; other values are centred
first.
"""

from __future__ import annotations

import math

import numpy as np

from fusionbench.metrics._images import AXES, Array, Image


def mean(image: Image) -> Array:
    """Mean grey value; of a flat image exactly its value, so that its variance is exactly 0."""

    def make() -> Array:
        if image.grey is not None:
            return np.float64(_sum(image) / image.count)
        first = image.pixels[..., :1, :1]
        return first[..., 0, 0] + (image.pixels - first).mean(AXES)

    return image.keep("mean", make)


def centred(image: Image) -> Array:
    """Pixels minus their mean."""
    return image.keep("centred", lambda: image.pixels - mean(image)[..., None, None])


def covariance(x: Image, y: Image) -> Array:
    """Population covariance; of an image with itself, the variance."""

    def make() -> Array:
        if x.grey is not None and y.grey is not None:
            return np.float64(_scatter(x, y) / x.count**2)
        return (centred(x) * centred(y)).mean(AXES)

    return x.keep(("covariance", id(y)), make)


def variance(image: Image) -> Array:
    """Population variance."""
    return covariance(image, image)


def correlation(x: Image, y: Image) -> Array:
    """Pearson's r, NaN where an image is flat."""
    return x.keep(("correlation", id(y)), lambda: covariance(x, y) / x.xp.sqrt(variance(x) * variance(y)))


def difference_correlation(x: Image, fused: Image, other: Image) -> Array:
    """Pearson's r of x with fused - other, NaN where either is flat."""
    if x.grey is not None and fused.grey is not None and other.grey is not None:
        shared = _scatter(fused, x) - _scatter(x, other)
        spread = _scatter(fused, fused) + _scatter(other, other) - 2 * _scatter(fused, other)
        below = math.sqrt(_scatter(x, x)) * math.sqrt(spread)
        return np.float64(shared / below if below else math.nan)
    difference = centred(fused) - centred(other)
    shared = (difference * centred(x)).mean(AXES)
    difference *= difference
    spread = difference.mean(AXES)
    # What a constant difference leaves is rounding (1e-27); one changed level in one pixel is 1e-8 at 100 megapixels.
    spread = fused.xp.where(spread > 1e-20, spread, fused.xp.nan)
    return shared / fused.xp.sqrt(variance(x) * spread)


def squared_error(x: Image, y: Image) -> Array:
    """Mean of (x-y)²."""

    def make() -> Array:
        if x.xp is np:
            return np.float64(_distance(x, y) / x.count)
        difference = x.pixels - y.pixels
        return (difference * difference).mean(AXES)

    return x.keep(("squared error", id(y)), make)


def squared_difference(x: Array, y: Array) -> Array:
    """Sum of (x-y)² over the last two axes; exact on uint8."""
    if isinstance(x, np.ndarray):
        import cv2

        total = cv2.norm(x, y, cv2.NORM_L2SQR)
        return np.float64(round(total) if x.dtype == np.uint8 else total)  # it may be the square of a rounded root
    difference = x - y
    return (difference * difference).sum(AXES)


def _sum(image: Image) -> int:
    return image.keep("sum", lambda: int(image.grey.sum(dtype=np.int64)))  # type: ignore[union-attr]


def _scatter(x: Image, y: Image) -> int:
    """n·Σxy - Σx·Σy of uint8 images, exactly: n² times the covariance."""

    def make() -> int:
        if x is y:
            return x.count * _square(x) - _sum(x) ** 2
        product = (_square(x) + _square(y) - round(_distance(x, y))) // 2
        return x.count * product - _sum(x) * _sum(y)

    return x.keep(("scatter", id(y)), make)


def _square(image: Image) -> int:
    import cv2

    return image.keep("square", lambda: round(cv2.norm(image.compact, cv2.NORM_L2SQR)))


def _distance(x: Image, y: Image) -> float:
    both = (x.grey, y.grey) if x.grey is not None and y.grey is not None else (x.pixels, y.pixels)
    return x.keep(("distance", id(y)), lambda: float(squared_difference(*both)))
