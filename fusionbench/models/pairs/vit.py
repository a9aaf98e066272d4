"""A vision transformer with a full-size feature map as output.

Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021 (pre-norm blocks, learned position table).

    (N,C,H,W) ─ P×P patches → D ─ + positions ─ blocks × {norm, attention, +, norm, MLP, +} ─ norm ─ linear ─ shuffle ─►
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.models.pairs.padding import pad_to_multiple


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and GELU MLP over tokens (N,T,D)."""

    def __init__(self, width: int, heads: int, expansion: int = 4) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"{width} channels cannot be split over {heads} attention heads")
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        q, k, v = self.qkv(self.norm1(tokens)).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, width)
        tokens = tokens + self.project(attended)
        result: Tensor = tokens + self.narrow(F.gelu(self.widen(self.norm2(tokens))))
        return result


class PatchTransformer(nn.Module):
    """Vision transformer on feature maps: (N,C,H,W) → (N,C,H,W) for any H and W.

    Sizes that are no multiple of ``patch`` are reflect-padded and cropped back; the ``grid``×``grid`` position table is
    resized bilinearly to the number of patches.
    """

    def __init__(
        self, channels: int, width: int = 256, blocks: int = 4, heads: int = 8, patch: int = 8, grid: int = 16
    ) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.positions = nn.Parameter(torch.empty(1, width, grid, grid))
        nn.init.normal_(self.positions, std=0.02)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.unembed = nn.Linear(width, channels * patch * patch)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        patches = self.embed(pad_to_multiple(x, self.patch))
        rows, columns = patches.shape[-2:]
        positions: Tensor = self.positions
        if positions.shape[-2:] != (rows, columns):
            positions = F.interpolate(positions, (rows, columns), mode="bilinear", align_corners=False)
        tokens = self.norm(self.blocks((patches + positions).flatten(2).transpose(1, 2)))
        pixels = self.unembed(tokens).transpose(1, 2).unflatten(2, (rows, columns))
        return F.pixel_shuffle(pixels, self.patch)[..., :height, :width]
