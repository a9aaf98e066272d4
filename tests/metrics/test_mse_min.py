"""Oracle: a brute-force loop over draws, images and pixels."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from fusionbench.metrics import get_metric
from fusionbench.metrics.mse_min import mse_min, squared_errors


def brute_force(samples: np.ndarray, target: np.ndarray) -> list[float]:
    best = []
    for image in range(len(target)):
        errors = []
        for draw in samples[:, image]:
            total = 0.0
            for a, b in zip(draw.ravel().tolist(), target[image].ravel().tolist(), strict=True):
                total += (a - b) ** 2
            errors.append(total / draw.size)
        best.append(min(errors))
    return best


def test_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    samples = rng.uniform(size=(5, 3, 1, 6, 4)).astype(np.float32)
    target = rng.uniform(size=(3, 1, 6, 4)).astype(np.float32)
    expected = brute_force(samples, target)
    value = mse_min(samples, target)
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, expected, rtol=1e-7)
    np.testing.assert_allclose(mse_min(torch.from_numpy(samples), torch.from_numpy(target)), expected, rtol=1e-7)
    np.testing.assert_allclose(mse_min(samples[:1], target), squared_errors(samples, target)[0])


def test_falls_with_draws_and_is_zero_for_a_perfect_one() -> None:
    rng = np.random.default_rng(1)
    samples, target = rng.uniform(size=(8, 4, 3, 5, 5)), rng.uniform(size=(4, 3, 5, 5))
    values = [mse_min(samples[:k], target) for k in (1, 2, 4, 8)]
    assert all((b <= a).all() for a, b in itertools.pairwise(values))
    samples[3] = target
    assert np.array_equal(mse_min(samples, target), np.zeros(4))


def test_registered() -> None:
    metric = get_metric("mse_min")
    assert metric.function is mse_min and metric.needs == "samples" and metric.better == "lower"
