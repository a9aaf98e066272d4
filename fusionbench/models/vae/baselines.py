"""What FCN and CVAE, the baselines of FusionVAE, have in common: a decoder without latents, and skip connections."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionbench.models.vae.base import Family, FamilyConfig
from fusionbench.models.vae.cells import DecoderCell
from fusionbench.models.vae.encoder import Encoding, Shape

NOTES = ("within 5 % of FusionVAE's 0.672 M", "within 5 % of 18.37 M", "within 5 % of 18.34 M")
CHANNELS = (9, 34)  # FusionMNIST, and the other two


class BaselineConfig(FamilyConfig, frozen=True, kw_only=True):
    """Parameters of FCN and CVAE: those of :class:`FamilyConfig`, and one.

    Attributes:
        skips: the decoder also sees the views; None is what the model's name says.
    """

    skips: bool | None = None


class BaselineFamily(Family):
    """A model with one state, or one latent, at the coarsest resolution."""

    Config: ClassVar[type[BaselineConfig]] = BaselineConfig
    config: BaselineConfig
    skips: bool = False

    def build(self) -> None:
        if self.config.skips is not None:
            self.skips = self.config.skips

    def skip_features(self, encoding: Encoding) -> list[Tensor]:
        """Maxima over the views of their last feature of every resolution, (N,C,h,w), coarsest first; or none."""
        return [encoding.packing.max(feature) for feature in encoding.scales] if self.skips else []


class Decoder(nn.Module):
    """FusionVAE's decoder tower without latents: per scale its cells, an up cell between scales."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.scales, self.ups = nn.ModuleList(), nn.ModuleList()
        width = shape.top
        for scale, count in enumerate(shape.groups[::-1]):
            cells = (count - (scale == 0)) * shape.cells  # FusionVAE's first group has no cells
            self.scales.append(nn.Sequential(*(DecoderCell(width, 6) for _ in range(cells))))
            if scale < len(shape.groups) - 1:
                self.ups.append(DecoderCell(width, 6, up=True))
                width //= 2

    def forward(self, state: Tensor, post: nn.Sequential, skips: list[Tensor], has_views: Tensor) -> Tensor:
        """Coarsest state (R,C,h,w) -> full-size features; ``skips`` per resolution, coarsest first, or empty."""
        blocks = [*self.ups, *_split_at_ups(post)]
        for index in range(len(blocks) + 1):
            if index:
                state = blocks[index - 1](state)
            if skips:
                merged = torch.maximum(state, skips[index])
                state = torch.where(has_views[:, None, None, None], merged, state)
            if index < len(self.scales):
                state = self.scales[index](state)
        return state


def _split_at_ups(post: nn.Sequential) -> list[nn.Module]:
    starts = [i for i, cell in enumerate(post) if isinstance(cell, DecoderCell) and cell.up]
    return [post[begin:end] for begin, end in zip(starts, [*starts[1:], len(post)], strict=True)]
