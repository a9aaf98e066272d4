"""Log-Gabor filters of phase congruency, and the responses of an image to them."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from types import ModuleType
from typing import Literal

import numpy as np

from fusionbench.metrics._images import Array, Image

SCALES, ORIENTATIONS = 4, 6
MIN_WAVELENGTH, STEP = 3.0, 2.1  # wavelength of the finest filters in pixels, and its growth from scale to scale
BANDWIDTH, ANGULAR = 0.55, 1.2
CACHE_BYTES = 128 << 20
BLOCK_BYTES = 3 << 17  # of a spectrum's columns at a time: what they need fits the processor's cache
OTHERS = 2 * (SCALES - 1)  # responses at the scales but the finest
LowPass = Literal["centred", "off by one"]


def transform() -> ModuleType:
    """SciPy's Fourier transforms, loaded when the first image is scored: listing metrics needs none."""
    import scipy.fft

    module: ModuleType = scipy.fft
    return module


def half_spectrum(image: Image) -> Array:
    """The half spectrum of an image that :func:`responses` takes: (W//2+1,H), on a device (N,H,W//2+1)."""
    if image.xp is np:
        return np.ascontiguousarray(transform().rfft2(image.pixels).T)
    return image.xp.fft.rfft2(image.pixels)


def responses(image: Image, half: Array, filters: Filters, orientation: int) -> tuple[list[Array], list[Array]]:
    """The even and odd responses of tensors at every scale, each (N,H,W).

    Real parts of filters in frequency give even responses, and so on. Both are real, so two inverse transforms of half
    spectra do what one of a whole spectrum would, and their results lie apart in memory.
    """
    xp, shape = image.xp, image.shape
    found: tuple[list[Array], list[Array]] = ([], [])
    for one, angular, parity in zip((half, -1j * half), filters.angular(orientation), found, strict=True):
        turned = one * xp.from_numpy(angular.T.copy()).to(half.device)
        for radial in filters.radial:
            parity.append(xp.fft.irfft2(turned * xp.from_numpy(radial.T.copy()).to(half.device), s=shape))
    return found


class Responses:
    """The responses of one NumPy image to the filters of one orientation, a piece of ``step`` rows of all at a time.

    Inverse transforms of all columns leave eight planes of half rows; these are transformed when they are asked for, so
    that what is made of the responses finds them in the processor's cache. Those of the finest scale are asked for
    twice, and transformed at once in the memory of their half rows.

    Attributes:
        finest: (2,H,2·(W//2+1)), responses of the finest scale, even and odd, from the second number of each row on.
    """

    def __init__(self, shape: tuple[int, int], step: int) -> None:
        height, half = shape[0], shape[1] // 2 + 1
        self.step = step if step >= height else max(4, step // 4 * 4)  # as `qp_transposed` takes it
        self._shape = shape
        self._finest = np.empty((2, height, half), np.complex128)
        # of the other scales, first even, then odd; of a piece they lie together, so that one call transforms them
        self._others = np.zeros((-(-height // self.step), OTHERS, self.step, half), np.complex128)
        self._found = np.empty((OTHERS, self.step, shape[1]))
        self.finest = self._finest.view(np.float64)

    def load(self, half: np.ndarray, filters: Filters, orientation: int, loops: ModuleType | None) -> None:
        """Take the responses to the filters of another orientation."""
        height, angular = self._shape[0], filters.angular(orientation)
        step = max(1, BLOCK_BYTES // (16 * height))
        for left in range(0, len(half), step):
            here = half[left : left + step]
            products = np.empty((len(here), 2 * height))
            if loops is None:
                factors = zip((here, -1j * here), angular, strict=True)
                turned = [(one * factor[left : left + step]).view(np.float64) for one, factor in factors]
            for scale, radial in enumerate(filters.radial):
                if loops is None:
                    twice = filters.twice(scale, slice(left, left + step))
                for parity in range(2):
                    if loops is None:
                        np.multiply(turned[parity], twice, out=products)
                    else:
                        loops.qp_products(half.view(np.float64), angular[parity], radial, bool(parity), left, products)
                    self._place(_columns(products), parity, scale, left, loops)
        for plane, rows in zip(self._finest, self._rows_of_finest(slice(None)), strict=True):
            self._transform(plane, rows)

    def _place(self, columns: np.ndarray, parity: int, scale: int, left: int, loops: ModuleType | None) -> None:
        """Put columns (n,H) as columns of a plane, from ``left`` on."""
        if left == 0 and _by_opencv():  # which takes the real part of the first bin, and the others from there on
            columns[0].imag = columns[0].real
        number, (height, step) = parity * (SCALES - 1) + scale - 1, (self._shape[0], self.step)
        if loops is not None:
            plane = self._finest if scale == 0 else self._others
            places = (parity * height, height, 0) if scale == 0 else (number * step, step, OTHERS * step)
            loops.qp_transposed(columns, plane.reshape(-1, plane.shape[-1]), *places, left)
        elif scale == 0:
            self._finest[parity, :, left : left + len(columns)] = columns.T
        else:
            for piece, top in zip(self._others, range(0, height, step), strict=True):
                rows = columns.T[top : top + step]
                piece[number, : len(rows), left : left + len(columns)] = rows

    def of(self, number: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The even and the odd responses of a piece at the four scales, each (rows,W)."""
        top = number * self.step
        even, odd = self._rows_of_finest(slice(top, top + self.step))
        others = self.others(number)[:, : len(even)]
        return [even, *others[: SCALES - 1]], [odd, *others[SCALES - 1 :]]

    def others(self, number: int) -> np.ndarray:
        """The responses of a piece but those of the finest scale: (6,step,W), until those of another are asked for."""
        self._transform(
            self._others[number].reshape(OTHERS * self.step, -1), self._found.reshape(OTHERS * self.step, -1)
        )
        return self._found

    def _rows_of_finest(self, rows: slice) -> np.ndarray:
        found: np.ndarray = self.finest[:, rows, 1 : self._shape[1] + 1]
        return found

    def _transform(self, half_rows: np.ndarray, out: np.ndarray) -> None:
        if _by_opencv():
            import cv2

            packed = half_rows.view(np.float64)[:, 1 : self._shape[1] + 1]
            flags = cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_ROWS | cv2.DFT_REAL_OUTPUT
            cv2.dft(packed, dst=out, flags=flags)
        else:
            out[:] = transform().irfft(half_rows, n=self._shape[1], axis=1)


def _columns(products: np.ndarray) -> np.ndarray:
    """Inverse transforms of the columns of a spectrum, complex numbers in (n,2·H) real ones: (n,H)."""
    if not _by_opencv():
        found: np.ndarray = transform().ifft(products.view(np.complex128), axis=1)
        return found
    import cv2

    pairs = products.reshape(len(products), -1, 2)
    cv2.dft(pairs, dst=pairs, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_ROWS)
    return products.view(np.complex128)


def _by_opencv() -> bool:
    """Whether OpenCV has Intel's transforms, which take two thirds of the time of SciPy's."""
    import cv2

    return bool(cv2.ipp.useIPP())


class Filters:
    """Log-Gabor filters of one image size as factors: one a scale and, even and odd, one an orientation.

    Only the half of the spectrum that a real image needs. ``radial`` (4,W//2+1,H) has columns first.
    """

    def __init__(self, height: int, width: int, low_pass: LowPass) -> None:
        self.shape, self.low_pass = (height, width), low_pass
        half = width // 2 + 1
        self._columns, self._rows = np.arange(half), np.arange(height)
        x, y = _frequencies(width), _frequencies(height)
        radius = np.hypot(x[None, :half], y[:, None])
        radius[0, 0] = 1
        logarithm = np.log(radius)
        radials = []
        for scale in range(SCALES):
            centre = -math.log(MIN_WAVELENGTH * STEP**scale)
            radial = np.exp((logarithm - centre) ** 2 / (-2 * math.log(BANDWIDTH) ** 2))
            radial[0, 0] = 0
            radials.append(radial.T.copy())
        self.radial = np.stack(radials)
        self._twice: np.ndarray | None = None
        self._angular: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._gains: dict[int, float] = {}
        self.cached = False

    @property
    def nbytes(self) -> int:
        """Of all factors that are kept."""
        height, width = self.shape
        kept = height * (width // 2 + 1) * 8 * (SCALES + 2 * ORIENTATIONS)
        return kept + (0 if self._twice is None else self._twice.nbytes)

    def twice(self, scale: int, columns: slice) -> np.ndarray:
        """Columns of a radial factor with every value twice, beside the real and the imaginary part: (n,2·H)."""
        if self._twice is None:
            if not self.cached or self.nbytes + 2 * self.radial.nbytes > CACHE_BYTES:
                return np.repeat(self.radial[scale, columns], 2, axis=1)
            self._twice = np.repeat(self.radial, 2, axis=2)
        found: np.ndarray = self._twice[scale, columns]
        return found

    def angular(self, orientation: int) -> tuple[np.ndarray, np.ndarray]:
        """The even and the odd part under negation of the frequency, each (W//2+1,H)."""
        found = self._angular.get(orientation)
        if found is None:
            here = self._one_sided(orientation, self._rows, self._columns)
            height, width = self.shape
            there = self._one_sided(orientation, -self._rows % height, -self._columns % width)
            found = ((here + there) / 2).T.copy(), ((here - there) / 2).T.copy()
            if self.cached:
                self._angular[orientation] = found
        return found

    def _one_sided(self, orientation: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        height, width = self.shape
        x, y = _frequencies(width)[columns], _frequencies(height)[rows, None]
        shift = np.fft.ifftshift if self.low_pass == "centred" else np.fft.fftshift  # they differ at odd sizes
        low_x, low_y = (shift(np.arange(n) - n // 2) / n for n in (width, height))
        squares = (low_x[columns] ** 2 + low_y[rows, None] ** 2) / 0.45**2
        turn = np.arctan2(-y, x) - orientation * math.pi / ORIENTATIONS
        turn -= 2 * math.pi * np.round(turn / (2 * math.pi))
        result: np.ndarray = np.exp(turn * turn / (-2 * (math.pi / ORIENTATIONS / ANGULAR) ** 2)) / (1 + squares**15)
        return result

    def noise_gain(self, orientation: int) -> float:
        """What turns noise power into energy²/2, by Parseval from the filters' even parts."""
        if orientation not in self._gains:
            even, odd = self.angular(orientation)
            # all columns but those without a partner in the other half count twice
            weight = np.full(len(even), 2.0)
            weight[0] = 1
            if self.shape[1] % 2 == 0:
                weight[-1] = 1
            total = self.radial[0].copy()
            for radial in self.radial[1:]:
                total += radial
            total *= even
            finest = self.radial[0] ** 2 * (even * even + odd * odd)
            self._gains[orientation] = float((weight @ (total * total)).sum() / (weight @ finest).sum())
        return self._gains[orientation]


_cache: OrderedDict[tuple[int, int, LowPass], Filters] = OrderedDict()
_lock = threading.Lock()


def filters_of(height: int, width: int, low_pass: LowPass) -> Filters:
    """The filters of a size; those used last are kept, as many as CACHE_BYTES hold."""
    key = height, width, low_pass
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    filters = Filters(*key)
    if filters.nbytes <= CACHE_BYTES:
        filters.cached = True
        with _lock:
            _cache[key] = filters
            while sum(each.nbytes for each in _cache.values()) > CACHE_BYTES:
                _cache.popitem(last=False)
    return filters


def _frequencies(size: int) -> np.ndarray:
    """Cycles per pixel of the FFT's bins; of an odd size the range is -½..½, as the published filters have it."""
    return np.fft.ifftshift(np.arange(size) - size // 2) / (size - 1 if size % 2 else size)
