"""SeAFusion: two streams of gradient residual dense blocks, trained for the brighter pixel and the steeper gradient.

Reference: Tang, Yuan, Ma, "Image fusion in the loop of high-level vision tasks: A semantic-aware real-time infrared and
visible image fusion network", Information Fusion 82, 2022.

    infrared ─ 3×3 (16) ─ block (32) ─ block (48) ─┐
                                                   ├─ 3×3 (64) ─ 3×3 (32) ─ 3×3 (16) ─ 3×3 (1), (tanh + 1)/2 ─► fused
    visible ── 3×3 (16) ─ block (32) ─ block (48) ─┘

    block      x, c₁(x), c₂(x, c₁) ─ 1×1 ─ + ─► leaky ReLU        |S_x ∗ x| + |S_y ∗ x| of every channel ─ 1×1 ─ joins +

S_x and S_y begin as Sobel's kernels and learn with the rest, as in the public code. Where this differs from the paper:

* The semantic loss is left out: it needs a segmentation network and images with labels. What remains is the paper's
  content loss, ``|F − max(A, B)| + 10 · | |∇F| − max(|∇A|, |∇B|) |`` with Sobel gradients, and of its four rounds of
  training the first, which has no semantic loss in the public code either.
* Gradients of the loss repeat the outermost pixels, where the public code pads with zeros.
* The preset ``paper`` has the public code's rates, batch and epochs, which were chosen for whole images of MSRS.
* The stored batch normalisation of the decoder is never applied by the public code; the model has none.

The authors stretch each fused image to the full range before they write it: score with ``--stretch`` for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.core.types import LossTerms, Preset
from fusionbench.models.config import Positive
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.losses import intensity_loss, texture_loss
from fusionbench.models.pairs.published_state import published_state
from fusionbench.models.published_weights import PublishedWeights

_SLOPE, _BLOCK_SLOPE = 0.2, 0.1  # of leaky ReLUs after a convolution, and after a block
_SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))
_PARTS = {  # of a block: ours -> the public code's
    "first": "dense.conv1.conv",
    "second": "dense.conv2.conv",
    "mix": "convdown.conv",
    "lift": "convup.conv",
    "across": "sobelconv.convx",
    "down": "sobelconv.convy",
}
_NEVER_APPLIED = tuple(
    f".bn.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
)
_STREAMS = {"infrared": "inf", "visible": "vis"}  # ours -> the public code's


class SeAFusionConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of SeAFusion.

    Attributes:
        widths: channels of each stream's first convolution and of its two blocks.
        texture_weight: of the gradients' loss beside that of the intensities.

    Raises:
        UsageError: other than three widths.
    """

    model: ClassVar[str] = "seafusion"
    widths: tuple[Positive, ...] = (16, 32, 48)
    texture_weight: float = 10.0

    def __post_init__(self) -> None:
        if len(self.widths) != 3:
            raise UsageError(f"seafusion takes three widths, not {list(self.widths)}")


class GradientResidualBlock(nn.Module):
    """Dense features of (N,``channels``,H,W) plus their learned gradient magnitudes: (N,``out``,H,W)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.mix = nn.Conv2d(3 * channels, out, 1)
        self.across = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.down = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.lift = nn.Conv2d(channels, out, 1)
        kernel = torch.tensor(_SOBEL)
        with torch.no_grad():
            self.across.weight.copy_(kernel.expand_as(self.across.weight))
            self.down.weight.copy_(kernel.T.expand_as(self.down.weight))

    def forward(self, x: Tensor) -> Tensor:
        dense = torch.cat((x, F.leaky_relu(self.first(x), _SLOPE)), 1)
        dense = torch.cat((dense, F.leaky_relu(self.second(dense), _SLOPE)), 1)
        gradient = self.across(x).abs() + self.down(x).abs()
        return F.leaky_relu(self.mix(dense) + self.lift(gradient), _BLOCK_SLOPE)


class SeAFusion(PairModel):
    """Two streams of gradient residual dense blocks and a decoder. View 0 is infrared, view 1 visible luminance,
    (N,2,1,H,W) in [0,1] of any size; ``fuse`` gives (N,1,H,W) in (0,1), not stretched.

    :class:`SeAFusionConfig` has the parameters. Training has the paper's content loss without its semantic loss, which
    needs a segmentation network; the text of the module has the differences from the paper.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("seafusion", ImageSpec(channels=1, height=32, width=32, views=2))
        >>> sum(parameter.numel() for parameter in model.parameters())
        166657
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
    """

    title = "SeAFusion"
    reference: ClassVar[str] = "Tang et al., Information Fusion 2022"
    version: ClassVar[str] = "1"
    receptive_radius: ClassVar[int | None] = 9

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {
                "optimizer": "adam",
                "lr": 1e-3 / 0.75,  # of the public code's first epoch, which counts its epochs from −1
                "schedule": "step",
                "step_epochs": 1,
                "step_factor": 0.75,
                "epochs": 10,
                "batch": 16,
                "inputs": "all",
            },
            "paper size, 0.167 M parameters, and the public code's schedule of one round; content loss alone",
        ),
        "tiny": Preset(
            {"widths": [4, 6, 8]},
            {"optimizer": "adam", "lr": 2e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU; not comparable with the paper",
        ),
    }
    PUBLISHED: ClassVar[PublishedWeights] = PublishedWeights(
        files=("weights",),
        sha256=("8d65a7f9a50f36349803368cf9920f40420776995e7e8cc8a56d8d30e499431d",),
        homepage="https://github.com/Linfeng-Tang/SeAFusion",
        licence="none stated",
        checked="TNO pairs 01, 06, 19 and 29 as published by Linfeng-Tang/Image-Fusion: at least .99995 of the pixels "
        "equal floor(255 (y - min y) / (max y - min y)), the others are one grey level apart. The file has 166,883 "
        "parameters with 226 of batch normalisation that the public code never applies",
        state_sha256="11de525e2086c7132f10968895da138d696a47fe2916c56018979f5d0bf09f95",
    )

    Config: ClassVar[type[SeAFusionConfig]] = SeAFusionConfig
    config: SeAFusionConfig

    def build(self) -> None:
        first, middle, last = self.config.widths
        for name in _STREAMS:
            stream = nn.Sequential(
                nn.Conv2d(1, first, 3, padding=1),
                nn.LeakyReLU(_SLOPE),
                GradientResidualBlock(first, middle),
                GradientResidualBlock(middle, last),
            )
            self.add_module(name, stream)
        widths = (2 * last, 2 * middle, 2 * first, first, 1)
        self.decoder = nn.ModuleList(nn.Conv2d(channels, out, 3, padding=1) for channels, out in pairwise(widths))

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a (infrared) and b (visible), (N,1,H,W)."""
        # the visible maps come first in the published weights
        x = torch.cat((self.get_submodule("visible")(b), self.get_submodule("infrared")(a)), 1)
        *inner, last = self.decoder
        for layer in inner:
            x = F.leaky_relu(layer(x), _SLOPE)
        fused: Tensor = torch.tanh(last(x)) / 2 + 0.5
        return fused

    def fusion_loss(self, fused: Tensor, a: Tensor, b: Tensor) -> LossTerms:
        """The paper's content loss: intensities against the brighter image, gradients against the steeper one."""
        intensity, texture = intensity_loss(fused, a, b).mean(), texture_loss(fused, a, b).mean()
        total = intensity + self.config.texture_weight * texture
        return LossTerms(total, {"intensity": intensity.detach(), "texture": texture.detach()})

    @classmethod
    def from_published(cls, states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """This model's state from that of ``SeAFusion.pth``; batch normalisation in it is left out.

        Raises:
            DataError: names or shapes of another network.
        """
        layers = {f"decoder.{index}": f"decode{4 - index}.conv" for index in range(4)}
        for ours, theirs in _STREAMS.items():
            layers[f"{ours}.0"] = f"{theirs}_conv.conv"
            for number in (1, 2):
                block, published = f"{ours}.{number + 1}", f"{theirs}_rgbd{number}"
                layers |= {f"{block}.{part}": f"{published}.{name}" for part, name in _PARTS.items()}
        return published_state(cls, cls.PUBLISHED.params, states, (layers,), not_needed=_NEVER_APPLIED)
