"""How the features of a variable number of views become the parameters of a prior.

Every rule is a module with ``prepare(packed, packing)``, which does what does not depend on
the decoder's state (once per image, shared by all draws), and ``forward(prepared, state)``.

    max-add   Conv(max_i f_i + e)      mean-add  Conv(mean_i f_i + e)      e = Conv1×1(state)
    max-all   Conv(max{f_i, e})        mean-all  Conv(mean{f_i, e})
    bayes-add aggregate_i(Conv1×1(f_i) + Conv1×1(state))
    bayes-all aggregate{Conv1×1(f_i), Conv1×1(state)}

Bayesian aggregation of normals N(μ_i, v_i) (Volpp et al., ICLR 2021; the product of experts) in its stable form:
with ℓ_i = −ln v_i, ln(1/v) = logsumexp ℓ_i and μ = Σ softmax(ℓ)_i μ_i. No division, no overflow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.core.errors import unknown_name
from fusionbench.models.precision import at_least_float32
from fusionbench.models.vae.cells import WNConv2d
from fusionbench.models.vae.encoder import Packing

Prepared = tuple[Tensor, Tensor]  # both with the samples as first dimension
LOG_VARIANCE_LIMIT = 10.0


def bayesian_aggregation(mean: Tensor, log_variance: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Means and log-variances (N,V,…), present (N,V) with at least one true -> mean and log-variance (N,…), float32."""
    mask = present.view(*present.shape, *[1] * (mean.dim() - 2))
    score = (-at_least_float32(log_variance).clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)).masked_fill(
        ~mask, -torch.inf
    )
    return (torch.softmax(score, dim=1) * at_least_float32(mean)).sum(dim=1), -torch.logsumexp(score, dim=1)


class _Pooled(nn.Module):
    """max/mean over features, with the projected state added or as one more member."""

    def __init__(self, channels: int, latents: int, first: bool, pool: str, member: bool) -> None:
        super().__init__()
        self.pool, self.member = pool, member
        self.conv = WNConv2d(channels, 2 * latents, 3)

    def prepare(self, packed: Tensor, packing: Packing) -> Prepared:
        pooled = packing.max(packed) if self.pool == "max" else packing.sum(packed)
        return pooled, packing.count.to(pooled.dtype)

    def forward(self, prepared: Prepared, projected: Tensor | None, state: Tensor | None) -> Tensor:
        pooled, count = prepared
        count = count[:, None, None, None]
        if projected is None or not self.member:
            if self.pool == "mean":
                pooled = pooled / count.clamp(min=1)
            joined = pooled if projected is None else pooled + projected
        elif self.pool == "mean":
            joined = (pooled + projected) / (count + 1)
        else:
            joined = torch.where(count > 0, torch.maximum(pooled, projected), projected)
        result: Tensor = self.conv(joined)
        return result


class _Bayesian(nn.Module):
    """Bayesian aggregation of per-view normals, the state shifting each of them or being one more."""

    def __init__(self, channels: int, latents: int, first: bool, member: bool) -> None:
        super().__init__()
        self.member, self.latents = member, latents
        self.from_view = WNConv2d(channels, 2 * latents, 1)
        self.from_state = None if first else WNConv2d(channels, 2 * latents, 1)

    def prepare(self, packed: Tensor, packing: Packing) -> Prepared:
        if len(packed) == 0:
            n, v = packing.present.shape
            return packed.new_zeros((n, v, 2 * self.latents, *packed.shape[2:])), packing.present
        return packing.pad(self.from_view(packed), 0.0), packing.present

    def forward(self, prepared: Prepared, projected: Tensor | None, state: Tensor | None) -> Tensor:
        views, present = prepared
        if state is not None and self.from_state is not None:
            own = self.from_state(state)[:, None]
            if self.member:
                views = torch.cat([views, own], dim=1)
                present = torch.cat([present, torch.ones_like(present[:, :1])], dim=1)
            else:  # without views the state alone gives the parameters
                empty = ~present.any(dim=1)
                views = torch.where(present[:, :, None, None, None], views, 0) + own
                present = present | empty[:, None]
        else:
            present = present | ~present.any(dim=1, keepdim=True)  # replaced by N(0, 1) by the caller
        mean, log_variance = views.chunk(2, dim=2)
        mean, log_variance = bayesian_aggregation(mean, log_variance, present)
        return torch.cat([mean, log_variance / 2], dim=1)  # σ = exp(ln v / 2)


AGGREGATIONS = ("max-add", "mean-add", "bayes-add", "max-all", "mean-all", "bayes-all")


def create_aggregation(name: str, channels: int, latents: int, first: bool) -> nn.Module:
    """The rule called ``name``; ``first`` for the group that has no decoder state yet.

    Raises:
        UsageError: unknown name.
    """
    if name not in AGGREGATIONS:
        raise unknown_name("aggregation", name, AGGREGATIONS)
    kind, _, place = name.partition("-")
    if kind == "bayes":
        return _Bayesian(channels, latents, first, member=place == "all")
    return _Pooled(channels, latents, first, kind, member=place == "all")
