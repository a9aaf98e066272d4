"""FusionVAE-Patch: FusionVAE+ without full resolution, for processors on which full resolution is what takes the time.

    views, target ─► patches of p×p pixels as channels ─► FusionVAE+'s hierarchy ─► Conv ─► patches back to pixels
    max_i x_i, mean_i x_i, N/V ─► two convolutions at full size ─────────────────────────(+)─► ELU ─► Conv ─► p(y|z,X)

FusionVAE halves the resolution twice before its first latent group, and most of the time of a small model goes into
those few channels at full size. Here a pixel-unshuffle (Shi et al., CVPR 2016, the other way round) takes their place:
the same latent groups with as many channels at the same resolutions. What the views show exactly is not to be blurred
by that, so that one path stays at full size: FusionVAE+'s convolutions of the views' pixels, added before the output.
docs/reproduction.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Preset
from fusionbench.models.config import Positive
from fusionbench.models.vae import presets
from fusionbench.models.vae.cells import WNConv2d
from fusionbench.models.vae.encoder import Shape
from fusionbench.models.vae.fusionvae_plus import FusionVAEPlus, FusionVAEPlusConfig, zero_conv


class FusionVAEPatchConfig(FusionVAEPlusConfig, frozen=True, kw_only=True):
    """Parameters of FusionVAE-Patch: those of :class:`FusionVAEPlusConfig`, where ``channels`` is the number of
    channels of patches, and:

    Attributes:
        patch: pixels of a patch's side.
        pixel_channels: channels at full size.

    Raises:
        UsageError: as :class:`FusionVAEPlusConfig`, or no context.
    """

    model: ClassVar[str] = "fusionvae-patch"
    patch: Positive = 4
    pixel_channels: Positive = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.context:
            raise UsageError("fusionvae-patch has its pixels from the context; without one use fusionvae-plus")

    @property
    def shape(self) -> Shape:
        return replace(super().shape, patch=self.patch)


class FusionVAEPatch(FusionVAEPlus):
    """FusionVAE+ on patches of pixels.

    :class:`FusionVAEPatchConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("fusionvae-patch", ImageSpec(channels=1, height=16, width=16, views=3), preset="tiny")
        >>> batch = Batch(None, torch.rand(2, 3, 1, 16, 16), torch.ones(2, 3, dtype=torch.bool), torch.arange(2))
        >>> tuple(model.sample(batch, n=4, seed=0).shape)
        (4, 2, 1, 16, 16)
    """

    title = "FusionVAE-Patch"
    version: ClassVar[str] = "1"
    PRESETS: ClassVar[Mapping[str, Preset]] = presets.create_patch_presets(FusionVAEPlus.PRESETS)
    Config: ClassVar[type[FusionVAEPatchConfig]] = FusionVAEPatchConfig
    config: FusionVAEPatchConfig

    def build(self) -> None:
        super().build()
        full, patch = self.config.pixel_channels, self.config.patch
        self.last = WNConv2d(self.shape.channels, full * patch**2, 3)
        self.pixels = nn.Sequential(
            WNConv2d(2 * self.spec.channels + 1, 2 * full, 3), nn.ELU(), zero_conv(2 * full, full, 3)
        )
        self.head = nn.Sequential(nn.ELU(), WNConv2d(full, self.output.channels, 3))

    def leave(self, features: Tensor, prepared: Any) -> Tensor:
        full = F.pixel_shuffle(self.last(F.elu(features)), self.config.patch)
        return self._add(full, prepared[4], prepared)
