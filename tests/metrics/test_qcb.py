"""Q_CB against a plain NumPy FFT and SciPy composition, to 1e-8."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import convolve2d

from fusionbench.metrics.qcb import qcb
from tests.metrics.scenes import floats, scene, stacks


def plainly(f: np.ndarray, a: np.ndarray, b: np.ndarray, dark: float = 0.0) -> float:
    height, width = f.shape
    u, v = np.fft.fftfreq(width) * width / 15, np.fft.fftfreq(height) * height / 15
    r = np.hypot(v[:, None], u[None])
    response = np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))
    taps = np.arange(-15, 16)

    def window(sigma: float) -> np.ndarray:
        return np.exp(-(taps[:, None] ** 2 + taps**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)

    def contrast(x: np.ndarray) -> np.ndarray:
        seen = np.fft.ifft2(np.fft.fft2(x) * response).real
        fine, coarse = (convolve2d(seen, window(sigma), "same") for sigma in (2, 4))
        raw = np.where(np.abs(coarse) > dark * x.max(), np.abs(fine / coarse - 1), 0)
        return raw**3 / (raw**2 + 1e-4)

    cf, ca, cb = (contrast(x) for x in (f, a, b))
    share = np.where(ca + cb > 0, ca**2 / np.where(ca + cb > 0, ca**2 + cb**2, 1), 0.5)
    kept_a, kept_b = (
        np.where(np.maximum(c, cf) > 0, np.minimum(c, cf) / np.maximum(np.maximum(c, cf), 1e-300), 1) for c in (ca, cb)
    )
    return float((share * kept_a + (1 - share) * kept_b).mean())


@pytest.mark.parametrize("shape", [(48, 64), (37, 51)])
def test_against_a_plain_composition(shape: tuple[int, int]) -> None:
    images = floats(*scene(3, shape))
    stacked = [image[None] for image in images]
    assert qcb(*stacked)[0] == pytest.approx(plainly(*images), rel=1e-8)
    stretched = [np.floor((x - x.min()) / (x.max() - x.min()) * 255 + 0.5) for x in (i * 0.5 + 20 for i in images)]
    assert qcb(*(s * 0.5 + 20 for s in stacked), stretch=True)[0] == pytest.approx(plainly(*stretched), rel=1e-8)


def test_a_black_background_has_no_contrast() -> None:
    """A slice as of PET: a small disc on black. Only without the floor does the value depend on rounding."""
    y, x = np.mgrid[:128, :128]
    disc = np.hypot(y - 64, x - 60) < 13
    a = np.where(disc, 120 + 80 * np.sin(x / 3), 0).round()
    b = np.where(disc, 90 + 60 * np.cos((x + y) / 4), 0).round()
    f = np.maximum(a, b)
    stacks = [image[None] for image in (f, a, b)]
    expected = plainly(f, a, b, dark=1e-9)
    assert qcb(*stacks)[0] == pytest.approx(expected, rel=1e-9)
    as_published = qcb(*stacks, dark=0.0)[0]
    theirs = plainly(f, a, b)
    assert as_published == pytest.approx(theirs, abs=0.03) and as_published != pytest.approx(theirs, abs=1e-6)
    assert max(as_published, theirs) < expected - 0.03


def test_equal_images_keep_everything() -> None:
    fused, *_ = stacks(1)
    for image in (fused, np.full_like(fused, 90), np.zeros_like(fused)):
        assert qcb(image, image, image)[0] == pytest.approx(1, abs=1e-6)
