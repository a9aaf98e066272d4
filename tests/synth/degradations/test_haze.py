"""Haze: Koschmieder's law and where it is thick."""

from __future__ import annotations

import numpy as np

from fusionbench.synth.degradations.haze import transmission
from tests.synth.degradations.levels import at_level, flat


def test_haze_follows_koschmieders_law() -> None:
    for extinction in (100, 1000):
        expected = 256 * (1 - extinction / 65536) ** np.arange(256)
        assert np.abs(transmission(extinction) - expected).max() < 0.51
    dark, bright = (at_level("haze/1", flat(grey, 3), (700,)).views.astype(int) for grey in (0, 255))
    assert (dark[:, 0] == 0).all()
    left = (bright[:, 1] - dark[:, 1]) / 255  # of the light
    air = dark[:, 1] / np.maximum(1 - left, 1e-9)
    assert air.min() >= 199 and air.max() <= 241 and left[:, 0].mean() < left[:, -1].mean()
