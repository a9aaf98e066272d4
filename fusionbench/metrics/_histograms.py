"""Grey-level histograms and entropies of one NumPy image or a batch of tensors."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Literal

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.metrics._gradients import refuse_gradient
from fusionbench.metrics._images import Array, Image

LEVELS = 256
_FEW = 1 << 14  # pixels that are sorted in less time than 65,536 counts are looked at
_EXACT = 1 << 23  # OpenCV counts in float32, which is exact to 2^24
Rounding = Literal["nearest", "floor"]
Histogram = Literal["counted", "soft"]
_REACH = 8  # widths: beyond, a Gaussian is below 2e-14 of its peak


def levels(image: Image, rounding: Rounding = "nearest") -> Array:
    """Grey levels 0..255, halves to even (or cut off for ``"floor"``): uint8 of NumPy, int64 of torch."""

    def compute() -> Array:
        if image.grey is not None:
            return image.grey
        refuse_gradient(
            'it counts grey levels; en, mi and nmi take histogram="soft" as losses, or detach() the images',
            image.pixels,
        )
        whole = (image.xp.round if rounding == "nearest" else image.xp.floor)(image.pixels)
        return whole.astype(np.uint8) if image.xp is np else whole.long()

    return image.cached(("levels", rounding), compute)


def histogram(image: Image, rounding: Rounding = "nearest") -> Array:
    """Counts of the 256 grey levels: float64 (256,), or (N,256) for a batch."""
    return image.cached(("histogram", rounding), lambda: _count([levels(image, rounding)]))


def joint_histogram(x: Image, y: Image, top: int = LEVELS - 1) -> Array:
    """Counts of the 65,536 pairs of grey levels (x major); levels above ``top`` count as ``top``."""

    def compute() -> Array:
        pair = [levels(x), levels(y)]
        if top < LEVELS - 1:
            pair = [x.xp.clip(level, None, top) for level in pair]
        return _count(pair)

    return x.cached(("joint", y.serial, top), compute)


def _count(planes: list[Array]) -> Array:
    if isinstance(planes[0], np.ndarray):
        import cv2

        bins, spans = [LEVELS] * len(planes), [0, LEVELS] * len(planes)
        rows = max(1, _EXACT // planes[0].shape[1])
        total: np.ndarray | None = None
        for top in range(0, planes[0].shape[0], rows):
            band = [plane[top : top + rows] for plane in planes]
            counts = cv2.calcHist(band, [*range(len(planes))], None, bins, spans).ravel()
            total = counts.astype(np.float64) if total is None else np.add(total, counts, out=total)
        return total
    import torch

    code = planes[0] if len(planes) == 1 else planes[0] * LEVELS + planes[1]
    size, batch = LEVELS ** len(planes), code.shape[0]
    offset = torch.arange(batch, device=code.device).view(-1, 1, 1) * size
    return torch.bincount((code + offset).flatten(), minlength=batch * size).view(batch, size).double()


def entropy(counts: Array) -> Array:
    """Shannon entropy in nats of counts (bins,) or (N,bins): log n - sum(c log c)/n.

    Of a single level it is exactly 0: what rounding leaves instead would be divided by itself in nmi.
    """
    if isinstance(counts, np.ndarray):
        counts = counts[counts > 0]
        total = counts.sum()
        return np.log(total) - (counts * np.log(counts)).sum() / total if len(counts) > 1 else np.float64(0)
    total = counts.sum(-1)
    value = total.log() - (counts * counts.clamp(min=1).log()).sum(-1) / total
    return value.where((counts > 0).sum(-1) > 1, 0.0)


def image_entropy(image: Image) -> Array:
    """Entropy of the grey levels, in nats, cached."""
    return image.cached("entropy", lambda: entropy(histogram(image)))


def mutual_information(x: Image, y: Image, top: int = LEVELS - 1) -> Array:
    """Mutual information I(x;y) of the grey levels, in nats.

    ``top`` below 255 merges the brightest levels of the joint histogram only (see the dialect ``linfeng``).
    """
    counts = _joint_counts(x, y, top) if x.xp is np else joint_histogram(x, y, top)
    return image_entropy(x) + image_entropy(y) - entropy(counts)


def _joint_counts(x: Image, y: Image, top: int) -> np.ndarray:
    """What :func:`joint_histogram` of two NumPy images has beside zeros, in its order."""

    def compute() -> np.ndarray:
        if x.count > _FEW:
            counts: np.ndarray = joint_histogram(x, y, top)
            return counts[counts > 0]
        pair = levels(x).astype(np.uint16), levels(y).astype(np.uint16)
        first, second = (np.minimum(level, top) for level in pair) if top < LEVELS - 1 else pair
        codes = np.sort((first * np.uint16(LEVELS) + second).ravel())
        ends = np.flatnonzero(codes[1:] != codes[:-1])
        found = np.empty(len(ends) + 1)  # float64
        found[:-1], found[-1] = ends, len(codes) - 1
        found[1:] -= found[:-1]
        found[0] += 1
        return found

    return x.cached(("joint counts", y.serial, top), compute)


def soft_histogram(image: Image, width: float) -> Array:
    """Histogram with a gradient: each pixel is shared among the levels k in proportion to exp(-(x-k)²/2·width²).

    float64 (256,), or (N,256) for a batch, of sum H·W; the smaller the width, the closer to :func:`histogram`.
    """

    def compute() -> Array:
        places, shares = _shares(image, width)
        return _summed(places, shares, LEVELS)

    return image.cached(("soft histogram", width), compute)


def soft_mutual_information(fused: Image, source: Image, width: float, top: int = LEVELS - 1) -> Array:
    """Mutual information in nats with a gradient by the fused image, whose levels are soft; the source's are counted.

    Source: Mattes, Haynor, Vesselle, Lewellen, Eubank 2003 (IEEE Trans. Med. Imaging 22, 120): smooth bins (there
    B-splines) for the image that moves, counts for the one that does not.
    """
    places, shares = _shares(fused, width)
    of_source = levels(source)
    if fused.xp is np:
        of_source = of_source.astype(np.int64)
    joint = _summed(places * LEVELS + fused.xp.clip(of_source, None, top), shares, LEVELS**2)
    return soft_entropy(soft_histogram(fused, width)) + image_entropy(source) - soft_entropy(joint)


def soft_entropy(counts: Array) -> Array:
    """Shannon entropy in nats of real counts (bins,) or (N,bins)."""
    xp = np if isinstance(counts, np.ndarray) else _torch()
    p = counts / counts.sum(-1)[..., None]
    return -(p * xp.log(xp.where(p > 0, p, 1.0))).sum(-1)


def is_soft(histogram: str, width: float) -> bool:
    """Whether a metric's parameters ask for the soft histogram.

    Raises:
        UsageError: another kind of histogram, or a width that is no positive number.
    """
    if histogram not in ("counted", "soft"):
        raise UsageError(f'histogram is "counted" or "soft", not {histogram!r}')
    if histogram == "soft" and not (math.isfinite(width) and width > 0):
        raise UsageError(f"width: {width} grey levels, but a soft histogram needs a positive width, for example 0.5")
    return histogram == "soft"


def _shares(image: Image, width: float) -> tuple[Array, Array]:
    """(grey levels around each pixel's value, its share in each of them): (K,H,W), or (K,N,H,W) for a batch."""

    def compute() -> tuple[Array, Array]:
        xp, x = image.xp, image.pixels
        reach = min(math.ceil(_REACH * width), LEVELS - 1)
        centre = xp.round(x if xp is np else x.detach())
        places = xp.stack([centre + step for step in range(-reach, reach + 1)])
        outside = (places < 0) | (places >= LEVELS)
        exponent = xp.where(outside, -math.inf, -(((x - places) / width) ** 2) / 2)
        weights = xp.exp(exponent - xp.amax(exponent if xp is np else exponent.detach(), 0))
        places = xp.clip(places, 0, LEVELS - 1)
        return places.astype(np.int64) if xp is np else places.long(), weights / weights.sum(0)

    return image.cached(("soft levels", width), compute)


def _summed(places: Array, shares: Array, bins: int) -> Array:
    """Sums of the shares in each of ``bins`` bins: (bins,), or (N,bins) for a batch."""
    if isinstance(places, np.ndarray):
        return np.bincount(places.ravel(), shares.ravel(), bins)
    batch = places.shape[1]
    offset = _torch().arange(batch, device=places.device).view(-1, 1, 1) * bins
    flat = shares.new_zeros(batch * bins).index_add(0, (places + offset).flatten(), shares.flatten())
    return flat.view(batch, bins)


def _torch() -> ModuleType:
    import torch

    return torch
