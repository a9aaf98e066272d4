"""Moving a view: SciPy's bilinear sampling, and fields that are what was done."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fusionbench.synth.degradations import DEGRADATIONS, degrade
from fusionbench.synth.degradations.warp import warp
from tests.synth.degradations.levels import textured

RNG = np.random.default_rng(7)


def test_warp_is_bilinear_sampling() -> None:
    """Against SciPy's in float64: at most a grey level apart, for its rounding."""
    plane = textured(1, 30, 41)[0, :1]
    field = RNG.integers(-2000, 2000, (1, 2, 30, 41)).astype(np.int32)
    y, x = np.mgrid[:30, :41]
    places = [y - field[0, 0] / 256, x - field[0, 1] / 256]
    expected = ndimage.map_coordinates(plane[0].astype(float), places, order=1, mode="nearest")
    assert np.abs(warp(plane, field)[0] - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("family", ["shift/1", "affine/1", "flow/1"])
def test_the_field_is_what_was_done_and_what_came_from_outside_is_lost(family: str) -> None:
    clean = textured(3, 60, 70)
    made = degrade(clean, family, 4, dataset="made", split="all", samples=np.arange(3))
    y, x = np.mgrid[:60, :70]
    for index in range(3):
        field = made.field[index] / 256
        places = [y - field[0], x - field[1]]
        expected = ndimage.map_coordinates(clean[index, 0].astype(float), places, order=1, mode="nearest")
        assert np.abs(made.views[index, 0] - expected).max() <= 0.5 + 1e-9
        gone = (places[0] < 0) | (places[0] > 59) | (places[1] < 0) | (places[1] > 69)
        assert np.array_equal(made.lost[index, 0] == 1, gone) and not made.lost[index, 1].any()
    record = DEGRADATIONS.get(family)
    assert np.abs(made.field).max() <= 256 * record.reach(record.levels[3], 60, 70)
