"""FusionVAE (Duffhauss, Vien, Ziesche, Neumann: "FusionVAE: A Deep Hierarchical Variational Autoencoder for RGB
Image Fusion", ECCV 2022, arXiv 2209.11277), after the configuration that the authors published.

    views x_1..x_N ─┐                        ┌─ f_l(x_i) ─ max over i ─(+ e_l)─ Conv_p ─► p(z_l | X, z_<l)
                    ├─ one shared encoder ───┤
    target y ───────┘                        └─ f_l(y) ────────────────(+ e_l)─ Conv_q ─► q(z_l | y, z_<l)

    h ─► [z_1] ─► cells ─► [z_2] ─► … ─► up cell ─► … ─► [z_L] ─► post-processing ─► p(y|z)
         [z_l]: state ← Conv1×1(concat(state, z_l)),  e_l = Conv1×1(state)

What differs from the text of the paper, and why:

* Groups are in the order of the authors' command lines (most groups at the finest latent resolution); table 6 of the
  supplement lists them the other way round. ``group_order="table"`` builds that one.
* The posterior is q(z|y) and not a residual of the prior: a residual on a prior that depends on X would not be q(z|y).
* p(z_l | no views) for l > 1 is Conv_p(e_l), and p(z_1 | no views) = N(0, I).
* The penalty is computed every fourth step with four times its weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fusionbench.core.types import Preset
from fusionbench.models.config import check_choice
from fusionbench.models.precision import at_least_float32
from fusionbench.models.vae import presets
from fusionbench.models.vae.aggregation import create_aggregation
from fusionbench.models.vae.base import FamilyConfig, LatentFamily, Noise, TopDown
from fusionbench.models.vae.cells import DecoderCell, WNConv2d
from fusionbench.models.vae.encoder import Encoding, Shape
from fusionbench.models.vae.normal import DiagonalNormal


class LatentGroup(nn.Module):
    """One latent group: its cells, the two distributions, and the convolution that merges the latent into the state."""

    def __init__(self, channels: int, latents: int, cells: int, first: bool, aggregation: str) -> None:
        super().__init__()
        self.cells = nn.Sequential(*(DecoderCell(channels, 6) for _ in range(0 if first else cells)))
        self.project = None if first else WNConv2d(channels, channels, 1)
        self.prior = create_aggregation(aggregation, channels, latents, first)
        self.posterior = WNConv2d(channels, 2 * latents, 3)
        self.combine = WNConv2d(channels + latents, channels, 1)


class FusionVAEConfig(FamilyConfig, frozen=True, kw_only=True):
    """Parameters of FusionVAE: those of :class:`FamilyConfig`, and its switches.

    Attributes:
        aggregation: how the views are aggregated in the prior: ``max-add`` (the paper's), ``mean-add``, ``bayes-add``,
            ``max-all``, ``mean-all`` or ``bayes-all``.
        group_order: ``code`` or ``table``.
        posterior: ``y``: q(z|y), the paper's; or ``xy``: q(z|X,y) from the maximum of the features of views and target.
        residual: the posterior's raw parameters are added to the prior's.

    Raises:
        UsageError: as :class:`FamilyConfig`, or an unknown value.
    """

    model: ClassVar[str] = "fusionvae"
    aggregation: str = "max-add"
    group_order: str = "code"
    posterior: str = "y"
    residual: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(
            self.model, group_order=(self.group_order, ("code", "table")), posterior=(self.posterior, ("y", "xy"))
        )

    @property
    def shape(self) -> Shape:
        shape = super().shape
        return shape if self.group_order == "code" else replace(shape, groups=shape.groups[::-1])


class FusionVAE(LatentFamily):
    """Hierarchical conditional VAE.

    :class:`FusionVAEConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("fusionvae", ImageSpec(channels=1, height=16, width=16, views=3), preset="tiny")
        >>> batch = Batch(None, torch.rand(2, 3, 1, 16, 16), torch.ones(2, 3, dtype=torch.bool), torch.arange(2))
        >>> tuple(model.sample(batch, n=4, seed=0).shape)  # four draws for each of two samples
        (4, 2, 1, 16, 16)
    """

    title = "FusionVAE"
    PRESETS: ClassVar[Mapping[str, Preset]] = presets.create_presets(
        ("the authors' command line; 0.672 M", "18.37 M parameters", "18.34 M parameters")
    )
    Config: ClassVar[type[FusionVAEConfig]] = FusionVAEConfig
    config: FusionVAEConfig

    def build(self) -> None:
        self.scales, self.ups = nn.ModuleList(), nn.ModuleList()
        width, cells = self.shape.top, self.shape.cells
        for scale, count in enumerate(self.shape.groups[::-1]):
            members = [
                LatentGroup(width, self.latents, cells, first=scale == index == 0, aggregation=self.config.aggregation)
                for index in range(count)
            ]
            self.scales.append(nn.ModuleList(members))
            if scale < len(self.shape.groups) - 1:
                self.ups.append(DecoderCell(width, 6, up=True))
                width //= 2

    def _groups(self) -> list[LatentGroup]:
        return [group for scale in self.scales for group in scale]  # type: ignore[attr-defined]

    def prepare(self, encoding: Encoding) -> Any:
        pooled = [g.prior.prepare(f, encoding.packing) for g, f in zip(self._groups(), encoding.views, strict=True)]  # type: ignore[operator]
        target = encoding.target
        if target is not None and self.config.posterior == "xy":
            target = [self._join(encoding, views, own) for views, own in zip(encoding.views, target, strict=True)]
        return pooled, target, encoding.packing.any

    @staticmethod
    def _join(encoding: Encoding, views: Tensor, target: Tensor) -> Tensor:
        """Element-wise maximum over the features of the present views and of the target."""
        seen = encoding.packing.any[:, None, None, None]
        return torch.where(seen, torch.maximum(encoding.packing.max(views), target), target)

    def top_down(self, prepared: Any, rows: int, noise: Noise | None, posterior: bool) -> TopDown:
        pooled, target, has_views = prepared[:3]
        state = self.start.expand(rows, -1, -1, -1)
        visited, index = [], 0
        for scale, members in enumerate(self.scales):
            for group in members:  # type: ignore[attr-defined]
                state = group.cells(self.enter(index, state, prepared))
                prior, q, z = self._latent(group, index, state, pooled[index], target, has_views, noise, posterior)
                visited.append((prior, q, z))
                state = group.combine(torch.cat([state, z.to(state.dtype)], dim=1))
                index += 1
            if scale < len(self.ups):
                state = self.ups[scale](state)
        return TopDown(self.head(self.leave(self.post(state), prepared)), visited)

    def enter(self, index: int, state: Tensor, prepared: Any) -> Tensor:
        """The state before the cells of group ``index``: a hook for decoder inputs besides z."""
        return state

    def leave(self, features: Tensor, prepared: Any) -> Tensor:
        """The features at full size before the output convolution."""
        return features

    def _latent(
        self,
        group: LatentGroup,
        index: int,
        state: Tensor,
        pooled: Any,
        target: list[Tensor] | None,
        has_views: Tensor,
        noise: Noise | None,
        posterior: bool,
    ) -> tuple[DiagonalNormal, DiagonalNormal | None, Tensor]:
        projected = None if group.project is None else group.project(state)
        raw = group.prior(pooled, projected, None if index == 0 else state)
        prior = DiagonalNormal.from_raw(raw)
        if index == 0:
            prior = prior.standard_where(~has_views)
            raw = raw.masked_fill(~has_views[:, None, None, None], 0.0)  # N(0, 1) but for the 0.01 of the scale
        q = None
        if posterior:
            assert target is not None
            feature = target[index] if projected is None else target[index] + projected
            change = group.posterior(feature)
            q = DiagonalNormal.from_raw(
                at_least_float32(raw) + at_least_float32(change) if self.config.residual else change
            )
        chosen = prior if q is None else q
        z = chosen.mean if noise is None else chosen.sample(noise(index, chosen.mean.shape[1:]))
        return prior, q, z
