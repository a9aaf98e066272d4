"""Histograms and entropies against NumPy's counting, and mutual information against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import mutual_info_score

from fusionbench.metrics import _histograms
from fusionbench.metrics._histograms import (
    entropy,
    histogram,
    image_entropy,
    joint_histogram,
    levels,
    mutual_information,
)
from fusionbench.metrics._images import Image
from tests.metrics import scenes

FUSED, A, B = scenes.scene(0)


def image(pixels: np.ndarray) -> Image:
    return Image(None, grey=pixels) if pixels.dtype == np.uint8 else Image(pixels)


def batch(*pixels: np.ndarray) -> Image:
    return Image(torch.from_numpy(np.stack(pixels)).double())


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_levels_round_halves_to_even_or_cut_off(rounding: str) -> None:
    values = np.array([[0.0, 0.49, 0.5, 1.5, 2.5, 254.5, 254.51, 255.0]])
    expected = {"nearest": [0, 0, 0, 2, 2, 254, 255, 255], "floor": [0, 0, 0, 1, 2, 254, 254, 255]}[rounding]
    assert levels(image(values), rounding).tolist() == [expected]  # type: ignore[arg-type]
    assert levels(batch(values), rounding).tolist() == [[expected]]  # type: ignore[arg-type]


def test_counts() -> None:
    expected = np.bincount(FUSED.ravel(), minlength=256)
    assert histogram(image(FUSED)).tolist() == expected.tolist()
    found = histogram(batch(FUSED, A))
    assert found.tolist() == [expected.tolist(), np.bincount(A.ravel(), minlength=256).tolist()]


@pytest.mark.parametrize("top", [255, 254, 100, 0])
def test_joint_counts_with_the_brightest_levels_merged(top: int) -> None:
    expected = np.zeros((256, 256))
    np.add.at(expected, (np.minimum(A, top).ravel(), np.minimum(B, top).ravel()), 1)
    assert np.array_equal(joint_histogram(image(A), image(B), top), expected.ravel())
    assert np.array_equal(joint_histogram(batch(A), batch(B), top)[0].numpy(), expected.ravel())


def test_large_images_are_counted_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV counts in float32, so that no band may have 2^24 pixels; here a band is a few rows."""
    assert _histograms._EXACT <= 1 << 24
    whole = joint_histogram(image(A), image(B))
    for size in (1, A.shape[1], 7 * A.shape[1] + 3):
        monkeypatch.setattr(_histograms, "_EXACT", size)
        assert np.array_equal(joint_histogram(image(A), image(B)), whole)


def test_entropy_against_scipy() -> None:
    counts = np.array([1.0, 0.0, 3.0, 12.0, 2.0])
    assert entropy(counts) == pytest.approx(stats.entropy(counts), rel=1e-14)
    assert entropy(torch.from_numpy(counts)[None]).item() == pytest.approx(stats.entropy(counts), rel=1e-14)
    assert image_entropy(image(A)) == pytest.approx(stats.entropy(np.bincount(A.ravel())), rel=1e-13)


def test_one_level_has_no_entropy_at_all() -> None:
    for count in (1.0, 3.0, 1e7 + 1):
        assert entropy(np.array([0.0, count])) == 0
        assert entropy(torch.tensor([[0.0, count], [count, count]])).tolist() == pytest.approx([0.0, np.log(2)])


def test_mutual_information_against_scikit_learn() -> None:
    for x, y in ((A, B), (A, FUSED), (A, A)):
        expected = mutual_info_score(x.ravel(), y.ravel())
        assert mutual_information(image(x), image(y)) == pytest.approx(expected, rel=1e-12)
        assert mutual_information(batch(x), batch(y)).item() == pytest.approx(expected, rel=1e-12)
    assert mutual_information(image(A), image(np.full_like(A, 9))) == pytest.approx(0, abs=1e-12)
