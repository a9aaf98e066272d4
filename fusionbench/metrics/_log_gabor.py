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
BLOCK = 32  # columns of a spectrum: with 480 rows they take 0.25 MB
LowPass = Literal["centred", "off by one"]


def transform() -> ModuleType:
    """SciPy's Fourier transforms, loaded when the first image is scored: listing metrics needs none."""
    import scipy.fft

    module: ModuleType = scipy.fft
    return module


def spectra(image: Image) -> tuple[Array, Array]:
    """The half spectrum of an image and -i times it, for :func:`responses`: (W//2+1,H), on a device (N,H,W//2+1)."""
    if image.xp is np:
        spectrum = np.ascontiguousarray(transform().rfft2(image.pixels).T)
    else:
        spectrum = image.xp.fft.rfft2(image.pixels)
    return spectrum, -1j * spectrum


def responses(image: Image, halves: tuple[Array, Array], filters: Filters, orientation: int) -> tuple[Array, Array]:
    """The even and odd responses at every scale: real parts of filters in frequency give even ones, and so on.

    Both are real, so two inverse transforms of half spectra do what one of a whole spectrum would, and their results
    lie apart in memory. Arrays (4,H,W) of NumPy, or lists of tensors.
    """
    xp, shape = image.xp, image.shape
    found: tuple[Array, Array] = ([], [])
    if xp is np:
        found = np.empty((SCALES, *shape)), np.empty((SCALES, *shape))
        rows = np.empty((shape[0], shape[1] // 2 + 1), np.complex128)
    for half, angular, parity in zip(halves, filters.angular(orientation), found, strict=True):
        if xp is np:
            turned = half * angular.T
            for radial, response in zip(filters.radial, parity, strict=True):
                _inverse(turned, radial, rows, response)
        else:
            turned = half * xp.from_numpy(angular).to(half.device)
            parity += [
                xp.fft.irfft2(
                    turned * xp.from_numpy(np.ascontiguousarray(radial[:, ::2].T)).to(half.device), s=shape
                )
                for radial in filters.radial
            ]
    return found


def _inverse(turned: np.ndarray, radial: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """The inverse transform of a half spectrum (columns first) times a filter, into ``out`` (H,W).

    Column by column in blocks that fit the processor's cache, then row by row from ``rows`` (H,W//2+1).
    """
    height, width = out.shape
    for left in range(0, len(turned), BLOCK):
        block = slice(left, left + BLOCK)
        product = np.multiply(turned[block].view(np.float64), radial[block])
        if _by_opencv():
            import cv2

            pairs = product.reshape(-1, height, 2)
            cv2.dft(pairs, dst=pairs, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_ROWS)
            columns = product.view(np.complex128)
        else:
            columns = transform().ifft(product.view(np.complex128), axis=1, overwrite_x=True)
        rows[:, block] = columns.T
    if _by_opencv():
        # what OpenCV takes: the real part of the first bin, and the others from there on
        packed = rows.view(np.float64)
        packed[:, 1] = packed[:, 0]
        flags = cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_ROWS | cv2.DFT_REAL_OUTPUT
        cv2.dft(packed[:, 1 : width + 1], dst=out, flags=flags)
    else:
        out[:] = transform().irfft(rows, n=width, axis=1, overwrite_x=True)


def _by_opencv() -> bool:
    """Whether OpenCV has Intel's transforms, which take two thirds of the time of SciPy's."""
    import cv2

    return bool(cv2.ipp.useIPP())


class Filters:
    """Log-Gabor filters of one image size as factors: one a scale and, even and odd, one an orientation.

    Only the half of the spectrum that a real image needs. ``radial`` (W//2+1,2·H) has columns first, and every value
    twice, beside the real and the imaginary part of a spectrum.
    """

    def __init__(self, height: int, width: int, low_pass: LowPass) -> None:
        self.shape, self.low_pass = (height, width), low_pass
        half = width // 2 + 1
        self._columns, self._rows = np.arange(half), np.arange(height)
        x, y = _frequencies(width), _frequencies(height)
        radius = np.hypot(x[None, :half], y[:, None])
        radius[0, 0] = 1
        logarithm = np.log(radius)
        self.radial = []
        for scale in range(SCALES):
            centre = -math.log(MIN_WAVELENGTH * STEP**scale)
            radial = np.exp((logarithm - centre) ** 2 / (-2 * math.log(BANDWIDTH) ** 2))
            radial[0, 0] = 0
            self.radial.append(np.repeat(radial.T, 2, axis=1))
        self._angular: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._gains: dict[int, float] = {}
        self.cached = False

    @property
    def nbytes(self) -> int:
        """Of all factors."""
        height, width = self.shape
        return height * (width // 2 + 1) * 8 * (2 * SCALES + 2 * ORIENTATIONS)

    def angular(self, orientation: int) -> tuple[np.ndarray, np.ndarray]:
        """The even and the odd part under negation of the frequency, each (H, W//2+1)."""
        found = self._angular.get(orientation)
        if found is None:
            here = self._one_sided(orientation, self._rows, self._columns)
            height, width = self.shape
            there = self._one_sided(orientation, -self._rows % height, -self._columns % width)
            found = (here + there) / 2, (here - there) / 2
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
            weight = np.full(even.shape[1], 2.0)
            weight[0] = 1
            if self.shape[1] % 2 == 0:
                weight[-1] = 1
            total = self.radial[0][:, ::2].T.copy()
            for radial in self.radial[1:]:
                total += radial[:, ::2].T
            total *= even
            finest = self.radial[0][:, ::2].T ** 2 * (even * even + odd * odd)
            self._gains[orientation] = float(((total * total) @ weight).sum() / (finest @ weight).sum())
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
