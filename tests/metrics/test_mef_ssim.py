"""MEF-SSIM against a plain loop over the windows, to 1e-9, for two sources and for three."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.metrics.mef_ssim import mef_ssim
from tests.metrics.scenes import floats, scene, stacks


def plainly(f: np.ndarray, *sources: np.ndarray) -> float:
    """Window by window, as the paper's formulas read: desired patch first, then its comparison with F."""
    f, *sources = floats(f, *sources)
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    values = []
    for row, column in np.ndindex(f.shape[0] - 10, f.shape[1] - 10):
        patch = np.s_[row : row + 11, column : column + 11]
        centred = [x[patch] - x[patch].mean() for x in sources]
        norms = [float(np.linalg.norm(c)) for c in centred]
        agreement = min((float(np.linalg.norm(sum(centred))) + 2.3e-16) / (sum(norms) + 2.3e-16), 1 - 2.3e-16)
        power = min(math.tan(math.pi / 2 * agreement), 10)
        strong = [((n + 0.001) / 11) ** power + 2.3e-16 for n in norms]
        desired = sum(s / sum(strong) * c / (n + 0.001) for s, c, n in zip(strong, centred, norms, strict=True))
        length = float(np.linalg.norm(desired))
        if length > 0:
            desired = desired / length * (max(norms) + 0.001)
        mean_r, mean_f = (window * desired).sum(), (window * f[patch]).sum()
        var_r = (window * (desired - mean_r) ** 2).sum()
        var_f = (window * (f[patch] - mean_f) ** 2).sum()
        both = (window * (desired - mean_r) * (f[patch] - mean_f)).sum()
        values.append((2 * both + 7.65**2) / (var_r + var_f + 7.65**2))
    return float(np.mean(values))


@pytest.mark.parametrize("count", [2, 3])
def test_against_a_plain_loop(count: int) -> None:
    f, a, b = scene(4, (28, 33))
    third = scene(5, (28, 33))[1]
    third[:, :14] = 90  # flat windows beside structured ones
    images = [f, a, b, third][: count + 1]
    found = mef_ssim(*(image[None] for image in images))[0]
    assert found == pytest.approx(plainly(*images), rel=1e-9)


def test_order_of_sources_and_a_source_without_structure() -> None:
    f, a, b = stacks(1, (30, 34))
    assert mef_ssim(f, a, b, a // 2)[0] == pytest.approx(mef_ssim(f, a // 2, b, a)[0], rel=1e-12)
    flat = np.full_like(a, 60)
    assert mef_ssim(f, a, flat)[0] == pytest.approx(mef_ssim(f, a, flat, flat)[0], rel=1e-9)
    assert mef_ssim(a, a, flat)[0] == pytest.approx(1, abs=1e-4)  # the 0.001 that is added to a contrast


def test_brightness_is_free_and_structure_is_not() -> None:
    _, a, b = stacks(1, (40, 40))
    fused = a // 2 + 20
    assert mef_ssim(fused + 60, a, b)[0] == pytest.approx(mef_ssim(fused, a, b)[0], rel=1e-9)
    assert mef_ssim(255 - fused, a, b)[0] < 0 < mef_ssim(fused, a, b)[0]


def test_further_sources_are_checked_like_the_first() -> None:
    f, a, b = stacks(1, (20, 20))
    with pytest.raises(DataError, match=r"fused has shape .* but source 3 \(1, 19, 20\)"):
        mef_ssim(f, a, b, b[:, :-1])
    with pytest.raises(UsageError, match="takes at least 3 stacks, got 2"):
        mef_ssim(f, a)
    broken = b.astype(float)
    broken[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="source 4 image 0: has NaN"):
        mef_ssim(f.astype(float), a.astype(float), b.astype(float), b.astype(float), broken)
