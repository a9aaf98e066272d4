"""Q_M against PyWavelets' Haar transform."""

from __future__ import annotations

import numpy as np
import pytest
import pywt

from fusionbench.metrics.qm import qm
from tests.metrics.scenes import floats, scene, stacks


def plainly(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    value = 1.0
    for exponent in (2 / 3, 1 / 3):
        f, a, b = (image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2] for image in (f, a, b))
        (f, of_f), (a, of_a), (b, of_b) = (pywt.dwt2(image, "haar") for image in (f, a, b))
        top = weights = 0.0
        for details in (of_a, of_b):
            energy = sum(x**2 for x in details)
            same = sum(np.exp(-np.abs(x - y)) for x, y in zip(details, of_f, strict=True)) / 3
            top, weights = top + (same * energy).sum(), weights + energy.sum()
        value *= (top / weights) ** exponent
    return float(value)


@pytest.mark.parametrize("shape", [(64, 48), (61, 74), (63, 65)])
def test_against_pywavelets(shape: tuple[int, int]) -> None:
    images = scene(1, shape)
    value = qm(*(image[None] for image in images))[0]
    assert value == pytest.approx(plainly(*floats(*images)), rel=1e-11)
    assert qm(*(image[None] for image in images), bands="sum")[0] == pytest.approx(3 * value, rel=1e-12)


def test_a_scale_without_details_is_left_out() -> None:
    fused, a, _ = stacks(1, (32, 32))
    fine = np.tile(np.array([[0, 90], [90, 0]], np.uint8), (16, 16))[None]  # means of 2×2 blocks are all equal
    coarse = np.kron(fine[0, :16, :16], np.ones((2, 2), np.uint8))[None]  # constant in 2×2 blocks
    assert qm(fine, fine, fine)[0] == 1 == qm(coarse, coarse, coarse)[0]
    assert 0 < qm(fused, fine, fine)[0] < 0.5 and 0 < qm(fused, coarse, coarse)[0] < 0.5
    blocks = np.kron(fine[0, :8, :8], np.ones((4, 4), np.uint8))[None]
    assert np.isnan(qm(fused, blocks, blocks)[0]) and np.isfinite(qm(fused, blocks, a)[0])
