"""Moments of images, against exact fractions for whole grey levels and NumPy for the others."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from fusionbench.metrics import _moments
from fusionbench.metrics._images import Image
from tests.metrics import scenes

FUSED, A, B = scenes.scene(1, (31, 37))
REAL = [plane.astype(np.float64) + 0.25 * (plane % 3) for plane in (FUSED, A, B)]


def grey(pixels: np.ndarray) -> Image:
    return Image(None, grey=pixels)


def exact_covariance(x: np.ndarray, y: np.ndarray) -> Fraction:
    n, first, second = x.size, [int(v) for v in x.ravel()], [int(v) for v in y.ravel()]
    product = sum(a * b for a, b in zip(first, second, strict=True))
    return Fraction(n * product - sum(first) * sum(second), n * n)


def test_whole_levels_are_exact() -> None:
    for x, y in ((A, B), (A, A), (A, np.full_like(A, 255)), (A, 255 - A)):
        assert _moments.covariance(grey(x), grey(y)) == float(exact_covariance(x, y))
    assert _moments.mean_grey(grey(A)) == float(Fraction(sum(map(int, A.ravel())), A.size))


def test_images_that_differ_by_one_level_in_one_pixel() -> None:
    """A variance of 255² and a difference of 1: single-pass sums of floats would lose it."""
    x = np.tile(np.array([0, 255], np.uint8), (200, 200))
    y = x.copy()
    y[7, 7] ^= 1
    assert _moments.squared_error(grey(x), grey(y)) == 1 / x.size
    found = _moments.covariance(grey(x), grey(y))
    assert found == float(exact_covariance(x, y)) != _moments.variance(grey(x))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_other_values_against_numpy(kind: str) -> None:
    def one(pixels: np.ndarray) -> Image:
        return Image(pixels) if kind == "numpy" else Image(torch.from_numpy(pixels)[None])

    fused, a, b = REAL
    assert float(_moments.mean_grey(one(a))) == pytest.approx(a.mean(), rel=1e-14)
    assert float(_moments.variance(one(a))) == pytest.approx(a.var(), rel=1e-12)
    assert float(_moments.pearson(one(a), one(b))) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], rel=1e-12)
    expected = np.corrcoef(a.ravel(), (fused - b).ravel())[0, 1]
    assert float(_moments.difference_correlation(one(a), one(fused), one(b))) == pytest.approx(expected, rel=1e-11)
    assert float(_moments.squared_error(one(a), one(b))) == pytest.approx(np.mean((a - b) ** 2), rel=1e-13)


def test_whole_levels_agree_with_the_way_of_the_others() -> None:
    expected = np.corrcoef(A.ravel().astype(float), FUSED.ravel().astype(float) - B.ravel())[0, 1]
    assert _moments.difference_correlation(grey(A), grey(FUSED), grey(B)) == pytest.approx(expected, rel=1e-11)
    assert _moments.pearson(grey(A), grey(B)) == pytest.approx(np.corrcoef(A.ravel(), B.ravel())[0, 1], rel=1e-12)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_flat_images_have_a_variance_of_nothing_and_no_correlation(value: int) -> None:
    flat = np.full((30, 41), value, np.uint8)
    real = np.full((30, 41), value + 1 / 3)
    for image in (grey(flat), Image(real), Image(torch.from_numpy(real)[None])):
        assert float(_moments.variance(image)) == 0
        with np.errstate(invalid="ignore", divide="ignore"):
            assert math.isnan(float(_moments.pearson(image, image)))


def test_a_constant_difference_has_no_correlation() -> None:
    lower = np.clip(A, 0, 200)
    assert math.isnan(_moments.difference_correlation(grey(A), grey(lower + np.uint8(9)), grey(lower)))
    real = REAL[1]
    with np.errstate(invalid="ignore"):
        assert math.isnan(_moments.difference_correlation(Image(real), Image(real + 0.1), Image(real)))


def test_squared_differences_of_both_worlds() -> None:
    expected = int(((A.astype(int) - B.astype(int)) ** 2).sum())
    assert _moments.squared_difference(A, B) == expected
    assert _moments.squared_difference(torch.from_numpy(A).double(), torch.from_numpy(B).double()).item() == expected
