"""Guided filter fusion against plain windows and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fusionbench.models.classical.guided_filter import box_mean, guided, saliency
from tests.models.classical.test_pyramids import pair


def test_guided_filter_against_plain_windows() -> None:
    batch = pair(14, 17)
    guide, other = batch.views[0, :, 0].double().numpy()
    weight = (other > 0.4).astype(float)

    def mean(x: np.ndarray, radius: int) -> np.ndarray:
        result = np.empty_like(x)
        for i, j in np.ndindex(x.shape):
            result[i, j] = x[max(i - radius, 0) : i + radius + 1, max(j - radius, 0) : j + radius + 1].mean()
        return result

    tensors = [torch.from_numpy(x)[None, None] for x in (weight, guide)]
    assert box_mean(tensors[1], 3)[0, 0].numpy() == pytest.approx(mean(guide, 3), abs=1e-13)
    covariance = mean(guide * weight, 3) - mean(guide, 3) * mean(weight, 3)
    slope = covariance / (mean(guide**2, 3) - mean(guide, 3) ** 2 + 0.01)
    expected = mean(slope, 3) * guide + mean(mean(weight, 3) - slope * mean(guide, 3), 3)
    assert guided(*tensors, 3, 0.01)[0, 0].numpy() == pytest.approx(expected, abs=1e-12)


def test_saliency_against_scipy() -> None:
    from scipy.ndimage import laplace

    image = pair().views[0, 0, 0].double().numpy()
    expected = gaussian_filter(np.abs(laplace(image, mode="nearest")), 5, mode="mirror", radius=5)
    assert saliency(torch.from_numpy(image)[None, None])[0, 0].numpy() == pytest.approx(expected, abs=1e-13)
