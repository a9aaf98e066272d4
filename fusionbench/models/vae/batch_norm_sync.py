"""Sums over the processes of a run, with gradients; the identity for a process that runs alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.models.precision import at_least_float32


def processes() -> int:
    """Number of processes that train together."""
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    return 1 if alone else torch.distributed.get_world_size()


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum over processes, which gradients flow through."""
    if processes() == 1:
        return value
    from torch.distributed.nn.functional import all_reduce

    total: Tensor = all_reduce(value)
    return total


def synchronised_batch_norm(
    x: Tensor,
    running: tuple[Tensor, Tensor],
    affine: tuple[Tensor, Tensor],
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch normalisation of (N,C,H,W) with the statistics of the rows of all processes; N may be 0 or differ.

    Unlike torch's SyncBatchNorm it works on a CPU. ``running`` is updated in place in training.
    """
    if not training or processes() == 1:
        if len(x) == 0:
            return x
        return F.batch_norm(x, *running, *affine, training, momentum, eps)
    flat = at_least_float32(x)
    sums = torch.cat([flat.sum(dim=(0, 2, 3)), flat.square().sum(dim=(0, 2, 3)), flat.new_tensor([x[:, 0].numel()])])
    sums = sum_over_processes(sums)
    total, squares, count = sums[: x.shape[1]], sums[x.shape[1] : -1], sums[-1].clamp(min=1)
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=0)
    with torch.no_grad():
        seen = (sums[-1] > 0).to(mean.dtype)  # no rows anywhere leave the running values alone
        running[0].lerp_(mean, momentum * seen)
        running[1].lerp_(variance * count / (count - 1).clamp(min=1), momentum * seen)
    scale = affine[0] * torch.rsqrt(variance + eps)
    shift = affine[1] - mean * scale
    return (flat * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)).to(x.dtype)
