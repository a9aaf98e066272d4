"""The torchmetrics form: the same mean as the function, over batches, resets and copies."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.metrics import get_metric
from fusionbench.metrics.torchmetrics import FusionMetric
from tests.metrics.scenes import stacks


@pytest.mark.parametrize(("name", "count"), [("vif", 3), ("en", 1), ("psnr_target", 2)])
def test_mean_over_batches(name: str, count: int) -> None:
    tensors = [torch.from_numpy(stack) for stack in stacks(5)[:count]]
    metric = FusionMetric(name)
    for part in (slice(0, 2), slice(2, 5)):
        metric.update(*(tensor[part] for tensor in tensors))
    expected = get_metric(name).function(*tensors).mean()
    assert metric.compute() == pytest.approx(float(expected), rel=1e-13)
    assert metric.higher_is_better and metric.compute().dtype == torch.float64
    clone = pickle.loads(pickle.dumps(metric))  # our own object, as torchmetrics promises
    assert clone.compute() == metric.compute()
    metric.reset()
    metric.update(*(tensor[:1] for tensor in tensors))
    assert metric.compute() == pytest.approx(float(get_metric(name).function(*(t[:1] for t in tensors))[0]), rel=1e-15)


def test_unit_scale_and_channel_axis() -> None:
    tensors = [torch.from_numpy(stack.astype(np.float64) / 255)[:, None] for stack in stacks(2)]
    metric = FusionMetric("ssim", "cddfuse", scale=255.0)
    metric.update(*tensors)
    expected = get_metric("ssim", "cddfuse").function(*stacks(2)).mean()
    assert metric.compute() == pytest.approx(expected, rel=1e-6)


def test_forward_has_the_gradient_of_its_batch_and_the_sum_has_none() -> None:
    fused, a, b = (torch.from_numpy(stack.astype(np.float32) / 255) for stack in stacks(2))
    metric = FusionMetric("ssim", scale=255.0)
    assert metric.is_differentiable and not FusionMetric("en").is_differentiable
    leaf = fused.clone().requires_grad_()
    (found,) = torch.autograd.grad(metric(leaf, a, b), leaf)
    scaled = (255 * fused).requires_grad_()
    (expected,) = torch.autograd.grad(get_metric("ssim")(scaled, 255 * a, 255 * b).mean(), scaled)
    torch.testing.assert_close(found, 255 * expected)
    assert not metric.compute().requires_grad and not metric.total.requires_grad
    assert not FusionMetric("en", scale=255.0)(leaf).requires_grad


def test_refusals() -> None:
    with pytest.raises(UsageError, match="no torchmetrics form"):
        FusionMetric("nll")
    with pytest.raises(UsageError, match="luma"):
        FusionMetric("en").update(torch.zeros(2, 3, 8, 8))
