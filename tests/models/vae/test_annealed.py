"""Annealed importance sampling where the likelihood is known, and against the plain estimate."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch
from fusionbench.models import create_model
from fusionbench.models.vae.annealed import annealed_log_weights
from fusionbench.models.vae.base import Family, TopDown
from fusionbench.models.vae.normal import DiagonalNormal
from tests.helpers.learning import SPEC, batch_of

SPREAD = 0.5  # of y = z + noise, with z ~ N(0, 1)


class Linear(torch.nn.Module):
    """Two groups of 2×2 latents, y = z₁ + z₂ + noise in two places; q is too wide for the first group and shifted."""

    title = "linear"

    def __init__(self) -> None:
        super().__init__()
        self.output = SimpleNamespace(
            log_prob=lambda mean, y: Normal(mean, SPREAD).log_prob(y).sum(dim=(1, 2, 3), dtype=torch.float64)
        )

    def encoder(self, batch: Batch, with_target: bool) -> Tensor:
        assert batch.target is not None
        return batch.target

    def prepare(self, encoding: Tensor) -> Tensor:
        return encoding

    def top_down(self, prepared: Tensor, rows: int, noise: Any, posterior: bool) -> TopDown:
        groups, left = [], prepared
        zero = torch.zeros_like(prepared)
        for index in range(2):
            prior = DiagonalNormal(zero, zero + 1)
            q = DiagonalNormal(0.3 * left + 0.2, zero + 0.9)
            z = q.mean if noise is None else q.sample(noise(index, q.mean.shape[1:]))
            groups.append((prior, q, z))
            left = left - z
        return TopDown(prepared - left, groups)


def samples(count: int) -> Batch:
    target = 2 * torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(3))
    views = torch.zeros(count, 1, 1, 2, 2)
    return Batch(target, views, torch.ones(count, 1, dtype=torch.bool), torch.arange(count))


def log_mean(weights: Tensor) -> Tensor:
    return torch.logsumexp(weights, dim=0) - math.log(len(weights))


def test_a_known_likelihood_is_found_where_importance_weights_are_far_off() -> None:
    model: Any = Linear()
    batch = samples(40)
    assert batch.target is not None
    exact = Normal(0.0, math.sqrt(2 + SPREAD**2)).log_prob(batch.target).sum(dim=(1, 2, 3), dtype=torch.float64)
    plain = log_mean(annealed_log_weights(model, batch, steps=1, chains=32))
    annealed = log_mean(annealed_log_weights(model, batch, steps=100, chains=32, leapfrog=3))
    assert float((exact - plain).mean()) > 0.3  # a lower bound in expectation
    assert abs(float((exact - annealed).mean())) < 0.08  # four deviations
    assert float((exact - annealed).abs().max()) < 0.5 < float((exact - plain).abs().max())


def test_one_step_is_the_plain_estimate() -> None:
    """The mean of the weights of fresh draws, as the harness takes it."""
    torch.manual_seed(0)
    model, batch = create_model("fusionvae", SPEC, "tiny").eval(), batch_of(3)
    assert isinstance(model, Family)
    ours = annealed_log_weights(model, batch, steps=1, chains=64)
    theirs = model.log_weights(batch, 64, seed=1)
    deviation = theirs.std(dim=0) * math.sqrt(2 / 64)
    assert ((ours.mean(dim=0) - theirs.mean(dim=0)).abs() < 4 * deviation).all()
    assert torch.equal(ours, annealed_log_weights(model, batch, steps=1, chains=64)), "a function of the seed"
    assert not torch.equal(ours, annealed_log_weights(model, batch, steps=1, chains=64, seed=1))


def test_what_it_cannot_do_is_one_line() -> None:
    model = create_model("fcn", SPEC, "tiny").train()
    assert isinstance(model, Family)
    with pytest.raises(UsageError, match="FCN has no latents: its likelihood is exact"):
        annealed_log_weights(model, batch_of(2))
    assert model.training, "as it was"
    with pytest.raises(UsageError, match="steps=0"):
        annealed_log_weights(model, batch_of(2), steps=0)
