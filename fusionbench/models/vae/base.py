"""Common base of FusionVAE and its baselines: the objective, its annealing, scoring by importance weights, sampling.

A subclass implements ``build`` (its layers), ``prepare`` (everything that does not depend on draws) and ``top_down``
(one pass of the decoder for a number of rows).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, ImageSpec, LossTerms, Preset
from fusionbench.models.config import Count, ModelConfig, Positive
from fusionbench.models.vae import draws as _draws
from fusionbench.models.vae.batch_norm_sync import processes, sum_over_processes
from fusionbench.models.vae.cells import DecoderCell, UpSkip, WNConv2d, fixed_weights
from fusionbench.models.vae.encoder import Encoder, Encoding, Shape
from fusionbench.models.vae.normal import DiagonalNormal
from fusionbench.models.vae.outputs import create_output
from fusionbench.models.vae.regularization import StabilityPenalty

Noise = Callable[[int, Sequence[int]], Tensor]  # (group, shape of one row) -> (R, *shape)
PENALTY_EVERY = 4  # the penalty is computed every 4th step with 4 times its weight: the same in expectation


@dataclass
class TopDown:
    """One pass: output parameters (R,…) and, per group, prior, posterior (None when generating) and latent."""

    output: Tensor
    groups: list[tuple[DiagonalNormal, DiagonalNormal | None, Tensor]] = field(default_factory=list)


class FamilyConfig(ModelConfig, frozen=True, kw_only=True):
    """Parameters of FusionVAE, CVAE and FCN.

    Attributes:
        channels: C, channels at full resolution.
        groups: groups per latent scale, finest first.
        cells: residual cells per group.
        blocks: pre- and post-processing blocks.
        block_cells: cells per such block.
        latents: channels of every latent group.
        output: ``bernoulli``, ``logistic-mixture``, or ``logistic-mixture-nvae`` for comparison with published numbers.
        regularise: λ of the spectral and batch-norm penalty.
        kl_warmup: share of training over which β rises linearly to 1.
        importance_draws, importance_share: for the last share of training, the loss is −log of the mean of so many
            importance weights, the bound that NLL measures (Burda et al., ICLR 2016), and no longer the ELBO.
        separate_norm: batch statistics of views and targets apart, instead of shared ones as the paper has.

    Raises:
        UsageError: a scale without groups.
    """

    channels: Positive = 8
    groups: tuple[int, ...] = (5, 2)
    cells: Count = 1
    blocks: Count = 2
    block_cells: Positive = 1
    latents: Positive = 10
    output: str = "bernoulli"
    regularise: float = 1e-2
    kl_warmup: float = 0.3
    importance_draws: Positive = 1
    importance_share: float = 0.1
    separate_norm: bool = False

    def __post_init__(self) -> None:
        if not self.groups or min(self.groups) < 1:
            raise UsageError(f"groups={list(self.groups)}: every latent scale needs at least one group")
        if not 0 < self.importance_share <= 1:
            raise UsageError(f"importance_share={self.importance_share!r}: a share of training, above 0 and at most 1")

    @property
    def shape(self) -> Shape:
        """The sizes that encoder and decoder share."""
        return Shape(self.channels, self.groups, self.cells, self.blocks, self.block_cells)


class Family(nn.Module):
    """Base of FusionVAE, CVAE and FCN; :class:`FamilyConfig` has the parameters.

    Args:
        spec: shape of the samples.
        **options: fields of ``Config``.

    Raises:
        UsageError: an unknown parameter or value, or an image size that the resolutions do not divide.
    """

    title: ClassVar[str]
    reference: ClassVar[str] = "FusionVAE: A Deep Hierarchical Variational Autoencoder for RGB Image Fusion, ECCV 2022"
    version: ClassVar[str] = "2"
    PRESETS: ClassVar[Mapping[str, Preset]]
    Config: ClassVar[type[FamilyConfig]] = FamilyConfig
    config: FamilyConfig
    shares: Tensor  # (L,)

    def __init__(self, spec: ImageSpec, **options: Any) -> None:
        super().__init__()
        self.config = config = self.Config.of(options)
        shape = config.shape
        if spec.height % shape.reduction or spec.width % shape.reduction:
            raise UsageError(
                f"Images of {spec.height}×{spec.width} cannot be halved {shape.reduction.bit_length() - 1} times; "
                f"use sizes that {shape.reduction} divides, or fewer blocks or groups"
            )
        self.spec, self.shape, self.latents = spec, shape, config.latents
        self.output = create_output(config.output, spec)
        self.encoder = Encoder(spec.channels, shape, config.separate_norm)
        self.start = nn.Parameter(
            torch.rand(shape.top, spec.height // shape.reduction, spec.width // shape.reduction)
        )  # h
        self.post = _post_processing(shape)
        self.head = nn.Sequential(nn.ELU(), WNConv2d(shape.channels, self.output.channels, 3))
        self.planned_steps: int | None = None
        self.noise_seed = 0
        self.build()
        # a part of the configuration and not of the weights; on the device, so that no step has to send it there
        self.register_buffer("shares", torch.tensor(self.balance_shares(), dtype=torch.float64), persistent=False)
        # last, since it is about the layers of the subclass too
        self.penalty = StabilityPenalty(self) if config.regularise > 0 else None

    def build(self) -> None:
        """Add the layers of a subclass; encoder, post-processing and head exist already."""
        raise NotImplementedError

    def prepare(self, encoding: Encoding) -> Any:
        """Nested tuples and lists of tensors with the N samples as first dimension."""
        raise NotImplementedError

    def top_down(self, prepared: Any, rows: int, noise: Noise | None, posterior: bool) -> TopDown:
        """Decode ``rows`` rows; without ``noise`` every latent is its distribution's mean."""
        raise NotImplementedError

    def match_state(self, names: Collection[str]) -> None:
        """Add the biases that up cells had in earlier versions where weights called ``names`` have them."""
        for name, layer in self.named_modules():
            if isinstance(layer, UpSkip) and layer.conv.bias is None and f"{name}.conv.bias" in names:
                layer.conv.bias = nn.Parameter(torch.zeros_like(layer.conv.log_norm[:, 0, 0, 0]))

    # training

    def plan(self, steps: int, seed: int) -> None:
        """Called by the training loop with the number of steps for the annealing and the seed of the noise."""
        self.planned_steps, self.noise_seed = steps, seed

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"main": list(self.parameters())}

    def beta(self, step: int) -> float:
        """KL weight: linear from 1e-4 to 1 over the first ``kl_warmup`` of training."""
        if not self.planned_steps or self.config.kl_warmup <= 0:
            return 1.0
        ramp = (step - 1e-4 * self.planned_steps) / (self.config.kl_warmup * self.planned_steps)
        return max(min(ramp, 1.0), 1e-4)

    def loss(self, batch: Batch, group: str = "main", step: int = 0) -> LossTerms:
        """−log p(y|z) + β Σ γ_l KL_l + λ·penalty, mean over the batch, in nats per image.

        Raises:
            UsageError: the data set has no targets.
        """
        if batch.target is None:
            raise UsageError(f"{self.title} learns from targets and this data set has none")
        prepared = self.prepare(self.encoder(batch, with_target=True))
        key = _draws.noise_key(self.noise_seed, "train", step)
        copies = self.draws_of_step(step)
        draws = torch.arange(copies, device=batch.ids.device).repeat_interleave(len(batch))
        rows = prepared if copies == 1 else _repeat(prepared, copies)
        result = self.top_down(rows, len(draws), _row_noise(batch.ids.repeat(copies), draws, key), posterior=True)
        log_prob = self.output.log_prob(result.output, batch.target.repeat(copies, 1, 1, 1))
        reconstruction = -log_prob.mean()
        total, log = reconstruction, {"reconstruction": reconstruction.detach()}
        if result.groups:
            beta = self.beta(step)
            kls = torch.stack([q.kl(p) for p, q, _ in result.groups if q is not None], dim=1).mean(dim=0)
            if copies > 1:
                weights = (log_prob + _log_ratio(result.groups)).view(copies, -1)
                total = math.log(copies) - torch.logsumexp(weights, dim=0).mean()
                log["bound"] = total.detach()
            else:
                balance = self._balance(_mean_over_processes(kls.detach())) if beta < 1 else torch.ones_like(kls)
                total = total + beta * (balance * kls).sum()
            log |= {"kl": kls.detach().sum(), "beta": torch.tensor(beta)}
            log |= {f"kl_{index}": kl for index, kl in enumerate(kls.detach())}  # in the order of the decoder
        log["elbo"] = reconstruction.detach() + (log["kl"] if result.groups else 0.0)
        if self.penalty is not None and step % PENALTY_EVERY == 0:
            penalty = self.penalty(first=step == 0)
            total = total + PENALTY_EVERY * self.config.regularise * penalty
            log["penalty"] = penalty.detach()
        return LossTerms(total.float(), log)

    def draws_of_step(self, step: int) -> int:
        """Draws of every sample in a training step: one, and ``importance_draws`` in the last part of training."""
        config, planned = self.config, self.planned_steps
        last = planned is not None and step >= planned - round(config.importance_share * planned)
        return config.importance_draws if last else 1

    def _balance(self, kls: Tensor) -> Tensor:
        """γ_l: groups with a larger KL than their resolution's share get a larger weight, so that none collapses."""
        share = self.shares.to(kls.dtype)
        scaled = (kls.abs() + 0.01) / (share / share.min())
        return scaled / scaled.mean()

    def balance_shares(self) -> list[float]:
        """4^s / G_s for every group, coarsest scale (s = 0) first."""
        return [4.0**s / count for s, count in enumerate(self.shape.groups[::-1]) for _ in range(count)]

    # scoring

    @contextlib.contextmanager
    def _scoring(self) -> Iterator[None]:
        training = self.training
        self.eval()
        try:
            with torch.no_grad(), fixed_weights(self):
                yield
        finally:
            self.train(training)

    def rows_per_pass(self, device: torch.device) -> int:
        """Decoder rows per pass: as many as fit into memory with several activations of 6C·H·W float32 each."""
        row = 4 * 6 * self.shape.channels * self.spec.height * self.spec.width * 4 // self.shape.patch**2
        if device.type == "cuda":
            return max(1, min(torch.cuda.mem_get_info(device)[0] // 4, 16 << 30) // row)
        return max(1, (48 << 20) // row)  # half and twice as much are 10 % slower (processor caches)

    def _passes(self, batch: Batch, n: int, seed: int, posterior: bool) -> Iterator[tuple[slice, TopDown]]:
        """Draws 0..n-1 of every sample in chunks; rows are draw-major."""
        prepared = self.prepare(self.encoder(batch, with_target=posterior))
        chunk = max(1, self.rows_per_pass(batch.views.device) // len(batch))
        key = _draws.noise_key(seed, "posterior" if posterior else "prior")
        for begin in range(0, n, chunk):
            count = min(chunk, n - begin)
            draws = torch.arange(begin, begin + count, device=batch.ids.device).repeat_interleave(len(batch))
            noise = _row_noise(batch.ids.repeat(count), draws, key)
            repeated = prepared if count == 1 else _repeat(prepared, count)
            yield slice(begin, begin + count), self.top_down(repeated, count * len(batch), noise, posterior)

    def log_weights(self, batch: Batch, n: int, seed: int) -> Tensor:
        """(n,N) float64 nats: log p(y|z) + Σ log p(z_l|X,z_<l) − Σ log q(z_l|y,z_<l) with z ~ q.

        The images are encoded once; only the decoder runs ``n`` times (eq. 15 of the paper's supplement).
        """
        assert batch.target is not None
        weights = torch.empty((n, len(batch)), dtype=torch.float64, device=batch.views.device)
        with self._scoring():
            for where, result in self._passes(batch, n, seed, posterior=True):
                count = where.stop - where.start
                log_weight = self.output.log_prob(result.output, batch.target.repeat(count, 1, 1, 1))
                weights[where] = (log_weight + _log_ratio(result.groups)).view(count, len(batch))
        return weights

    def fuse(self, batch: Batch) -> Tensor:
        """(N,C,H,W) in [0,1]: the mean image where every latent is its prior's mean."""
        with self._scoring():
            prepared = self.prepare(self.encoder(batch, with_target=False))
            return self.output.mean(self.top_down(prepared, len(batch), None, posterior=False).output)

    def reconstruct(self, batch: Batch) -> Tensor:
        """(N,C,H,W) in [0,1]: the mean image where every latent is the mean of the posterior given the target."""
        with self._scoring():
            prepared = self.prepare(self.encoder(batch, with_target=True))
            return self.output.mean(self.top_down(prepared, len(batch), None, posterior=True).output)


class LatentFamily(Family):
    """Base of the models with latents, which can be sampled."""

    def sample(self, batch: Batch, n: int, seed: int) -> Tensor:
        """(n,N,C,H,W) in [0,1]: mean images of draws from the prior path p(z|X)."""
        size = (self.spec.channels, self.spec.height, self.spec.width)
        images = torch.empty((n, len(batch), *size), device=batch.views.device)
        with self._scoring():
            for where, result in self._passes(batch, n, seed, posterior=False):
                images[where] = self.output.mean(result.output).view(-1, len(batch), *size)
        return images

    def posterior_of(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """Per group, in the order of the decoder, the posterior mean (N,z,h,w) and its KL to the prior (N,) in nats;
        every latent is the mean of its posterior."""
        with self._scoring():
            prepared = self.prepare(self.encoder(batch, with_target=True))
            groups = self.top_down(prepared, len(batch), None, posterior=True).groups
            return [(q.mean, q.kl(prior)) for prior, q, _ in groups if q is not None]


def _post_processing(shape: Shape) -> nn.Sequential:
    """From the finest latent resolution back to full size: P × [up cell, normal cells], expansion 3."""
    cells: list[nn.Module] = []
    width = shape.channels << shape.blocks
    for _ in range(shape.blocks):
        cells.append(DecoderCell(width, 3, up=True))
        width //= 2
        cells.extend(DecoderCell(width, 3) for _ in range(shape.block_cells - 1))
    return nn.Sequential(*cells)


def _log_ratio(groups: Sequence[tuple[DiagonalNormal, DiagonalNormal | None, Tensor]]) -> Tensor | float:
    """Σ log p(z_l|X,z_<l) − Σ log q(z_l|y,z_<l): (R,) float64 nats; 0 without groups."""
    total: Tensor | float = 0.0
    for prior, posterior, z in groups:
        assert posterior is not None
        total = total + (prior.log_prob(z) - posterior.log_prob(z)).sum(dim=(1, 2, 3), dtype=torch.float64)
    return total


def _mean_over_processes(value: Tensor) -> Tensor:
    return sum_over_processes(value) / processes()


def _row_noise(ids: Tensor, draws: Tensor, key: int) -> Noise:
    def noise(group: int, shape: Sequence[int]) -> Tensor:
        return _draws.normal(ids, draws, shape, _draws.noise_key(key, group))

    return noise


def _repeat(value: Any, count: int) -> Any:
    if isinstance(value, Tensor):
        return value.repeat(count, *[1] * (value.dim() - 1))
    if value is None:
        return None
    return type(value)(_repeat(part, count) for part in value)
