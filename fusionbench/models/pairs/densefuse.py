"""DenseFuse: a densely connected auto-encoder of single images, whose features are fused by a fixed rule.

Reference: Li and Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images", IEEE Transactions on Image
Processing 28(5), 2019.

    a ─ conv 16 ─ dense block, 3 × 16 ─ 64 maps ─┐
                                                 ├─ rule ─ conv 64 ─ conv 32 ─ conv 16 ─ conv 1 ─► fused
    b ─ same weights ─────────────────── 64 maps ┘

Training sees single images and no rule: both images of a pair are reconstructed. From the paper: layers, rules,
loss λ·(1 − SSIM) + pixel loss on grey levels, and the schedule. Open or different:

* The pixel loss is a Euclidean norm in print; here it is the mean of squares, as in the authors' code.
* λ is 1, 10, 100 or 1000 in the paper; the default is 100.
* ``addition`` adds the features, which about doubles the image. The authors store every result stretched to the full
  range, where a factor disappears; here the image is divided by two, which any later stretch maps to the same image.
* The 3×3 mean of the activity in ``l1-norm`` mirrors the border, as the convolutions do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.types import LossTerms, Preset
from fusionbench.models.config import Count, Positive, check_choice
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.blocks import LEVELS, DenseBlock, conv_chain, conv_layer, mirror_border
from fusionbench.models.pairs.losses import content_loss
from fusionbench.models.precision import at_least_float32

SMALLEST_ACTIVITY = 1e-12  # where both images have none, each counts half


def l1_weight(x: Tensor, y: Tensor) -> Tensor:
    """The share of x in the activity of features x and y (N,C,H,W): (N,1,H,W) in [0,1].

    Activity is the sum of absolute values over the channels, averaged over 3×3 pixels.
    """
    first, second = (
        F.avg_pool2d(mirror_border(at_least_float32(features).abs().sum(1, keepdim=True), 1), 3, stride=1)
        + SMALLEST_ACTIVITY
        for features in (x, y)
    )
    return first / (first + second)


class DenseFuseConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of DenseFuse.

    Attributes:
        width: maps of the first layer and of each layer of the dense block.
        dense_layers: layers of the dense block.
        rule: ``"addition"`` or ``"l1-norm"``, how features are fused. Training does not depend on it.
        ssim_weight: λ.

    Raises:
        UsageError: an unknown rule.
    """

    model: ClassVar[str] = "densefuse"
    width: Positive = 16
    dense_layers: Count = 3
    rule: str = "addition"
    ssim_weight: float = 100.0

    def __post_init__(self) -> None:
        check_choice(self.model, rule=(self.rule, ("addition", "l1-norm")))


class DenseFuse(PairModel):
    """Densely connected auto-encoder with a fixed fusion rule. Views (N,2,1,H,W) in [0,1] of any size; ``fuse`` gives
    (N,1,H,W) in [0,1].

    :class:`DenseFuseConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("densefuse", ImageSpec(channels=1, height=32, width=32, views=2), rule="l1-norm")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
        >>> sum(parameter.numel() for parameter in model.parameters())
        74193
    """

    title = "DenseFuse"
    reference: ClassVar[str] = "Li and Wu, IEEE TIP 2019"
    version: ClassVar[str] = "1"
    receptive_radius: ClassVar[int | None] = 9  # four layers, the mean of the l1 rule, four layers; 8 with addition

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {"optimizer": "adam", "lr": 1e-4, "lr_min": 1e-4, "epochs": 4, "batch": 2, "inputs": "all"},
            "paper size, 74,193 parameters; the paper trains on 79,000 grey images of 256×256 (COCO), here on both "
            "images of the pairs, and pairs of other sizes need other epochs",
        ),
        "tiny": Preset(
            {"width": 4},
            {"optimizer": "adam", "lr": 3e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU: a quarter of the width; not comparable with the paper",
        ),
    }

    Config: ClassVar[type[DenseFuseConfig]] = DenseFuseConfig
    config: DenseFuseConfig

    def build(self) -> None:
        width = self.config.width
        deep = width * (1 + self.config.dense_layers)
        self.encoder = nn.Sequential(conv_layer(1, width), DenseBlock(width, width, self.config.dense_layers))
        self.decoder = conv_chain((deep, 4 * width, 2 * width, width, 1))

    def reconstruct(self, image: Tensor) -> Tensor:
        """The auto-encoder that is trained: (N,1,H,W) → (N,1,H,W)."""
        result: Tensor = self.decoder(self.encoder(image))
        return result

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W)."""
        of_a, of_b = self.encoder(a), self.encoder(b)
        if self.config.rule == "addition":
            return self.decoder(of_a + of_b) / 2  # type: ignore[no-any-return]
        result: Tensor = self.decoder(torch.lerp(of_b, of_a, l1_weight(of_a, of_b).to(of_a.dtype)))
        return result

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """λ·(1 − SSIM) + mean squared error in grey levels, over both images."""
        images = torch.cat((a, b))
        reconstruction = self.reconstruct(images)
        pixel = content_loss(reconstruction, images, LEVELS**2, 0).mean()
        ssim = content_loss(reconstruction, images, 0, 1).mean()
        return LossTerms(pixel + self.config.ssim_weight * ssim, {"pixel": pixel.detach(), "ssim": ssim.detach()})
