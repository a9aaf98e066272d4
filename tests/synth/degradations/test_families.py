"""Families against independent computations: SciPy's splines, floats, and statistics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import interpolate, stats

from fusionbench.synth.degradations import DEGRADATIONS
from fusionbench.synth.degradations.levels_noise import shot
from fusionbench.synth.degradations.smooth import across, every, surface, weights
from tests.synth.degradations.levels import at_level, flat

RNG = np.random.default_rng(7)


def test_a_shift_has_its_length_in_every_direction() -> None:
    made = at_level("shift/1", flat(0, 500, 16), (1280,))
    rows, columns = (made.field[:, axis, 0, 0] / 256 for axis in (0, 1))
    assert np.abs(np.hypot(rows, columns) - 5).max() < 0.01
    assert stats.kstest(np.arctan2(rows, columns), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-4


def test_an_affine_field_is_affine_and_as_strong_for_every_pair() -> None:
    made = at_level("affine/1", flat(0, 200, 33), (3000, 1000))
    field = made.field / 256
    assert np.abs(np.diff(field, n=2, axis=2)).max() < 3 / 256 and np.abs(np.diff(field, n=2, axis=3)).max() < 3 / 256
    matrices = np.stack([field[:, :, 32, 16] - field[:, :, 0, 16], field[:, :, 16, 32] - field[:, :, 16, 0]], 2) / 32
    singular = np.linalg.svd(matrices, compute_uv=False) * 65536
    assert np.abs(singular - [4000, 2000]).max() < 20  # the sum and the difference of both strengths
    assert np.abs(field[:, :, 16, 16]).max() == 0


def test_a_flow_is_smooth_and_folds_nothing_over() -> None:
    made = at_level("flow/1", flat(0, 20, 96), DEGRADATIONS.get("flow/1").levels[4])
    field = made.field / 256
    assert np.abs(field).max() <= 3400 / 256 and field.std() > 2
    place = np.mgrid[:96, :96][None] - field
    by_row, by_column = np.diff(place, axis=2)[..., :-1], np.diff(place, axis=3)[:, :, :-1]
    assert (by_row[:, 0] * by_column[:, 1] - by_row[:, 1] * by_column[:, 0] > 0).all()


def test_surfaces_are_cubic_splines() -> None:
    assert (weights().sum(axis=1) == 4096).all()
    control = RNG.integers(-8000, 8000, (2, 6, 7))
    made = surface(control, across(50, 3), every(60, 16), control)
    knots = [np.arange(-3.0, 7.0), np.arange(-3.0, 8.0)]
    for index in range(2):
        down = interpolate.BSpline(knots[0], control[index].astype(float), 3)(np.arange(50) * 3 / 50)
        spline = interpolate.BSpline(knots[1], down, 3, axis=1)(np.arange(60) / 16)
        assert np.abs(made[index] - spline).max() < 60  # 256 places in a cell


def test_noise_has_its_deviation_and_planes_have_noise_of_their_own() -> None:
    made = at_level("gaussian-noise/1", flat(128), (2560,)).views.astype(float) - 128
    assert abs(made.std() - 10) < 0.1 and abs(made.mean()) < 0.15
    assert abs(np.corrcoef(made[:, 0].ravel(), made[:, 1].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(made[0].ravel(), made[1].ravel())[0, 1]) < 0.04


@pytest.mark.parametrize("grey", [0, 40, 200])
def test_photon_noise_has_the_variance_of_its_mean(grey: int) -> None:
    photons = 500
    made = at_level("poisson/1", flat(grey, 8), (photons,)).views
    assert (made[:, 0] == grey).all()
    found = made[:, 1].astype(float)
    assert abs(found.mean() - grey) < 0.2
    rounding = 1 / 12 if grey else 0
    assert abs(found.var() - (grey * 255 / photons + rounding)) < 0.04 * max(1, grey * 255 / photons)
    assert shot(np.array([grey]), photons, 512).tolist() == [int(np.sqrt(grey * 255 / photons * 65536 + 512**2))]


def test_low_light_darkens_and_its_noise_is_that_of_the_light_that_is_left() -> None:
    made = at_level("lowlight/1", flat(200, 8), (64, 400, 256)).views[:, 1].astype(float)
    assert abs(made.mean() - 50) < 0.3 and abs(made.var() - (50 * 255 / 400 + 1 + 1 / 12)) < 1.5


def test_stripes_run_along_columns_and_dead_pixels_are_as_many_as_said() -> None:
    made = at_level("fixed-pattern/1", flat(128, 30), (2560, 655))
    view, lost = made.views[:, 0].astype(float), made.lost[:, 0] == 1
    assert set(np.unique(view[lost])) == {0.0, 255.0} and abs(lost.mean() - 0.01) < 0.001
    alive = np.where(lost, np.nan, view)
    assert np.nanstd(alive, axis=1).max() == 0 and abs(np.nanmean(alive, axis=1).std() - 10) < 0.6
    assert (made.views[:, 1] == 128).all() and not made.lost[:, 1].any()


def test_drift_is_a_smooth_offset_and_a_gain_of_rows_and_columns() -> None:
    offset = at_level("drift/1", flat(128, 20), (800, 0)).views[:, 0].astype(int)
    assert np.abs(offset - 128).max() <= 50 and offset.std() > 8
    assert max(np.abs(np.diff(offset, axis=1)).max(), np.abs(np.diff(offset, axis=2)).max()) <= 5
    gain = at_level("drift/1", flat(150, 20), (0, 200)).views[:, 0] / 150
    residual = gain - gain.mean(1, keepdims=True) - gain.mean(2, keepdims=True) + gain.mean((1, 2), keepdims=True)
    assert np.abs(residual).max() < 1.5 / 150 and abs(gain.std() - np.sqrt(2) * 200 / 4096) < 0.01
