"""FusionVAE+: an extension of FusionVAE with the same cells and the same number of parameters (within 5 %).

    h ─► [+ context] ─► [z_1] ─► [+ context] ─► cells ─► [z_2] ─► … ─► post-processing ─► [+ pixels] ─► cell ─► p(y|z,X)

Where FusionVAE's generator sees the views only through z, here it sees them directly:

* before the cells of every group, state ← state + A_l · pool_i f_l(x_i), A_l a 1×1 convolution that starts at zero;
* at full size, state ← state + B(max_i x_i, mean_i x_i, N/V), a two-layer convolution whose last layer starts at zero,
  and one more cell;
* views are pooled by a learned softmax: Σ_i softmax_i(τ·f_i + a(f_i))·f_i per channel and pixel, between the mean and
  the maximum;
* none of this adds anything to a sample without views, and in training the decoder does not see the views of a share of
  the samples that have some (``hide``), while their prior does;
* trained with a number of views per image, averaged weights, and batch statistics measured again at the end.

Why some views are hidden, and why the posterior is q(z|y) and not a change of the prior on views and target: without
views the model is a plain VAE, whose latents have to hold the whole target. FusionVAE learns that from every sample,
as its q(z|y) and p(y|z) know nothing of the views. A decoder or a posterior that sees them leaves to the latents only
what the views lack, so that the case without any is learned from the quarter of the samples that have none.
docs/reproduction.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, LossTerms, Preset
from fusionbench.models.config import check_choice
from fusionbench.models.precision import at_least_float32
from fusionbench.models.vae import draws as _draws
from fusionbench.models.vae import presets
from fusionbench.models.vae.cells import DecoderCell, WNConv2d
from fusionbench.models.vae.encoder import Encoding, Packing
from fusionbench.models.vae.fusionvae import FusionVAE, FusionVAEConfig

PLUS_TRAINING = {"inputs": "per-image", "ema": 0.999, "reestimate": 200}


def zero_conv(cin: int, cout: int, size: int) -> nn.Conv2d:
    """A convolution whose weight and bias are initialised to zero, so that its branch adds nothing at the start.

    It has no weight norm, under which a zero weight would have no gradient.
    """
    conv = nn.Conv2d(cin, cout, size, padding=size // 2)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


class SoftmaxPool(nn.Module):
    """Σ_i softmax_i(τ·f_i + a(f_i))·f_i over the present views: (M,C,h,w) -> (N,C,h,w), zero without views.

    τ → 0 with a = 0 is the mean, a large τ the maximum. The softmax is float32.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.ones(channels))
        self.score = zero_conv(channels, channels, 1)

    def forward(self, packed: Tensor, packing: Packing) -> Tensor:
        if len(packed) == 0:
            return packing.sum(packed)
        score = packing.pad(at_least_float32(self.sharpness.view(-1, 1, 1) * packed + self.score(packed)), -torch.inf)
        score = score.masked_fill(~packing.any.view(-1, 1, 1, 1, 1), 0.0)
        weight = torch.softmax(score, dim=1) * packing.present[:, :, None, None, None]
        return (weight.to(packed.dtype) * packing.pad(packed, 0.0)).sum(dim=1)


class SoftmaxPrior(nn.Module):
    """The rule ``softmax-add``: Conv(pool_i f_i + e), in the interface of the other aggregations."""

    def __init__(self, channels: int, latents: int) -> None:
        super().__init__()
        self.pool, self.conv = SoftmaxPool(channels), WNConv2d(channels, 2 * latents, 3)

    def prepare(self, packed: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
        return self.pool(packed, packing), packing.count

    def forward(self, prepared: tuple[Tensor, Tensor], projected: Tensor | None, state: Tensor | None) -> Tensor:
        result: Tensor = self.conv(prepared[0] if projected is None else prepared[0] + projected)
        return result


class FusionVAEPlusConfig(FusionVAEConfig, frozen=True, kw_only=True):
    """Parameters of FusionVAE+: those of :class:`FusionVAEConfig`, and:

    Attributes:
        context: the decoder sees the views.
        pooling: ``softmax`` (learned) or ``max``.
        hide: share of the samples with views whose decoder does not see them in training, 0 to 1.

    Raises:
        UsageError: as :class:`FusionVAEConfig`, an unknown value, or a share outside 0..1.
    """

    model: ClassVar[str] = "fusionvae-plus"
    context: bool = True
    pooling: str = "softmax"
    hide: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.model, pooling=(self.pooling, ("softmax", "max")))
        if self.aggregation != "max-add":
            raise UsageError("fusionvae-plus pools by softmax or max; aggregation is a parameter of fusionvae")
        if not 0 <= self.hide <= 1:
            raise UsageError(f"hide={self.hide!r}: a share of the samples, from 0 to 1")


class FusionVAEPlus(FusionVAE):
    """FusionVAE with a decoder that sees the views.

    :class:`FusionVAEPlusConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("fusionvae-plus", ImageSpec(channels=3, height=16, width=16, views=3), preset="tiny")
        >>> batch = Batch(None, torch.rand(2, 3, 3, 16, 16), torch.ones(2, 3, dtype=torch.bool), torch.arange(2))
        >>> tuple(model.fuse(batch).shape), tuple(model.fuse(batch.with_inputs(1)).shape)  # three views, and one
        ((2, 3, 16, 16), (2, 3, 16, 16))
    """

    title = "FusionVAE+"
    reference: ClassVar[str] = "fusionbench; after FusionVAE, ECCV 2022"
    version: ClassVar[str] = "3"
    PRESETS: ClassVar[Mapping[str, Preset]] = presets.create_presets(
        ("within 5 % of 0.672 M", "within 5 % of 18.37 M", "within 5 % of 18.34 M"),
        training=PLUS_TRAINING,
        tiny_training={"ema": 0.98, "reestimate": 50},
    )
    Config: ClassVar[type[FusionVAEPlusConfig]] = FusionVAEPlusConfig
    config: FusionVAEPlusConfig
    last: nn.Module  # at full size, after the views' pixels

    def build(self) -> None:
        super().build()
        self._hidden: Tensor | None = None  # (N,) for the duration of one training step
        width, widths = self.shape.channels, [group.combine.out_channels for group in self._groups()]
        if self.config.pooling == "softmax":
            for group in self._groups():
                group.prior = SoftmaxPrior(group.combine.out_channels, self.latents)
        if self.config.context:
            self.enters = nn.ModuleList(zero_conv(channels, channels, 1) for channels in widths)
            self.pixels = nn.Sequential(
                WNConv2d(2 * self.spec.channels + 1, 2 * width, 3), nn.ELU(), zero_conv(2 * width, width, 3)
            )
            self.last = DecoderCell(width, 3)

    def loss(self, batch: Batch, group: str = "main", step: int = 0) -> LossTerms:
        """As :meth:`Family.loss`; the decoder does not see the views of a share ``hide`` of the samples."""
        self._hidden = self._choose_hidden(batch, step)
        try:
            return super().loss(batch, group, step)
        finally:
            self._hidden = None

    def _choose_hidden(self, batch: Batch, step: int) -> Tensor | None:
        """(N,) true where the decoder is not to see the views: a function of seed, step and sample alone."""
        if not self.config.context or self.config.hide == 0:
            return None
        key = _draws.noise_key(self.noise_seed, "hide", step)
        uniform = torch.special.ndtr(_draws.normal(batch.ids, torch.zeros_like(batch.ids), (1,), key).flatten())
        result: Tensor = uniform < self.config.hide
        return result

    def prepare(self, encoding: Encoding) -> Any:
        pooled, target, has_views = super().prepare(encoding)
        if not self.config.context:
            return pooled, target, has_views
        shown = has_views if self._hidden is None else has_views & ~self._hidden
        entering = [enter(features) for enter, (features, _) in zip(self.enters, pooled, strict=True)]
        return pooled, target, has_views, entering, self.pixels(self._pixels(encoding)), shown

    @staticmethod
    def _pixels(encoding: Encoding) -> Tensor:
        """(N,2C+1,H,W): maximum and mean of the present views on [-1,1], and the share of the views that is there."""
        packing, images = encoding.packing, 2 * encoding.images - 1
        count = packing.count.to(images.dtype).view(-1, 1, 1, 1)
        share = (count / packing.present.shape[1]).expand(-1, 1, *images.shape[-2:])
        return torch.cat([packing.max(images), packing.sum(images) / count.clamp(min=1), share], dim=1)

    def enter(self, index: int, state: Tensor, prepared: Any) -> Tensor:
        return self._add(state, prepared[3][index], prepared) if self.config.context else state

    def leave(self, features: Tensor, prepared: Any) -> Tensor:
        return self.last(self._add(features, prepared[4], prepared)) if self.config.context else features

    @staticmethod
    def _add(state: Tensor, context: Tensor, prepared: Any) -> Tensor:
        """The context where the decoder sees the views; elsewhere the state as it is, without even a bias."""
        result: Tensor = state + context * prepared[5][:, None, None, None]
        return result
