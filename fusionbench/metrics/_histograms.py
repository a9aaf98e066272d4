"""Grey-level histograms and entropies of one NumPy image or a batch of tensors."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fusionbench.metrics._images import Array, Image

LEVELS = 256
_EXACT = 1 << 23  # OpenCV counts in float32, which is exact to 2^24
Rounding = Literal["nearest", "floor"]


def levels(image: Image, rounding: Rounding = "nearest") -> Array:
    """Grey levels 0..255, halves to even (or cut off for ``"floor"``): uint8 of NumPy, int64 of torch."""

    def compute() -> Array:
        if image.grey is not None:
            return image.grey
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

    return x.cached(("joint", id(y), top), compute)


def _count(planes: list[Array]) -> Array:
    if isinstance(planes[0], np.ndarray):
        import cv2

        bins, spans = [LEVELS] * len(planes), [0, LEVELS] * len(planes)
        rows = max(1, _EXACT // planes[0].shape[1])
        total = np.zeros(LEVELS ** len(planes))
        for top in range(0, planes[0].shape[0], rows):
            band = [plane[top : top + rows] for plane in planes]
            total += cv2.calcHist(band, [*range(len(planes))], None, bins, spans).ravel()
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
    joint = entropy(joint_histogram(x, y, top))
    return image_entropy(x) + image_entropy(y) - joint
