"""Local similarity of the fused image to each source, weighted by where a source has more to say.

What Q_S, Q_W, Q_E (Piella, Heijmans) and Q_C (Cvejic) share.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from fusionbench.metrics._images import AXES, BAND, Array, Image
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import (
    Border,
    gaussian,
    local_covariance,
    local_moments,
    magnitude,
    ones,
    pad_border,
    separable,
)
from fusionbench.synth.kernel import whole

BOX = 8  # side of the windows of the universal image quality index
SECONDS = 60e-9  # a pixel of three images without compiled code
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
        compiled = compiled_sums(fused, a, b, index)
        if compiled is not None:
            plain, weighted, weights = compiled[:3]
        else:
            plain, weighted, weights = 0.0, 0.0, 0.0
            for fused_band, band_a, band_b in bands(index, fused, a, b):
                value, times_saliency, total = _terms(fused_band, band_a, band_b, index)
                plain = plain + value.sum(AXES)
                weighted = weighted + times_saliency.sum(AXES)
                weights = weights + total
        height, width = fused.shape
        return plain / ((height - index.size + 1) * (width - index.size + 1)), weighted / weights

    return fused.cached(("piella means", a.serial, b.serial, index.name), compute)


def _terms(fused: Image, a: Image, b: Image, index: Index) -> tuple[Array, Array, Array]:
    """Of every window λ q(A,F) + (1-λ) q(B,F), the same times max(s_A, s_B), and the sum of these weights."""
    share, saliency, total = _shares(a, b, index)
    value = similarity(fused, b, index)[0]
    value = value + share * (similarity(fused, a, index)[0] - value)
    return value, value * saliency, total


def weighted_by_covariance(xp: Any, to_a: tuple[Array, Array], to_b: tuple[Array, Array], limits: str) -> Array:
    """Q_C's s q(A,F) + (1-s) q(B,F) of every window, s = σ_AF/(σ_AF+σ_BF), from (q, covariance) with each source.

    ``limits`` as in ``qc``.
    """
    (q_a, cov_a), (q_b, cov_b) = to_a, to_b
    total = cov_a + cov_b
    none = total == 0
    # opposite covariances: only the positive one speaks; none at all: both count the same
    opposite = xp.where(cov_a > 0, 2.0, xp.where(cov_a < 0, -1.0, 0.5))
    share = xp.where(none, opposite, cov_a / xp.where(none, 1.0, total))
    if limits == "share":
        share = xp.clip(share, 0, 1)
    value = q_b + share * (q_a - q_b)
    return xp.where(share < 0, 0.0, xp.where(share > 1, 1.0, value)) if limits == "value" else value


def compiled_sums(fused: Image, a: Image, b: Image, index: Index) -> list[Array] | None:
    """Sums over the windows of :func:`_terms` and :func:`weighted_by_covariance`, by compiled code where there is any.

    All four in one pass, cached: what Q_S, Q_W, Q_E and Q_C ask for of three images.
    """
    loops = LOOPS.compiled(SECONDS * fused.count) if fused.xp is np and index is UNIVERSAL else None
    if loops is None:
        return None

    def compute() -> list[Array]:
        totals: list[Array] = [0.0] * 4
        for images in bands(index, fused, a, b):
            terms = _compiled_terms(loops, *(image.pixels for image in images))
            totals = [total + term.sum() for total, term in zip(totals, terms, strict=True)]
        return totals

    return fused.cached(("piella sums", a.serial, b.serial), compute)


def _compiled_terms(loops: ModuleType, *images: np.ndarray) -> np.ndarray:
    terms = np.empty((4, *(side - BOX + 1 for side in images[0].shape)))
    loops.piella_box(*(whole(image) for image in images), *terms)
    return terms


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
        # of whole numbers all orders of adding give the same sums
        loops = LOOPS.compiled(SECONDS / 10 * image.count) if image.grey is not None else None
        if loops is not None:
            edges = np.empty(image.shape)
            loops.piella_prewitt(pad_border(image.pixels, 1, border), edges)
            return image.with_pixels(edges)
        step = np.array([-1.0, 0.0, 1.0])
        x = image.pixels
        return image.with_pixels(
            magnitude(separable(x, step, ones(3), border=border), separable(x, ones(3), step, border=border))
        )

    return image.cached(("prewitt", border), compute)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one: flat, inverted and unrelated windows, also of fractions."""
    x = (np.arange(13 * 150).reshape(13, 150) * 37 % 251).astype(np.uint8)
    flat, dark = np.where(np.arange(150) < 40, 90, x).astype(np.uint8), np.where(np.arange(150) < 60, 0, 255 - x)
    for triple in ((x[::-1], x, flat), (flat, flat[::-1], 255 - flat), (dark, dark[:, ::-1], dark // 2)):
        for power in (1, 0.7):
            images = [Image(each**power if power < 1 else None, grey=None if power < 1 else each) for each in triple]
            f, a, b = images
            value, weighted, _ = _terms(f, a, b, UNIVERSAL)
            to_a, to_b = (similarity(f, source, UNIVERSAL) for source in (a, b))
            by_covariance = weighted_by_covariance(np, to_a, to_b, "share")
            expected = value, weighted, _shares(a, b, UNIVERSAL)[1], by_covariance
            found = _compiled_terms(loops, *(image.pixels for image in images))
            if not all(map(np.array_equal, expected, found)):
                return False
    edges = np.empty((11, 148))
    loops.piella_prewitt(x.astype(np.float64), edges)
    return np.array_equal(edges, prewitt_image(Image(None, grey=x).with_pixels(x**1.0), "zero").pixels[1:-1, 1:-1])


LOOPS = Loops("qs", "fusionbench.metrics._piella_compiled", _agrees)
