"""What a set of fused images shows of its making: remarks, never a reason to refuse.

Each remark tells the size of the effect. All functions take lists of uint8 images, one per sample, of any sizes. The
thresholds lie where untouched images do not come: a remark is about the whole set, not about one image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BLOCKINESS = 0.08  # excess of steps at the borders of 8×8 blocks over those elsewhere
COPY = 0.99  # correlation with a source in the median image
FULL = 0.9  # share of images that span 0..255 exactly, which their sources do not
SWAPPED = 0.2  # by how much the colours must agree better with red and blue exchanged
_LEAST = 3  # images


def blockiness(images: Sequence[np.ndarray]) -> float:
    """Mean step across the borders of 8×8 blocks over the median of the seven other phases, minus one; (H,W) uint8.

    Zero within noise where there is no grid; NaN for images without any step or under 24 pixels.
    """
    total, count = np.zeros(8), np.zeros(8)
    for image in images:
        for turned in (image.astype(np.int16), image.T.astype(np.int16)):
            if turned.shape[1] < 24:
                continue
            steps = np.abs(np.diff(turned, axis=1)).mean(axis=0, dtype=np.float64)  # step i is between i and i+1
            phases = (np.arange(len(steps)) + 1) % 8
            total += np.bincount(phases, steps, 8)
            count += np.bincount(phases, minlength=8)
    if not count.all() or not total.any():
        return float("nan")
    means = total / count
    rest = float(np.median(means[1:]))
    return float(means[0] / rest - 1) if rest else float("inf")


def pearson_coefficient(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's coefficient of two arrays of one shape; NaN where one is flat."""
    x, y = x.astype(np.float64).ravel(), y.astype(np.float64).ravel()
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else float("nan")


def remarks(
    fused: Sequence[np.ndarray],
    sources: Sequence[Sequence[np.ndarray]],
    names: Sequence[str],
    colour: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> list[str]:
    """One line for everything that is remarkable about fused images.

    Args:
        fused: grey images (H,W) uint8, one a sample.
        sources: for every sample its grey sources, of the same size.
        names: what the sources are called.
        colour: (fused, source) as RGB (H,W,3) of the samples where both have colours.
    """
    if len(fused) < _LEAST:
        return []
    found = [_jpeg(fused, sources), _stretch(fused, sources), *_copies(fused, sources, names), _channels(colour)]
    return [line for line in found if line]


def _jpeg(fused: Sequence[np.ndarray], sources: Sequence[Sequence[np.ndarray]]) -> str:
    ours = blockiness(fused)
    theirs = [blockiness([row[k] for row in sources]) for k in range(len(sources[0]))] if len(sources) else []
    usual = max([0.0, *(value for value in theirs if np.isfinite(value))])
    if not ours > usual + BLOCKINESS:
        return ""
    return (
        f"JPEG blocks: steps at the borders of 8×8 blocks are {100 * ours:.0f} % larger than elsewhere (sources "
        f"{100 * usual:.0f} %); compression moves EN, SF and VIF, save the model's output as PNG"
    )


def _spans(image: np.ndarray) -> int:
    return int(image.max()) - int(image.min())


def _stretch(fused: Sequence[np.ndarray], sources: Sequence[Sequence[np.ndarray]]) -> str:
    """Images that span 0..255 although no source of theirs comes that far: each was stretched by itself."""
    room = [(image, row) for image, row in zip(fused, sources, strict=True) if max(map(_spans, row)) < 250]
    full = [(image, row) for image, row in room if _spans(image) == 255]
    if len(room) < _LEAST or len(full) < FULL * len(room):
        return ""
    gain = float(np.median([255 / max(1, max(map(_spans, row))) for _, row in full]))
    return (
        f"min–max stretching: {len(full)} of {len(room)} images span exactly 0..255, their sources do not; contrast "
        f"is up by {gain:.2f} times in the median, and SD, SF and EN with it"
    )


def _copies(fused: Sequence[np.ndarray], sources: Sequence[Sequence[np.ndarray]], names: Sequence[str]) -> list[str]:
    lines = []
    for k, name in enumerate(names):
        values = np.array([pearson_coefficient(image, row[k]) for image, row in zip(fused, sources, strict=True)])
        values = values[np.isfinite(values)]
        if len(values) >= _LEAST and float(np.median(values)) >= COPY:
            close = int((values >= COPY).sum())
            lines.append(
                f"near-copy of {name}: correlation {np.median(values):.4f} in the median, {close} of {len(values)} at "
                f"{COPY} or more; copying a source scores high on MI, VIF and Qabf without fusing"
            )
    return lines


def _channels(colour: Sequence[tuple[np.ndarray, np.ndarray]]) -> str:
    """Red minus blue of the fused images against that of the sources, as they are and with the two exchanged."""
    if len(colour) < _LEAST:
        return ""
    values = np.array([pearson_coefficient(_tint(fused), _tint(source)) for fused, source in colour])
    values = values[np.isfinite(values)]
    if not len(values) or not float(np.median(values)) < -SWAPPED:
        return ""
    shift = [np.abs(fused.astype(float) @ [0.185, 0, -0.185]).mean() for fused, _ in colour]
    return (
        f"channel order: red and blue are exchanged (their difference correlates {np.median(values):.2f} with the "
        f"source's); grey values are off by {float(np.median(shift)):.1f} levels; write RGB, not BGR"
    )


def _tint(image: np.ndarray) -> np.ndarray:
    result: np.ndarray = image[..., 0].astype(np.int16) - image[..., 2]
    return result
