"""MEF-MS-SSIM against MEF-SSIM of scales made with scikit-image, to 1e-10; three sources; odd sides."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import block_reduce

from fusionbench.metrics.mef_ms_ssim import mef_ms_ssim
from fusionbench.metrics.mef_ssim import mef_ssim
from tests.metrics.scenes import floats, stacks


def halved(x: np.ndarray) -> np.ndarray:
    """2×2 averages; a last row or column without a partner is its own."""
    even = np.pad(x, [(0, side % 2) for side in x.shape], mode="edge")
    return block_reduce(even, (2, 2), np.mean)


@pytest.mark.parametrize("shape", [(44, 48), (47, 53)])
def test_against_a_composition(shape: tuple[int, int]) -> None:
    stack = [*stacks(1, shape), stacks(2, shape)[1][1:]]
    images = [image[0] for image in floats(*stack)]
    expected, weights = 1.0, np.array([0.0448, 0.2856, 0.3001])
    for weight in weights / weights.sum():
        expected *= max(float(mef_ssim(*(image[None] for image in images))[0]), 0) ** weight
        images = [halved(image) for image in images]
    assert mef_ms_ssim(*stack)[0] == pytest.approx(expected, rel=1e-10)


def test_opposite_structure_gives_zero_not_a_complex_number() -> None:
    _, a, b = stacks(1, (48, 48))
    assert mef_ms_ssim(255 - a, a, b // 8 + 100)[0] == 0
    assert mef_ms_ssim(a, a, a)[0] == pytest.approx(1, abs=1e-4)
