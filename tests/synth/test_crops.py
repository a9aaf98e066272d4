"""Crops and flips: inside the picture, alike for both views, the same from NumPy and torch; a known answer."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.synth import CropFlip

GOLDEN = [[51, 35, 1, 0], [52, 39, 0, 1], [10, 45, 0, 1]]  # worked out by hand from NumPy's Philox


def crops(height: int, width: int, horizontal: bool = True, vertical: bool = True, seed: int = 0) -> CropFlip:
    return CropFlip("made", "train", seed, height, width, horizontal, vertical)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_numpy_and_torch_cut_the_same_from_both_views(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    law = crops(height, width, data.draw(st.booleans()), data.draw(st.booleans()), data.draw(st.integers(0, 1 << 52)))
    sides = np.array(
        data.draw(st.lists(st.tuples(st.integers(height, 9), st.integers(width, 9)), min_size=1, max_size=5)), np.int64
    )
    samples = np.array([data.draw(st.integers(0, 1 << 40)) for _ in sides], np.int64)
    epoch = data.draw(st.integers(0, 5))
    # view 1 is view 0 shifted by one level, so that a crop of it tells whether it came from the same place
    first = [np.arange(h * w, dtype=np.uint8).reshape(h, w) for h, w in sides]
    pairs = [np.stack([view, view + 100]) for view in first]
    params = law.params(samples, sides[:, 0], sides[:, 1], epoch)
    assert (params[:, 0] >= 0).all() and (params[:, 0] + height <= sides[:, 0]).all()
    assert (params[:, 1] >= 0).all() and (params[:, 1] + width <= sides[:, 1]).all()
    made = law.cut(pairs, params)
    assert made.shape == (len(pairs), 2, height, width)
    assert np.array_equal(made[:, 1], made[:, 0] + 100)
    for crop, view in zip(made[:, 0], first, strict=True):
        assert set(crop.reshape(-1).tolist()) <= set(view.reshape(-1).tolist())
        assert len(set(crop.reshape(-1).tolist())) == crop.size  # every pixel once
    sizes = 2 * sides.prod(axis=1)
    there = [torch.from_numpy(value) for value in (samples, sides[:, 0].copy(), sides[:, 1].copy())]
    on_tensors = law.params(*there, epoch)
    assert np.array_equal(on_tensors.numpy(), params)
    flat = torch.from_numpy(np.concatenate([pair.reshape(-1) for pair in pairs]))
    gathered = law.gather(flat, torch.from_numpy(np.cumsum(sizes) - sizes), there[1], there[2], on_tensors)
    assert gathered.dtype == torch.uint8 and np.array_equal(gathered.numpy(), made)
    if epoch == 0:
        assert np.array_equal(params, np.stack([*(sides - (height, width)).T // 2, 0 * samples, 0 * samples], 1))


def test_known_answers() -> None:
    sides = np.full(3, 100)
    assert crops(32, 48).params(np.array([0, 1, 7]), sides, sides, 3).tolist() == GOLDEN


def test_places_and_flips_are_even() -> None:
    """Every one of 5 × 3 places and four orientations of 24,000 crops, within six standard deviations."""
    n = 24_000
    params = crops(4, 8).params(np.arange(n), np.full(n, 8), np.full(n, 10), 1)
    for column, count in enumerate((5, 3, 2, 2)):
        found = np.bincount(params[:, column], minlength=count)
        assert len(found) == count and np.abs(found - n / count).max() < 6 * np.sqrt(n / count)
    both = np.corrcoef(params.T)
    assert np.abs(both - np.eye(4)).max() < 6 / np.sqrt(n)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    law, sides = crops(4, 4), np.full(6, 50)
    together = law.params(np.arange(6), sides, sides, 2)
    for index in range(6):
        assert np.array_equal(law.params(np.array([index]), sides[:1], sides[:1], 2)[0], together[index])
    assert not np.array_equal(together, law.params(np.arange(6), sides, sides, 3))
    assert not np.array_equal(together, crops(4, 4, seed=1).params(np.arange(6), sides, sides, 2))
    assert (crops(4, 4, False, False).params(np.arange(6), sides, sides, 2)[:, 2:] == 0).all()
