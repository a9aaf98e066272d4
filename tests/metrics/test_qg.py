"""Q_G against a plain loop over the pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusionbench.metrics.qg import qg
from tests.metrics.scenes import floats, scene, stacks

ROWS = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))


def edges(padded: np.ndarray, y: int, x: int) -> tuple[float, float]:
    patch = padded[y : y + 3, x : x + 3]
    sx = sum(ROWS[i][j] * patch[i, j] for i in range(3) for j in range(3))
    sy = sum(ROWS[j][i] * patch[i, j] for i in range(3) for j in range(3))
    return math.hypot(sx, sy) or 1e-5, math.atan(sy / (sx or 1e-5))


def plainly(images: list[np.ndarray], mode: str) -> float:
    padded = [np.pad(image, 1, mode=mode) for image in images]
    total = 0.0
    for y, x in np.ndindex(images[0].shape):
        (g_f, turn_f), *sources = (edges(image, y, x) for image in padded)
        top = 0.0
        for g, turn in sources:
            strength = min(g, g_f) / max(g, g_f)
            direction = abs(abs(turn - turn_f) - math.pi / 2) / (math.pi / 2)
            top += g / (1 + math.exp(-10 * (strength - 0.5))) / (1 + math.exp(-20 * (direction - 0.75)))
        total += top / sum(g for g, _ in sources)
    return total / images[0].size


@pytest.mark.parametrize(("border", "mode"), [("replicate", "edge"), ("zero", "constant")])
def test_against_a_plain_loop(border: str, mode: str) -> None:
    images = [image[-24:, -27:] for image in floats(*scene(6))]  # with the flat corner
    assert qg(*(image[None] for image in images), border=border)[0] == pytest.approx(plainly(images, mode), rel=1e-11)


def test_its_maximum_and_opposite_edges() -> None:
    _, a, _ = stacks(1)
    most = 1 / (1 + math.exp(-5)) ** 2
    flat = np.full_like(a, 9)
    assert qg(a, a, a)[0] == pytest.approx(most) and qg(flat, flat, flat)[0] == pytest.approx(most)
    assert qg(255 - a, a, a)[0] == pytest.approx(most), "folded: opposite edges count as kept"
