"""Oracle: the first implementation, which visits every pixel of every plane (tests/synth/reference.py)."""

from __future__ import annotations

import os
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.synth import Overlays, OverlayViews, kernel
from fusionbench.synth.pasting import LaneBank, _span
from tests.synth.reference import paste

KERNELS = ("numpy", "numba") if kernel.installed() else ("numpy",)


def random_bank(random: np.random.Generator, m: int, h: int, w: int, channels: int) -> np.ndarray:
    """Cut-outs without any order in them, also at their edges: colours up to alpha."""
    alpha = random.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), (m, h, w, 1))
    colours = (random.random((m, h, w, channels)) * (alpha + 1.0)).astype(np.uint8)
    return np.concatenate([np.minimum(colours, alpha), alpha], 3)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_pastes_are_those_of_the_first_implementation(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    channels, most = data.draw(st.sampled_from([1, 3])), data.draw(st.integers(0, 4))
    h, w, height, width = (data.draw(st.integers(1, 9)) for _ in range(4))
    n, m = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    bank = random_bank(random, m, h, w, channels)
    images = random.integers(0, 256, (n, height, width, channels), np.uint8)
    params = np.zeros((n, 1 + 6 * most), np.int16)
    params[:, 0] = random.integers(0, most + 1, n)
    # centres outside the canvas, and the angles at which rows and columns do not change along a row
    limits = ((0, m), (-9, height + 9), (-9, width + 9), (0, 256), (1 - h, 9), (0, 2))
    for number in range(most):
        for field, (low, high) in enumerate(limits):
            params[:, 1 + 6 * number + field] = random.integers(low, high, n)
        if data.draw(st.booleans()):
            params[:, 4 + 6 * number] = data.draw(st.sampled_from([0, 64, 128, 192]))
    expected = paste(bank, images, params)
    lanes = LaneBank.of(bank)
    assert lanes is not None
    for together in (False, True):
        assert np.array_equal(lanes.paste(images, params, together), expected)
        tensor = lanes.paste(torch.from_numpy(images), torch.from_numpy(params), together)
        assert np.array_equal(tensor.numpy(), expected)
    if most:
        maker = OverlayViews("a", "train", 0, height, width, channels, 1, Overlays((0, most)), bank)
        for name in KERNELS:
            with mock.patch.dict(os.environ, {kernel.VARIABLE: name}):
                views = maker.make_views(images, np.arange(n), params=params[:, None])
            assert np.array_equal(views[:, 0], expected), name


@pytest.mark.parametrize("name", KERNELS)
def test_banks_with_colours_above_alpha_are_pasted_with_every_pixel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum of such a paste is above 255 and goes on into the next one; only the last is clipped."""
    monkeypatch.setenv(kernel.VARIABLE, name)
    random = np.random.default_rng(0)
    bank = random.integers(0, 256, (3, 5, 6, 2), np.uint8)
    assert LaneBank.of(bank) is None
    maker = OverlayViews("a", "train", 0, 12, 11, 1, 2, Overlays((3, 6), scale=2), bank)
    images, samples = random.integers(0, 256, (5, 12, 11), np.uint8), np.arange(5)
    params = maker.params(samples)
    expected = np.stack([paste(bank, images[..., None], params[:, view]) for view in range(2)], 1)[..., 0]
    assert np.array_equal(maker.make_views(images, samples), expected)
    assert np.array_equal(maker.make_views(torch.from_numpy(images), torch.from_numpy(samples)).numpy(), expected)


@pytest.mark.parametrize("which", [-1, 3, 30000])
@pytest.mark.parametrize("name", KERNELS)
def test_cutouts_that_are_not_there(name: str, which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernel.VARIABLE, name)
    bank = random_bank(np.random.default_rng(0), 3, 4, 4, 1)
    maker = OverlayViews("a", "train", 0, 8, 8, 1, 1, Overlays((1, 1)), bank)
    params = np.array([[[1, which, 4, 4, 0, 0, 0]]], np.int16)
    with pytest.raises(IndexError, match="not among 3"):
        maker.make_views(np.zeros((1, 8, 8), np.uint8), np.array([0]), params=params)


@given(st.integers(-60, 60), st.integers(-9, 9), st.integers(1, 40), st.integers(1, 12))
@settings(max_examples=300, deadline=None)
def test_spans_are_those_of_counting(at: int, step: int, limit: int, count: int) -> None:
    inside = [x for x in range(count) if -limit <= at + step * x < limit]
    arrays = np.array([at], np.int32), np.array([step], np.int32)
    found = [tuple(int(each[0]) for each in _span(*arrays, limit, count))]
    if kernel.installed():
        from fusionbench.synth import compiled

        found.append(compiled._span.py_func(at, step, limit, count))
    for start, stop in found:
        assert list(range(start, stop)) == inside


def test_lanes_are_planes_in_one_number() -> None:
    bank = np.array([10, 20, 30, 40], np.uint8).reshape(1, 1, 1, 4)
    lanes = LaneBank.of(bank)
    assert lanes is not None and lanes.lanes.dtype == np.int64 and lanes.lanes.shape == (25,)
    assert [hex(value) for value in lanes.lanes.tolist() if value] == [hex(10 | 30 << 16 | 20 << 32 | 40 << 48)]
    assert LaneBank.of(np.zeros((1, 2, 2, 3), np.uint8)) is None, "two colours have no lanes"
