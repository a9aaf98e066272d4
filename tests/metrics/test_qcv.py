"""Q_CV against a plain NumPy FFT and SciPy composition, to 1e-10."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate2d

from fusionbench.metrics.qcv import qcv
from tests.metrics.scenes import floats, scene, stacks


def plainly(f: np.ndarray, a: np.ndarray, b: np.ndarray, slope: float) -> float:
    mask = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    height, width = f.shape
    u, v = np.fft.fftfreq(width) * width / 4, np.fft.fftfreq(height) * height / 4
    r = np.hypot(v[:, None], u[None])
    response = 2.6 * (0.0192 + slope * r) * np.exp(-((slope * r) ** 1.1))
    above = below = 0.0
    for source in (a, b):
        gradient = np.hypot(correlate2d(source, mask, "same"), correlate2d(source, mask.T, "same"))
        seen = np.fft.ifft2(np.fft.fft2(source - f) * response).real
        for top in range(0, height, 16):
            for left in range(0, width, 16):
                block = np.s_[top : top + 16, left : left + 16]
                weight = (gradient[block] ** 5).sum()
                above += weight * (seen[block] ** 2).sum() / 256
                below += weight
    return above / below


@pytest.mark.parametrize("shape", [(48, 64), (37, 51)])
def test_against_a_plain_composition(shape: tuple[int, int]) -> None:
    images = floats(*scene(3, shape))
    stacked = [image[None] for image in images]
    assert qcv(*stacked)[0] == pytest.approx(plainly(*images, 0.114), rel=1e-10)
    assert qcv(*stacked, slope=0.144)[0] == pytest.approx(plainly(*images, 0.144), rel=1e-10)
    stretched = [np.floor((x - x.min()) / (x.max() - x.min()) * 255 + 0.5) for x in (i * 0.5 + 20 for i in images)]
    assert qcv(*(s * 0.5 + 20 for s in stacked), stretch=True)[0] == pytest.approx(plainly(*stretched, 0.114))


def test_extremes() -> None:
    fused, a, _ = stacks(1)
    assert qcv(a, a, a)[0] == pytest.approx(0, abs=1e-20)
    black = np.zeros_like(a)
    assert np.isnan(qcv(fused, black, black)[0])
    assert qcv(fused, a, a)[0] > 0
