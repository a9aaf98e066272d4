"""Correlations of resampled images: held to SciPy's on the images repeated one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fusionbench.results.rank_correlation import KINDS, PairedCells, logistic_fit, of_lines
from fusionbench.results.resampling import image_weights

SCIPY = {"srcc": stats.spearmanr, "krcc": stats.kendalltau, "plcc": stats.pearsonr}


def test_resamples_are_those_of_repeated_images() -> None:
    rng = np.random.default_rng(0)
    image = rng.permutation(np.repeat(np.arange(9), 4))[:31]  # images with different numbers of methods
    x = rng.integers(0, 8, 31).astype(float)  # ties
    y = x + rng.normal(0, 3, 31).round()
    weights = np.concatenate([np.ones((1, 9)), next(image_weights(9, 12))])
    found = PairedCells(x, y, image, 9).correlations(weights)
    for line, weight in enumerate(weights):
        times = np.rint(weight * (9 if line else 1)).astype(int)
        cells = [cell for cell in range(31) for _ in range(times[image[cell]])]
        for kind in KINDS:
            expected = SCIPY[kind](x[cells], y[cells])[0]
            assert found[kind][line] == pytest.approx(expected, abs=1e-12), kind


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    cells = PairedCells(rng.normal(size=40), rng.normal(size=40), np.repeat(np.arange(10), 4), 10)
    weights = next(image_weights(10, 20))
    whole = cells.correlations(weights, cells.y**3)
    monkeypatch.setattr("fusionbench.results.rank_correlation._CELLS", 100)
    for kind, value in cells.correlations(weights, cells.y**3).items():
        assert value == pytest.approx(whole[kind], abs=1e-12)
    assert whole["plcc"][0] > 0.5, "the fitted values stand for x"


def test_constant_values_have_no_correlation() -> None:
    flat = PairedCells(np.full(6, 0.1 + 0.2), np.arange(6.0), np.arange(6), 6)
    assert all(np.isnan(value).all() for value in flat.correlations(np.ones((2, 6))).values())


def test_lines_of_methods() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 5, (30, 7)).astype(float), rng.normal(size=(30, 7))
    for kind, value in of_lines(x, y).items():
        assert value == pytest.approx([SCIPY[kind](a, b)[0] for a, b in zip(x, y, strict=True)], abs=1e-12)
    assert all(value.shape == (0,) for value in of_lines(x[:0], y[:0]).values())


def test_a_logistic_straightens_what_is_curved() -> None:
    rng = np.random.default_rng(3)
    said = rng.uniform(1.2, 4.8, 200)
    metric = 20 + 3 * np.log((said - 1) / (5 - said))  # said = 1 + 4 / (1 + exp(-(metric - 20) / 3))
    fitted = logistic_fit(metric, said)
    assert fitted is not None and fitted == pytest.approx(said, abs=1e-3)
    opposed = logistic_fit(-metric, said)
    assert opposed is not None and np.corrcoef(opposed, said)[0, 1] == pytest.approx(-1, abs=1e-6), "the sign stays"
    assert logistic_fit(np.ones(9), np.arange(9.0)) is None and logistic_fit(np.arange(3.0), np.arange(3.0)) is None
