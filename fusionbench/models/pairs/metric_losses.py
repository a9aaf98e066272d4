"""What a fused image is scored by, in forms that have a gradient: for networks that are trained to score well.

Images are (N,1,H,W) in [0,1]; results are float32 whatever the precision of the network. The metrics have gradients
themselves (``get_metric("qabf")``, in float64, one value per image). These forms share their constants and masks, and
differ where networks learn better for it: sums over a batch, so that patches with little in them count little, and a
gradient in flat places, where metrics have none.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.metrics.qabf import GAMMA_ALPHA, GAMMA_G, KAPPA_ALPHA, KAPPA_G, SIGMA_ALPHA, SIGMA_G
from fusionbench.models.pairs.losses import torch_sobel
from fusionbench.models.precision import at_least_float32

_STILL = 1e-3  # Sobel strength, of [0,1], below which an edge has no direction to speak of: a quarter of a grey level
_TINY = 1e-8


def soft_qabf(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Q^{AB/F} (N,), 0..0.9748, with strengths √(s² + ε²), so that flat places have a gradient too, and with directions
    that differ by at most 90°, as those of edges do. The metric takes arctangents, for which 89° and −89° are 178°
    apart; climbing that one kept fewer edges, also by the metric's own count.

    Source: Xydeas, Petrović, Electron. Lett. 36, 2000.

    Example:
        >>> import torch
        >>> from fusionbench.models.pairs.metric_losses import soft_qabf
        >>> ramp = torch.linspace(0, 1, 16).expand(1, 1, 16, 16)
        >>> [round(soft_qabf(fused, ramp, ramp).item(), 3) for fused in (ramp, 1 - ramp, ramp.mT)]
        [0.975, 0.975, 0.0]
    """
    kept, edges = _kept_edges(fused, a, b)
    return kept / edges


def edge_ascent(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Where ``fused`` (N,1,H,W) would have to be brighter or darker for a higher :func:`soft_qabf`: its gradient times
    the sources' whole edge strength, so that its size does not follow from that of the image. Nothing flows back.
    """
    with torch.enable_grad():
        x = at_least_float32(fused.detach()).requires_grad_()
        kept, _ = _kept_edges(x, a.detach(), b.detach())
        (uphill,) = torch.autograd.grad(kept.sum(), x)
    return uphill


@torch.no_grad()
def scd_weights(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Where ``fused`` (N,1,H,W) would have to be brighter or darker for a higher SCD of each image, the gradient times
    the number of pixels, is one sum of the three images and 1 at every pixel: its weights (N,4,1,1), for
    :func:`combined`. Nothing flows back.
    """
    weights = torch.zeros(len(fused), 4, 1, 1, device=fused.device, dtype=at_least_float32(fused[:0]).dtype)
    for place, (source, other) in enumerate(((a, b), (b, a)), 1):
        rest, wanted = _centred(fused - other), _centred(source)
        size = rest.square().mean((-3, -2, -1)) + _TINY
        scale = (size * (wanted.square().mean((-3, -2, -1)) + _TINY)).rsqrt()
        pull = -(rest * wanted).mean((-3, -2, -1)) * scale / size  # ∂ corr / ∂rest = scale · wanted + pull · rest
        weights[:, 0, 0, 0] += pull
        weights[:, place, 0, 0] += scale
        weights[:, 3 - place, 0, 0] -= pull
        mean = (fused - other).mean((-3, -2, -1))
        weights[:, 3, 0, 0] -= scale * at_least_float32(source).mean((-3, -2, -1)) + pull * mean
    return weights


@torch.no_grad()
def combined(weights: Tensor, fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The sum of three images (N,1,H,W) and 1 by weights (N,4,1,1)."""
    of_fused, of_a, of_b, of_one = weights.split(1, 1)
    total: Tensor = of_fused * fused + of_a * a + of_b * b + of_one
    return total


def _kept_edges(fused: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Edge strength of both sources that ``fused`` keeps, and all of it: (N,) each."""
    (f_x, f_y), f_strength = _edges(fused)
    kept, edges = torch.zeros_like(f_x[:, 0, 0, 0]), torch.zeros_like(f_x[:, 0, 0, 0])
    for source in (a, b):
        (x, y), strength = _edges(source)
        ratio = torch.minimum(strength, f_strength) / torch.maximum(strength, f_strength)
        across, along = (f_x * y - f_y * x).abs(), (f_x * x + f_y * y).abs()
        angle = torch.atan2(across + _STILL**2, along + _STILL**2) * (2 / math.pi)  # 0..1 of a right angle
        size_kept = GAMMA_G * torch.sigmoid(KAPPA_G * (ratio - SIGMA_G))
        angle_kept = GAMMA_ALPHA * torch.sigmoid(KAPPA_ALPHA * (1 - angle - SIGMA_ALPHA))
        kept = kept + (size_kept * angle_kept * strength).sum((1, 2, 3))
        edges = edges + strength.sum((1, 2, 3))
    return kept, edges


def _edges(x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    across, down = torch_sobel(x)
    return (across, down), (across.square() + down.square() + _STILL**2).sqrt()


def pooled_spread(x: Tensor) -> Tensor:
    """Standard deviation of all pixels of a batch around the mean of their own image: a scalar."""
    return (_centred(x).square().mean() + _TINY).sqrt()


def pooled_frequency(x: Tensor) -> Tensor:
    """√(mean squared difference across + down) over a batch: a scalar."""
    x = at_least_float32(x)
    across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return (across.square().mean() + down.square().mean() + _TINY).sqrt()


def entropies(x: Tensor) -> Tensor:
    """Entropy (N,) in bits of grey levels 0..255 of images, where a pixel counts at both neighbouring levels, as much
    as it is near to them, and counts are averaged over five levels: a few thousand pixels say little about one level.

    Example:
        >>> import torch
        >>> from fusionbench.models.pairs.metric_losses import entropies
        >>> ramp = torch.linspace(0, 1, 4096).reshape(1, 1, 64, 64)
        >>> [round(value, 2) for value in entropies(torch.cat((ramp, 0.5 * ramp))).tolist()]
        [7.99, 7.01]
    """
    levels = 255 * at_least_float32(x).clamp(0, 1).flatten(1)
    below = levels.detach().floor().clamp(max=254)
    share = levels - below
    counts = torch.zeros(len(x), 256, dtype=levels.dtype, device=x.device)
    counts = counts.scatter_add(1, below.long(), 1 - share).scatter_add(1, below.long() + 1, share)
    spread = F.avg_pool1d(F.pad(counts[:, None] / levels.shape[1], (2, 2), mode="replicate"), 5, 1)[:, 0]
    return -(spread * (spread + _TINY).log2()).sum(1)


def pooled_scd(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """SCD, −2..2, of a batch: how much what the fused images have beyond either source resembles the other one, with
    covariances and variances summed over the batch before they are divided. Patches with little in them count little,
    as they do in the score of the image that they are cut from.

    Source: Aslantas, Bendes, AEU 69(12), 2015.
    """
    fused, a, b = _centred(fused), _centred(a), _centred(b)
    return _correlation(fused - b, a) + _correlation(fused - a, b)


def _centred(x: Tensor) -> Tensor:
    x = at_least_float32(x)
    return x - x.mean((-2, -1), keepdim=True)


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).mean() / ((x.square().mean() + _TINY) * (y.square().mean() + _TINY)).sqrt()


def shortfall(value: Tensor, wanted: Tensor) -> Tensor:
    """By what share ``value`` misses ``wanted`` (positive); 0 where it does not.

    Example:
        >>> import torch
        >>> from fusionbench.models.pairs.metric_losses import shortfall
        >>> shortfall(torch.tensor([3.0, 5.0]), torch.tensor(4.0)).tolist()
        [0.25, 0.0]
    """
    return (wanted - value).clamp(min=0) / wanted
