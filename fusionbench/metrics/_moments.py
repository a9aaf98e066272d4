"""Means, variances and covariances over whole images.

Whole grey levels are summed as integers, without cancellation however close two images are; other values are centred
first.
"""

from __future__ import annotations

import math

import numpy as np

from fusionbench.metrics._gradients import multiplied, root
from fusionbench.metrics._images import AXES, Array, Image


def mean_grey(image: Image) -> Array:
    """Mean grey value; of a flat image exactly its value, so that its variance is exactly 0."""

    def compute() -> Array:
        if image.grey is not None:
            return np.float64(_sum(image) / image.count)
        first = image.pixels[..., :1, :1]
        return first[..., 0, 0] + (image.pixels - first).mean(AXES)

    return image.cached("mean", compute)


def centred(image: Image) -> Array:
    """Pixels minus their mean."""
    return image.cached("centred", lambda: image.pixels - mean_grey(image)[..., None, None])


def covariance(x: Image, y: Image) -> Array:
    """Population covariance; of an image with itself, the variance."""

    def compute() -> Array:
        if x.grey is not None and y.grey is not None:
            return np.float64(_scaled_covariance(x, y) / x.count**2)
        return (centred(x) * centred(y)).mean(AXES)

    return x.cached(("covariance", y.serial), compute)


def variance(image: Image) -> Array:
    """Population variance."""
    return covariance(image, image)


def pearson(x: Image, y: Image) -> Array:
    """Pearson's r, NaN where an image is flat."""
    return x.cached(("correlation", y.serial), lambda: covariance(x, y) / root(variance(x) * variance(y)))


def difference_correlation(x: Image, fused: Image, other: Image) -> Array:
    """Pearson's r of x with fused - other, NaN where either is flat."""
    if x.grey is not None and fused.grey is not None and other.grey is not None:
        cov = _scaled_covariance(fused, x) - _scaled_covariance(x, other)
        var_f, var_o = _scaled_covariance(fused, fused), _scaled_covariance(other, other)
        var_difference = var_f + var_o - 2 * _scaled_covariance(fused, other)
        denominator = math.sqrt(_scaled_covariance(x, x)) * math.sqrt(var_difference)
        return np.float64(cov / denominator if denominator else math.nan)
    difference = centred(fused) - centred(other)
    cov = (difference * centred(x)).mean(AXES)
    var_difference = multiplied(difference, difference).mean(AXES)
    # A constant difference has a variance of rounding errors (1e-27); one changed level in one pixel of 100 megapixels
    # has 1e-8.
    var_difference = fused.xp.where(var_difference > 1e-20, var_difference, fused.xp.nan)
    return cov / root(variance(x) * var_difference)


def squared_error(x: Image, y: Image) -> Array:
    """Mean of (x-y)²."""

    def compute() -> Array:
        if x.xp is np:
            return np.float64(_sum_squared_difference(x, y) / x.count)
        difference = x.pixels - y.pixels
        return (difference * difference).mean(AXES)

    return x.cached(("squared error", y.serial), compute)


def squared_difference(x: Array, y: Array) -> Array:
    """Sum of (x-y)² over the last two axes; exact on uint8."""
    if isinstance(x, np.ndarray):
        import cv2

        total = cv2.norm(x, y, cv2.NORM_L2SQR)
        # OpenCV may return the square of a rounded root
        return np.float64(round(total) if x.dtype == np.uint8 else total)
    difference = x - y
    return (difference * difference).sum(AXES)


def _sum(image: Image) -> int:
    return image.cached("sum", lambda: int(image.grey.sum(dtype=np.int64)))  # type: ignore[union-attr]


def _scaled_covariance(x: Image, y: Image) -> int:
    """n·Σxy - Σx·Σy of uint8 images, exactly: n² times the covariance."""

    def compute() -> int:
        if x is y:
            return x.count * _sum_of_squares(x) - _sum(x) ** 2
        product = (_sum_of_squares(x) + _sum_of_squares(y) - round(_sum_squared_difference(x, y))) // 2
        return x.count * product - _sum(x) * _sum(y)

    return x.cached(("scatter", y.serial), compute)


def _sum_of_squares(image: Image) -> int:
    import cv2

    return image.cached("square", lambda: round(cv2.norm(image.stored, cv2.NORM_L2SQR)))


def _sum_squared_difference(x: Image, y: Image) -> float:
    both = (x.grey, y.grey) if x.grey is not None and y.grey is not None else (x.pixels, y.pixels)
    return x.cached(("distance", y.serial), lambda: float(squared_difference(*both)))
