"""Correlations of two numbers over cells (image × method), and what they are over resampled images.

An image is drawn with all of its methods, because opinions and metrics of one image go together. Rank correlations of
a resample follow from how often each image was drawn: nothing is sorted again.
Kendall, *Biometrika* 33 (1945) 239-251 (tau-b with ties).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

KINDS = ("srcc", "krcc", "plcc")  # Spearman, Kendall's tau-b, Pearson
_CELLS = 1 << 21  # numbers in a block


@dataclass(frozen=True)
class PairedCells:
    """Values ``x`` and ``y`` (N,) of cells, and the ``image`` of each: numbers below ``images``.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.rank_correlation import PairedCells
        >>> cells = PairedCells(np.array([1.0, 2, 3, 10]), np.array([1.0, 3, 2, 4]), np.array([0, 0, 1, 1]), 2)
        >>> {kind: round(float(value[0]), 3) for kind, value in cells.correlations(np.ones((1, 2))).items()}
        {'srcc': 0.8, 'krcc': 0.667, 'plcc': 0.822}
    """

    x: np.ndarray
    y: np.ndarray
    image: np.ndarray
    images: int

    def correlations(self, weights: np.ndarray, fitted: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """SRCC, KRCC and PLCC for each line of ``weights`` (B, images), how often each image counts: (B,) each.

        NaN where x or y is constant. ``fitted`` (N,) stands for x in the PLCC.
        """
        found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
        tables = self._concordance()
        step = max(1, _CELLS // max(1, len(self.x)))
        of_x, of_y = _Sorted(self.x), _Sorted(self.y)
        for start in range(0, len(weights), step):
            block = weights[start : start + step]
            cells = block[:, self.image]
            found["srcc"].append(_pearson(of_x.ranks(cells), of_y.ranks(cells), cells))
            x = self.x if fitted is None else fitted
            found["plcc"].append(_pearson(x[None], self.y[None], cells))
            same, x_differs, y_differs = (((block @ table) * block).sum(axis=1) for table in tables)
            scale = np.sqrt(x_differs * y_differs)
            found["krcc"].append(np.divide(same, scale, out=np.full(len(block), np.nan), where=scale > 0))
        return {kind: np.concatenate(parts) if parts else np.empty(0) for kind, parts in found.items()}

    def _concordance(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For two images: sums over their cells of concordance, of x differing, of y differing, (images, images)."""
        totals = [np.zeros((self.images, self.images)) for _ in range(3)]
        order = np.argsort(self.image, kind="stable")
        held, starts = np.unique(self.image[order], return_index=True)
        x, y, image = self.x[order], self.y[order], self.image[order]
        step = max(1, _CELLS // max(1, len(x)))
        for start in range(0, len(x), step):
            some = slice(start, start + step)
            dx, dy = (np.sign(v[some, None] - v[None]) for v in (x, y))
            for total, pairs in zip(totals, (dx * dy, np.abs(dx), np.abs(dy)), strict=True):
                by_image = np.add.reduceat(pairs, starts, axis=1)
                np.add.at(total, (image[some, None], held[None]), by_image)
        return totals[0], totals[1], totals[2]


class _Sorted:
    """Average ranks of values under weights, from one sort."""

    def __init__(self, values: np.ndarray) -> None:
        distinct, self.codes = np.unique(values, return_inverse=True)
        self.order = np.argsort(self.codes, kind="stable")
        self.starts = np.searchsorted(self.codes[self.order], np.arange(len(distinct)))

    def ranks(self, weights: np.ndarray) -> np.ndarray:
        """Mid-ranks (B, N): the weight below a value and half the weight at it."""
        at = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        middle: np.ndarray = np.cumsum(at, axis=1) - at / 2
        return middle[:, self.codes]


def _pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted correlations (B,), of (B, N) or (1, N) values; NaN where one is constant."""
    total = weights.sum(axis=1, keepdims=True)
    x, y = (v - (weights * v).sum(axis=1, keepdims=True) / total for v in (x, y))
    xx, yy, xy = ((weights * product).sum(axis=1) for product in (x * x, y * y, x * y))
    scale = np.sqrt(xx) * np.sqrt(yy)
    known = scale > 1e-12 * total[:, 0] * np.abs(x).max() * np.abs(y).max()
    result: np.ndarray = np.divide(xy, scale, out=np.full(len(xy), np.nan), where=known)
    clipped: np.ndarray = np.clip(result, -1, 1)
    return clipped


def of_lines(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """SRCC, KRCC and PLCC of every line of two (B, m) arrays, (B,) each; NaN where one is constant.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.rank_correlation import of_lines
        >>> found = of_lines(np.array([[1.0, 2, 3, 4]]), np.array([[1.0, 2, 4, 3]]))
        >>> {kind: round(float(value[0]), 3) for kind, value in found.items()}
        {'srcc': 0.8, 'krcc': 0.667, 'plcc': 0.8}
    """
    parts = [_few_lines(x[rows], y[rows]) for rows in _blocks(len(x), x.shape[1] ** 2)]
    return {kind: np.concatenate([part[kind] for part in parts] or [np.empty(0)]) for kind in KINDS}


def _few_lines(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    dx, dy = (np.sign(v[:, :, None] - v[:, None, :]) for v in (x, y))
    ones = np.ones(x.shape)
    scale = np.sqrt(np.abs(dx).sum(axis=(1, 2)) * np.abs(dy).sum(axis=(1, 2)))
    krcc = np.divide((dx * dy).sum(axis=(1, 2)), scale, out=np.full(len(x), np.nan), where=scale > 0)
    return {"srcc": _pearson(dx.sum(axis=2), dy.sum(axis=2), ones), "krcc": krcc, "plcc": _pearson(x, y, ones)}


def _blocks(lines: int, each: int) -> Iterator[slice]:
    step = max(1, _CELLS // max(1, each))
    return (slice(start, start + step) for start in range(0, lines, step))


def logistic_fit(x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """``x`` after the monotone logistic with four parameters that fits ``y`` best, (N,); None where none is found.

    The fit of the Video Quality Experts Group, 2000: a metric may be curved against opinions and still agree.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.rank_correlation import logistic_fit
        >>> x = np.linspace(-3, 3, 50)
        >>> bool(np.allclose(logistic_fit(x, 1 + 4 / (1 + np.exp(-2 * x))), 1 + 4 / (1 + np.exp(-2 * x)), atol=1e-4))
        True
    """
    import warnings

    from scipy.optimize import OptimizeWarning, curve_fit
    from scipy.special import expit

    if len(x) < 5 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    scaled = (x - x.mean()) / x.std()

    def curve(at: np.ndarray, low: float, span: float, centre: float, width: float) -> np.ndarray:
        result: np.ndarray = low + span * expit((at - centre) / (abs(width) + 1e-9))
        return result

    rising = np.corrcoef(scaled, y)[0, 1] >= 0
    start = (y.min(), np.ptp(y), 0.0, 1.0) if rising else (y.max(), -np.ptp(y), 0.0, 1.0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            best, _ = curve_fit(curve, scaled, y, p0=start, maxfev=5000)
    except RuntimeError:
        return None
    fitted = curve(scaled, *best)
    if not np.isfinite(fitted).all() or np.ptp(fitted) <= 1e-12 * np.ptp(y):
        return None
    # a fit that falls keeps the sign of the disagreement
    return fitted if best[1] > 0 else -fitted
