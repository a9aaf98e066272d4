"""Oracle: a brute-force loop over draws, images and pixels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
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


SHAPES = [
    ((2, 3, 1, 4, 4), (3, 4, 4)),  # no channel axis: it broadcasts
    ((2, 3, 1, 4, 4), (1, 1, 4, 4)),
    ((2, 3, 1, 4, 4), (3, 1, 4, 3)),
    ((3, 1, 4, 4), (3, 1, 4, 4)),
    ((0, 3, 1, 4, 4), (3, 1, 4, 4)),
    ((2, 3, 4, 4), (3, 4, 4)),
]


@pytest.mark.parametrize("kind", [np.zeros, torch.zeros])
@pytest.mark.parametrize(("samples", "target"), SHAPES, ids=["axis", "one", "size", "draw", "none", "grey"])
def test_other_shapes_are_refused(samples: tuple[int, ...], target: tuple[int, ...], kind: Any) -> None:
    for function in (mse_min, squared_errors):
        with pytest.raises(UsageError, match=r"^mse_min: expected samples \(K,N,C,H,W\) .*got shapes") as caught:
            function(kind(samples), kind(target))
        assert f"{samples} and {target}" in str(caught.value)


def test_other_types_are_refused() -> None:
    samples, target = np.zeros((2, 3, 1, 4, 4)), np.zeros((3, 1, 4, 4))
    for wrong in (samples.astype(np.uint8), samples.astype(bool), torch.zeros(samples.shape, dtype=torch.uint8)):
        with pytest.raises(UsageError, match=r"samples: dtype .* is not scored; divide by 255"):
            mse_min(wrong, target)
    with pytest.raises(UsageError, match="target: dtype int64 is not scored"):
        mse_min(samples, target.astype(np.int64))
    with pytest.raises(UsageError, match="samples: expected a NumPy array or a torch tensor, got list"):
        mse_min(samples.tolist(), target)
    for pair in ((samples, torch.from_numpy(target)), (torch.from_numpy(samples), target)):
        with pytest.raises(UsageError, match="mix NumPy arrays and torch tensors"):
            mse_min(*pair)
    with pytest.raises(UsageError, match="have nothing to score"):
        mse_min(samples[..., :0], target[..., :0])


def test_what_stays_allowed() -> None:
    """Decoders leave [0,1] a little, compute in half precision, and a set may be empty."""
    target = np.full((3, 1, 4, 4), 1.0)
    assert mse_min(np.full((1, 3, 1, 4, 4), 1.5), target).tolist() == [0.25] * 3
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert mse_min(torch.full((1, 3, 1, 4, 4), 1.5, dtype=dtype), torch.from_numpy(target)).tolist() == [0.25] * 3
    assert mse_min(np.zeros((2, 0, 1, 4, 4)), target[:0]).shape == (0,)


def test_registered() -> None:
    metric = get_metric("mse_min")
    assert metric.function is mse_min and metric.needs == "samples" and metric.better == "lower"
