"""EN against scikit-image and SciPy, to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy
from skimage.measure import shannon_entropy

from fusionbench.metrics.en import en
from tests.metrics.scenes import stacks


def test_against_scikit_image_and_scipy() -> None:
    fused, *_ = stacks()
    for value, image in zip(en(fused), fused, strict=True):
        assert value == pytest.approx(shannon_entropy(image), rel=1e-12)
        assert value == pytest.approx(entropy(np.bincount(image.ravel()), base=2), rel=1e-12)


@given(arrays(np.uint8, (1, 9, 7)))
@settings(max_examples=60, deadline=None)
def test_between_0_and_8_bits(image: np.ndarray) -> None:
    assert 0 <= en(image)[0] <= 8


def test_known_values() -> None:
    assert en(np.full((1, 5, 5), 77, np.uint8))[0] == 0
    assert en(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))[0] == pytest.approx(8, abs=1e-14)
    half = np.zeros((1, 4, 4), np.uint8)
    half[:, :2] = 1
    assert en(half)[0] == pytest.approx(1, abs=1e-15)


def test_rounding() -> None:
    between = np.array([[[0.5, 1.5], [2.5, 2.4]]])  # halves to even: 0 2 2 2; cut off: 0 1 2 2
    assert en(between)[0] == pytest.approx(entropy([1, 3], base=2), abs=1e-15)
    assert en(between, rounding="floor")[0] == pytest.approx(entropy([1, 1, 2], base=2), abs=1e-15)


def test_guard_inside_the_logarithm() -> None:
    fused, *_ = stacks(1)
    p = np.bincount(fused.ravel(), minlength=256) / fused.size
    assert en(fused, inside_log=1e-7)[0] == pytest.approx(-(p * np.log2(p + 1e-7)).sum(), rel=1e-12)
