"""VIF against torchmetrics (1e-9), piq where it imports (1e-4, its own guard) and a plain SciPy composition (1e-9)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d
from torchmetrics.functional.image import visual_information_fidelity

from fusionbench.metrics.vif import vif
from tests.metrics.scenes import floats, stacks


def plain_window(size: int) -> np.ndarray:
    taps = np.arange(size) - size // 2
    window = np.exp(-(taps[:, None] ** 2 + taps**2) / (2 * (size / 5) ** 2))
    return window / window.sum()


def plainly(source: np.ndarray, fused: np.ndarray) -> float:
    source, fused = floats(source, fused)
    passed = available = 0.0
    for size in (17, 9, 5, 3):
        window = plain_window(size)
        if size < 17:
            source, fused = (convolve2d(x, window, "valid")[::2, ::2] for x in (source, fused))
        mean_s, mean_f = (convolve2d(x, window, "valid") for x in (source, fused))
        s1 = np.maximum(convolve2d(source**2, window, "valid") - mean_s**2, 0)
        s2 = np.maximum(convolve2d(fused**2, window, "valid") - mean_f**2, 0)
        s12 = convolve2d(source * fused, window, "valid") - mean_s * mean_f
        for one, two, both in zip(s1.ravel(), s2.ravel(), s12.ravel(), strict=True):
            gain = both / (one + 1e-10) if one >= 1e-10 and two >= 1e-10 else 0.0
            gain = max(gain, 0.0)
            rest = max(two - gain * both, 1e-10)
            passed += np.log1p(gain**2 * one / (rest + 2))
            available += np.log1p((one if one >= 1e-10 else 0) / 2)
    return passed / available


def test_against_a_plain_composition() -> None:
    triples = stacks(2)
    for value, f, a, b in zip(vif(*triples), *triples, strict=True):
        assert value == pytest.approx(plainly(a, f) + plainly(b, f), rel=1e-9)
    assert vif(*triples, over="mean") == pytest.approx(vif(*triples) / 2, rel=1e-15)


def test_against_torchmetrics() -> None:
    triples = stacks(2, (64, 93))
    tensors = [torch.from_numpy(stack.astype(np.float64))[:, None] for stack in triples]
    for row, value in enumerate(vif(*triples)):
        f, a, b = (tensor[row : row + 1] for tensor in tensors)
        expected = visual_information_fidelity(f, a) + visual_information_fidelity(f, b)
        assert value == pytest.approx(float(expected), rel=1e-9)


def test_against_piq() -> None:
    try:
        from piq import vif_p
    except (ImportError, RuntimeError) as error:  # piq needs a torchvision that belongs to the torch at hand
        pytest.skip(f"piq does not import: {error}")
    triples = stacks(1, (64, 93))
    f, a, b = (torch.from_numpy(stack.astype(np.float64))[:, None] for stack in triples)
    expected = vif_p(f, a, data_range=255.0) + vif_p(f, b, data_range=255.0)
    assert vif(*triples)[0] == pytest.approx(float(expected), rel=1e-4)


@given(st.integers(0, 1000), st.integers(41, 70), st.integers(41, 70))
@settings(max_examples=15, deadline=None)
def test_one_for_each_equal_source(seed: int, height: int, width: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (1, height, width), dtype=np.uint8)
    assert vif(image, image, image)[0] == pytest.approx(2, abs=1e-9)


def test_flat_images() -> None:
    fused, a, b = stacks(1)
    flat = np.full_like(fused, 90)
    assert vif(flat, a, b)[0] == 0
    assert vif(fused, flat, flat)[0] == 2
    assert vif(flat, flat, flat)[0] == 2


def test_bands_cover_the_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionbench.metrics import _images, _windows

    triples = stacks(1, (131, 67))
    expected = vif(*triples)
    monkeypatch.setattr(_images.Image.bands, "__defaults__", (10,))
    monkeypatch.setattr(_windows, "BAND", 10)
    assert vif(*triples) == pytest.approx(expected, rel=1e-12)


def test_saturating_products_drop_the_finest_scale() -> None:
    """Bright images: every product is above 255, so the first scale has no variance at all."""
    triples = [np.maximum(stack, 40) for stack in stacks(1)]
    value = vif(*triples, arithmetic="uint8")
    assert np.isfinite(value[0]) and abs(value[0] - vif(*triples)[0]) > 0.01
