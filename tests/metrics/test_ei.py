"""EI against SciPy's Sobel filters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import sobel

from fusionbench.metrics import get_metric
from fusionbench.metrics.ei import ei
from tests.metrics.scenes import stacks


@pytest.mark.parametrize(("border", "mode"), [("replicate", "nearest"), ("zero", "constant")])
def test_against_scipy(border: str, mode: str) -> None:
    fused, *_ = stacks(2, (150, 40))
    for value, image in zip(ei(fused, border=border), fused.astype(float), strict=True):
        assert value == pytest.approx(np.hypot(*(sobel(image, axis, mode=mode) for axis in (0, 1))).mean(), rel=1e-12)


def test_the_range_is_the_strongest_gradient_there_is() -> None:
    window = np.zeros((3, 3), np.uint8)
    window[0, 2] = window[1, 2] = window[2, 2] = window[2, 1] = 255
    strongest = np.hypot(sobel(window.astype(float), 0)[1, 1], sobel(window.astype(float), 1)[1, 1])
    assert strongest == pytest.approx(get_metric("ei").range[1], abs=0.1)
    assert ei(np.full((1, 5, 5), 9, np.uint8))[0] == 0
