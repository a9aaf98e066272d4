"""Qabf against a plain SciPy composition, to 1e-11; gradients against scikit-image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d
from skimage.filters import sobel_h, sobel_v

from fusionbench.metrics import _images
from fusionbench.metrics._images import Image
from fusionbench.metrics.nabf import nabf
from fusionbench.metrics.qabf import MAX, edge_gradients, padded, qabf
from tests.metrics.scenes import floats, scene, stacks

HORIZONTAL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
VERTICAL = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]])


def plainly(f: np.ndarray, a: np.ndarray, b: np.ndarray, border: str, ties: str) -> float:
    """Pixel by pixel, as the paper's formulas read."""
    grown = [np.pad(x, 1, mode="edge") if border == "replicate" else np.pad(x, 1) for x in floats(f, a, b)]
    maps = [(convolve2d(x, HORIZONTAL, "valid"), convolve2d(x, VERTICAL, "valid")) for x in grown]
    above = below = 0.0
    for row in range(f.shape[0]):
        for column in range(f.shape[1]):
            (fx, fy), *sources = ((sx[row, column], sy[row, column]) for sx, sy in maps)
            strength_f = math.hypot(fx, fy)
            angle_f = math.atan(fy / fx) if fx else math.pi / 2
            for sx, sy in sources:
                strength = math.sqrt(sx * sx + sy * sy)
                strength_f = math.sqrt(fx * fx + fy * fy)
                angle = math.atan(sy / sx) if sx else math.pi / 2
                if strength == strength_f:
                    ratio = strength_f if ties == "fused" else 1.0
                else:
                    ratio = min(strength, strength_f) / max(strength, strength_f)
                turn = 1 - abs(angle - angle_f) / (math.pi / 2)
                of_strength = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5)))
                of_angle = 0.9879 / (1 + math.exp(-22 * (turn - 0.8)))
                above += of_strength * of_angle * strength
                below += strength
    return above / below


@pytest.mark.parametrize(("border", "ties"), [("replicate", "one"), ("zero", "fused"), ("zero", "one")])
def test_against_a_plain_composition(border: str, ties: str) -> None:
    f, a, b = scene(1, (33, 40))
    f[:10] = a[:10]  # equal gradients
    value = qabf(f[None], a[None], b[None], border=border, ties=ties)[0]  # type: ignore[arg-type]
    assert value == pytest.approx(plainly(f, a, b, border, ties), rel=1e-11)


def in_matlab(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """On the 0..1 scale, with every sum of conv2 added in MATLAB's order, in the doubles of the interpreter."""

    def edges(image: np.ndarray) -> list[tuple[float, float]]:
        grown, found = np.pad(image / 255, 1), []
        for row in range(image.shape[0]):
            for column in range(image.shape[1]):
                sums = [0.0, 0.0]
                for c in (2, 1, 0):
                    for r in (2, 1, 0):
                        for place, mask in enumerate((-HORIZONTAL, -VERTICAL)):  # turned by 180°
                            sums[place] += float(mask[r, c]) * float(grown[row + r, column + c])
                sx, sy = sums
                found.append((math.sqrt(sx * sx + sy * sy), math.atan(sy / sx) if sx else math.pi / 2))
        return found

    of_f, above, below = edges(f), 0.0, 0.0
    for source in (a, b):
        for (g, alpha), (g_f, alpha_f) in zip(edges(source), of_f, strict=True):
            ratio = g_f if g == g_f else min(g, g_f) / max(g, g_f)
            turn = 1 - abs(alpha - alpha_f) / (math.pi / 2)
            above += g * 0.9994 / (1 + math.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + math.exp(-22 * (turn - 0.8)))
            below += g
    return above / below


def test_on_the_unit_scale_as_matlab_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    f, a, b = scene(1, (40, 47))
    f = np.maximum(a, b)  # equal gradients nearly everywhere
    parameters: dict[str, Any] = {"border": "zero", "ties": "fused", "unit": True}
    expected = in_matlab(f, a, b)
    assert qabf(f[None], a[None], b[None], **parameters)[0] == pytest.approx(expected, rel=1e-13)
    assert qabf(f[None], a[None], b[None], order="octave", **parameters)[0] != pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(_images, "on_device", lambda stack: not isinstance(stack, np.ndarray))
    tensors = [torch.from_numpy(image)[None] for image in (f, a, b)]
    assert qabf(*tensors, **parameters)[0].item() == pytest.approx(expected, rel=1e-13)


def plainly_folded(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(Qabf, Nabf) with mirrored border, angles over the whole circle folded at 90° and weights g^1.5."""
    grown = [np.pad(x, 1, mode="reflect") for x in floats(f, a, b)]
    maps = [(convolve2d(x, -HORIZONTAL, "valid"), convolve2d(x, VERTICAL, "valid")) for x in grown]
    kept = added = below = 0.0
    for place in np.ndindex(f.shape):
        (strength_f, angle_f), *sources = (
            (math.sqrt(sx[place] ** 2 + sy[place] ** 2), math.atan2(sy[place] + 0.0, sx[place] + 0.0))
            for sx, sy in maps
        )
        extra = strength_f > max(strength for strength, _ in sources)
        for strength, angle in sources:
            larger = max(strength, strength_f)
            ratio = min(strength, strength_f) / larger if larger else 0.0
            turn = abs(abs(angle - angle_f) - math.pi / 2) * 2 / math.pi
            q = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + math.exp(-22 * (turn - 0.8)))
            kept += q * strength**1.5
            added += (1 - q) * strength**1.5 if extra else 0.0
            below += strength**1.5
    return kept / below, added / below


def test_folded_angles_and_weights_against_a_plain_composition() -> None:
    f, a, b = scene(1, (33, 40))
    f[:10] = 255 - a[:10]  # opposite edges, which folding takes for equal ones
    f[20:, :5] = 3
    stack = [image[None] for image in (f, a, b)]
    expected = plainly_folded(f, a, b)
    found = qabf(*stack, border="reflect", angle="folded", power=1.5)[0], nabf(*stack, edges="qabf")[0]
    assert found == pytest.approx(expected, rel=1e-10)
    assert qabf(*stack, border="reflect", angle="folded")[0] > qabf(*stack, border="reflect")[0]


def test_strength_against_scikit_image() -> None:
    image = scene()[0]
    form = ("replicate", "atan", None)
    with np.errstate(all="ignore"):
        strength = edge_gradients(padded(Image(None, grey=image), "replicate", False), form)[0]  # type: ignore[arg-type]
    x = image.astype(float)
    expected = 4 * np.hypot(sobel_h(x), sobel_v(x))
    assert strength[1:-1, 1:-1] == pytest.approx(expected[1:-1, 1:-1], rel=1e-12, abs=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_within_its_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (1, 8, 9), dtype=np.uint8) for _ in range(3)]
    assert 0 <= qabf(*images)[0] <= MAX


def test_extremes() -> None:
    fused, a, b = stacks(1)
    assert qabf(a, a, a)[0] == pytest.approx(MAX, rel=1e-12) and pytest.approx(0.9748, abs=5e-5) == MAX
    assert qabf(a, a, a, ties="fused")[0] == pytest.approx(0.9753, abs=5e-4)
    flat = np.full_like(fused, 8)
    assert np.isnan(qabf(fused, flat, flat)[0])
    assert 0 <= qabf(flat, a, b)[0] < 0.01
    assert qabf(b, flat, b)[0] == pytest.approx(MAX, rel=1e-12)


def test_ties_on_the_unit_scale_cost_almost_everything() -> None:
    _, a, b = stacks(1)
    fused = np.maximum(a, b)
    usual = qabf(fused, a, b, border="zero", ties="fused")[0]
    assert qabf(fused, a, b, border="zero", ties="fused", unit=True)[0] < usual - 0.02
