"""Families against independent computations: SciPy's filters, transforms and splines, floats, and statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import fft, interpolate, ndimage, stats

from fusionbench.synth.degradations import DEGRADATIONS, Degraded, degrade
from fusionbench.synth.degradations.base import Level
from fusionbench.synth.degradations.block import quantised, steps
from fusionbench.synth.degradations.blur import disc, disc_weights, line
from fusionbench.synth.degradations.draws import Draws
from fusionbench.synth.degradations.haze import transmission
from fusionbench.synth.degradations.levels_noise import shot
from fusionbench.synth.degradations.occlude import root
from fusionbench.synth.degradations.run import degrade_by
from fusionbench.synth.degradations.smooth import across, every, surface, weights
from fusionbench.synth.degradations.warp import warp
from fusionbench.synth.random import stream_key

RNG = np.random.default_rng(7)


def at_level(family: str, views: np.ndarray, level: Level) -> Degraded:
    """Samples 0, 1, … at a level of a family."""
    draws = Draws(stream_key(family, "made", "all", 0), np.arange(len(views)), 0, views)
    return degrade_by(DEGRADATIONS.get(family), level, views, range(views.shape[1]), draws)


def flat(grey: int, count: int = 4, side: int = 64) -> np.ndarray:
    return np.full((count, 2, side, side), grey, np.uint8)


def textured(count: int, height: int, width: int) -> np.ndarray:
    rough = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(count, 2, height, width)), (0, 0, 1.5, 1.5))
    return np.clip(128 + 300 * rough, 0, 255).astype(np.uint8)


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
    knots = [np.arange(-3.0, 8.0), np.arange(-3.0, 8.0)]
    for index in range(2):
        spline = interpolate.NdBSpline(tuple(k[: n + 4] for k, n in zip(knots, (6, 7), strict=True)), control[index], 3)
        rows, columns = np.meshgrid(np.arange(50) * 3 / 50, np.arange(60) / 16, indexing="ij")
        assert np.abs(made[index] - spline(np.stack([rows, columns], -1))).max() < 60  # 256 places in a cell


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


@pytest.mark.parametrize("diameter", [20, 32, 52, 90])
def test_a_disc_is_an_even_disc(diameter: int) -> None:
    """Its weights are areas, and the mean is SciPy's correlation with them."""
    taps = disc_weights(diameter)
    assert abs(sum(weight for _, _, weight in taps) / 256 - np.pi * (diameter / 32) ** 2) < 0.06
    reach = max(row for row, _, _ in taps)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for row, column, weight in taps:
        kernel[row + reach, column + reach] = weight
    assert np.array_equal(kernel, kernel.T) and np.array_equal(kernel, kernel[::-1])
    plane = textured(1, 21, 34)[0, :1]
    expected = ndimage.correlate(plane[0].astype(float), kernel / kernel.sum(), mode="nearest")
    assert np.abs(disc(plane, diameter)[0] - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("length", [16, 40, 48, 104])
def test_a_line_is_an_even_line(length: int) -> None:
    plane = textured(1, 25, 31)[0, :1]
    taps = np.clip(length / 16 - 2 * np.abs(np.arange(-4, 5)) + 1, 0, 2)[None]
    expected = ndimage.correlate(plane[0].astype(float), taps / taps.sum(), mode="nearest")
    assert np.abs(line(plane, 0, length)[0] - expected).max() <= 0.5 + 1e-9
    upright = np.ascontiguousarray(plane.transpose(0, 2, 1))
    assert np.array_equal(line(upright, 64, length), line(plane, 0, length).transpose(0, 2, 1))


@pytest.mark.parametrize(("quality", "share"), [(5, 0.97), (30, 0.9), (75, 0.85)])
def test_blocks_are_quantised_as_jpeg_does(quality: int, share: float) -> None:
    """Against SciPy's transform in floating point: nearly all pixels within a grey level.

    Coefficients have four bits below the point here: one near a tie can fall to the other side, a step apart, and the
    smaller the steps the more ties there are.
    """
    plane = textured(1, 40, 56)[0, :1]
    blocks = plane[0].reshape(5, 8, 7, 8).transpose(0, 2, 1, 3).astype(float) - 128
    step = steps(quality)
    coefficients = np.round(fft.dctn(blocks, axes=(2, 3), norm="ortho") / step) * step
    expected = np.clip(fft.idctn(coefficients, axes=(2, 3), norm="ortho") + 128, 0, 255)
    expected = expected.transpose(0, 2, 1, 3).reshape(40, 56)
    difference = np.abs(quantised(plane, quality)[0] - expected)
    assert np.mean(difference <= 0.75) > share and difference.max() <= 2 * step.max() / 8


def test_quantisation_tables_are_pillows() -> None:
    """Of the Independent JPEG Group's scale, which Pillow's encoder has."""
    import io

    from PIL import Image

    for quality in (5, 25, 50, 80, 95):
        stream = io.BytesIO()
        Image.new("L", (8, 8)).save(stream, "JPEG", quality=quality)
        table: Any = Image.open(stream)
        found = np.array(table.quantization[0]).reshape(8, 8)
        assert np.array_equal(found, steps(quality))


def test_haze_follows_koschmieders_law() -> None:
    for extinction in (100, 1000):
        expected = 256 * (1 - extinction / 65536) ** np.arange(256)
        assert np.abs(transmission(extinction) - expected).max() < 0.51
    dark, bright = (at_level("haze/1", flat(grey, 3), (700,)).views.astype(int) for grey in (0, 255))
    assert (dark[:, 0] == 0).all()
    left = (bright[:, 1] - dark[:, 1]) / 255  # of the light
    air = dark[:, 1] / np.maximum(1 - left, 1e-9)
    assert air.min() >= 199 and air.max() <= 241 and left[:, 0].mean() < left[:, -1].mean()


def test_rain_has_streaks_of_one_slant() -> None:
    made = at_level("rain/1", flat(0, 6, 96), (300, 16, 255, 0)).views[:, 1]
    shares = (made > 0).mean(axis=(1, 2))
    assert shares.min() > 0.02 and shares.max() < 0.08  # 300/65536 · 12 pixels, less what crosses
    for view in made:
        inside = view > 0
        linked = (inside[1:, 1:-1] & (inside[:-1, :-2] | inside[:-1, 1:-1] | inside[:-1, 2:])).sum()
        assert linked > 0.75 * inside.sum()  # each pixel has one above it, but the first of a streak


def test_occluders_are_ellipses_of_their_area_and_hide_what_is_behind() -> None:
    clean = textured(40, 64, 80)
    made = at_level("occlude/1", clean, (40,))
    hidden = made.lost == 1
    assert np.array_equal(made.views[~hidden], clean[~hidden])
    assert 0.07 < hidden.mean() < 40 / 256  # less what overlaps or reaches outside
    assert not np.array_equal(hidden[:, 0], hidden[:, 1])
    for view, mask in zip(made.views[:, 0], hidden[:, 0], strict=True):
        assert len(np.unique(view[mask])) <= 3
    squares = RNG.integers(0, 1 << 26, 200).astype(np.int64) ** 2
    assert np.array_equal(root(squares), np.sqrt(squares).astype(int)) and np.array_equal(
        root(squares[squares > 0] - 1), np.sqrt(squares[squares > 0]).astype(np.int64) - 1
    )


def test_a_dropped_view_is_black_or_frozen_where_it_is_lost() -> None:
    clean = textured(60, 40, 24) // 2 + 20
    made = at_level("drop/1", clean, (64,))
    kinds = set()
    for index in range(60):
        harmed = [view for view in (0, 1) if made.lost[index, view].any()]
        assert len(harmed) == 1
        view = harmed[0]
        rows = np.flatnonzero(made.lost[index, view].all(axis=1))
        assert len(rows) == 10 and np.array_equal(rows, np.arange(rows[0], rows[0] + 10))
        rest = np.setdiff1d(np.arange(40), rows)
        assert np.array_equal(made.views[index, view, rest], clean[index, view, rest])
        assert np.array_equal(made.views[index, 1 - view], clean[index, 1 - view])
        last = clean[index, view, 29 if rows[0] == 30 else 10]
        black = not made.views[index, view, rows].any()
        assert black or (made.views[index, view, rows] == last).all()
        kinds.add((view, int(rows[0]), black))
    assert len(kinds) == 8
