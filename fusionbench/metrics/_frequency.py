"""Filters in the frequency domain and stretched images, for the metrics that model the human visual system."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from fusionbench.metrics._images import AXES, Array, Image, namespace, whole_levels


def stretched(image: Image, stretch: bool) -> Image:
    """With ``stretch`` the grey values stretched to 0..255 and rounded half up (a flat image is unchanged)."""
    if not stretch:
        return image

    def compute() -> Image:
        xp, x = image.xp, image.pixels
        low, high = xp.amin(x, AXES)[..., None, None], xp.amax(x, AXES)[..., None, None]
        span = xp.where(high > low, high - low, 1.0)
        return image.with_pixels(xp.where(high > low, whole_levels(image, (x - low) / span * 255 + 0.5, down=True), x))

    return image.cached("stretched", compute)


@functools.lru_cache(maxsize=32)
def cycles(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Cycles per image along (columns, rows) of an FFT's bins: (1,W) and (H,1), in the FFT's own order."""
    return _fft_cycles(width)[None, :], _fft_cycles(height)[:, None]


def _fft_cycles(size: int) -> np.ndarray:
    """Integer frequency of each FFT bin; the Nyquist bin of an even size is negative."""
    return np.fft.ifftshift(np.arange(size) - size // 2).astype(np.float64)


def filtered(x: Array, response: np.ndarray) -> Array:
    """Real part of ``x`` filtered by a frequency response (H,W); the image is continued periodically."""
    if isinstance(x, np.ndarray):
        import scipy.fft

        # an even real response keeps a real image real, so half of the spectrum is enough
        half = response[:, : x.shape[1] // 2 + 1]
        return scipy.fft.irfft2(scipy.fft.rfft2(x) * half, s=x.shape)
    xp: Any = namespace(x)
    return xp.fft.ifft2(xp.fft.fft2(x) * xp.from_numpy(response).to(x.device)).real
