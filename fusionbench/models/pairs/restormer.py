"""Transformer blocks for whole images: attention between channels, so that the cost is linear in the pixels.

Reference: Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022
(transposed attention, gated feed-forward); the cross attention takes its queries from another image, and the
base block is the plain-convolution variant that CDDFuse (Zhao et al., CVPR 2023) uses for low frequencies.
Input and output are (N,C,H,W) with any H and W.

    x ─ norm ─ attention ─ + ─ norm ─ gated feed-forward ─ + ─►        attention, per head of d = C/heads channels:
    └──────────────────────┘ └─────────────────────────────┘           softmax( t · q̂ k̂ᵀ ) v   with q̂, k̂ (d,HW)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.models.precision import at_least_float32


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every pixel of (N,C,H,W), with scale and shift."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, self.eps).movedim(-1, 1)


def channel_attention(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
    """Attention whose tokens are channels: q, k, v (N,C,H,W), temperature (heads,); returns (N,C,H,W).

    Queries and keys have unit length over the pixels. The d×d scores and their softmax are computed in float32
    whatever the activations are: in half precision a sum over all pixels of an image overflows.
    """
    shape, heads = q.shape, temperature.numel()
    q, k, v = (x.reshape(shape[0], heads, shape[1] // heads, -1) for x in (q, k, v))
    with torch.autocast(q.device.type, enabled=False):
        q, k = at_least_float32(q), at_least_float32(k)
        # dividing the d×d scores by the lengths spares two passes over whole feature maps, and their copies
        lengths = [x.norm(dim=-1, keepdim=True).clamp(min=1e-6) for x in (q, k)]
        cosines = q @ k.transpose(-2, -1) / lengths[0] / lengths[1].transpose(-2, -1)
        weights = (cosines * at_least_float32(temperature.view(heads, 1, 1))).softmax(dim=-1)
    result: Tensor = (weights.to(v.dtype) @ v).reshape(shape)
    return result


class TransposedAttention(nn.Module):
    """Self-attention between channels; 1×1 then 3×3 projections (depthwise, or full with ``depthwise=False``)."""

    def __init__(self, channels: int, heads: int, depthwise: bool = True) -> None:
        super().__init__()
        _check_heads(channels, heads)
        wide = 3 * channels
        self.temperature = nn.Parameter(torch.ones(heads))
        self.point = nn.Conv2d(channels, wide, 1, bias=False)
        self.local = nn.Conv2d(wide, wide, 3, padding=1, groups=wide if depthwise else 1, bias=False)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.local(self.point(x)).chunk(3, dim=1)
        result: Tensor = self.project(channel_attention(q, k, v, self.temperature))
        return result


class CrossAttention(nn.Module):
    """Channel attention with queries from one image and keys and values from another, added to the first.

    ``forward(x, other)``: both (N,C,H,W); returns x + attention. The last projection starts at zero, so that an
    untrained block is the identity and a second training phase begins where the first one ended.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        _check_heads(channels, heads)
        self.temperature = nn.Parameter(torch.ones(heads))
        self.norm = ChannelNorm(channels)
        self.norm_other = ChannelNorm(channels)
        self.query = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        )
        self.key_value = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1, bias=False),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels, bias=False),
        )
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        k, v = self.key_value(self.norm_other(other)).chunk(2, dim=1)
        result: Tensor = x + self.project(channel_attention(self.query(self.norm(x)), k, v, self.temperature))
        return result


class GatedFeedForward(nn.Module):
    """Per-pixel feed-forward net whose one half gates the other: GELU(a)·b after a 3×3 convolution.

    The 3×3 convolution is depthwise, or works on pairs of channels with ``paired=True``.
    """

    def __init__(self, channels: int, expansion: float, paired: bool = False) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.widen = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.local = nn.Conv2d(
            2 * hidden, 2 * hidden, 3, padding=1, groups=hidden if paired else 2 * hidden, bias=False
        )
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.local(self.widen(x)).chunk(2, dim=1)
        result: Tensor = self.project(F.gelu(gate) * value)
        return result


class RestormerBlock(nn.Module):
    """Pre-norm transposed attention and gated feed-forward, each with a skip: (N,C,H,W) → (N,C,H,W).

    45 256 parameters with 64 channels, 8 heads and expansion 2.
    """

    def __init__(self, channels: int, heads: int, expansion: float = 2.0) -> None:
        super().__init__()
        self.norm1, self.attention = ChannelNorm(channels), TransposedAttention(channels, heads)
        self.norm2, self.feed_forward = ChannelNorm(channels), GatedFeedForward(channels, expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        result: Tensor = x + self.feed_forward(self.norm2(x))
        return result


class BaseBlock(RestormerBlock):
    """The low-frequency block of CDDFuse: full 3×3 projections in the attention, expansion 1.

    363 016 parameters with 64 channels and 8 heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads, expansion=1.0)
        self.attention = TransposedAttention(channels, heads, depthwise=False)
        self.feed_forward = GatedFeedForward(channels, 1.0, paired=True)


def _check_heads(channels: int, heads: int) -> None:
    if heads < 1 or channels % heads:
        raise ValueError(f"{channels} channels cannot be split over {heads} attention heads")
