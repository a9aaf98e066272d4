"""CVAE: the conditional VAE with one latent space, a baseline of the FusionVAE paper (ECCV 2022, section 5.2).

    views ─► shared encoder ─► max over i of enc0(f(x_i)) ─ Conv3×3 ─► p(z|X)      (no views: N(0, I))
    target ─► the same encoder ─► enc0(f(y)) ─ Conv3×3 ─► q(z|y)
    z ─ Conv1×1 ─► decoder cells ─► post-processing ─► p(y|z)

One latent group at the coarsest resolution; everything else is FCN's and FusionVAE's. ``skips=True`` is CVAE+S, whose
decoder also sees the views: p(y|z,X).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fusionbench.core.types import Preset
from fusionbench.models.vae import presets
from fusionbench.models.vae.aggregation import create_aggregation
from fusionbench.models.vae.base import LatentFamily, Noise, TopDown
from fusionbench.models.vae.baselines import CHANNELS, NOTES, BaselineConfig, BaselineFamily, Decoder
from fusionbench.models.vae.cells import WNConv2d
from fusionbench.models.vae.encoder import Encoding
from fusionbench.models.vae.normal import DiagonalNormal


class CVAEConfig(BaselineConfig, frozen=True, kw_only=True):
    """Parameters of CVAE and CVAE+S, those of :class:`BaselineConfig`."""

    model: ClassVar[str] = "cvae"


class CVAE(BaselineFamily, LatentFamily):
    """Conditional VAE with one latent space.

    :class:`CVAEConfig` has the parameters; with ``skips`` it is CVAE+S.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("cvae", ImageSpec(channels=1, height=16, width=16, views=3), preset="tiny")
        >>> views, present = torch.rand(2, 3, 1, 16, 16), torch.ones(2, 3, dtype=torch.bool)
        >>> tuple(model.log_weights(Batch(views[:, 0], views, present, torch.arange(2)), n=5, seed=0).shape)
        (5, 2)
    """

    title = "CVAE"
    PRESETS: ClassVar[Mapping[str, Preset]] = presets.create_presets(NOTES, channels=CHANNELS)
    Config: ClassVar[type[CVAEConfig]] = CVAEConfig

    def build(self) -> None:
        super().build()
        del self.start  # z alone begins the decoder
        top = self.shape.top
        self.prior = create_aggregation("max-add", top, self.latents, first=True)
        self.posterior = WNConv2d(top, 2 * self.latents, 3)
        self.widen = WNConv2d(self.latents, top, 1)
        self.decoder = Decoder(self.shape)

    def balance_shares(self) -> list[float]:
        return [1.0]

    def prepare(self, encoding: Encoding) -> Any:
        packing = encoding.packing
        target = None if encoding.target is None else encoding.target[0]
        pooled = self.prior.prepare(encoding.views[0], packing)  # type: ignore[operator]
        return pooled, target, self.skip_features(encoding), packing.any

    def top_down(self, prepared: Any, rows: int, noise: Noise | None, posterior: bool) -> TopDown:
        pooled, target, skips, has_views = prepared
        prior = DiagonalNormal.from_raw(self.prior(pooled, None, None)).standard_where(~has_views)
        q = DiagonalNormal.from_raw(self.posterior(target)) if posterior else None
        chosen = prior if q is None else q
        z = chosen.mean if noise is None else chosen.sample(noise(0, chosen.mean.shape[1:]))
        state = self.widen(z)
        return TopDown(self.head(self.decoder(state, self.post, skips, has_views)), [(prior, q, z)])


class CVAEWithSkips(CVAE):
    """CVAE+S.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("cvae+s", ImageSpec(channels=1, height=16, width=16, views=3), preset="tiny")
        >>> batch = Batch(None, torch.rand(2, 3, 1, 16, 16), torch.ones(2, 3, dtype=torch.bool), torch.arange(2))
        >>> tuple(model.sample(batch, n=4, seed=0).shape)
        (4, 2, 1, 16, 16)
    """

    title = "CVAE+S"
    skips = True
