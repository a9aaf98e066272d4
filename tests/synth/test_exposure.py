"""Oracle: the sRGB curve in floating point, which may round otherwise where a value lies between two levels."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from fusionbench.synth import Augment, ExposureViews
from fusionbench.synth.exposure import MOST, QUARTERS, curve

SYNTH = ExposureViews("demo", "train", 0, 6, 8, 1, views=3, step=8)
GOLDEN = "f4704ed4d384b573965b0f35f8614990596bd8295549dddfa10988253b4e3e56"
CURVE_SHA256 = "40c77ec498ee2fc83bc33f9c85822865c69609034a2a98bd7d4476cbc673cffe"


def test_the_table_is_the_curve_of_srgb() -> None:
    table = curve()
    assert hashlib.sha256(table.tobytes()).hexdigest() == CURVE_SHA256  # it must never change under exposure/1
    level = np.arange(256) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    for row, quarters in enumerate(range(-MOST, MOST + 1)):
        lit = np.minimum(light * 2.0 ** (quarters / QUARTERS), 1)
        shown = 255 * np.where(lit <= 0.0031308, 12.92 * lit, 1.055 * lit ** (1 / 2.4) - 0.055)
        assert np.abs(table[row] - shown).max() <= 0.5 + 1e-3
    assert np.array_equal(table[MOST], np.arange(256))
    assert (np.diff(table.astype(int), axis=0) >= 0).all() and (np.diff(table.astype(int), axis=1) >= 0).all()


@pytest.mark.parametrize("views", range(2, 10))
def test_exposures_lie_apart_and_none_is_the_target(views: int) -> None:
    for step in (2, 3, 7):
        if views * step > 2 * MOST:
            continue
        params = replace(SYNTH, views=views, step=step).params(np.arange(200))
        assert params.dtype == np.int16 and params.shape == (200, views, 1)
        assert (np.diff(params[..., 0], axis=1) == step).all()
        assert (params != 0).all() and np.abs(params).max() <= MOST
        assert (params.min(1) < 0).all() and (params.max(1) > 0).all()


def test_tensors_and_arrays_have_the_same_bits() -> None:
    samples = np.array([0, 5, 5, 1 << 40])
    for shape in ((4, 6, 8), (4, 6, 8, 3)):
        targets = (np.arange(np.prod(shape)) * 89 % 256).astype(np.uint8).reshape(shape)
        made = SYNTH.make_views(targets, samples, 1)
        tensor = SYNTH.make_views(torch.from_numpy(targets), torch.from_numpy(samples), 1)
        assert made.dtype == np.uint8 and np.array_equal(tensor.numpy(), made)
        stops = SYNTH.params(samples, 1)[..., 0]
        for sample, view in np.ndindex(stops.shape):
            assert np.array_equal(made[sample, view], curve()[stops[sample, view] + MOST][targets[sample]])
        assert np.array_equal(SYNTH.make_views(targets[2:], samples[2:], 1), made[2:])
    assert hashlib.sha256(made.tobytes()).hexdigest() == GOLDEN


def test_coverage_counts_levels_that_are_neither_black_nor_white() -> None:
    synth = replace(SYNTH, height=16, width=16)
    params = np.array([[[-24], [0], [8]]], np.int16)
    table = curve()
    shown = [(table[quarters + MOST] > 0) & (table[quarters + MOST] < 255) for quarters in (-24, 0, 8)]
    seen = np.logical_or.accumulate(shown).sum(1)
    assert synth.covered(params) == seen.tolist()  # 256 pixels, one for each level


def test_no_samples_one_pixel_and_live_epochs() -> None:
    assert SYNTH.make_views(np.empty((0, 6, 8), np.uint8), np.arange(0)).shape == (0, 3, 6, 8)
    assert tuple(SYNTH.make_views(torch.empty((0, 6, 8), dtype=torch.uint8), torch.arange(0)).shape) == (0, 3, 6, 8)
    dark, middle, bright = SYNTH.make_views(np.full((1, 1, 1), 128, np.uint8), np.array([3]))[0, :, 0, 0].tolist()
    assert dark < middle < bright
    live = replace(SYNTH, live=Augment(flip=True))
    targets = np.arange(480, dtype=np.int64).astype(np.uint8).reshape(10, 6, 8)
    assert np.array_equal(live.augmented(targets, np.arange(10), 0), targets)
    assert not np.array_equal(live.augmented(targets, np.arange(10), 4), targets)
