"""TarDAL: a dense convolutional generator between a discriminator of targets and one of background details.

Reference: Liu, Fan, Huang, Wu, Liu, Zhong, Luo, "Target-aware Dual Adversarial Learning and a Multi-scenario
Multi-Modality Benchmark to Fuse Infrared and Visible for Object Detection", CVPR 2022 (arXiv 2203.16220).

    [infrared | visible] ─ conv ─ 3 dense layers ─ 4 convs ─ tanh ─► F
    critics     D_target: infrared · m against F · m          D_detail: |∇ visible| · (1 − m) against |∇ F| · (1 − m)
    generator   structure + 20 · pixels, weighted by saliency + 0.1 · (−D_target − D_detail)

View 0 is infrared, view 1 visible luminance. The generator's output is a tanh: it is clamped to [0,1], as the authors'
evaluation does. What is settled by which source:

* **The published weights are run in training mode** unless the authors' script is told otherwise (``--eval``), that is
  normalised by the moments of the image at hand: ``statistics="image"``. With their running statistics warm targets get
  dark parts and skies turn black.
* Layers, the weights 1 : 20 : 0.1 and the critics' loss (Wasserstein divergence, 2 · |∇D|⁶) are those of the public
  code that the published weights belong to. It optimises with RMSprop, which the training loop lacks: Adam without
  momentum and with the same averaging (betas 0 and 0.99) is RMSprop but for its start.
* The mask m of targets comes from files there. Here it is where the infrared image is ``mask_deviations`` standard
  deviations above its mean: targets are warm, and no other network is needed.
* The saliency of a pixel, how far its grey level is from all others of its image, by histogram, and the structure term
  without weights are those that the paper is said to have; its text was not at hand. The public code reads saliency
  maps from files, and weighs half of 1 − SSIM with them, pixel by pixel, as it does the differences. In its first
  version the critics' verdicts have no gradient, so that the generator learns nothing from them; here they have.
* The critics end in a mean over pixels in place of a layer that fits one image size. The slope that their loss bounds
  is measured as √(H·W) · |∇D|, which does not change with the size.
* Slopes are masked after they are taken: masked before, the outline of the mask would be an edge for the critic.
* The published weights were trained for fusion alone; the paper's joint training with a detector is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.io import digest
from fusionbench.core.types import LossTerms, Preset
from fusionbench.core.uploads import send
from fusionbench.models.config import Count, Positive, check_choice
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.discriminators import frozen
from fusionbench.models.pairs.losses import torch_sobel, torch_ssim
from fusionbench.models.pairs.published_state import published_state
from fusionbench.models.precision import at_least_float32
from fusionbench.models.published_weights import PublishedWeights

STATISTICS = ("running", "image")
LEVELS = 256
SMALLEST_SLOPE = 1e-8  # under the root of the slope's magnitude, whose derivative would be infinite at zero


class MomentsNorm(nn.BatchNorm2d):
    """Batch normalisation that can evaluate by the moments of what it is given instead of the running ones."""

    def __init__(self, channels: int, statistics: str) -> None:
        super().__init__(channels)
        self.statistics = statistics

    def forward(self, x: Tensor) -> Tensor:
        # one pixel has no deviation
        if self.training or self.statistics == "running" or x[:, 0].numel() == 1:
            return super().forward(x)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


class DenseGenerator(nn.Module):
    """Two images (N,1,H,W) to one in (−1,1): each dense layer sees all maps before it."""

    def __init__(self, width: int, depth: int, statistics: str) -> None:
        super().__init__()

        def block(channels: int, out: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), MomentsNorm(out, statistics), nn.ReLU())

        self.encoder = block(2, width)
        self.dense = nn.ModuleList(block(width * (layer + 1), width) for layer in range(depth))
        self.merge = nn.Sequential(
            nn.Sequential(nn.Conv2d(width * (depth + 1), 4 * width, 3, padding=1), nn.ReLU()),
            block(4 * width, 2 * width),
            block(2 * width, width),
            nn.Sequential(nn.Conv2d(width, 1, 3, padding=1), nn.Tanh()),
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        maps = self.encoder(torch.cat((a, b), 1))
        for layer in self.dense:
            maps = torch.cat((maps, layer(maps)), 1)
        result: Tensor = self.merge(maps)
        return result


class Critic(nn.Module):
    """(N,1,H,W) → (N,): {3×3 convolution of stride 2, LeakyReLU 0.2} per width, mean over pixels, one linear layer."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels = width
        self.features, self.score = nn.Sequential(*layers), nn.Linear(channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.score(self.features(images).mean((2, 3))).squeeze(1)
        return at_least_float32(result)


def histogram_saliency(images: Tensor) -> Tensor:
    """Saliency (N,1,H,W) in [0,1] of images in [0,1]: the mean distance of a pixel's grey level to all pixels of its
    image, divided by the largest one; 0 everywhere for a flat image.

    Example:
        >>> import torch
        >>> from fusionbench.models.pairs.tardal import histogram_saliency
        >>> histogram_saliency(torch.tensor([[[[0.0, 0.0, 0.0, 1.0]]]])).flatten().tolist()
        [0.3333333432674408, 0.3333333432674408, 0.3333333432674408, 1.0]
    """
    dtype = at_least_float32(images).dtype
    grey = (images.detach().clamp(0, 1) * (LEVELS - 1)).round().long().flatten(1)
    counts = torch.zeros(len(images), LEVELS, dtype=dtype, device=images.device)
    counts.scatter_add_(1, grey, torch.ones_like(grey, dtype=dtype))
    level = torch.arange(LEVELS, dtype=dtype, device=images.device)
    distance = (counts.unsqueeze(1) * (level.unsqueeze(0) - level.unsqueeze(1)).abs()).sum(-1)
    saliency = distance.gather(1, grey)
    return (saliency / saliency.amax(1, keepdim=True).clamp(min=1)).view(images.shape)


def target_mask(infrared: Tensor, deviations: float) -> Tensor:
    """Where (N,1,H,W) infrared images are ``deviations`` standard deviations above their mean: 1, elsewhere 0.

    Example:
        >>> import torch
        >>> from fusionbench.models.pairs.tardal import target_mask
        >>> target_mask(torch.tensor([[[[0.1, 0.2, 0.1, 0.9]]]]), 1.0).flatten().tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    grey = at_least_float32(infrared)
    mean, deviation = grey.mean((2, 3), keepdim=True), grey.std((2, 3), keepdim=True, correction=0)
    return (grey > mean + deviations * deviation).to(grey.dtype)


def slope(images: Tensor) -> Tensor:
    """Magnitude (N,1,H,W) of the slopes of images, in grey levels per pixel."""
    across, down = torch_sobel(images)
    return (across.square() / 64 + down.square() / 64 + SMALLEST_SLOPE).sqrt()


class TarDALConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of TarDAL.

    Attributes:
        width, depth: channels of a dense layer, and their number.
        statistics: what normalises the features of an image to fuse: ``"running"`` statistics of training, or
            ``"image"``, its own, as the authors' script does; the published weights need it.
        critic_widths: channels of both critics' layers.
        structure_weight, pixel_weight, adversarial_weight: of ((1 − SSIM to infrared) + (1 − SSIM to visible)) / 2, of
            the mean absolute differences weighted by saliency, and of the critics' verdicts.
        target_weight, detail_weight: of the verdicts of either critic.
        penalty_weight, penalty_power: k and p of the critics' divergence k · |∇D|^p.
        mask_deviations: how warm a target is, see :func:`target_mask`.

    Raises:
        UsageError: unknown statistics.
    """

    model: ClassVar[str] = "tardal"
    width: Positive = 32
    depth: Count = 3
    statistics: str = "running"
    critic_widths: tuple[Positive, ...] = (32, 64, 128)
    structure_weight: float = 1.0
    pixel_weight: float = 20.0
    adversarial_weight: float = 0.1
    target_weight: float = 1.0
    detail_weight: float = 1.0
    penalty_weight: float = 2.0
    penalty_power: float = 6.0
    mask_deviations: float = 1.0

    def __post_init__(self) -> None:
        check_choice(self.model, statistics=(self.statistics, STATISTICS))


class TarDAL(PairModel):
    """Dense generator trained against a discriminator of targets and one of details. Views (N,2,1,H,W) in [0,1] of any
    size; ``fuse`` gives (N,1,H,W) in [0,1].

    :class:`TarDALConfig` has the parameters; 296,577 weights that fuse at the paper's size, and 92,801 in each critic.
    The published weights are under the GPL-3.0.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("tardal", ImageSpec(channels=1, height=32, width=32, views=2), preset="tiny")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
        >>> list(model.parameter_groups())
        ['critic', 'generator']
    """

    title = "TarDAL"
    reference: ClassVar[str] = "Liu et al., CVPR 2022"
    version: ClassVar[str] = "1"

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {
                "optimizer": "adam",
                "betas": [0.0, 0.99],
                "lr": 1e-4,
                "lr_min": 1e-4,
                "epochs": 200,
                "batch": 8,
                "inputs": "all",
            },
            "size and weights of the losses as published; schedule of the authors' first training code (images of "
            "224×224), with Adam in place of RMSprop; masks and saliency, which it reads from files, are computed",
        ),
        "tiny": Preset(
            {"width": 6, "critic_widths": [4, 8, 16]},
            {"optimizer": "adam", "lr": 2e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU; not comparable with the paper",
        ),
    }

    PUBLISHED: ClassVar[PublishedWeights] = PublishedWeights(
        files=("weights",),
        sha256=("e0fa61e25cffa9fb14ff17b47ea7ba237a6e8c6f37e1b9b115d63354ff0f13e1",),
        homepage="https://github.com/JinyuanLiu-CV/TarDAL",
        licence="GPL-3.0",
        params={"statistics": "image"},
        checked="no fused images of the authors at hand: parts of 25 TNO pairs equal the layers spelt out, to the bit",
        ours_alone=("critics.",),
        state_sha256="cfe281f3fa446e0757410b2fcd3be14ec7581bd39440c00bbc4994df99bcc9f9",
    )

    Config: ClassVar[type[TarDALConfig]] = TarDALConfig
    config: TarDALConfig

    @property
    def receptive_radius(self) -> int | None:
        """One pixel for each 3×3 layer: five, and those of the dense block; None with statistics of the whole image."""
        return 5 + self.config.depth if self.config.statistics == "running" else None

    def build(self) -> None:
        c = self.config
        self.generator = DenseGenerator(c.width, c.depth, c.statistics)
        self.critics = nn.ModuleDict({name: Critic(c.critic_widths) for name in ("target", "detail")})

    @classmethod
    def from_published(cls, states: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The ``state_dict`` of this model from the generator's file; the critics, which nobody published, are new.

        Raises:
            DataError: names or shapes that are not those of the published file.
        """
        names = {"generator.encoder": "encoder", "generator.dense": "dense", "generator.merge": "fuse"}
        return published_state(cls, cls.PUBLISHED.params, states, (names,), ours_alone=cls.PUBLISHED.ours_alone)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by optimiser, in the order of their steps: both discriminators, then the generator."""
        return {"critic": list(self.critics.parameters()), "generator": list(self.generator.parameters())}

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W), in (−1,1): ``fuse`` clamps it."""
        result: Tensor = self.generator(a, b)
        return result

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """The critics' divergence of what they should not tell apart, or the generator's loss."""
        mask = target_mask(a, self.config.mask_deviations)
        if group == "critic":
            with torch.no_grad(), frozen(self.generator, evaluation=True):
                fused = at_least_float32(self.combine(a, b))
            target = self._divergence("target", a * mask, fused * mask, step)
            detail = self._divergence("detail", slope(b) * (1 - mask), slope(fused) * (1 - mask), step)
            return LossTerms(target + detail, {"critic_target": target.detach(), "critic_detail": detail.detach()})
        return self._generator_loss(a, b, mask)

    def _generator_loss(self, a: Tensor, b: Tensor, mask: Tensor) -> LossTerms:
        c, fused = self.config, at_least_float32(self.combine(a, b))
        structure = (2 - torch_ssim(fused, a) - torch_ssim(fused, b)).mean() / 2
        weight = (1 + histogram_saliency(a) - histogram_saliency(b)) / 2
        pixel = (weight * (fused - a).abs() + (1 - weight) * (fused - b).abs()).mean()
        with frozen(self.critics):
            target = -self.critics["target"](fused * mask).mean()
            detail = -self.critics["detail"](slope(fused) * (1 - mask)).mean()
        total = c.structure_weight * structure + c.pixel_weight * pixel
        total = total + c.adversarial_weight * (c.target_weight * target + c.detail_weight * detail)
        parts = {"structure": structure, "pixel": pixel, "target": target, "detail": detail}
        return LossTerms(total, {name: value.detach() for name, value in parts.items()})

    def _divergence(self, name: str, real: Tensor, fake: Tensor, step: int) -> Tensor:
        """−E D(real) + E D(fake) + k · E |∇D|^p at points between the two, drawn anew in every step."""
        critic, c = self.critics[name], self.config
        real, fake = at_least_float32(real), at_least_float32(fake)
        generator = torch.Generator().manual_seed(int(digest([self.seed, name, step])[:15], 16))
        # drawn in one type, so that a step in float64 mixes the same images as one in float32
        share = send(torch.rand((len(real), 1, 1, 1), generator=generator).to(real.dtype), real.device)
        between = torch.lerp(fake, real, share).detach().requires_grad_()
        # float32 throughout: the sixth power of a rounded slope is rounded six times as much
        with torch.autocast(real.device.type, enabled=False):
            (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            steepness = slopes.square().flatten(1).sum(1) * slopes[0].numel()
            penalty = (steepness + 1e-12).pow(c.penalty_power / 2).mean()
            verdicts: Tensor = critic(torch.cat((fake, real)))
        return verdicts[: len(fake)].mean() - verdicts[len(fake) :].mean() + c.penalty_weight * penalty
