"""Diagonal normal distributions with bounded parameters (NVAE's parametrisation), in float32.

μ = 5·tanh(m/5),  σ = exp(5·tanh(s/5)) + 0.01, so that σ stays within [0.0167, 148.4] and no KL can blow up.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fusionbench.models.precision import at_least_float32

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def _soft_clamp(x: Tensor) -> Tensor:
    return 5 * torch.tanh(x / 5)


class DiagonalNormal(NamedTuple):
    """``mean`` and ``scale`` (N,z,H,W), float32."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def from_raw(cls, raw: Tensor, temperature: float = 1.0) -> DiagonalNormal:
        """From raw parameters (N,2z,H,W): the first half is the mean, the second the log-scale."""
        mean, log_scale = at_least_float32(raw).chunk(2, dim=1)
        return cls(_soft_clamp(mean), temperature * (torch.exp(_soft_clamp(log_scale)) + 0.01))

    def standard_where(self, absent: Tensor) -> DiagonalNormal:
        """The same distribution, but N(0, 1) for the rows where ``absent`` (N,) is true."""
        row = absent[:, None, None, None]
        return DiagonalNormal(self.mean.masked_fill(row, 0.0), self.scale.masked_fill(row, 1.0))

    def sample(self, noise: Tensor) -> Tensor:
        """μ + σ·noise."""
        return self.mean + self.scale * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """Element-wise log-density in nats."""
        return -0.5 * ((z - self.mean) / self.scale).square() - self.scale.log() - _HALF_LOG_2PI

    def kl(self, prior: DiagonalNormal) -> Tensor:
        """KL(self ‖ prior) in nats, summed over everything but the rows: (N,)."""
        shift, ratio = (self.mean - prior.mean) / prior.scale, self.scale / prior.scale
        return (0.5 * (shift.square() + ratio.square()) - 0.5 - ratio.log()).sum(dim=(1, 2, 3))
