"""Filters of NumPy arrays and tensors, against SciPy; gradients, against each other."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from fusionbench.metrics._images import Image
from fusionbench.metrics._windows import (
    downsample,
    exact_exp,
    gaussian,
    magnitude,
    on_unit_scale,
    separable,
    sobel,
    sobel_in_order,
)
from fusionbench.metrics.vif import SIZES, taps
from tests.metrics.scenes import scene


def added(window: np.ndarray, mask: np.ndarray, order: str) -> float:
    """One Sobel sum in the doubles of the interpreter, term by term."""
    columns = [2, 1, 0] if order == "matlab" else [0, 1, 2]
    rows = [0, 1, 2] if order == "window" else [2, 1, 0]
    terms = [[float(mask[row, column]) * float(window[row, column]) for row in rows] for column in columns]
    total = 0.0
    for column in terms:
        if order == "window":
            total += (column[0] + column[1]) + column[2]
        else:
            for term in column:
                total += term
    return total


@pytest.mark.parametrize("order", ["matlab", "octave", "window"])
def test_sums_on_the_unit_scale_have_the_bits_of_their_order(order: str) -> None:
    x = on_unit_scale(scene(0, (14, 17))[0].astype(np.float64))
    assert np.array_equal(x, on_unit_scale(torch.from_numpy(x * 255))) and x[3, 4] == scene(0, (14, 17))[0][3, 4] / 255
    horizontal = np.outer([1, 2, 1], [-1, 0, 1])
    found = sobel_in_order(x, order)  # type: ignore[arg-type]
    batch = sobel_in_order(torch.from_numpy(x)[None], order)  # type: ignore[arg-type]
    for ours, tensor, mask in zip(found, batch, (horizontal, horizontal.T), strict=True):
        expected = [[added(x[r : r + 3, c : c + 3], mask, order) for c in range(15)] for r in range(12)]
        assert np.array_equal(ours, expected) and np.array_equal(tensor[0], expected)
    others = [sobel_in_order(x, other)[0] for other in ("matlab", "octave", "window") if other != order]  # type: ignore[arg-type]
    assert not any(np.array_equal(found[0], other) for other in others)


def series(exponent: float) -> Fraction:
    """e to that power by its series in fractions, which round nothing; of a negative one as one over the positive."""
    term = total = Fraction(1)
    for k in range(1, 120):
        term *= abs(Fraction(exponent)) / k
        total += term
    return 1 / total if exponent < 0 else total


def test_weights_of_windows_have_no_last_bit_of_a_library() -> None:
    """NumPy's exponential differs between processors and releases, and with it would every metric with a window."""
    exponents = np.concatenate([-np.random.default_rng(4).uniform(0, 12, 40), [0.0, -0.5, 2.0]])
    assert exact_exp(exponents).tolist() == [float(series(value)) for value in exponents.tolist()]
    for size in SIZES:
        sigma, step = size / 5, size / (size - 1)
        centred = [place - (size - 1) / 2 for place in range(size)]
        moved = [*(place * step + -size // 2 for place in range(size - 1)), float(size // 2)]
        for places, found in ((centred, gaussian(size, sigma)), (moved, taps(SIZES.index(size), "off-centre"))):
            falling = [float(series(-(place * place) / (2 * sigma * sigma))) for place in places]
            assert found.tolist() == [value / math.fsum(falling) for value in falling]


@pytest.mark.parametrize(("size", "sigma"), [(1, 1.0), (3, 0.5), (11, 1.5), (17, 3.4)])
def test_a_gaussian_is_symmetric_sums_to_one_and_falls_as_it_should(size: int, sigma: float) -> None:
    taps = np.asarray(gaussian(size, sigma))
    assert taps.shape == (size,) and taps.sum() == pytest.approx(1, rel=1e-15)
    assert np.array_equal(taps, taps[::-1])
    for distance in range(size // 2 + 1):
        ratio = taps[size // 2 + distance] / taps[size // 2]
        assert ratio == pytest.approx(np.exp(-(distance**2) / (2 * sigma**2)), rel=1e-12)


@pytest.mark.parametrize("border", ["valid", "zero", "replicate", "reflect", "symmetric"])
@pytest.mark.parametrize("size", [1, 3, 17])
def test_filters_of_both_worlds_agree_with_scipy(border: str, size: int) -> None:
    from scipy.ndimage import correlate

    x = scene(0)[0].astype(np.float64)
    window = np.outer(gaussian(size, size / 5), gaussian(size, size / 5))
    mode = {"replicate": "nearest", "reflect": "mirror", "symmetric": "reflect"}.get(border, "constant")
    expected = correlate(x, window, mode=mode, cval=0.0)
    if border == "valid" and size > 1:
        expected = expected[size // 2 : -(size // 2), size // 2 : -(size // 2)]
    ours = separable(x, gaussian(size, size / 5), border=border)  # type: ignore[arg-type]
    tensor = separable(torch.from_numpy(x)[None], gaussian(size, size / 5), border=border)[0]  # type: ignore[arg-type]
    assert ours == pytest.approx(expected, rel=1e-12, abs=1e-11)
    assert tensor.numpy() == pytest.approx(expected, rel=1e-12, abs=1e-11)


@pytest.mark.parametrize("shape", [(61, 74), (9, 9), (209, 41), (10, 9)])
def test_downsampling_in_bands_keeps_every_second_pixel(shape: tuple[int, int]) -> None:
    x = scene(0, shape)[0]
    whole = separable(x.astype(np.float64), gaussian(9, 1.8))[::2, ::2]
    assert downsample(Image(None, grey=x), gaussian(9, 1.8)) == pytest.approx(whole, rel=1e-13)


def test_both_sobels_agree_on_whole_numbers() -> None:
    x = scene(0)[0].astype(np.float64)
    for order in ("matlab", "octave", "window"):
        for one, two in zip(sobel(x), sobel_in_order(x, order), strict=True):  # type: ignore[arg-type]
            assert np.array_equal(one, two)
    for one, two in zip(sobel(x), sobel(torch.from_numpy(x)[None]), strict=True):
        assert np.array_equal(one, two[0].numpy())
    assert magnitude(*sobel(x)) == pytest.approx(np.hypot(*sobel(x)), rel=1e-14)
