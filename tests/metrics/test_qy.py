"""Q_Y against a plain SciPy composition on images without flat windows, to 1e-8."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fusionbench.metrics.qy import qy
from tests.metrics.scenes import stacks


def noisy(count: int = 2) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(4)
    return tuple(np.clip(stack + rng.normal(0, 9, stack.shape), 0, 255) for stack in stacks(count))


def plainly(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    def smooth(z: np.ndarray) -> np.ndarray:
        return gaussian_filter(z, 1.5, radius=3)[3:-3, 3:-3]

    def similarity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        mx, my = smooth(x), smooth(y)
        sx, sy, sxy = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
        return 4 * mx * my * sxy / ((mx**2 + my**2) * (sx + sy))

    va, vb = (smooth(x * x) - smooth(x) ** 2 for x in (a, b))
    share = va / (va + vb)
    to_a, to_b = similarity(a, f), similarity(b, f)
    alike = similarity(a, b) >= 0.75
    return float(np.where(alike, share * to_a + (1 - share) * to_b, np.maximum(to_a, to_b)).mean())


def test_against_a_plain_composition() -> None:
    triples = noisy()
    for value, *images in zip(qy(*triples), *triples, strict=True):
        assert value == pytest.approx(plainly(*images), rel=1e-8)


def test_flat_windows_have_a_value() -> None:
    fused, a, b = stacks(1)
    flat = np.full_like(fused, 50)
    assert qy(flat, flat, flat)[0] == pytest.approx(1, abs=1e-12)
    assert qy(a, a, a)[0] == pytest.approx(1, abs=1e-9)
    assert abs(qy(flat, a, b)[0]) < 0.1
    assert np.isfinite(qy(fused, flat, b)[0])


def test_windows_that_are_flat_in_both_sources_can_be_left_out() -> None:
    fused, a, b = (stack.astype(float) for stack in noisy(1))
    for source in (a, b):
        source[0, :, 40:] = 0
    # every window that reaches into the first forty columns counts: 34 whole ones and six that are flat in part
    inside = qy(fused[:, :, :46], a[:, :, :46], b[:, :, :46])[0]
    assert qy(fused, a, b, flat="left out")[0] == pytest.approx(inside, rel=1e-9)
    assert qy(fused, a, b)[0] != pytest.approx(inside, rel=1e-3)
    assert np.isnan(qy(fused, a * 0, b * 0, flat="left out")[0])
