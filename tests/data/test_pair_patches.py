"""Which patches of a pair are kept: the grid and the test of contrast."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.data.build import open_source
from fusionbench.data.pair_patches import cut_patches, grid, has_contrast, tenths
from fusionbench.data.recipes import load_recipe
from fusionbench.data.sample_builders import sample_builder


@given(st.integers(1, 60), st.integers(1, 60), st.integers(4, 20), st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_the_grid_is_every_multiple_that_fits(height: int, width: int, patch: int, stride: int) -> None:
    expected = [
        (top, left)
        for top in range(0, height, stride)
        for left in range(0, width, stride)
        if top + patch <= height and left + patch <= width
    ]
    assert list(map(tuple, grid(height, width, patch, stride).tolist())) == expected


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_percentiles_and_contrast_are_exact(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    levels = data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=6))
    image = np.array(
        data.draw(st.lists(st.sampled_from(levels), min_size=height * width, max_size=height * width)), np.uint8
    ).reshape(1, height, width)
    low, high = (int(found[0]) for found in tenths(image))
    assert np.allclose([low / 10, high / 10], np.percentile(image, [10, 90]), rtol=0, atol=1e-9)
    for limit in (1, 100, 500, 999):
        expected = high > 0 and Fraction(high - low, high) >= Fraction(limit, 1000)
        assert bool(has_contrast(image, limit)[0]) == expected
    assert has_contrast(image, 0).all()


def test_a_patch_on_the_limit_stays() -> None:
    image = np.repeat(np.array([90, 100], np.uint8), 50).reshape(1, 10, 10)  # P10 = 90, P90 = 100: exactly 0.1
    assert has_contrast(image, 100)[0] and not has_contrast(image, 101)[0]
    assert not has_contrast(np.zeros((1, 10, 10), np.uint8), 100)[0]  # black has none


def test_msrs_patches_are_at_most_six_a_pair(real_data: Path) -> None:
    wanted = load_recipe("msrs-patches")
    rows = sample_builder(wanted, open_source(wanted, real_data / "msrs")).sample_index("train")
    assert np.bincount(rows[:, 0]).max() <= 6 and set(rows[:, 1]) <= {0, 200} and set(rows[:, 2]) <= {0, 200, 400}


def test_patches_of_a_pair() -> None:
    pair = np.arange(2 * 6 * 7, dtype=np.uint8).reshape(2, 6, 7)
    made = cut_patches(pair, np.array([[0, 0], [2, 3]]), 4)
    assert np.array_equal(made[1], pair[:, 2:6, 3:7]) and made.shape == (2, 2, 4, 4)
