"""L^{AB/F} against a direct composition with SciPy, and the sum of the three parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import correlate

from fusionbench.metrics.labf import labf
from fusionbench.metrics.nabf import nabf
from tests.metrics.scenes import floats, scene, stacks

MASK = np.outer([1, 2, 1], [-1, 0, 1]) / 8.0


def edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sx, sy = (correlate(image, mask, mode="mirror") for mask in (MASK, MASK.T))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.hypot(sx, sy), np.where((sx == 0) & (sy == 0), 0, np.arctan(sx / sy))


def parts(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(kept, lost) as shares of the edge weight."""
    (g_f, turn_f), *sources = (edges(image) for image in (f, a, b))
    kept = lost = weights = 0.0
    for g, turn in sources:
        larger = np.maximum(g, g_f)
        strength = np.where(larger > 0, np.minimum(g, g_f) / np.where(larger > 0, larger, 1), 0)
        direction = np.abs(np.abs(turn - turn_f) - math.pi / 2) / (math.pi / 2)
        q = np.sqrt(0.9999 / (1 + np.exp(-19 * (strength - 0.5))) * 0.9995 / (1 + np.exp(-22 * (direction - 0.5))))
        w = np.where(g >= 2, g**1.5, 0.001)
        stronger = (g_f > sources[0][0]) & (g_f > sources[1][0])
        kept, lost, weights = kept + (q * w).sum(), lost + ((1 - q) * w)[~stronger].sum(), weights + w.sum()
    return float(kept / weights), float(lost / weights)


def test_against_scipy() -> None:
    for seed in (0, 7):
        images = scene(seed)
        kept, lost = parts(*floats(*images))
        stacked = [image[None] for image in images]
        assert labf(*stacked)[0] == pytest.approx(lost, rel=1e-8)
        assert kept + labf(*stacked)[0] + nabf(*stacked)[0] == pytest.approx(1, abs=1e-9), "kept, lost and made up"


def test_a_flat_image_loses_every_edge() -> None:
    fused, a, b = stacks(1)
    flat = np.full_like(a, 100)
    assert labf(flat, a, b)[0] > 0.98 and nabf(flat, a, b)[0] == 0
    assert 0 < labf(a, a, a)[0] < 1e-3
    assert labf(fused, a, b, floor=0.0)[0] != labf(fused, a, b)[0] != labf(fused, a, b, unit=True)[0]
