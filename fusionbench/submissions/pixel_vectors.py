"""Grey values of a few pixels of fused images, by which a row is recognised that was saved again, or made brighter.

The same pixels of two submissions are compared after a fit of brightness and contrast: a change of grey levels leaves
less than rounding does, another encoder with loss or a shift more. ``docs/rounds.md`` has the measured distances.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np

MAX_IMAGES = 32  # images that are looked at
POINTS = 128  # pixels of each
_FLAT = 4.0  # grey levels (standard deviation): what varies less says nothing


def near_values(near: str) -> np.ndarray:
    """The int8 values of a text in base64, float32; none where it is no such text."""
    try:
        return np.frombuffer(base64.b64decode(near, validate=True), np.int8).astype(np.float32)
    except binascii.Error:
        return np.zeros(0, np.float32)


class PixelVector:
    """The ``near`` part of a fingerprint of fused images: the grey values of :data:`POINTS` pixels of each.

    Args:
        images: number of images of the submission.

    Example:
        >>> import numpy as np
        >>> from fusionbench.submissions.pixel_vectors import PixelVector, grey_distance
        >>> image = np.random.default_rng(0).integers(50, 200, (40, 30), dtype=np.uint8)
        >>> def near(pixels):
        ...     vector = PixelVector(1)
        ...     vector.add(0, pixels)
        ...     return vector.text()
        >>> grey_distance(near(image), [near(image + 20), near(image[::-1])]).round().tolist()
        [0.0, 45.0]
    """

    def __init__(self, images: int) -> None:
        self.chosen = frozenset(np.linspace(0, images - 1, min(images, MAX_IMAGES)).astype(int).tolist())
        self._parts: list[np.ndarray] = []

    def add(self, index: int, grey: np.ndarray) -> None:
        """Look at the image uint8 (h, w), if it is one of ``chosen``."""
        if index not in self.chosen:
            return
        height, width = grey.shape
        count = np.arange(1, POINTS + 1)  # points that fill the image evenly, the same for every image of a size
        rows = (count * 0.7548776662466927 % 1 * height).astype(int)
        columns = (count * 0.5698402909980532 % 1 * width).astype(int)
        self._parts.append(grey[rows, columns])

    def text(self) -> str:
        """All of it in base64."""
        values = np.concatenate(self._parts) if self._parts else np.zeros(0, np.uint8)
        return base64.b64encode((values.astype(np.int16) - 128).astype(np.int8).tobytes()).decode()


def grey_distance(near: str, others: Sequence[str]) -> np.ndarray:
    """RMS difference between fused images in grey levels after a fit of brightness and contrast, float64 (n,).

    The median over images; infinite where the other is of another length, or fewer than half of the images vary.

    Args:
        near, others: texts of :class:`PixelVector`.
    """
    own = near_values(near)
    found = np.full(len(others), np.inf)
    for place, other in enumerate(others):
        values = near_values(other) if len(other) == len(near) else np.zeros(0, np.float32)
        if not len(own) or len(values) != len(own) or len(own) % POINTS:
            continue
        one, two = (part.reshape(-1, POINTS).astype(np.float64) for part in (own, values))
        one, two = one - one.mean(1, keepdims=True), two - two.mean(1, keepdims=True)
        spread = np.stack([one.std(1), two.std(1)])
        varies = spread.min(0) >= _FLAT
        if varies.sum() * 2 < len(one) or not varies.any():
            continue
        r = (one * two).mean(1)[varies] / spread.prod(0)[varies]
        rest = spread.max(0)[varies] * np.sqrt(np.clip(1 - r * r, 0, 1))
        found[place] = np.median(rest)
    return found
