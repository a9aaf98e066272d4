"""Oracles: a disc blur by plain loops, and what the construction promises of every sample."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from fusionbench.synth import Augment, DefocusViews, Ellipses, Overlays, SmoothDepth, defocus
from fusionbench.synth.defocus import UNIT

BANK = (np.arange(3 * 12 * 12 * 2) * 7919 % 65521 % 256).astype(np.uint8).reshape(3, 12, 12, 2)
ELLIPSES = DefocusViews("demo", "train", 3, 24, 20, 1, 2, (2, 5), Ellipses(2, (3, 9)))
SMOOTH = DefocusViews("demo", "test", 0, 20, 24, 3, 3, (1, 6), SmoothDepth(3))
CUTOUTS = DefocusViews("demo", "train", 1, 24, 24, 1, 4, (3, 3), Overlays((1, 3), scale=2), BANK)
MAKERS = {"ellipses": ELLIPSES, "smooth": SMOOTH, "cut-outs": CUTOUTS}
GOLDEN = {
    "ellipses": "6e3786e49af403cc2878610d8748383dbdf79fc10d4ce044aee20b0f94ba84e6",
    "smooth": "5d4d755f0ca1db11cba780624fcdaf225efab2a7d96a8d65ad181673a5f84a24",
    "cut-outs": "27f7f5c272ede8cc849e1e793da66243e23f511a2b575e7995a2ab3852be510a",
}
SAMPLES = np.array([0, 1, 7, 7, 1 << 33])


def targets_of(maker: DefocusViews, count: int = len(SAMPLES)) -> np.ndarray:
    shape = (count, maker.height, maker.width) + ((maker.channels,) if maker.channels > 1 else ())
    return ((np.arange(np.prod(shape)) * 7919) % 65521 % 256).astype(np.uint8).reshape(shape)


@pytest.mark.parametrize("name", MAKERS)
def test_tensors_and_arrays_have_the_same_bits(name: str) -> None:
    maker = MAKERS[name]
    targets = targets_of(maker)
    made = maker.make_views(targets, SAMPLES, 2)
    tensor = maker.make_views(torch.from_numpy(targets), torch.from_numpy(SAMPLES), 2)
    assert made.dtype == np.uint8 and made.shape == (5, maker.views, *targets.shape[1:])
    assert np.array_equal(tensor.numpy(), made)
    params = maker.params(SAMPLES, 2)
    assert params.dtype == np.int16 and params.shape == (5, maker.views, maker.param_fields)
    assert np.array_equal(maker.params(torch.from_numpy(SAMPLES), 2).numpy(), params)
    assert np.array_equal(maker.make_views(targets, SAMPLES, params=params), made)
    assert np.array_equal(maker.make_views(targets[3:], SAMPLES[3:], 2), made[3:])
    assert not np.array_equal(maker.make_views(targets, SAMPLES, 3), made)
    assert hashlib.sha256(made.tobytes()).hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("name", MAKERS)
def test_every_pixel_is_the_targets_in_a_view_that_is_in_focus_there(name: str) -> None:
    maker = MAKERS[name]
    targets, params = targets_of(maker), maker.params(SAMPLES)
    radii = maker.radii(params)
    assert (radii == 0).any(1).all() and radii.min() == 0 and radii.max() <= UNIT * maker.blur[1]
    same = maker.make_views(targets, SAMPLES) == targets[:, None]
    assert (same.all(-1) if maker.channels > 1 else same)[radii == 0].all()
    sharp = np.logical_or.accumulate(radii == 0, axis=1).sum((0, 2, 3))
    assert maker.covered(params) == sharp.tolist() and sharp[-1] == 5 * maker.height * maker.width


def test_blur_is_the_rounded_mean_over_the_disc() -> None:
    """Of two layers everything out of focus has the sample's radius: the mean over the disc, by plain loops."""
    targets, params = targets_of(ELLIPSES), ELLIPSES.params(SAMPLES)
    views, radii = ELLIPSES.make_views(targets, SAMPLES), ELLIPSES.radii(params)
    assert set(np.unique(radii)) <= {0, *(UNIT * int(blur) for blur in params[:, 0, 0])}
    for sample, row, column in ((0, 0, 0), (1, 12, 10), (2, 23, 19), (4, 5, 17)):
        radius = int(params[sample, 0, 0])
        values = [
            int(targets[sample, min(max(row + dy, 0), 23), min(max(column + dx, 0), 19)])
            for dy in range(-radius, radius + 1)
            for dx in range(-radius, radius + 1)
            if dx * dx + dy * dy <= radius * radius + radius
        ]
        mean = int(np.floor(np.mean(values) + 0.5))
        for view in range(2):
            wanted = mean if radii[sample, view, row, column] else targets[sample, row, column]
            assert views[sample, view, row, column] == wanted


def test_between_two_radii_both_are_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    target = targets_of(replace(SMOOTH, channels=1))[:1]
    maker = replace(SMOOTH, channels=1)
    sharper, softer = (dict(defocus._blurred(target[..., None], 3))[radius][0, ..., 0] for radius in (2, 3))
    monkeypatch.setattr(DefocusViews, "radii", lambda self, params: np.full((1, 3, 20, 24), 2 * UNIT + 64, np.int32))
    made = maker.make_views(target, np.array([0]))[0, 1]
    assert np.array_equal(made, (192 * sharper + 64 * softer + 128) // 256)


def test_the_nearer_layer_hides_the_one_behind_it() -> None:
    params = CUTOUTS.params(np.array([3]))
    depth = CUTOUTS.depths(params)[0]
    assert depth.max() == 3 * UNIT
    alone = params.copy()
    alone[:, 1:3, 1] = 0  # no pastes in the layers behind
    front = CUTOUTS.depths(alone)[0] == 3 * UNIT
    assert front.any() and (depth[front] == 3 * UNIT).all()


def test_a_smooth_depth_has_no_steps() -> None:
    levels = SmoothDepth(4).levels(SmoothDepth(4).params((1, 2), np.arange(20), 0), 64, 48)
    assert levels.min() >= 0 and levels.max() == 255
    assert max(np.abs(np.diff(levels, axis=1)).max(), np.abs(np.diff(levels, axis=2)).max()) <= 40


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2)])
def test_images_of_a_pixel_or_a_row(size: tuple[int, int]) -> None:
    maker = replace(SMOOTH, height=size[0], width=size[1], channels=1)
    target = np.full((2, *size), 77, np.uint8)
    assert (maker.make_views(target, np.arange(2)) == 77).all()  # a flat image has no focus to lose


def test_no_samples_and_live_epochs() -> None:
    assert ELLIPSES.make_views(targets_of(ELLIPSES, 0), np.arange(0)).shape == (0, 2, 24, 20)
    empty = ELLIPSES.make_views(torch.from_numpy(targets_of(ELLIPSES, 0)), torch.arange(0))
    assert tuple(empty.shape) == (0, 2, 24, 20)
    live = replace(ELLIPSES, live=Augment(flip=True))
    targets = targets_of(live)
    assert np.array_equal(live.augmented(targets, SAMPLES, 0), targets)
    assert not np.array_equal(live.augmented(targets, SAMPLES, 5), targets)
    assert np.array_equal(ELLIPSES.augmented(targets, SAMPLES, 5), targets)
