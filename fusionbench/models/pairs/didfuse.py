"""DIDFuse: an auto-encoder that splits an image into base and detail features; fused features are decoded.

Reference: Zhao, Xu, Zhang, Liu, Zhang, Liu, "DIDFuse: Deep Image Decomposition for Infrared and Visible Image
Fusion", IJCAI 2020 (arXiv 2003.09210).

    image ─ conv 1 ─┬─ conv 2 ─┬─ base (tanh) ───┐
                    │          ├─ detail (tanh) ─┴─ conv 5 ─┐
                    │          └─────────────── skip ───────┴─ conv 6 ─┐
                    └────────────────────────── skip ──────────────────┴─ conv 7 (sigmoid) ─► image

    training    single images are rebuilt; the base features of both images are pulled together, the detail ones apart
    fusion      each of the four feature maps of both images is joined by one rule, and decoded

View 0 is infrared, view 1 visible luminance. What is settled by which source:

* Layers, loss terms and constants are those of the authors' public code. It takes the mean absolute difference of
  features; the paper, whose text was not at hand, is said to print a squared norm, whose sum over all features would
  leave the tanh no slope.
* The rule is open in the code (its default is the sum); the authors' published fused images follow the l1-norm rule,
  which is the default here.
* Both images pass the encoder in one batch, so that the running statistics are those of the mixture; the public code
  passes them one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.types import LossTerms, Preset
from fusionbench.models.config import Positive, check_choice
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.losses import content_loss, torch_sobel
from fusionbench.models.pairs.published_state import published_state
from fusionbench.models.precision import at_least_float32
from fusionbench.models.published_weights import PublishedWeights

RULES = ("l1", "sum", "average")
SOBEL_NORM = 8  # the sum of the Sobel kernel's magnitudes: slopes in grey levels per pixel
Features = tuple[Tensor, Tensor, Tensor, Tensor]


class MirrorPad(nn.Module):
    """One pixel around (N,C,H,W), mirrored without repeating the edge; repeated where there is one pixel only."""

    def forward(self, x: Tensor) -> Tensor:
        across = F.pad(x, (1, 1, 0, 0), mode="reflect" if x.shape[-1] > 1 else "replicate")
        return F.pad(across, (0, 0, 1, 1), mode="reflect" if x.shape[-2] > 1 else "replicate")


def normed(channels: int, out: int, activation: nn.Module, mirror: bool = False) -> nn.Sequential:
    """3×3 convolution, padded with zeros or mirrored; batch normalisation; an activation."""
    convolution = nn.Conv2d(channels, out, 3, padding=0 if mirror else 1)
    return nn.Sequential(MirrorPad() if mirror else nn.Identity(), convolution, nn.BatchNorm2d(out), activation)


class DecomposingEncoder(nn.Module):
    """(N,1,H,W) to four feature maps (N,C,H,W): of conv 1, of conv 2, base, detail."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = normed(1, width, nn.PReLU(), mirror=True)
        self.second = normed(width, width, nn.PReLU())
        self.base = normed(width, width, nn.Tanh())
        self.detail = normed(width, width, nn.Tanh())

    def forward(self, image: Tensor) -> Features:
        first = self.first(image)
        second = self.second(first)
        return first, second, self.base(second), self.detail(second)


class SkipDecoder(nn.Module):
    """Four feature maps to an image (N,1,H,W) in (0,1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.join = normed(2 * width, width, nn.PReLU())
        self.second = normed(2 * width, width, nn.PReLU())
        self.first = normed(2 * width, 1, nn.Sigmoid(), mirror=True)

    def forward(self, features: Features) -> Tensor:
        first, second, base, detail = features
        x = self.join(torch.cat((base, detail), 1))
        x = self.second(torch.cat((x, second), 1))
        result: Tensor = self.first(torch.cat((x, first), 1))
        return result


def join_by_l1(x: Tensor, y: Tensor) -> Tensor:
    """Weighted mean of features (N,C,H,W): each weighs as the 3×3 mean of its channels' summed magnitudes.

    Outside the image magnitudes are zero. Where both are zero, the weights are equal.

    Example:
        >>> import torch
        >>> from fusionbench.models.pairs.didfuse import join_by_l1
        >>> x, y = torch.full((1, 2, 4, 4), 3.0), torch.full((1, 2, 4, 4), 1.0)
        >>> float(join_by_l1(x, y)[0, 0, 2, 2])  # 3/4 of 3 and 1/4 of 1
        2.5
    """
    activity = [F.avg_pool2d(features.abs().sum(1, keepdim=True), 3, stride=1, padding=1) for features in (x, y)]
    total = activity[0] + activity[1]
    weight = torch.where(total > 0, activity[0] / total, torch.full_like(total, 0.5))
    return weight * x + (1 - weight) * y


class DIDFuseConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of DIDFuse.

    Attributes:
        width: channels of every feature map.
        rule: how the features of both images join: ``"l1"`` (:func:`join_by_l1`), ``"sum"``, ``"average"``.
        image_weight: of the reconstruction of each image: mean squared error + ``ssim_weight`` · (1 − SSIM) / 2.
        ssim_weight: see above.
        gradient_weight: of the mean absolute difference of the visible image's slopes and its reconstruction's.
        base_weight, detail_weight: of tanh of the mean absolute difference of both images' base features, which is
            made small, and of their detail features, which is made large.

    Raises:
        UsageError: an unknown rule.
    """

    model: ClassVar[str] = "didfuse"
    width: Positive = 64
    rule: str = "l1"
    image_weight: float = 2.0
    ssim_weight: float = 5.0
    gradient_weight: float = 10.0
    base_weight: float = 1.0
    detail_weight: float = 0.5

    def __post_init__(self) -> None:
        check_choice(self.model, rule=(self.rule, RULES))


class DIDFuse(PairModel):
    """Auto-encoder with base and detail features, joined by a rule. Views (N,2,1,H,W) in [0,1] of any size; ``fuse``
    gives (N,1,H,W) in [0,1].

    :class:`DIDFuseConfig` has the parameters; 260,935 weights at the paper's size.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("didfuse", ImageSpec(channels=1, height=32, width=32, views=2), preset="tiny")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
    """

    title = "DIDFuse"
    reference: ClassVar[str] = "Zhao et al., IJCAI 2020"
    version: ClassVar[str] = "1"
    receptive_radius: ClassVar[int | None] = 7  # six 3×3 convolutions in a row, and the rule's 3×3 mean between them

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {
                "optimizer": "adam",
                "lr": 1e-3,
                "lr_min": 1e-5,
                "schedule": "step",
                "step_epochs": 40,
                "step_factor": 0.1,
                "epochs": 120,
                "batch": 24,
                "inputs": "all",
            },
            "size, losses and schedule of the authors' code: 180 pairs of 128×128, 120 epochs of batch 24; which rule "
            "joins the features is open there, and is the one of their fused images here",
        ),
        "tiny": Preset(
            {"width": 8},
            {"optimizer": "adam", "lr": 3e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU; not comparable with the paper",
        ),
    }

    PUBLISHED: ClassVar[PublishedWeights] = PublishedWeights(
        files=("encoder", "decoder"),
        sha256=(
            "4d84a4e64e58469d3d4591f83c6683ead3e422498519db99bb617cb29d268471",
            "c6974e2a7c66ab579a77bacb086023237a229e769d459783bad8ff43e52e9986",
        ),
        homepage="https://github.com/Zhaozixiang1228/IVIF-DIDFuse",
        licence="none stated",
        checked="the authors' fused images of 25 TNO pairs: .99998 of pixels are floor(255 y), the rest one level off",
        state_sha256="66ba8f5cd33b4beb4f51e7b6d6ec77ee78dfd8065e02f1edd4e0ade3a2312b3a",
    )

    Config: ClassVar[type[DIDFuseConfig]] = DIDFuseConfig
    config: DIDFuseConfig

    def build(self) -> None:
        self.encoder, self.decoder = DecomposingEncoder(self.config.width), SkipDecoder(self.config.width)

    @classmethod
    def from_published(cls, states: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The ``state_dict`` of this model from the encoder's and the decoder's file.

        Raises:
            DataError: names or shapes that are not those of the published files.
        """
        layers = (("first", 1, 1), ("second", 2, 0), ("base", 3, 0), ("detail", 4, 0))
        encoder = _names("encoder", layers)
        decoder = _names("decoder", (("join", 5, 0), ("second", 6, 0), ("first", 7, 1)))
        inner = [state.get("weight", state) for state in states]
        return published_state(cls, cls.PUBLISHED.params, inner, (encoder, decoder))

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W)."""
        first, second, base, detail = (self._join(x, y) for x, y in zip(self.encoder(a), self.encoder(b), strict=True))
        result: Tensor = self.decoder((first, second, base, detail))
        return result

    def _join(self, x: Tensor, y: Tensor) -> Tensor:
        if self.config.rule == "l1":
            return join_by_l1(x, y)
        return x + y if self.config.rule == "sum" else (x + y) / 2

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """Both images rebuilt, base features alike, detail features unlike, slopes of the visible image kept."""
        c, images = self.config, torch.cat((a, b))
        features = self.encoder(images)
        rebuilt = self.decoder(features)
        of_a, of_b = content_loss(rebuilt, images, 1.0, c.ssim_weight / 2).chunk(2)
        content = of_a.mean() + of_b.mean()
        base, detail = (_distance(*maps.chunk(2)) for maps in features[2:])
        slopes = zip(torch_sobel(b), torch_sobel(rebuilt[len(a) :]), strict=True)
        gradient = torch.stack([(wanted - made).abs().mean() for wanted, made in slopes]).mean() / SOBEL_NORM
        total = c.image_weight * content + c.gradient_weight * gradient
        total = total + c.base_weight * torch.tanh(base) - c.detail_weight * torch.tanh(detail)
        parts = {"content": content, "gradient": gradient, "base": base, "detail": detail}
        return LossTerms(total, {name: value.detach() for name, value in parts.items()})


def _distance(x: Tensor, y: Tensor) -> Tensor:
    return (at_least_float32(x) - at_least_float32(y)).abs().mean()


def _names(part: str, layers: Sequence[tuple[str, int, int]]) -> dict[str, str]:
    """Our layers and the published names: layer, number, and where in its sequence the convolution is."""
    names = {}
    for layer, number, place in layers:
        for ours, theirs in ((1, place), (2, place + 1), (3, place + 2)):
            names[f"{part}.{layer}.{ours}"] = f"cov{number}.cov{number}.{theirs}"
    return names
