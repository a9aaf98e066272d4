"""FCN: a deterministic encoder-decoder, the simplest baseline of the FusionVAE paper (ECCV 2022, section 5.2).

    views ─► shared encoder ─► max over i of enc0(f(x_i)) ─► decoder cells ─► post-processing ─► p(y|X)
                               (no views: a trained tensor h)

The same stem, cells and decoder as FusionVAE, without latents; C is chosen so that the number of parameters is within
5 % of FusionVAE's. Read as p(y|X), the output has an exact likelihood, which the paper does not report: all
importance weights of an image are equal.

``skips=True`` is FCN+S: before every resolution of the decoder, state ← max(state, max_i f_i) element-wise, with f_i
the views' last feature of that resolution.

The paper's FCN without skips has the mean image's error as soon as it sees a view, a collapsed regression. Nothing
here enforces or prevents that; the batch size, the learning rate and the warm-up are FusionVAE's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fusionbench.core.types import Batch, ImageSpec, Preset
from fusionbench.models.vae import presets
from fusionbench.models.vae.base import Family, Noise, TopDown
from fusionbench.models.vae.cells import DecoderCell
from fusionbench.models.vae.encoder import Encoding, Shape


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


class FCN(Family):
    """Deterministic baseline.

    Parameters as in :class:`Family` (``latents`` and ``kl_warmup`` are unused), and:

    Args:
        skips: FCN+S.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("fcn", ImageSpec(channels=1, height=16, width=16, views=3), preset="tiny")
        >>> views, present = torch.rand(2, 3, 1, 16, 16), torch.ones(2, 3, dtype=torch.bool)
        >>> weights = model.log_weights(Batch(views[:, 0], views, present, torch.arange(2)), n=5, seed=0)
        >>> bool((weights == weights[0]).all())  # no latents, so all draws are equal and the likelihood is exact
        True
    """

    title = "FCN"
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "fusionmnist": Preset(
            presets.MNIST_MODEL | {"channels": 9}, presets.MNIST_TRAINING, "within 5 % of FusionVAE's 0.672 M"
        ),
        "fusionceleba": Preset(
            presets.CELEBA_MODEL | {"channels": 34, "output": "logistic-mixture"},
            presets.CELEBA_TRAINING,
            "within 5 % of 18.37 M",
        ),
        "fusiontless": Preset(presets.CELEBA_MODEL | {"channels": 34}, presets.TLESS_TRAINING, "within 5 % of 18.34 M"),
        "small": Preset(presets.SMALL_MODEL, presets.SMALL_TRAINING, presets.SMALL_NOTE),
        "tiny": Preset(presets.TINY_MODEL, presets.TINY_TRAINING, presets.TINY_NOTE),
    }
    skips = False

    def __init__(self, spec: ImageSpec, *, skips: bool | None = None, **params: Any) -> None:
        super().__init__(spec, **params)
        if skips is not None:
            self.skips = skips
        self.decoder = Decoder(self.shape)
        self._finish()

    def prepare(self, encoding: Encoding) -> Any:
        packing = encoding.packing
        skips = [packing.max(feature) for feature in encoding.scales] if self.skips else []
        return packing.max(encoding.views[0]), skips, packing.any

    def top_down(self, prepared: Any, rows: int, noise: Noise | None, posterior: bool) -> TopDown:
        context, skips, has_views = prepared
        state = torch.where(has_views[:, None, None, None], context, self.start.expand(rows, -1, -1, -1))
        return TopDown(self.head(self.decoder(state, self.post, skips, has_views)))

    def log_weights(self, batch: Batch, n: int, seed: int) -> Tensor:
        """(n,N) float64 nats: n equal rows of the exact log p(y|X)."""
        return super().log_weights(batch, 1, seed).expand(n, -1)


class FCNWithSkips(FCN):
    """FCN+S.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("fcn+s", ImageSpec(channels=1, height=16, width=16, views=3), preset="tiny")
        >>> batch = Batch(None, torch.rand(2, 3, 1, 16, 16), torch.ones(2, 3, dtype=torch.bool), torch.arange(2))
        >>> tuple(model.fuse(batch).shape)
        (2, 1, 16, 16)
    """

    title = "FCN+S"
    skips = True
