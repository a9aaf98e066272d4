"""Nabf against a pixel-by-pixel composition, to 1e-11."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from fusionbench.metrics import _images
from fusionbench.metrics.nabf import nabf
from tests.metrics.scenes import floats, scene, stacks

HORIZONTAL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8


def plainly(f: np.ndarray, a: np.ndarray, b: np.ndarray, floor: float) -> float:
    grown = [np.pad(x, 1, mode="reflect") for x in floats(f, a, b)]
    maps = [(correlate2d(x, HORIZONTAL, "valid"), correlate2d(x, HORIZONTAL.T, "valid")) for x in grown]
    strengths = [np.sqrt(sx**2 + sy**2) for sx, sy in maps]
    angles = [np.vectorize(lambda x, y: math.atan2(x, y) if y > 0 else math.atan(x / y) if y else
                           math.copysign(math.pi / 2, x) if x else 0.0)(sx, sy) for sx, sy in maps]  # fmt: skip
    lost = total = 0.0
    for place in np.ndindex(f.shape):
        strength_f, angle_f = strengths[0][place], angles[0][place]
        extra = strength_f > strengths[1][place] and strength_f > strengths[2][place]
        for source in (1, 2):
            strength = strengths[source][place]
            weight = strength**1.5 if strength >= 2 else floor
            total += weight
            if extra:
                ratio = strength / strength_f
                turn = abs(abs(angles[source][place] - angle_f) - math.pi / 2) * 2 / math.pi
                q = 0.9999 / (1 + math.exp(-19 * (ratio - 0.5))) * 0.9995 / (1 + math.exp(-22 * (turn - 0.5)))
                lost += (1 - math.sqrt(q)) * weight
    return lost / total


def added(values: Iterable[float]) -> float:
    """Rounded after every addition: the interpreter's ``sum`` compensates from Python 3.12 on."""
    return functools.reduce(operator.add, values)


def on_the_unit_scale(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """All weights equal; sums by sum(sum(window.*mask)): columns first, in the doubles of the interpreter."""

    def edges(image: np.ndarray) -> list[tuple[float, float]]:
        grown, found = np.pad(image / 255, 1, mode="reflect"), []
        for row, column in np.ndindex(image.shape):
            window = grown[row : row + 3, column : column + 3]
            gx, gy = (
                added(added(float(m * w) for m, w in zip(mask[:, c], window[:, c], strict=True)) for c in range(3))
                for mask in (HORIZONTAL, HORIZONTAL.T)
            )
            angle = math.atan(gx / gy) if gy else math.copysign(math.pi / 2, gx) if gx else 0.0
            found.append((math.sqrt(gx * gx + gy * gy), angle))
        return found

    of_f, of_a, of_b = (edges(image) for image in (f, a, b))
    lost = 0.0
    for (g_f, angle_f), *sources in zip(of_f, of_a, of_b, strict=True):
        if all(g_f > g for g, _ in sources):
            for g, angle in sources:
                turn = abs(abs(angle - angle_f) - math.pi / 2) * 2 / math.pi
                q = 0.9999 / (1 + math.exp(-19 * (g / g_f - 0.5))) * 0.9995 / (1 + math.exp(-22 * (turn - 0.5)))
                lost += 1 - math.sqrt(q)
    return lost / (2 * f.size)


def test_on_the_unit_scale_as_the_published_code_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    f, a, b = scene(1, (40, 47))
    f = np.maximum(a, b)  # equal gradients nearly everywhere: the last bits decide what is an artefact
    expected = on_the_unit_scale(f, a, b)
    assert nabf(f[None], a[None], b[None], unit=True)[0] == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(_images, "on_device", lambda stack: not isinstance(stack, np.ndarray))
    tensors = [torch.from_numpy(image)[None] for image in (f, a, b)]
    assert nabf(*tensors, unit=True)[0].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("floor", [0.001, 0.0])
def test_against_a_plain_composition(floor: float) -> None:
    images = scene(2, (30, 37))
    value = nabf(*(image[None] for image in images), floor=floor)[0]
    assert value == pytest.approx(plainly(*images, floor), rel=1e-11)


def test_extremes() -> None:
    fused, a, b = stacks(1)
    assert nabf(a, a, b)[0] == 0
    assert nabf(np.full_like(a, 9), a, b)[0] == 0
    noise = np.random.default_rng(0).integers(0, 256, a.shape, dtype=np.uint8)
    assert nabf(noise, a, b)[0] > nabf(fused, a, b)[0] > 0
    flat = np.full_like(a, 9)
    assert np.isnan(nabf(fused, flat, flat, floor=0.0)[0]) and np.isnan(nabf(fused, flat, flat, edges="qabf")[0])
