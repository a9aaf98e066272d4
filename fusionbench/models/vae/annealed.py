"""Annealed importance sampling: a second, tighter estimate of log p(y|X), to check the first one with.

The harness estimates log p(y|X) by the mean of K importance weights w(z), z ~ q(z|y), a lower bound in expectation that
is loose where few draws carry the weight. Annealing (Neal, "Annealed Importance Sampling", Statistics and Computing
2001; for generative models Wu et al., "On the Quantitative Analysis of Decoder-Based Generative Models", ICLR 2017)
moves the draws from q(z|y) to p(z|y,X) in small steps, by Hamiltonian Monte Carlo, and weighs every step. In the noise
ε of the posterior path z(ε) the densities on the way are N(ε; 0, 1) · w(z(ε))^t, t from 0 to 1: at t = 0 the draws are
exact, and without any step in between the estimate is the harness's own.

Step sizes are tuned on chains of their own and fixed then, so that the weights are unbiased; exp of them, that is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch
from fusionbench.models.vae import draws as _draws
from fusionbench.models.vae.base import Family, _log_ratio, _repeat

ACCEPTANCE = 0.65  # of proposals, which the step sizes are tuned to (Neal, "MCMC using Hamiltonian dynamics", 2011)
_FIRST_STEP, _CHANGE = 0.1, 1.1


class _Path:
    """log w(z(ε)) of ``rows`` rows of one batch, and its gradient; ε is one tensor (R,D) of all groups."""

    def __init__(self, model: Family, batch: Batch, chains: int) -> None:
        assert batch.target is not None
        self.model, self.rows = model, chains * len(batch)
        self.target = batch.target.repeat(chains, 1, 1, 1)
        with torch.no_grad():
            prepared = model.prepare(model.encoder(batch, with_target=True))
            self.prepared = prepared if chains == 1 else _repeat(prepared, chains)
            groups = model.top_down(self.prepared, self.rows, None, posterior=True).groups
        self.shapes = [z.shape[1:] for _, _, z in groups]
        self.size = sum(math.prod(shape) for shape in self.shapes)

    def log_weight(self, noise: Tensor) -> Tensor:
        """(R,D) -> (R,) float64 nats."""
        parts = noise.split([math.prod(shape) for shape in self.shapes], dim=1)
        tensors: list[Tensor] = [part.view(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]

        def given(index: int, shape: Sequence[int]) -> Tensor:
            return tensors[index]

        result = self.model.top_down(self.prepared, self.rows, given, posterior=True)
        log_prob: Tensor = self.model.output.log_prob(result.output, self.target)
        total: Tensor = log_prob + _log_ratio(result.groups)
        return total

    def energy(self, noise: Tensor, t: float) -> tuple[Tensor, Tensor, Tensor]:
        """−log of the density at ``t`` up to a constant (R,), its gradient (R,D), and log w (R,)."""
        with torch.enable_grad():
            free = noise.detach().requires_grad_()
            weight = self.log_weight(free)
            energy = 0.5 * free.square().sum(dim=1, dtype=torch.float64) - t * weight
            (gradient,) = torch.autograd.grad(energy.sum(), free)
        return energy.detach(), gradient, weight.detach()


def annealed_log_weights(
    model: Family, batch: Batch, *, steps: int = 100, chains: int = 4, leapfrog: int = 5, seed: int = 0
) -> Tensor:
    """(chains,N) float64 nats, whose log-mean-exp over chains estimates log p(y|X).

    Takes about ``2 · steps · (leapfrog + 1)`` passes of the decoder and back per chain; more steps are tighter.

    Args:
        batch: samples with targets, and the views that are given.
        steps: temperatures between q(z|y) and the posterior; 1 is plain importance sampling.
        leapfrog: gradient steps of a proposal.

    Raises:
        UsageError: a model without latents, or a number below 1.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.models.vae.annealed import annealed_log_weights
        >>> model = create_model("cvae", ImageSpec(channels=1, height=16, width=16, views=3), preset="tiny")
        >>> views, present = torch.rand(2, 3, 1, 16, 16), torch.ones(2, 3, dtype=torch.bool)
        >>> batch = Batch(views[:, 0], views, present, torch.arange(2))
        >>> tuple(annealed_log_weights(model, batch, steps=3, chains=2, leapfrog=1).shape)
        (2, 2)
    """
    if min(steps, chains, leapfrog) < 1:
        raise UsageError(f"steps={steps}, chains={chains}, leapfrog={leapfrog}: each must be at least 1")
    training = model.training
    model.eval()
    try:
        path = _Path(model, batch, chains)
        if path.size == 0:
            raise UsageError(f"{model.title} has no latents: its likelihood is exact")
        sizes = torch.full((1, path.rows), _FIRST_STEP, dtype=torch.float64)
        tuned = _anneal(path, batch, steps, leapfrog, _draws.noise_key(seed, "tune"), sizes, tune=True)[1]
        return _anneal(path, batch, steps, leapfrog, _draws.noise_key(seed, "anneal"), tuned)[0].view(chains, -1)
    finally:
        model.train(training)


def _anneal(
    path: _Path, batch: Batch, steps: int, leapfrog: int, key: int, sizes: Tensor, tune: bool = False
) -> tuple[Tensor, Tensor]:
    """Log-weights (R,) of one run, and the step sizes (steps,R) that it had; ``tune`` changes them on the way."""
    chains = torch.arange(path.rows // len(batch), device=batch.ids.device).repeat_interleave(len(batch))
    ids = batch.ids.repeat(path.rows // len(batch))

    def normal(*words: int | str) -> Tensor:
        return _draws.normal(ids, chains, (path.size,), _draws.noise_key(key, *words))

    noise, total, used = normal("start"), torch.zeros(path.rows, dtype=torch.float64, device=ids.device), []
    size = sizes[0].to(ids.device)
    _, _, weight = path.energy(noise, 0.0)
    for step in range(1, steps + 1):
        total = total + weight / steps
        if step == steps:
            break
        if not tune:
            size = sizes[step - 1].to(ids.device)
        used.append(size)
        moved, moved_weight, accept = _propose(path, noise, normal("momentum", step), step / steps, leapfrog, size)
        uniform = torch.special.ndtr(_draws.normal(ids, chains, (1,), _draws.noise_key(key, "accept", step))[:, 0])
        taken = uniform.double() < accept
        noise = torch.where(taken[:, None], moved, noise)
        weight = torch.where(taken, moved_weight, weight)
        if tune:
            size = size * torch.where(accept > ACCEPTANCE, _CHANGE, 1 / _CHANGE)
    return total, torch.stack(used) if used else sizes


def _propose(
    path: _Path, noise: Tensor, momentum: Tensor, t: float, leapfrog: int, size: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A Hamiltonian proposal: noise (R,D), its log w (R,), and the probability (R,) of taking it."""
    scale = size[:, None].to(noise.dtype)
    energy, gradient, weight = path.energy(noise, t)
    start = energy + 0.5 * momentum.square().sum(dim=1, dtype=torch.float64)
    for _ in range(leapfrog):
        momentum = momentum - 0.5 * scale * gradient
        noise = noise + scale * momentum
        energy, gradient, weight = path.energy(noise, t)
        momentum = momentum - 0.5 * scale * gradient
    end = energy + 0.5 * momentum.square().sum(dim=1, dtype=torch.float64)
    accept = torch.exp((start - end).clamp(max=0.0))
    return noise, weight, torch.where(torch.isfinite(end), accept, torch.zeros_like(accept))
