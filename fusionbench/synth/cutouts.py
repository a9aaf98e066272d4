"""``canny-cut/1``: cuts an object out of an image by its edges.

Integer grey → Canny edges (aperture 3, L1 norm) → closing with a square → everything that is not connected
to the corners → largest connected component. Canny, 8-bit closing, flood fill and components gave the same bits in
every OpenCV release and configuration that was compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ID = "canny-cut/1"


@dataclass(frozen=True)
class CannyCut:
    """Thresholds of Canny's hysteresis on 0..255 and the side of the closing square in pixels (odd).

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.cutouts import CannyCut, iou
        >>> image = np.zeros((32, 32), np.uint8)
        >>> image[8:24, 8:24] = 200
        >>> mask = CannyCut(low=50, high=100, close=3).mask(image)
        >>> np.unique(mask).tolist(), round(iou(mask, image), 1)
        ([0, 255], 0.9)
    """

    low: int
    high: int
    close: int

    def mask(self, image: np.ndarray) -> np.ndarray:
        """Mask of uint8 ``image`` (H, W): uint8 (H, W), 255 on the object and 0 elsewhere (all 0 without edges)."""
        import cv2

        outside = cv2.morphologyEx(self.edges(image), cv2.MORPH_CLOSE, np.ones((self.close, self.close), np.uint8))
        bottom, right = image.shape[0] - 1, image.shape[1] - 1
        for corner in ((0, 0), (right, 0), (0, bottom), (right, bottom)):  # an object may touch the sides, not these
            if outside[corner[1], corner[0]] == 0:
                cv2.floodFill(outside, None, corner, 128)
        filled = np.where(outside == 128, 0, 255).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(filled, connectivity=4)
        if count < 2:
            return np.zeros_like(image)
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))  # the first of equal ones
        return np.ascontiguousarray(np.where(labels == largest, 255, 0).astype(np.uint8))

    def edges(self, image: np.ndarray) -> np.ndarray:
        """Canny's edges of uint8 ``image`` (H, W): uint8 (H, W), 255 on them."""
        import cv2

        return np.asarray(cv2.Canny(image, self.low, self.high, apertureSize=3, L2gradient=False), np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks (H, W); 1.0 when both are empty.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.cutouts import iou
        >>> round(iou(np.array([[1, 1, 0]]), np.array([[0, 1, 1]])), 4)
        0.3333
    """
    union = np.count_nonzero((a > 0) | (b > 0))
    return float(np.count_nonzero((a > 0) & (b > 0)) / union) if union else 1.0
