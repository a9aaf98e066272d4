"""Where the random numbers of a degradation lie, and that whole numbers are even."""

from __future__ import annotations

import numpy as np
import torch

from fusionbench.synth.degradations.draws import PARAMETERS, Draws, between
from fusionbench.synth.random import stream_key, uint16_outputs, uint64_outputs


def test_random_numbers_lie_where_they_are_said_to() -> None:
    """By blocks of Philox: sample·2^24 + run blocks of sixteen, whatever is drawn beside them."""
    key, samples = stream_key("shift/1", "made", "all", 0), np.array([3, 1, 1 << 30])
    draws = Draws(key, samples, 7, np.zeros(1))
    drawn = draws.pixels(1000, plane=2)
    for row, sample in zip(drawn, samples, strict=True):
        runs = np.arange(4) + (int(sample) << 24)
        expected = uint16_outputs(uint64_outputs(key, runs, 16, view=2, epoch=7)).reshape(-1)[:1000]
        assert np.array_equal(row, expected)
    assert np.array_equal(draws.parameters(5, 1)[1], draws.part(slice(1, 2)).parameters(300, 1)[0, :5])
    first = uint16_outputs(uint64_outputs(key, samples << 24, 16, view=1, epoch=7, purpose=PARAMETERS))
    assert np.array_equal(draws.parameters(5, 1), first[:, :5])
    on_tensors = Draws(key, samples, 7, torch.zeros(1)).pixels(1000, plane=2)
    assert np.array_equal(on_tensors.numpy(), drawn)


def test_whole_numbers_are_even() -> None:
    counts = np.bincount(between(np.arange(1 << 16), -3, 3) + 3)
    assert len(counts) == 7 and counts.max() - counts.min() <= 1
