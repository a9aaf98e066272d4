"""DAE-Fuse: an auto-encoder for two sensors, trained against discriminators, then fused by cross attention.

Reference: "DAE-Fuse: An Adaptive Discriminative Autoencoder for Multi-Modality Image Fusion", arXiv 2409.10080.

    phase I    α ─ shallow ─┬─ detail (residual) ─┬─ Φ(α) ─ decoder ─► α̃   against α: D1
               (β likewise, └─ base (transformer)─┘                    β̃   against β: D2
                same weights)
    phase II   Φ(α), Φ(β) ─ cross attention both ways ─ Φ̂(α), Φ̂(β) ─ decoder ─► F   against α: D1', against β: D2'

View 0 is α (infrared, CT, PET, SPECT), view 1 is β (visible luminance, MRI). Where this differs from the paper:

* Eq. 14 as printed rewards images that the discriminators classify as generated; its sign is corrected.
* The decoder of phase II takes both feature maps. Its reduction is ½[W|W] + Δ with the W of phase I and a Δ that
  starts at zero, and the cross attention starts as the identity: phase II begins at the decoded average of the
  features, with no event at the switch that a resumed run could miss.
* Each phase has its own discriminators: their task changes, so they and their optimiser's state are initialised anew.
* What the paper leaves open is a field of :class:`DAEFuseConfig`; ``docs/pair-models.md`` lists each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from fusionbench.core.errors import UsageError
from fusionbench.core.types import LossTerms, Preset
from fusionbench.models.config import Count, Positive, check_choice
from fusionbench.models.pairs.base import TwoPhaseConfig, TwoPhaseModel
from fusionbench.models.pairs.discriminators import (
    ADVERSARIAL,
    Discriminator,
    discriminator_loss,
    frozen,
    generator_loss,
)
from fusionbench.models.pairs.losses import INTENSITIES, TEXTURES, content_loss, decomposition_loss
from fusionbench.models.pairs.residual import BasicBlock
from fusionbench.models.pairs.restormer import BaseBlock, CrossAttention, RestormerBlock
from fusionbench.models.pairs.vit import PatchTransformer
from fusionbench.models.precision import at_least_float32

Pair = tuple[Tensor, Tensor]
Forward = tuple[Tensor, Tensor, Tensor]  # decoded image(s), detail and base features
EDGE = 0.01  # images are clamped to [EDGE, 1 - EDGE] before the inverse sigmoid
SMALL = {
    "width": 16,
    "heads": 2,
    "blocks": 1,
    "detail_blocks": 2,
    "vit_width": 64,
    "vit_blocks": 2,
    "vit_heads": 4,
    "critic_widths": [8, 16, 32],
}
SMALL_TRAINING = {
    "optimizer": "adam",
    "lr": 2e-3,
    "lr_min": 2e-5,
    "epochs": 4,
    "batch": 2,
    "clip": 1.0,
    "inputs": "all",
}


class TwoBranchEncoder(nn.Module):
    """Φ: an image (N,1,H,W) to detail and base features, each (N,C,H,W)."""

    def __init__(
        self, width: int, heads: int, blocks: int, expansion: float, detail_blocks: int, base: nn.Module
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.shallow = nn.Sequential(*(RestormerBlock(width, heads, expansion) for _ in range(blocks)))
        self.detail = nn.Sequential(*(BasicBlock(width) for _ in range(detail_blocks)))
        self.base = base

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.shallow(self.stem(image))
        return self.detail(features), self.base(features)


class TwoBranchDecoder(nn.Module):
    """ρ_R: features of one image (N,2C,H,W), or of two, to an image (N,1,H,W) in (0,1)."""

    def __init__(self, width: int, heads: int, blocks: int, expansion: float) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2 * width, width, 1, bias=False)
        self.reduce_pair = nn.Conv2d(4 * width, width, 1, bias=False)  # Δ
        nn.init.zeros_(self.reduce_pair.weight)
        self.blocks = nn.Sequential(*(RestormerBlock(width, heads, expansion) for _ in range(blocks)))
        self.output = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1, bias=False),
            nn.LeakyReLU(),
            nn.Conv2d(width // 2, 1, 3, padding=1, bias=False),
        )

    def forward(self, features: Tensor, other: Tensor | None = None, skip: Tensor | None = None) -> Tensor:
        if other is None:
            reduced = self.reduce(features)
        else:
            reduced = self.reduce((features + other) / 2) + self.reduce_pair(torch.cat((features, other), 1))
        logits = self.output(self.blocks(reduced))
        return torch.sigmoid(logits if skip is None else logits + skip)


class DAEFuseConfig(TwoPhaseConfig, frozen=True, kw_only=True):
    """Parameters of DAE-Fuse: those of :class:`TwoPhaseConfig`, and:

    Attributes:
        width, heads, blocks, expansion: channels, attention heads, Restormer blocks of the shallow encoder and of the
            decoder, and the widening of their feed-forward nets.
        detail_blocks: basic residual blocks of the detail branch.
        base: ``"vit"`` (the paper's), or ``"channel"``: CDDFuse's base block, 5.0 M parameters smaller.
        vit_width, vit_blocks, vit_heads, patch, vit_grid: the vision transformer; ``vit_grid`` is the side of its
            position table in patches (16 = training patches of 128).
        share_cross_attention: one cross attention for both directions instead of one each.
        add_visible: add an image to the output before the sigmoid, as CDDFuse does: phase I the image itself, phase
            II the visible one (view 1).
        add_brighter: add the inverse sigmoid of an image instead: phase I the image itself, phase II the brighter of
            both at every pixel. The network then learns the difference, for which little training suffices.
        adversarial: ``"non-saturating"``, ``"saturating"`` (as printed) or ``"least-squares"``.
        adversarial_weight, fusion_adversarial_weight: λ of eq. 6 and its counterpart in phase II.
        decomposition: σ of eq. 6; the content loss has 1 − σ.
        fusion_decomposition: weight of the decomposition loss in phase II (eq. 13 has none).
        texture_weight, intensity_weight: of eqs. 15 and 16; 1 and 1 is as printed.
        texture: ``"magnitude"`` (eq. 15), or ``"directed"``: with the sign and direction of the steeper source's slope.
        intensity: ``"max"`` (eq. 16), or ``"sum"``: both sources added, as bright as the maximum.

    Raises:
        UsageError: as :class:`TwoPhaseConfig`, an unknown choice, or both of ``add_visible`` and ``add_brighter``.
    """

    model: ClassVar[str] = "dae-fuse"
    width: Positive = 64
    heads: Positive = 8
    blocks: Count = 4
    expansion: float = 2.0
    detail_blocks: Count = 8
    base: str = "vit"
    vit_width: Positive = 256
    vit_blocks: Count = 4
    vit_heads: Positive = 8
    patch: Positive = 8
    vit_grid: Positive = 16
    share_cross_attention: bool = False
    add_visible: bool = False
    add_brighter: bool = False
    adversarial: str = "non-saturating"
    adversarial_weight: float = 0.01
    fusion_adversarial_weight: float = 0.01
    decomposition: float = 0.5
    fusion_decomposition: float = 0.0
    texture_weight: float = 10.0
    intensity_weight: float = 1.0
    texture: str = "magnitude"
    intensity: str = "max"
    phase_share: float = 1 / 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.model, base=(self.base, ("vit", "channel")), adversarial=(self.adversarial, ADVERSARIAL))
        check_choice(self.model, texture=(self.texture, TEXTURES), intensity=(self.intensity, INTENSITIES))
        if self.add_visible and self.add_brighter:
            raise UsageError("dae-fuse takes add_visible or add_brighter, not both")


class DAEFuse(TwoPhaseModel):
    """Auto-encoder of both images with a detail and a base branch, trained against discriminators, fused by cross
    attention. Views (N,2,1,H,W) in [0,1] of any size; ``fuse`` gives (N,1,H,W) in [0,1].

    :class:`DAEFuseConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("dae-fuse", ImageSpec(channels=1, height=32, width=32, views=2), preset="tiny")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
        >>> sorted(model.parameter_groups())
        ['critic', 'generator']
    """

    title = "DAE-Fuse"
    reference: ClassVar[str] = "DAE-Fuse, arXiv 2409.10080"
    version: ClassVar[str] = "1"

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {
                "optimizer": "adam",
                "lr": 1e-4,
                "lr_min": 1e-6,
                "schedule": "step",  # halved every 20 epochs, as CDDFuse does
                "step_epochs": 20,
                "step_factor": 0.5,
                "epochs": 120,
                "batch": 8,
                "clip": 0.01,
                "inputs": "all",
                # usual for discriminators; their rate is constant, as those of phase II are new when the generator's
                # has been halved already
                "per_group": {"critic": {"betas": [0.5, 0.999], "lr_min": 1e-4}},
            },
            "paper size: 6.46 M parameters and four discriminators of 0.39 M; open sizes are ours",
        ),
        "tiny": Preset(
            {
                "width": 16,
                "heads": 2,
                "blocks": 1,
                "detail_blocks": 2,
                "base": "channel",
                "critic_widths": [8, 16, 32],
            },
            {"optimizer": "adam", "lr": 1e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "clip": 1.0, "inputs": "all"},
            "minutes on a CPU; not comparable with the paper",
        ),
        "small": Preset(SMALL, SMALL_TRAINING, "an hour on a CPU: narrow and shallow, the paper's losses"),
        "small-additive": Preset(
            {**SMALL, "texture": "directed", "texture_weight": 2.0, "intensity": "sum"},
            SMALL_TRAINING,
            "the same with targets of ours: directed slopes, and both sources added instead of their maximum",
        ),
        "small-residual": Preset(
            {**SMALL, "texture": "directed", "texture_weight": 2.0, "intensity": "sum", "add_brighter": True},
            SMALL_TRAINING,
            "the same, drawing the difference from the brighter source, for trainings of minutes",
        ),
    }

    Config: ClassVar[type[DAEFuseConfig]] = DAEFuseConfig
    config: DAEFuseConfig

    def build(self) -> None:
        c = self.config
        self.texture_loss, self.intensity_loss = TEXTURES[c.texture], INTENSITIES[c.intensity]
        low: nn.Module
        if c.base == "vit":
            low = PatchTransformer(c.width, c.vit_width, c.vit_blocks, c.vit_heads, c.patch, c.vit_grid)
        else:
            low = BaseBlock(c.width, c.heads)
        self.encoder = TwoBranchEncoder(c.width, c.heads, c.blocks, c.expansion, c.detail_blocks, low)
        directions = 1 if c.share_cross_attention else 2
        self.cross = nn.ModuleList(CrossAttention(2 * c.width, c.heads) for _ in range(directions))
        self.decoder = TwoBranchDecoder(c.width, c.heads, c.blocks, c.expansion)
        # the critics' forward pass, reused by the generator in the same step
        self._cached: tuple[Any, Pair, Forward] | None = None
        # two for phase I, two for phase II
        self.critics = nn.ModuleList(Discriminator(1, c.critic_widths, c.critic_norm) for _ in range(4))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by optimiser, in the order of their steps: the discriminators, then the generator."""
        generator = [*self.encoder.parameters(), *self.cross.parameters(), *self.decoder.parameters()]
        return {"critic": list(self.critics.parameters()), "generator": generator}

    @property
    def tile_multiple(self) -> int:
        """The patches of the vision transformer are counted from the first pixel."""
        return self.config.patch if self.config.base == "vit" else 1

    def reconstruct(self, image: Tensor) -> Tensor:
        """Phase I's auto-encoder: (N,1,H,W) → (N,1,H,W) in [0,1]."""
        return self._decode_one(image, *self.encoder(image))

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W)."""
        return self._decode_pair(a, b, *self.encoder(torch.cat((a, b))))

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """Eqs. 6–12 in phase I, eqs. 13–17 in phase II."""
        if group == "critic":
            return self._critic_loss(a, b, phase, step)
        forward = self._cached_forward(a, b, phase, step)
        return self._reconstruction_loss(a, b, *forward) if phase == 1 else self._fusion_loss(a, b, *forward)

    # Both modalities always pass the encoder in one batch: its batch normalisation then sees the same mixture in
    # training as its running statistics describe in evaluation.

    def _decode_one(self, images: Tensor, detail: Tensor, low: Tensor) -> Tensor:
        skip = (
            torch.logit(at_least_float32(images), EDGE)
            if self.config.add_brighter
            else images
            if self.config.add_visible
            else None
        )
        result: Tensor = self.decoder(torch.cat((detail, low), 1), skip=skip)
        return result

    def _decode_pair(self, a: Tensor, b: Tensor, detail: Tensor, low: Tensor) -> Tensor:
        of_a, of_b = torch.cat((detail, low), 1).chunk(2)
        of_a, of_b = self.cross[0](of_a, of_b), self.cross[-1](of_b, of_a)
        brighter = torch.logit(at_least_float32(torch.maximum(a, b)), EDGE) if self.config.add_brighter else None
        result: Tensor = self.decoder(of_a, of_b, skip=b if self.config.add_visible else brighter)
        return result

    def _forward(self, a: Tensor, b: Tensor, phase: int) -> Forward:
        images = torch.cat((a, b))
        detail, low = self.encoder(images)
        decoded = self._decode_one(images, detail, low) if phase == 1 else self._decode_pair(a, b, detail, low)
        return decoded, detail, low

    def _cached_forward(self, a: Tensor, b: Tensor, phase: int, step: int) -> Forward:
        """The forward pass of the critics in this step, with its graph; a new one if there is none."""
        cached, self._cached = self._cached, None
        if cached is not None and cached[0] == _key(a, b, phase, step):
            return cached[2]
        return self._forward(a, b, phase)

    def _critic_loss(self, a: Tensor, b: Tensor, phase: int, step: int) -> LossTerms:
        # The generator's step follows on the same images with the same weights: one forward pass serves both.
        # Distributed training expects each backward pass to follow a forward pass of its own.
        shared = torch.is_grad_enabled() and not torch.distributed.is_initialized()
        with torch.set_grad_enabled(shared):
            forward = self._forward(a, b, phase)
        self._cached = (_key(a, b, phase, step), (a, b), forward) if shared else None
        fake_a, fake_b = forward[0].detach().split(len(a)) if phase == 1 else 2 * [forward[0].detach()]
        logits = self._critic_logits(phase, (a, b), (fake_a, fake_b))
        loss_a, loss_b = (discriminator_loss(real, fake, self.config.adversarial) for real, fake in logits)
        return LossTerms(loss_a + loss_b, {"critic_a": loss_a.detach(), "critic_b": loss_b.detach()})

    def _critic_logits(self, phase: int, real: Pair, fake: Pair) -> list[Pair]:
        """(real, fake) logits of the phase's two discriminators."""
        critics = cast(Sequence[Discriminator], self.critics[2 * phase - 2 : 2 * phase])
        return [critic.compare(x, y) for critic, x, y in zip(critics, real, fake, strict=True)]

    def _adversarial_loss(self, phase: int, real: Pair, fake: Pair) -> Tensor:
        with frozen(self.critics):
            (_, fake_a), (_, fake_b) = self._critic_logits(phase, real, fake)
        return generator_loss(fake_a, self.config.adversarial) + generator_loss(fake_b, self.config.adversarial)

    def _reconstruction_loss(self, a: Tensor, b: Tensor, decoded: Tensor, detail: Tensor, low: Tensor) -> LossTerms:
        content = 2 * content_loss(decoded, torch.cat((a, b))).mean()  # the sum over both modalities
        decomposition = decomposition_loss(*chunk(detail), *chunk(low))
        adversarial = self._adversarial_loss(1, (a, b), chunk(decoded))
        total = self.config.adversarial_weight * adversarial + self.config.decomposition * decomposition
        total = total + (1 - self.config.decomposition) * content
        terms = {"content": content, "decomposition": decomposition, "adversarial": adversarial}
        return LossTerms(total, {"phase": 1, **{name: value.detach() for name, value in terms.items()}})

    def _fusion_loss(self, a: Tensor, b: Tensor, fused: Tensor, detail: Tensor, low: Tensor) -> LossTerms:
        texture, intensity = self.texture_loss(fused, a, b).mean(), self.intensity_loss(fused, a, b).mean()
        adversarial = self._adversarial_loss(2, (a, b), (fused, fused))
        total = self.config.texture_weight * texture + self.config.intensity_weight * intensity
        total = total + self.config.fusion_adversarial_weight * adversarial
        terms = {"texture": texture, "intensity": intensity, "adversarial": adversarial}
        if self.config.fusion_decomposition:
            terms["decomposition"] = decomposition_loss(*chunk(detail), *chunk(low))
            total = total + self.config.fusion_decomposition * terms["decomposition"]
        return LossTerms(total, {"phase": 2, **{name: value.detach() for name, value in terms.items()}})


def chunk(x: Tensor) -> Pair:
    """A batch (2N,…) of both modalities as (N,…) of each."""
    of_a, of_b = x.chunk(2)
    return of_a, of_b


def _key(a: Tensor, b: Tensor, phase: int, step: int) -> tuple[Any, ...]:
    """Identifies the images of a step; cached images are referenced, so their memory cannot have been reused."""
    return (phase, step, a.data_ptr(), b.data_ptr(), a.shape, a._version, a.is_inference())
