"""Local similarity of the fused image to each source, weighted by where a source has more to say.

What Q_S, Q_W, Q_E (Piella, Heijmans) and Q_C (Cvejic) share.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionbench.metrics._images import AXES, BAND, Array, Image
from fusionbench.metrics._windows import Border, gaussian, local_covariance, local_moments, magnitude, ones, separable

BOX = 8  # side of the windows of the universal image quality index
NOISE = 1e-13  # of the squared mean: a variance below it is what rounding leaves of a flat window


@dataclass(frozen=True)
class Index:
    """A similarity index of two windows, and whether flat windows have a small saliency instead of none."""

    name: str
    size: int
    sigma: float | None  # of a Gaussian window; None: a box
    c1: float = 0.0
    c2: float = 0.0
    flat_saliency: float = 0.0

    @property
    def weights(self) -> np.ndarray:
        return ones(self.size) if self.sigma is None else gaussian(self.size, self.sigma)


UNIVERSAL = Index("universal", BOX, None)
SSIM = Index("ssim", 11, 1.5, (0.01 * 255) ** 2, (0.03 * 255) ** 2, 0.5)
UNGUARDED = Index("unguarded", 7, 1.5, 2e-16, 2e-16)
BLOCKS = Index("blocks", 4, None)
INDICES = {index.name: index for index in (UNIVERSAL, SSIM, UNGUARDED, BLOCKS)}


def moments(image: Image, index: Index) -> tuple[Array, Array]:
    """(mean, variance) of every window, cached; the variance of a flat window is exactly 0."""

    def compute() -> tuple[Array, Array]:
        mean, variance = local_moments(image, index.weights, "valid", ("piella", index.name))
        return mean, image.xp.where(variance <= NOISE * mean * mean, 0.0, variance)

    return image.cached(("piella moments", index.name), compute)


def similarity(x: Image, y: Image, index: Index) -> tuple[Array, Array]:
    """(index, covariance) of every window.

    Without constants two flat windows are compared by their means, and two black ones are alike (1).
    """

    def compute() -> tuple[Array, Array]:
        xp = x.xp
        (mean_x, var_x), (mean_y, var_y) = moments(x, index), moments(y, index)
        means = mean_x * mean_y
        covariance = local_covariance(x, y, index.weights, "valid", (mean_x, mean_y))
        covariance = xp.where((var_x == 0) | (var_y == 0), 0.0, covariance)
        luminance = _ratio(xp, 2 * means + index.c1, mean_x * mean_x + mean_y * mean_y + index.c1)
        return luminance * _ratio(xp, 2 * covariance + index.c2, var_x + var_y + index.c2), covariance

    return x.cached(("piella similarity", y.serial, index.name), compute)


def _ratio(xp: Any, top: Array, bottom: Array) -> Array:
    """1 where both are 0."""
    return xp.where(bottom > 0, top / xp.where(bottom > 0, bottom, 1.0), 1.0)


def bands(index: Index, *images: Image) -> Iterator[tuple[Image, ...]]:
    """The same bands of rows of each image: every window lies in exactly one, and what was cached of it is dropped.

    A band fits the processor's cache; a batch on a device is one band.
    """

    if images[0].xp is not np:
        yield images
        return

    def cut(image: Image) -> list[Image]:
        rows = image.shape[0] - index.size + 1
        tops = range(0, rows, BAND)
        return [image.with_pixels(image.stored[top : min(top + BAND, rows) + index.size - 1]) for top in tops]

    cuts = [image.cached(("piella bands", index.size), functools.partial(cut, image)) for image in images]
    for row in zip(*cuts, strict=True):
        yield row
        for band in row:
            band.clear_cache()


def piella_means(fused: Image, a: Image, b: Image, index: Index) -> tuple[Array, Array]:
    """(Q_S, Q_W): means of λ q(A,F) + (1-λ) q(B,F), plain and weighted by max(s_A, s_B); s: the local variance.

    λ = s_A/(s_A+s_B). Computed together, as both are asked for in most cases.
    """

    def compute() -> tuple[Array, Array]:
        plain, weighted, weights = 0.0, 0.0, 0.0
        for fused_band, band_a, band_b in bands(index, fused, a, b):
            share, saliency, total = _shares(band_a, band_b, index)
            value = similarity(fused_band, band_b, index)[0]
            value = value + share * (similarity(fused_band, band_a, index)[0] - value)
            plain = plain + value.sum(AXES)
            value *= saliency
            weighted = weighted + value.sum(AXES)
            weights = weights + total
        height, width = fused.shape
        return plain / ((height - index.size + 1) * (width - index.size + 1)), weighted / weights

    return fused.cached(("piella means", a.serial, b.serial, index.name), compute)


def _shares(a: Image, b: Image, index: Index) -> tuple[Array, Array, Array]:
    """(λ, max(s_A, s_B), its sum), cached."""

    def compute() -> tuple[Array, Array, Array]:
        xp, s_a, s_b = a.xp, moments(a, index)[1], moments(b, index)[1]
        total = s_a + s_b
        flat = total == 0
        share = xp.where(flat, 0.5, s_a / xp.where(flat, 1.0, total))
        saliency = xp.maximum(s_a, s_b)
        if index.flat_saliency:
            saliency = xp.where(flat, index.flat_saliency, saliency)
        return share, saliency, saliency.sum(AXES)

    return a.cached(("piella weights", b.serial, index.name), compute)


def prewitt_image(image: Image, border: Border) -> Image:
    """The magnitude of the gradient by Prewitt's 3×3 masks."""

    def compute() -> Image:
        step = np.array([-1.0, 0.0, 1.0])
        x = image.pixels
        return image.with_pixels(
            magnitude(separable(x, step, ones(3), border=border), separable(x, ones(3), step, border=border))
        )

    return image.cached(("prewitt", border), compute)
