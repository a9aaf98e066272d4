"""DATFuse: convolutions with attention to channels and places, and a transformer whose window is one pixel.

Reference: Tang, He, Liu, Duan, Si, "DATFuse: Infrared and Visible Image Fusion via Dual Attention Transformer", IEEE
Transactions on Circuits and Systems for Video Technology, 2023.

    [infrared|visible] ─ conv 5×5 ─┬─ residual attention ─ + ─ ReLU ─ transformer ─ residual attention ─ 1×1 ─ tanh ► F
                                   └────────────────────── ┘
    residual attention    y = conv(ReLU(conv(x))), the same conv;  y · channel weights + y · pixel weights + skip

View 0 is infrared, view 1 visible luminance. The tanh is clamped to [0,1]; the authors' script converts it to 8 bits
unclamped, where a negative value would wrap to white. What is settled by which source:

* Layers and constants are those of the public code, which uses one set of weights for the attention before and after
  the transformer, and one convolution twice inside it.
* **The attention of its transformer does nothing.** Its windows are one pixel wide: a softmax over one token is 1, and
  a block is a linear layer, a normalisation and a small network at every token. Of the 10,760 weights of the published
  file, queries, keys, position biases and one further normalisation have no effect: 1,296, which are left out here.
* What is a token: the public code reads the memory of (C,H,W) as (H,W,C), without moving the channels. A token is then
  no pixel with its 16 channels, but 16 neighbours of one channel along the rows: ``tokens="raster"``, which the
  published weights need. ``"pixels"`` is a pixel with its channels.
* The gradient term of the public code takes the mean of all slopes of a batch before it compares them, and slopes of
  opposite sign cancel there; ``gradient="mean"`` does so. ``"pixels"`` compares them pixel by pixel, as the formula
  is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.core.types import LossTerms, Preset
from fusionbench.models.config import Count, Positive, check_choice
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.losses import texture_loss, torch_sobel, torch_ssim
from fusionbench.models.pairs.published_state import flat_state, published_state
from fusionbench.models.precision import at_least_float32
from fusionbench.models.published_weights import PublishedWeights

NORM_OF_PATCHES = ("patch_embed.norm.weight", "patch_embed.norm.bias")
WITHOUT_EFFECT = ("relative_position_index", "relative_position_bias_table", *NORM_OF_PATCHES)


def repeated_edge(x: Tensor, by: int) -> Tensor:
    """(N,C,H,W) with ``by`` pixels around it that repeat its edge."""
    return F.pad(x, (by, by, by, by), mode="replicate")


class RepeatedConvolution(nn.Module):
    """One 3×3 convolution with its normalisation, passed twice, with a ReLU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(repeated_edge(x, 1))))
        result: Tensor = self.norm(self.conv(repeated_edge(x, 1)))
        return result


class ChannelAttention(nn.Module):
    """(N,C,H,W) to one weight in (0,1) for each channel, from its mean over the image."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.narrow, self.widen = nn.Conv2d(width, width // reduction, 1), nn.Conv2d(width // reduction, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.widen(F.relu(self.narrow(x.mean((2, 3), keepdim=True)))))


class SpatialAttention(nn.Module):
    """(N,C,H,W) to one weight in (0,1) for each pixel."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        narrow = width // reduction
        self.narrow, self.narrow_norm = nn.Conv2d(width, narrow, 3, padding=1), nn.BatchNorm2d(narrow)
        self.score, self.score_norm = nn.Conv2d(narrow, 1, 3, padding=1), nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.score_norm(self.score(F.relu(self.narrow_norm(self.narrow(x))))))


class OneTokenBlock(nn.Module):
    """A transformer block with windows of one token: tokens (…,C) to tokens (…,C), each by itself.

    The softmax over one token is 1, so that the attended token is its own value, whatever queries and keys are.
    """

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.value, self.project = nn.Linear(width, width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.project(self.value(self.norm1(tokens)))
        result: Tensor = tokens + self.narrow(F.gelu(self.widen(self.norm2(tokens))))
        return result


def mean_slope_loss(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Distance of the batch's mean slope (across + down, with their signs) from the larger one of both images."""
    of_fused, of_a, of_b = (torch.stack(torch_sobel(x)).mean() * 2 for x in (fused, a, b))
    return (of_fused - torch.maximum(of_a, of_b)).abs()


GRADIENTS = {"pixels": texture_loss, "mean": mean_slope_loss}


class DATFuseConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of DATFuse.

    Attributes:
        width, reduction: channels, and how much the attentions narrow them.
        blocks, expansion: of the transformer; without an effect of its attention it has no heads.
        tokens: ``"raster"`` (public code) or ``"pixels"``, see the module.
        pixel_weight: of the mean squared differences from both images.
        structure_weight: of 1 − SSIM to the brighter of both images at every pixel.
        gradient_weight: of the distance of slopes from the steeper image's.
        gradient: ``"pixels"`` or ``"mean"`` (public code), see the module.

    Raises:
        UsageError: an unknown choice, or a reduction that leaves no channel.
    """

    model: ClassVar[str] = "datfuse"
    width: Positive = 16
    reduction: Positive = 4
    blocks: Count = 2
    expansion: Positive = 4
    tokens: str = "raster"
    pixel_weight: float = 1.0
    structure_weight: float = 10.0
    gradient_weight: float = 100.0
    gradient: str = "pixels"

    def __post_init__(self) -> None:
        check_choice(self.model, tokens=(self.tokens, ("raster", "pixels")), gradient=(self.gradient, GRADIENTS))
        if self.reduction > self.width:
            raise UsageError(f"datfuse: reduction={self.reduction} leaves nothing of {self.width} channels")


class DATFuse(PairModel):
    """Residual attention before and after a transformer of single tokens. Views (N,2,1,H,W) in [0,1] of any size;
    ``fuse`` gives (N,1,H,W) in [0,1].

    Its transformer has windows of one pixel, so that its attention does nothing: the network is one of convolutions,
    with weights for channels and places. :class:`DATFuseConfig` has the parameters. 9,464 weights at the paper's size:
    the published 10,760 less 1,296 without any effect. The channels' weights depend on the whole image.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("datfuse", ImageSpec(channels=1, height=32, width=32, views=2), preset="tiny")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
    """

    title = "DATFuse"
    reference: ClassVar[str] = "Tang et al., IEEE TCSVT 2023"
    version: ClassVar[str] = "1"
    receptive_radius: ClassVar[int | None] = None  # channel attention averages over the whole image

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {"optimizer": "adam", "lr": 1e-3, "lr_min": 1e-3, "epochs": 10, "batch": 128, "inputs": "all"},
            "size, weights of the losses and schedule of the authors' code, for patches of 120×120; how patches are "
            "cut is not in it",
        ),
        "tiny": Preset(
            {"width": 8, "reduction": 2},
            {"optimizer": "adam", "lr": 3e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU; not comparable with the paper",
        ),
    }

    PUBLISHED: ClassVar[PublishedWeights] = PublishedWeights(
        files=("weights",),
        sha256=("075b636954cbd425fc29be808bcfb42232e29b203f054c2a637ed301300d5a1d",),
        homepage="https://github.com/tthinking/DATFuse",
        licence="none stated",
        params={"tokens": "raster"},
        checked="no fused images of the authors at hand: 25 TNO pairs equal the layers spelt out, to the bit",
        state_sha256="b7be6b5df07106e6b3172bee79d55b5c19018914ccfab6fda217b3f4bdff7cf8",
    )

    Config: ClassVar[type[DATFuseConfig]] = DATFuseConfig
    config: DATFuseConfig

    def build(self) -> None:
        c = self.config
        self.stem, self.stem_norm = nn.Conv2d(2, c.width, 5), nn.BatchNorm2d(c.width)
        self.features = RepeatedConvolution(c.width)
        self.channels = ChannelAttention(c.width, c.reduction)
        self.places = SpatialAttention(c.width, c.reduction)
        self.blocks = nn.Sequential(*(OneTokenBlock(c.width, c.expansion) for _ in range(c.blocks)))
        self.output = nn.Conv2d(c.width, 1, 1)

    @classmethod
    def from_published(cls, states: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The ``state_dict`` of this model from the published file.

        Raises:
            DataError: names or shapes that are not those of the published file.
        """
        names = {
            "stem": "convolutional.conv",
            "stem_norm": "convolutional.bn",
            "features.conv": "fem.conv",
            "features.norm": "fem.bn",
            "channels.narrow": "cam.fc.0",
            "channels.widen": "cam.fc.2",
            "places.narrow": "sam.body.0",
            "places.narrow_norm": "sam.body.1",
            "places.score": "sam.body.3",
            "places.score_norm": "sam.body.4",
            "output": "convolutional_out.conv",
        }
        inside = {
            "norm1": "norm1",
            "norm2": "norm2",
            "value": "attn.value",
            "project": "attn.proj",
            "widen": "mlp.fc1",
            "narrow": "mlp.fc2",
        }
        for block in range(cls.Config().blocks):
            names |= {f"blocks.{block}.{ours}": f"basicLayer.blocks.{block}.{it}" for ours, it in inside.items()}
        with_values = [_values_alone(flat_state(state)) for state in states]
        return published_state(cls, cls.PUBLISHED.params, with_values, (names,), not_needed=WITHOUT_EFFECT)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W), in (−1,1): ``fuse`` clamps it."""
        first = F.relu(self.stem_norm(self.stem(repeated_edge(torch.cat((a, b), 1), 2))))
        encoded = F.relu(self._attend(self.features(first)) + first)
        features = self.features(self._transform(encoded))
        return torch.tanh(self.output(self._attend(features) + features))

    def _attend(self, features: Tensor) -> Tensor:
        result: Tensor = features * self.channels(features) + features * self.places(features)
        return result

    def _transform(self, x: Tensor) -> Tensor:
        count, width, height, columns = x.shape
        if self.config.tokens == "pixels":
            moved: Tensor = self.blocks(x.permute(0, 2, 3, 1))
            return moved.permute(0, 3, 1, 2)
        tokens = x.contiguous(memory_format=torch.contiguous_format).view(count, height * columns, width)
        mixed: Tensor = self.blocks(tokens)
        return mixed.reshape(count, width, height, columns)

    def fusion_loss(self, fused: Tensor, a: Tensor, b: Tensor) -> LossTerms:
        """Pixels of both images, structure of the brighter, slopes of the steeper."""
        c, fused = self.config, at_least_float32(fused)
        pixel = (fused - a).square().mean() + (fused - b).square().mean()
        structure = (1 - torch_ssim(fused, torch.maximum(a, b))).mean()
        gradient = GRADIENTS[c.gradient](fused, a, b).mean()
        total = c.pixel_weight * pixel + c.structure_weight * structure + c.gradient_weight * gradient
        parts = {"pixel": pixel, "structure": structure, "gradient": gradient}
        return LossTerms(total, {name: value.detach() for name, value in parts.items()})


def _values_alone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors with the values' third of each layer of queries, keys and values in its place."""
    result = dict(state)
    for name in [name for name in state if ".attn.qkv." in name]:
        stacked = result.pop(name)
        result[name.replace(".qkv.", ".value.")] = stacked[len(stacked) // 3 * 2 :] if stacked.ndim else stacked
    return result
