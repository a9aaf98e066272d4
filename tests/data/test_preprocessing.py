"""Oracles: NumPy slicing and averages, and the recipe's words."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data.preprocessing import grey, prepare, select_indices
from fusionbench.data.recipes import ImageRule, SplitRule
from fusionbench.sources.digits import Digits


def images(n: int, h: int, w: int, c: int) -> np.ndarray:
    return ((np.arange(n * h * w * c) * 37) % 256).astype(np.uint8).reshape(n, h, w, c)


def test_padding_and_cropping() -> None:
    source = images(2, 30, 40, 1)
    rule = ImageRule(height=12, width=14, channels=1, crop=(3, 5, 8, 10), pad=2)
    out = prepare(rule, source)
    assert out.shape == (2, 12, 14) and out.dtype == np.uint8
    assert np.array_equal(out[:, 2:-2, 2:-2], source[:, 3:11, 5:15, 0])
    assert out[:, :2].sum() == out[:, -2:].sum() == out[:, :, :2].sum() == out[:, :, -2:].sum() == 0


def test_area_halving_is_the_rounded_mean_of_four() -> None:
    source = images(3, 16, 16, 3)
    out = prepare(ImageRule(height=8, width=8, channels=3, resize="area"), source)
    mean = source.reshape(3, 8, 2, 8, 2, 3).mean((2, 4))
    assert np.abs(out - mean).max() <= 0.5


def test_grey_from_colour_and_colour_from_grey() -> None:
    colour = images(2, 8, 8, 3)
    weights = np.array([0.299, 0.587, 0.114])  # BT.601
    assert np.abs(grey(colour) - colour @ weights).max() < 1.5
    assert np.array_equal(prepare(ImageRule(height=8, width=8, channels=1), colour), grey(colour))
    assert np.array_equal(grey(np.full((1, 3), 255, np.uint8)), [255])
    tripled = prepare(ImageRule(height=8, width=8, channels=3), colour[..., :1])
    assert np.array_equal(tripled, np.repeat(colour[..., :1], 3, -1))


def test_a_size_that_does_not_fit_is_named() -> None:
    with pytest.raises(DataError, match=r"10×10.*8×8.*image\.resize"):
        prepare(ImageRule(height=8, width=8, channels=1), images(1, 10, 10, 1))
    with pytest.raises(DataError, match=r"image\.crop"):
        prepare(ImageRule(height=8, width=8, channels=1, crop=(5, 0, 8, 8)), images(1, 10, 10, 1))


def test_a_stratified_split_is_disjoint_complete_and_even() -> None:
    source = Digits()
    labels = source.labels("all")
    assert labels is not None
    test = select_indices(SplitRule(source="all", every=6, part="held-out", per_class=True), source)
    train = select_indices(SplitRule(source="all", every=6, part="rest", per_class=True), source)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(1797))
    for digit in range(10):
        assert np.count_nonzero(labels[test] == digit) == np.count_nonzero(labels == digit) // 6


def test_every_first_and_classes() -> None:
    source = Digits()
    labels = source.labels("all")
    assert labels is not None
    assert select_indices(SplitRule(source="all", every=10, part="held-out"), source)[:3].tolist() == [9, 19, 29]
    assert select_indices(SplitRule(source="all", first=5), source).tolist() == [0, 1, 2, 3, 4]
    assert set(labels[select_indices(SplitRule(source="all", classes=[3, 7]), source)]) == {3, 7}


def test_a_split_that_cannot_be_is_named() -> None:
    with pytest.raises(UsageError, match="no split 'valid'"):
        select_indices(SplitRule(source="valid"), Digits())
    with pytest.raises(DataError, match="no image"):
        select_indices(SplitRule(source="all", classes=[42]), Digits())
