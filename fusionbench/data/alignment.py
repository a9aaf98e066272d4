"""Whether the two views of pairs lie on each other: the displacement that a sample of pairs has in common.

Infrared and visible images of one place have edges in common, though not their contrast: what is bright in one may be
dark in the other. So the gradient of each view is squared as a complex number, which doubles its angle and makes both
signs of an edge the same, divided by about its length, and correlated by Fourier transforms; the correlations of all
pairs of the sample are added before their peak is looked for, because a single pair of two sensors may have no peak of
its own. Fitch, Kadyrov, Christmas and Kittler, *Orientation correlation*, BMVC 2002, is the correlation; squaring is
for views whose contrast is reversed.

A displacement is told where its 95 % interval, from a jackknife over the pairs, lies above half a pixel. What is told
is that of all pairs together: single pairs that are displaced each in its own way, and turned or scaled views, are not
found.

Example:
    >>> import numpy as np
    >>> from fusionbench.data.alignment import measure_alignment
    >>> from fusionbench.sources import SOURCES
    >>> pairs = SOURCES.get("pairs-demo")(None).read_pairs("all", np.arange(3))
    >>> measure_alignment(pairs).told
    False
    >>> moved = [np.stack([pair[0, :-12, :-7], pair[1, 12:, 7:]]) for pair in pairs]
    >>> print(measure_alignment(moved).text)
    the first source lies about 12 pixels below and 7 pixels right of the second one (3 pairs): are they registered?
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLE = 32  # pairs, spread evenly over a set
LIMIT = 0.5  # pixels: what is above is told
_REACH = 32  # pixels: larger displacements are not looked for
_SIDE = 512  # images are reduced by whole factors to about this many pixels
_APART = 4  # cells of the correlation around its peak that belong to it
_PROMINENT, _FEW, _PROMINENT_FEW = 1.6, 3, 3.5  # by how much a peak has to stand out; of fewer pairs than three by more
_HIGH = 6.0  # deviations: views that have nothing in common reach 4.4, real ones of eight pairs 8.5 and more
_LEAST_ERROR = 0.1  # pixels: views that are moved by known amounts are found to about this
_NUMBERS = ("rows", "columns", "error", "prominence", "height")
_SMALLEST = 32  # pixels of the shorter side of images that are looked at


@dataclass(frozen=True)
class Alignment:
    """What a sample of pairs says about its views.

    Attributes:
        rows, columns: by how many pixels the first view lies below and right of the second one.
        error: standard error of the displacement in pixels, by a jackknife over the pairs; 0 of one pair.
        prominence: the peak of the correlation over its highest value elsewhere.
        height: the peak in standard deviations of the correlation of views that have nothing in common.
        pairs: how many pairs were looked at.
    """

    rows: float
    columns: float
    error: float
    prominence: float
    height: float
    pairs: int

    @property
    def distance(self) -> float:
        """Length of the displacement in pixels."""
        return math.hypot(self.rows, self.columns)

    @property
    def told(self) -> bool:
        """Whether it is above half a pixel beyond doubt."""
        if self.height < _HIGH or self.prominence < (_PROMINENT if self.pairs >= _FEW else _PROMINENT_FEW):
            return False
        if self.pairs == 1:
            return self.distance > LIMIT
        from scipy.special import stdtrit

        return self.distance - float(stdtrit(self.pairs - 1, 0.975)) * max(self.error, _LEAST_ERROR) > LIMIT

    @property
    def text(self) -> str:
        """One line for whoever gave the pairs."""
        ways = [(self.rows, "below", "above"), (self.columns, "right of", "left of")]
        parts = [
            f"{_pixels(abs(value))} {more if value > 0 else less}" for value, more, less in ways if abs(value) >= 0.25
        ]
        count = "1 pair" if self.pairs == 1 else f"{self.pairs} pairs"
        return (
            f"the first source lies about {' and '.join(parts) or _pixels(self.distance) + ' beside'} the second one "
            f"({count}): are they registered?"
        )

    def to_json(self) -> dict[str, Any]:
        """As results keep it in their provenance."""
        numbers = {name: round(float(getattr(self, name)), 3) for name in _NUMBERS}
        return numbers | {"pairs": self.pairs, "told": self.told}

    @classmethod
    def of_json(cls, value: Any) -> Alignment | None:
        """What a result's provenance says; None where it says nothing that can be read."""
        if not isinstance(value, dict) or type(value.get("pairs")) is not int or value["pairs"] < 1:
            return None
        numbers = [value.get(name) for name in _NUMBERS]
        if not all(isinstance(one, int | float) and math.isfinite(one) and abs(one) < 1e6 for one in numbers):
            return None
        rows, columns, error, prominence, height = (float(value[name]) for name in _NUMBERS)
        return cls(rows, columns, error, prominence, height, value["pairs"])


def _pixels(value: float) -> str:
    text = f"{value:.0f}" if value >= 5 or abs(value - round(value)) < 0.05 else f"{value:.1f}"
    return f"{text} pixel" + ("" if text == "1" else "s")


def sample_of(count: int, most: int = SAMPLE) -> list[int]:
    """Indices of at most ``most`` of ``count`` pairs, spread evenly.

    Example:
        >>> from fusionbench.data.alignment import sample_of
        >>> sample_of(3), sample_of(100, 4)
        ([0, 1, 2], [0, 33, 66, 99])
    """
    if count <= most:
        return list(range(count))
    return [place * (count - 1) // max(1, most - 1) for place in range(most)]


class AlignmentCheck:
    """Collects pairs one by one, from any thread, of which nothing but a small correlation is kept."""

    def __init__(self) -> None:
        self._found: list[tuple[int, np.ndarray]] = []  # factor of reduction, correlation

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Look at one pair: two grey images (h, w) of one size. Those that are too small, or flat, say nothing."""
        if a.shape != b.shape or a.ndim != 2 or min(a.shape) < _SMALLEST:
            return
        factor = max(1, round(max(a.shape) / _SIDE)) if max(a.shape) < 2 * _SIDE else -(-max(a.shape) // _SIDE)
        factor = 2 if factor == 1 and max(a.shape) >= _SIDE // 2 else factor
        factor = min(factor, max(1, min(a.shape) // _SMALLEST))
        found = _correlation(
            _edges(a, factor), _edges(b, factor), max(2, min(_REACH // factor, min(a.shape) // factor // 4))
        )
        if found is not None:
            self._found.append((factor, found))

    @property
    def lines(self) -> list[str]:
        """A line for whoever gave the pairs where their views are displaced, else none."""
        found = self.result()
        return [found.text] if found is not None and found.told else []

    def result(self) -> Alignment | None:
        """What the pairs have in common; None where none of them could be looked at."""
        if not self._found:
            return None
        factors = [factor for factor, _ in self._found]
        usual = max(set(factors), key=lambda one: (factors.count(one), -one))
        alike = [surface for factor, surface in self._found if factor == usual]
        reach = min(len(surface) // 2 for surface in alike)  # small images are not looked at as far
        around = [len(surface) // 2 - reach for surface in alike]
        surfaces = np.stack([s[cut : len(s) - cut, cut : len(s) - cut] for s, cut in zip(alike, around, strict=True)])
        total = surfaces.sum(axis=0)
        rows, columns, prominence = _peak(total)
        count = len(surfaces)
        error = 0.0
        if count > 1:
            left = np.array([_peak(total - one)[:2] for one in surfaces])
            error = float(np.sqrt((count - 1) / count * ((left - left.mean(axis=0)) ** 2).sum()))
        height = float(total.max()) / math.sqrt(count)
        return Alignment(rows * usual, columns * usual, error * usual, prominence, height, count)


def measure_alignment(pairs: Iterable[Sequence[np.ndarray] | np.ndarray]) -> Alignment | None:
    """What pairs of grey images, (2, h, w) on 0..255 each, have in common; None where none could be looked at.

    About 6 ms a pair of 640×480 pixels; see :func:`sample_of` for how many it takes.
    """
    check = AlignmentCheck()
    for pair in pairs:
        check.add(pair[0], pair[1])
    return check.result()


def _edges(image: np.ndarray, factor: int) -> np.ndarray:
    """The squared gradient as a complex number of length 0 to about that of the gradient: complex64 (h, w)."""
    import cv2

    grey: np.ndarray = image.astype(np.float32)
    if factor > 1:
        height, width = (side // factor for side in grey.shape)
        grey = cv2.resize(grey[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(grey, (0, 0), 1.0)
    gradient = cv2.Sobel(grey, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    length = np.abs(gradient)
    result: np.ndarray = (gradient**2 / (length + np.median(length) + 1e-3)).astype(np.complex64)
    return result


def _correlation(a: np.ndarray, b: np.ndarray, reach: int) -> np.ndarray | None:
    """Standardised correlation at all displacements of a against b by up to ``reach`` cells: (2·reach+1,)²."""
    from scipy import fft

    height, width = a.shape
    window = np.sqrt(np.outer(np.hanning(height), np.hanning(width))).astype(np.float32)
    shape = (fft.next_fast_len(height + reach), fft.next_fast_len(width + reach))  # so that nothing wraps around
    product = fft.fft2(a * window, shape) * np.conj(fft.fft2(b * window, shape))
    found = np.roll(fft.ifft2(product).real, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    spread = float(found.std())
    if not np.isfinite(spread) or spread <= 1e-9 * max(1.0, float(np.abs(found).max())):
        return None
    result: np.ndarray = (found - found.mean()) / spread
    return result


def _peak(surface: np.ndarray) -> tuple[float, float, float]:
    """Rows and columns of the highest value, by a parabola between cells, and how much it stands out."""
    reach = len(surface) // 2
    place = np.unravel_index(int(surface.argmax()), surface.shape)
    row, column = int(place[0]), int(place[1])
    y, x = np.ogrid[: len(surface), : len(surface)]
    elsewhere = surface[(y - row) ** 2 + (x - column) ** 2 > _APART**2]
    highest = float(elsewhere.max()) if elsewhere.size else 0.0
    prominence = float(surface[row, column]) / highest if highest > 0 else math.inf
    return (
        row - reach + _vertex(surface[:, column], row),
        column - reach + _vertex(surface[row, :], column),
        min(prominence, 1e3),
    )


def _vertex(line: np.ndarray, place: int) -> float:
    if not 0 < place < len(line) - 1:
        return 0.0
    before, at, after = (float(value) for value in line[place - 1 : place + 2])
    bend = before - 2 * at + after
    return 0.0 if bend == 0 else 0.5 * (before - after) / bend
