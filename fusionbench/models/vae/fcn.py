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
from torch import Tensor

from fusionbench.core.types import Batch, Preset
from fusionbench.models.vae import presets
from fusionbench.models.vae.base import Noise, TopDown
from fusionbench.models.vae.baselines import CHANNELS, NOTES, BaselineConfig, BaselineFamily, Decoder
from fusionbench.models.vae.encoder import Encoding


class FCNConfig(BaselineConfig, frozen=True, kw_only=True):
    """Parameters of FCN and FCN+S, those of :class:`BaselineConfig`; ``latents`` and ``kl_warmup`` are unused."""

    model: ClassVar[str] = "fcn"


class FCN(BaselineFamily):
    """Deterministic baseline.

    :class:`FCNConfig` has the parameters; with ``skips`` it is FCN+S.

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
    PRESETS: ClassVar[Mapping[str, Preset]] = presets.create_presets(NOTES, channels=CHANNELS, latents=False)
    Config: ClassVar[type[FCNConfig]] = FCNConfig

    def build(self) -> None:
        super().build()
        self.decoder = Decoder(self.shape)

    def prepare(self, encoding: Encoding) -> Any:
        packing = encoding.packing
        return packing.max(encoding.views[0]), self.skip_features(encoding), packing.any

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
