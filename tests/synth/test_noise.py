"""Oracle: the standard normal distribution of scipy, an implementation of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from fusionbench.synth import Noise, noise
from fusionbench.synth.random import stream_key

KEY = stream_key("noise/1", "test", "train", 0)


def test_the_table_holds_the_normal_quantiles() -> None:
    quantile = stats.norm.ppf((np.arange(65536) + 0.5) / 65536) * noise.UNIT
    assert np.abs(noise.table() - quantile).max() < 0.5 + 1e-9
    assert np.array_equal(noise.table(), -noise.table()[::-1])


def test_a_damaged_table_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "TABLE_SHA256", "0" * 64)
    noise.table.cache_clear()
    try:
        with pytest.raises(RuntimeError, match="damaged"):
            noise.table()
    finally:
        noise.table.cache_clear()


@pytest.mark.parametrize("sigma", [10 / 255, 0.1, 0.25])
def test_mean_deviation_and_tails_of_the_scaled_table(sigma: float) -> None:
    table = noise.scaled(Noise.of(sigma).level).astype(np.float64)
    level = sigma * 255
    assert table.mean() == 0
    # rounding to whole grey levels adds a variance of 1/12
    assert table.std() == pytest.approx(np.sqrt(level**2 + 1 / 12), rel=2e-4)
    assert stats.kurtosis(table) == pytest.approx(0, abs=3e-3)
    assert abs(np.abs(table).max() - 4.33 * level) <= 1
    for k in (1, 2, 3):
        beyond = np.mean(np.abs(table) > k * level)
        exact = 2 * stats.norm.sf((np.floor(k * level) + 0.5) / level)
        assert beyond == pytest.approx(exact, abs=2 / 65536 * (1 + level / 10))


def test_drawn_noise_is_normal_and_independent() -> None:
    drawn = Noise.of(0.25).draw(KEY, np.arange(400), 1024).astype(np.float64)
    level = 63.75
    assert abs(drawn.mean()) < 5 * level / np.sqrt(drawn.size)
    assert drawn.std() == pytest.approx(level, rel=5 / np.sqrt(2 * drawn.size))
    assert stats.skew(drawn, axis=None) == pytest.approx(0, abs=0.02)
    for other in (drawn[:, 1:] * drawn[:, :-1], drawn[1:] * drawn[:-1]):  # neighbours in an image, images
        assert abs(other.mean()) < 5 * level**2 / np.sqrt(other.size)


@pytest.mark.parametrize("values", [1, 16, 17, 1024, 3 * 64 * 64])
def test_tensors_give_the_same_bytes(values: int) -> None:
    law, samples = Noise.of(0.25), np.array([3, 4, 5, 99])
    drawn = law.draw(KEY, samples, values, view=2, epoch=7)
    assert drawn.shape == (4, values) and drawn.dtype == np.int16
    assert np.array_equal(law.draw(KEY, torch.from_numpy(samples), values, view=2, epoch=7).numpy(), drawn)
