"""Averaged weights, measured statistics, guarded gradients: against their definitions, and through the loop."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fusionbench.training.averaging import GradientGuard, WeightAverage, gradient_norm, reestimate_statistics
from fusionbench.training.checkpoints import load_checkpoint, save_checkpoint
from fusionbench.training.loop import train
from tests.helpers.learning import MemoryDataset

DATA = MemoryDataset(train=32)


def test_average_of_weights() -> None:
    model = nn.Linear(2, 1, bias=False)
    model.weight.data.fill_(1.0)
    average = WeightAverage(model, decay=0.5)
    expected = 1.0
    for step in range(1, 6):
        model.weight.data.fill_(float(step))
        average.update(model)
        weight = 1 - min(0.5, (1 + step) / (10 + step))
        expected += weight * (step - expected)
    average.copy_to(model)
    torch.testing.assert_close(model.weight.data, torch.full((1, 2), expected))


def test_statistics_are_plain_means_over_the_batches() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3, momentum=0.05))
    model.eval()
    batches = [torch.randn(4, 3, 5, 5) * (i + 1) + i for i in range(7)]
    reestimate_statistics(model, len(batches), lambda index: model(batches[index]))
    norm: Any = model[0]
    torch.testing.assert_close(norm.running_mean, torch.stack([b.mean(dim=(0, 2, 3)) for b in batches]).mean(dim=0))
    torch.testing.assert_close(norm.running_var, torch.stack([b.var(dim=(0, 2, 3)) for b in batches]).mean(dim=0))
    assert norm.momentum == 0.05 and not model.training


def test_measuring_statistics_differentiates_by_inputs_and_keeps_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    fixed = model[0].bias
    assert fixed is not None
    fixed.requires_grad_(False)
    kept = []

    def run(index: int) -> None:
        image = torch.full((2, 1, 4, 4), float(index), requires_grad=True)
        (slope,) = torch.autograd.grad(model(image).square().sum(), image, create_graph=True)
        kept.append((slope.shape, model(image.detach()).requires_grad))

    with torch.no_grad():
        reestimate_statistics(model, 2, run)
    assert kept == [((2, 1, 4, 4), False)] * 2, "no graph without an input that asks for one"
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]
    assert all(p.grad is None for p in model.parameters())

    def fails(index: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        reestimate_statistics(model, 1, fails)
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]


def test_guard_leaves_out_extreme_steps_but_never_stands_still() -> None:
    guard = GradientGuard(4.0)
    assert not any(guard.skips(norm) for norm in [100.0, *[1.0] * 20])  # nothing to compare with at first
    assert guard.skips(5.0) and not guard.skips(3.9)
    assert [guard.skips(1000.0) for _ in range(4)] == [True, True, True, False]
    assert guard.skips(float("nan"))
    again = GradientGuard(4.0)
    again.restore(guard.state())
    assert again.state() == guard.state()


@pytest.mark.parametrize("norm", [math.inf, math.nan])
def test_a_norm_that_is_not_finite_is_in_no_checkpoint(norm: float, tmp_path: Path) -> None:
    """Squares of finite float32 gradients overflow. Three steps are skipped, the fourth is made and not recorded."""
    guard = GradientGuard(4.0)
    assert [guard.skips(norm) for _ in range(4)] == [True, True, True, False]
    assert guard.recent == [] and not guard.skips(1.0) and guard.recent == [1.0]
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    save_checkpoint(tmp_path, 1, model, {"main": optimizer}, {"guards": {"main": guard.state()}}, {})
    state, _ = load_checkpoint(tmp_path / "00000001", model, {"main": optimizer}, torch.device("cpu"))
    assert state["guards"]["main"] == {"recent": [1.0], "skipped": 0}


def test_norm_of_all_gradients() -> None:
    a, b, unused = (nn.Parameter(torch.zeros(n)) for n in (2, 1, 3))
    a.grad, b.grad = torch.tensor([2.0, 3.0]), torch.tensor([6.0])
    assert gradient_norm([a, b, unused]) == pytest.approx(7.0) and gradient_norm([unused]) == 0.0


def test_all_of_it_resumes_to_the_bit(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "preset": "tiny",
        "training": {"batch": 8, "epochs": 1, "ema": 0.9, "reestimate": 2, "guard": 4.0, "clip": 50.0},
    }

    def stop(step: int) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    train("fusionvae-plus", DATA, out=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        train("fusionvae-plus", DATA, out=tmp_path / "parts", on_step=stop, **settings)
    train("fusionvae-plus", DATA, out=tmp_path / "parts", **settings)
    whole, parts = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    last = load_file(tmp_path / "whole/checkpoint/00000004/weights.safetensors")
    assert not torch.equal(whole["encoder.stem.weight"], last["encoder.stem.weight"])  # the average, not the last
