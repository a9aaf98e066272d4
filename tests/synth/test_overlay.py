"""Oracle: pasting one cut-out after the other by the words of the law, in float64, to half a grey level a paste."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fusionbench.synth import Overlays, OverlayViews, arrays, overlay
from fusionbench.synth.augment import pad_edges, sample
from tests.synth.test_augment import picture


def bank(channels: int, m: int = 7, size: int = 12) -> np.ndarray:
    """Round cut-outs with soft edges, colours multiplied by alpha."""
    y, x = np.mgrid[0:size, 0:size] - (size - 1) / 2
    alpha = np.clip(255 * (size / 2 - np.hypot(y, x)), 0, 255).round()
    colours = picture(m, size, size, channels) * (alpha[None, ..., None] / 255)
    return np.concatenate([colours, np.broadcast_to(alpha[..., None], (m, size, size, 1))], -1).round().astype(np.uint8)


def maker(channels: int) -> OverlayViews:
    law = Overlays(count=(2, 5), scale=3)
    return OverlayViews("coil", "train", 0, 24, 20, channels, 3, law, bank(channels))


@pytest.mark.parametrize("channels", [1, 3])
def test_views_are_pastes_in_order(channels: int) -> None:
    make = maker(channels)
    targets, samples = picture(4, 24, 20, channels), np.array([0, 1, 7, 100])
    shaped = targets[..., 0] if channels == 1 else targets
    views = make.make_views(shaped, samples)
    params = make.params(samples)
    for i in range(4):
        for view in range(3):
            count, *rest = params[i, view].tolist()
            assert 2 <= count <= 5
            out = targets[i].astype(np.float64)
            for paste in range(count):
                which, row, column, angle, grow, flip = rest[6 * paste : 6 * paste + 6]
                assert 0 <= which < 7 and 0 <= row < 24 and 0 <= column < 20 and -3 <= grow <= 3 and flip in (0, 1)
                one = [np.array([value], np.int32) for value in (angle, grow, flip)]
                centre = np.array([[2 * row, 2 * column]], np.int32)
                planes = sample(pad_edges(make.bank), np.array([which]), centre, *one, 24, 20)
                front = np.stack(planes, 3)[0].astype(np.float64)
                out = front[..., :-1] + out * (1 - front[..., -1:] / 255)
            found = views[i, view][..., None] if channels == 1 else views[i, view]
            assert np.abs(found - out.clip(0, 255)).max() <= 0.5 * count + 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_tensors_and_batches_give_the_same_bytes(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make = maker(channels)
    targets, samples = picture(9, 24, 20, channels), np.arange(50, 59)
    targets = targets[..., 0] if channels == 1 else targets
    views = make.make_views(targets, samples, 2)
    assert views.shape == (9, 3, *targets.shape[1:]) and views.dtype == np.uint8
    tensors = torch.from_numpy(targets), torch.from_numpy(samples)
    assert np.array_equal(make.make_views(*tensors, 2).numpy(), views)
    assert np.array_equal(make.make_views(targets[4:6], samples[4:6], 2), views[4:6])
    monkeypatch.setattr(overlay, "_CHUNK", 2 * 24 * 20 * channels)
    monkeypatch.setattr(overlay, "_CHUNK_TENSOR", 4 * 24 * 20 * channels)
    assert np.array_equal(make.make_views(targets, samples, 2), views)
    assert np.array_equal(make.make_views(*tensors, 2).numpy(), views)
    assert make.make_views(targets[:0], samples[:0]).shape == (0, 3, *targets.shape[1:])


def test_tensors_in_memory_are_left_to_the_code_for_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "cpu_tensors_by_numpy", True)
    make, targets, samples = maker(3), picture(5, 24, 20, 3), np.arange(5)
    wanted = make.make_views(targets, samples, 2)
    monkeypatch.setattr(overlay, "is_tensor", lambda value: isinstance(value, torch.Tensor) and pytest.fail("asked"))
    made = make.make_views(torch.from_numpy(targets), torch.from_numpy(samples), 2)
    assert isinstance(made, torch.Tensor) and np.array_equal(made.numpy(), wanted)


def test_coverage_counts_what_is_still_seen() -> None:
    """Black cut-outs over white: what is still at least half white is seen."""
    make = maker(1)
    black = make.bank.copy()
    black[..., 0] = 0
    samples = np.arange(30)
    views = replace(make, bank=black).make_views(np.full((30, 24, 20), 255, np.uint8), samples)
    seen = np.maximum.accumulate(views >= 128, axis=1).sum(axis=(0, 2, 3))
    assert make.covered(make.params(samples)) == seen.tolist()


def test_the_number_of_pastes_is_even() -> None:
    counts = np.bincount(maker(1).params(np.arange(4000))[..., 0].ravel(), minlength=6)
    assert counts[:2].sum() == 0 and np.abs(counts[2:] - 3000).max() < 5 * np.sqrt(3000)
