"""How a metric answers when a good fused image is made worse: noise, blur, JPEG, a shift, too much contrast.

The metric handbook shows it for every registered metric. Whatever improves a metric here fools it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.core.types import Metric

SEED = 0
SMALLEST = 1e-3  # a change below this part of the value is none


@dataclass(frozen=True)
class Distortion:
    """What is done to the fused image, at rising strength; the first strength leaves it alone.

    Attributes:
        unit: what the strengths are.
        strengths: six, the first of them nothing.
        apply: ``apply(image, strength)`` of uint8 (H,W).
    """

    unit: str
    strengths: Sequence[float]
    apply: Callable[[np.ndarray, float], np.ndarray]


def _rounded(image: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return result


def _noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    drawn = np.random.Generator(np.random.Philox(key=SEED)).standard_normal(image.shape)
    return _rounded(image + sigma * drawn)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    import cv2

    return image if sigma == 0 else _rounded(cv2.GaussianBlur(image.astype(np.float64), (0, 0), sigma))


def _coded(image: np.ndarray, quality: float) -> np.ndarray:
    import cv2

    if quality == 0:
        return image
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def _shifted(image: np.ndarray, pixels: float) -> np.ndarray:
    """To the right, its left edge repeated."""
    columns = np.maximum(np.arange(image.shape[1]) - int(pixels), 0)
    return np.ascontiguousarray(image[:, columns])


def _stretched(image: np.ndarray, factor: float) -> np.ndarray:
    mean = image.mean()
    return _rounded(mean + factor * (image - mean))


DISTORTIONS: Mapping[str, Distortion] = {
    "noise": Distortion("σ in grey levels", (0, 2, 5, 10, 20, 40), _noisy),
    "blur": Distortion("σ in pixels", (0, 0.5, 1, 2, 3, 5), _blurred),
    "JPEG": Distortion("quality (0: none)", (0, 90, 75, 50, 25, 10), _coded),
    "shift": Distortion("pixels", (0, 1, 2, 3, 5, 8), _shifted),
    "stretch": Distortion("factor of the contrast", (1, 1.2, 1.5, 2, 3, 4), _stretched),
}


@dataclass(frozen=True)
class Response:
    """Values of a metric at the strengths of a distortion; NaN or infinite where it has none.

    Example:
        >>> from fusionbench.evaluation.responses import Response
        >>> [Response("noise", values, "higher").arrow for values in ((1, 2, 3), (3, 2, 1), (1, 2, 0.5), (1, 1, 1))]
        ['↑', '↓', '↑↓', '–']
        >>> Response("noise", (1, 2, 3), "higher").fools, Response("noise", (1, 2, 3), "lower").fools
        (True, False)
    """

    distortion: str
    values: tuple[float, ...]
    better: str

    def _changes(self) -> tuple[float, float]:
        """Largest rise and largest fall from the value of the image as it was."""
        start, *others = self.values
        moved = [value - start for value in others if math.isfinite(value)]
        if math.isinf(start):  # such as the PSNR of a target against itself: every finite value is a change
            found = [value for value in others if math.isfinite(value)]
            return (0.0, math.inf) if found and start > 0 else (math.inf, 0.0) if found else (0.0, 0.0)
        if math.isnan(start) or not moved:
            return 0.0, 0.0
        least = SMALLEST * max(abs(start), max(map(abs, moved)))
        rise, fall = max(moved), -min(moved)
        return (rise if rise > least else 0.0), (fall if fall > least else 0.0)

    @property
    def arrow(self) -> str:
        """↑ raised, ↓ lowered, ↑↓ or ↓↑ both (the order in which they come), – neither."""
        rise, fall = self._changes()
        if rise and fall:
            first = next(
                v for v in self.values[1:] if math.isfinite(v) and abs(v - self.values[0]) >= min(rise, fall) / 2
            )
            return "↑↓" if first > self.values[0] else "↓↑"
        return "↑" if rise else "↓" if fall else "–"

    @property
    def fools(self) -> bool:
        """Whether some strength makes the metric better, although the image is worse."""
        rise, fall = self._changes()
        return bool(rise if self.better == "higher" else fall)


def respond(metric: Metric, fused: np.ndarray, a: np.ndarray, b: np.ndarray) -> list[Response]:
    """The metric's values for every distortion of ``fused``, the sources ``a`` and ``b`` left alone: uint8 (H,W).

    A metric with a target has the fused image itself as its target. A metric of something else gives an empty list.

    Raises:
        DataError: images that the metric refuses.

    Example:
        >>> import numpy as np
        >>> from fusionbench import get_metric
        >>> from fusionbench.evaluation.responses import respond
        >>> a = (np.indices((16, 16)).sum(0) % 2 * 100).astype(np.uint8)  # a checkerboard
        >>> {one.distortion: one.arrow for one in respond(get_metric("mse"), a, a, a)}
        {'noise': '↑', 'blur': '↑', 'JPEG': '↑', 'shift': '↑', 'stretch': '↑'}
    """
    others = {"fused": (), "pair": (a, b), "target": (fused,)}.get(metric.needs)
    if others is None:
        return []
    found = []
    for name, distortion in DISTORTIONS.items():
        images = np.stack([distortion.apply(fused, strength) for strength in distortion.strengths])
        # one by one: a metric of another package may not take a batch as this one's do
        with np.errstate(all="ignore"):
            values = [float(metric.function(image[None], *(o[None] for o in others))[0]) for image in images]
        found.append(Response(name, tuple(values), metric.better))
    return found
