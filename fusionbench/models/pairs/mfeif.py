"""MFEIF: multi-scale features of two sensors, weighted by attention to their edges.

Reference: Liu, Fan, Jiang, Liu, Luo, "Learning a Deep Multi-Scale Feature Ensemble and an Edge-Attention Guidance
for Image Fusion", IEEE Transactions on Circuits and Systems for Video Technology, 2022.

    image ─ stem ─┬─ dilation 1 ─┬─ 32, 48 maps, summed over the paths (skips) ─────────────┐
                  ├─ dilation 2 ─┤                                                          │
                  └─ dilation 3 ─┴─ 64 maps ─ × weight of this image ─ Σ over images ─ constructor ─► fused
    image + its edges ─ attention ─ logits ───── softmax over images ┘

    stage 1    extractor and constructor as an auto-encoder of single grey images, with a discriminator
    stage 2    both frozen, the attention learns

View 0 is infrared (CT, PET, SPECT), view 1 visible luminance (MRI). Where this differs from the paper:

* ``fusion="sources"``: the attention logits pass a softmax over the two images, so that the fused features are a
  weighted mean of the images' features and stay in the domain that the constructor was trained on. Eq. 3 as printed
  is ``fusion="eq3"``: its softmax over 64 channels shrinks the features to about 1/64.
* ``skip="attention"``: the skip features are joined by the same weights. With rules that the attention cannot change
  (the public code's, eq. 4), the low-level features determine the image and the attention learns next to nothing.
* The last layer has no normalisation and ends in a sigmoid (``output="sigmoid"``); that of the public inference
  code, batch normalisation and ReLU, is ``output="norm-relu"``.
* The losses of stage 2 and all weights are not published; ``docs/pair-models.md`` lists our choices with reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.core.io import digest
from fusionbench.core.types import LossTerms, Preset
from fusionbench.core.uploads import send
from fusionbench.models.config import Positive, check_choice
from fusionbench.models.pairs.base import TwoPhaseConfig, TwoPhaseModel
from fusionbench.models.pairs.discriminators import Discriminator, discriminator_loss, frozen, generator_loss
from fusionbench.models.pairs.edges import EDGES
from fusionbench.models.pairs.losses import TEXTURES, content_loss, intensity_loss
from fusionbench.models.pairs.published_state import published_state
from fusionbench.models.precision import at_least_float32
from fusionbench.models.published_weights import PublishedWeights

PAPER_TRAINING = {"optimizer": "adam", "lr": 1e-4, "lr_min": 1e-4, "epochs": 41, "batch": 16, "inputs": "all"}
LAYERS = ((0, "conv"), (1, "bn"))  # what a block has first and second, and what the published file calls it
ATTENTION = {0: "1.conv_1", 2: "1.conv_2", 3: "2.conv_1", 5: "2.conv_2", 6: "3.conv_1", 8: "3.conv_2", 9: "4"}
SKIPS = ("attention", "mean-min", "mean", "sum")


def conv_block(channels: int, out: int, dilation: int = 1) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())


class Extractor(nn.Module):
    """An image (N,1,H,W) to features of three depths, each summed over the dilated paths: widths[1:] channels.

    Only the first convolution of a path is dilated. ``dense``: the later ones see all earlier maps of their path.
    """

    def __init__(self, widths: Sequence[int], dense: bool, path_weights: Sequence[float]) -> None:
        super().__init__()
        self.dense, self.path_weights = dense, tuple(path_weights)
        self.stem = conv_block(1, widths[0])
        inputs = [sum(widths[: depth + 1]) if dense else widths[depth] for depth in range(3)]
        self.paths: Sequence[Sequence[nn.Module]] = nn.ModuleList(  # type: ignore[assignment]
            nn.ModuleList(
                conv_block(inputs[depth], widths[depth + 1], dilation if depth == 0 else 1) for depth in range(3)
            )
            for dilation in range(1, len(self.path_weights) + 1)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        stem = self.stem(image)
        depths: list[list[Tensor]] = [[], [], []]
        for path in self.paths:
            maps = [stem]
            for depth, block in enumerate(path):
                maps.append(block(torch.cat(maps, 1) if self.dense else maps[-1]))
                depths[depth].append(maps[-1])
        deep = [weight * maps for weight, maps in zip(self.path_weights, depths[2], strict=True)]
        # one after the other: a stack is a copy that loses the layout, and its sum takes ten times as long
        return [reduce(torch.add, maps) for maps in (depths[0], depths[1], deep)]


class Constructor(nn.Module):
    """Features of three depths to an image (N,1,H,W)."""

    def __init__(self, widths: Sequence[int], output: str) -> None:
        super().__init__()
        stem, low, middle, deep = widths
        self.deep = conv_block(deep, stem)
        self.middle = conv_block(stem + middle, low)
        self.low = conv_block(2 * low, stem)
        if output == "norm-relu":
            self.output = conv_block(stem, 1)
        else:
            self.output = nn.Sequential(nn.Conv2d(stem, 1, 3, padding=1), nn.Sigmoid())

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        low, middle, deep = features
        x = self.middle(torch.cat((self.deep(deep), middle), 1))
        result: Tensor = self.output(self.low(torch.cat((x, low), 1)))
        return result


class EdgeAttention(nn.Module):
    """An image (N,1,H,W) and its edges to attention logits (N,``maps``,H,W)."""

    def __init__(self, widths: Sequence[int], maps: int, edges: str = "forward") -> None:
        super().__init__()
        self.edges = EDGES[edges]
        small, middle, large = widths
        layers: list[nn.Module] = []
        for channels, inner, out in ((1, small, small), (small, middle, large), (large, middle, small)):
            layers += [nn.Conv2d(channels, inner, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(inner, out, 3, padding=2, dilation=2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(small, maps, 1))

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.layers(image + self.edges(image))
        return result


def blend(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """``weight``·x + (1 − ``weight``)·y in the dtype of x."""
    return torch.lerp(y, x, weight.to(x.dtype))


def complementary_corruptions(images: Tensor, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Two views of (N,1,H,W) images, each blurred where the other is sharp; the regions depend on seed and step."""
    height, width = images.shape[-2:]
    generator = torch.Generator().manual_seed(int(digest([seed, "corruption", step])[:15], 16))
    regions = send(torch.rand((len(images), 1, 6, 6), generator=generator), images.device)
    sharp = F.interpolate(regions, (height, width), mode="bilinear", align_corners=False) > 0.5
    blurred = F.avg_pool2d(F.pad(images, (4, 4, 4, 4), mode="replicate"), 9, stride=1)
    return torch.where(sharp, images, blurred), torch.where(sharp, blurred, images)


class MFEIFConfig(TwoPhaseConfig, frozen=True, kw_only=True):
    """Parameters of MFEIF: those of :class:`TwoPhaseConfig`, and:

    Attributes:
        widths: channels of the stem and of the three depths.
        path_weights: weight of each dilated path in the deepest features; path k has dilation k + 1.
        dense: dense connections inside a path (the paper) or a plain chain (the public code).
        attention_widths, attention_maps: of the attention net; maps is 1, or the number of deepest channels.
        edges: what the attention sees beside the image: ``"forward"`` differences (eqs. 1 and 2), or ``"central"``
            ones (public code).
        fusion: ``"sources"`` or ``"eq3"``, see the module.
        gate: what eq. 3's attention maps pass first, ``"sigmoid"`` or ``"none"``.
        skip: how the two images' skip features join: ``"attention"`` weights them like the deep features (by the
            mean over the maps), ``"mean-min"`` is the mean of both and of their minimum (public code), ``"mean"``, or
            ``"sum"`` (eq. 4; twice the magnitude of stage 1).
        output: ``"sigmoid"`` or ``"norm-relu"``, see the module.
        pixel_weight, ssim_weight, adversarial_weight: of stage 1: 1, γ, λ.
        stage2: ``"pairs"`` (the fused image's gradients and intensities against both images'), or ``"corruption"``:
            rebuild an image from two complementary corruptions of it, for which single images suffice.
        texture_weight, intensity_weight, texture: of stage 2 on pairs; ``texture`` as for ``dae-fuse``.

    Raises:
        UsageError: as :class:`TwoPhaseConfig`, an unknown choice, or widths that do not fit each other.
    """

    model: ClassVar[str] = "mfeif"
    widths: tuple[Positive, ...] = (16, 32, 48, 64)
    path_weights: tuple[float, ...] = (0.1, 0.1, 1.0)
    dense: bool = True
    attention_widths: tuple[Positive, ...] = (32, 64, 128)
    attention_maps: int = 64
    edges: str = "forward"
    fusion: str = "sources"
    gate: str = "sigmoid"
    skip: str = "attention"
    output: str = "sigmoid"
    pixel_weight: float = 1.0
    ssim_weight: float = 1.0
    adversarial_weight: float = 0.01
    stage2: str = "pairs"
    texture_weight: float = 1.0
    intensity_weight: float = 1.0
    texture: str = "directed"
    phase_share: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.model, fusion=(self.fusion, ("sources", "eq3")), gate=(self.gate, ("sigmoid", "none")))
        check_choice(self.model, skip=(self.skip, SKIPS), output=(self.output, ("sigmoid", "norm-relu")))
        check_choice(self.model, stage2=(self.stage2, ("pairs", "corruption")), texture=(self.texture, TEXTURES))
        check_choice(self.model, edges=(self.edges, EDGES))
        widths, attention = list(self.widths), list(self.attention_widths)
        if (len(widths), len(attention)) != (4, 3):
            raise UsageError(f"mfeif takes four widths and three attention_widths, not {widths} and {attention}")
        if self.attention_maps not in (1, widths[-1]):
            raise UsageError(
                f"mfeif takes attention_maps 1 or {widths[-1]} (its deepest width), not {self.attention_maps}"
            )


class MFEIF(TwoPhaseModel):
    """Auto-encoder of dilated dense features, weighted by attention to the edges of both images. Views (N,2,1,H,W)
    in [0,1] of any size; ``fuse`` gives (N,1,H,W) in [0,1].

    :class:`MFEIFConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("mfeif", ImageSpec(channels=1, height=32, width=32, views=2), preset="tiny")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
        >>> model.plan(steps=100, seed=0)
        >>> model.phase(0), model.phase(75)
        (1, 2)
    """

    title = "MFEIF"
    reference: ClassVar[str] = "Liu et al., IEEE TCSVT 2022"
    version: ClassVar[str] = "1"

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "full": Preset(
            {}, PAPER_TRAINING, "paper size, 0.477 M parameters and a discriminator of 0.39 M; skips by attention"
        ),
        "paper": Preset(
            {"skip": "mean-min"},
            PAPER_TRAINING,
            "the same with the public code's skips, which the attention cannot change",
        ),
        "public-code": Preset(
            {
                "dense": False,
                "attention_maps": 1,
                "fusion": "eq3",
                "gate": "none",
                "skip": "mean-min",
                "output": "norm-relu",
            },
            PAPER_TRAINING,
            "topology of the authors' inference code, 0.371 M parameters, with eq. 3 as printed; trained by our recipe",
        ),
        "small": Preset(
            {
                "widths": [8, 16, 24, 32],
                "attention_widths": [16, 32, 64],
                "attention_maps": 32,
                "critic_widths": [16, 32, 64],
            },
            {"optimizer": "adam", "lr": 1e-3, "lr_min": 1e-5, "epochs": 4, "batch": 2, "clip": 1.0, "inputs": "all"},
            "an hour or so on a CPU: half the widths, with the paper's losses and both stages",
        ),
        "tiny": Preset(
            {
                "widths": [4, 8, 12, 16],
                "attention_widths": [8, 16, 32],
                "attention_maps": 16,
                "critic_widths": [8, 16, 32],
            },
            {"optimizer": "adam", "lr": 1e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "clip": 1.0, "inputs": "all"},
            "minutes on a CPU; not comparable with the paper",
        ),
    }

    PUBLISHED: ClassVar[PublishedWeights] = PublishedWeights(
        files=("weights",),
        sha256=("de730170d4e7c794c476bdf1ace00b3f949ce12fe332dec4d83aa0a961d809b6",),
        homepage="https://github.com/JinyuanLiu-CV/MFEIF",
        licence="none stated",
        params={**PRESETS["public-code"].model, "edges": "central"},
        checked="parts of 25 TNO pairs equal the layers of the public code spelt out, to the bit",
        ours_alone=("critic.",),
        state_sha256="c3d9939a64c53f79f9e6c408176b1f006a6cce25283deff235fd839257eb6da1",
    )

    Config: ClassVar[type[MFEIFConfig]] = MFEIFConfig
    config: MFEIFConfig

    def build(self) -> None:
        config = self.config
        self.texture_loss = TEXTURES[config.texture]
        self.extractor = Extractor(config.widths, config.dense, config.path_weights)
        self.constructor = Constructor(config.widths, config.output)
        self.attention = EdgeAttention(config.attention_widths, config.attention_maps, config.edges)
        self.critic = Discriminator(1, config.critic_widths, config.critic_norm)

    @classmethod
    def from_published(cls, states: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The ``state_dict`` of this model from the published file; the discriminator, which it lacks, is new.

        Raises:
            DataError: names or shapes that are not those of the published file.
        """
        blocks = {"extractor.stem": "ext.conv_1"}
        for path, letter in enumerate("abc"):
            blocks |= {f"extractor.paths.{path}.{depth}": f"ext.conv_{letter}{depth + 1}" for depth in range(3)}
        for number, part in enumerate(("deep", "middle", "low", "output"), 1):
            blocks[f"constructor.{part}"] = f"con.conv_{number}"
        names = {f"{ours}.{place}": f"{theirs}.{layer}" for ours, theirs in blocks.items() for place, layer in LAYERS}
        names |= {f"attention.layers.{place}": f"att.conv_{theirs}" for place, theirs in ATTENTION.items()}
        return published_state(cls, cls.PUBLISHED.params, states, (names,), ours_alone=cls.PUBLISHED.ours_alone)

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel sees: the deeper of features and attention, then four layers."""
        # stem 1, dilated layer, two layers of 1; edges 2, three pairs of layers of 1 and 2
        features, attention = 1 + len(self.config.path_weights) + 2, 2 + 3 * (1 + 2)
        return max(features, attention) + 4

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by optimiser, in the order of their steps: the discriminator, then the generator."""
        generator = [*self.extractor.parameters(), *self.constructor.parameters(), *self.attention.parameters()]
        return {"critic": list(self.critic.parameters()), "generator": generator}

    def reconstruct(self, image: Tensor) -> Tensor:
        """Stage 1's auto-encoder: (N,1,H,W) → (N,1,H,W)."""
        result: Tensor = self.constructor(self.extractor(image))
        return result

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W)."""
        features_a, features_b = self.extractor(a), self.extractor(b)
        logits_a, logits_b = self.attention(a), self.attention(b)
        # A softmax over two is a sigmoid of the difference; float32 keeps the two weights adding up to one.
        weight = torch.sigmoid(at_least_float32(logits_a - logits_b))
        joined = [self._join(x, y, weight) for x, y in zip(features_a[:2], features_b[:2], strict=True)]
        deep_a, deep_b = features_a[2], features_b[2]
        if self.config.fusion == "sources":
            joined.append(blend(deep_a, deep_b, weight))
        else:
            if self.config.gate == "sigmoid":
                logits_a, logits_b = torch.sigmoid(logits_a), torch.sigmoid(logits_b)
            joined.append(at_least_float32(deep_a * logits_a + deep_b * logits_b).softmax(1).to(deep_a.dtype))
        result: Tensor = self.constructor(joined)
        return result

    def _join(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        if self.config.skip == "attention":
            return blend(x, y, weight.mean(1, keepdim=True))
        if self.config.skip == "mean-min":
            return (x + y + torch.minimum(x, y)) / 3
        return (x + y) / 2 if self.config.skip == "mean" else x + y

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """The auto-encoder's loss in stage 1, the attention's in stage 2, where the critic's is a constant 0."""
        if phase == 2:
            return self._attention_loss(a, b, step) if group == "generator" else self._nothing()
        images = torch.cat((a, b))
        if group == "critic":
            with torch.no_grad():
                fake = self.reconstruct(images)
            total = discriminator_loss(*self.critic.compare(images, fake), "least-squares")
            return LossTerms(total, {"critic": total.detach()})
        reconstruction = self.reconstruct(images)
        content = content_loss(reconstruction, images, self.config.pixel_weight, self.config.ssim_weight).mean()
        with frozen(self.critic):
            adversarial = generator_loss(self.critic.compare(images, reconstruction)[1], "least-squares")
        total = content + self.config.adversarial_weight * adversarial
        return LossTerms(total, {"phase": 1, "content": content.detach(), "adversarial": adversarial.detach()})

    def _attention_loss(self, a: Tensor, b: Tensor, step: int) -> LossTerms:
        with frozen(self.extractor, self.constructor, evaluation=True):
            if self.config.stage2 == "corruption":
                images = torch.cat((a, b))
                restored = self.combine(*complementary_corruptions(images, self.seed, step))
                total = content_loss(restored, images, self.config.pixel_weight, self.config.ssim_weight).mean()
                return LossTerms(total, {"phase": 2, "content": total.detach()})
            fused = self.combine(a, b)
        texture, intensity = self.texture_loss(fused, a, b).mean(), intensity_loss(fused, a, b).mean()
        total = self.config.texture_weight * texture + self.config.intensity_weight * intensity
        return LossTerms(total, {"phase": 2, "texture": texture.detach(), "intensity": intensity.detach()})

    def _nothing(self) -> LossTerms:
        return LossTerms(0 * self.critic.score.bias.sum(), {})
