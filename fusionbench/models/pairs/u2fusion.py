"""U2Fusion: one densely connected network for all tasks, trained to keep what each image has more of.

Reference: Xu, Ma, Jiang, Guo, Ling, "U2Fusion: A Unified Unsupervised Image Fusion Network", IEEE Transactions on
Pattern Analysis and Machine Intelligence 44(1), 2022.

    a, b ─ cat ─ conv 44 ─ dense block, 5 × 44 ─ 264 maps ─ conv 128 ─ conv 64 ─ conv 32 ─ conv 1 ─ tanh ─► fused

    loss    Σ_i ω_i (1 − SSIM(F, i)) + α Σ_i ω_i ‖F − i‖²,    (ω_a, ω_b) = softmax(g_a / c, g_b / c)

From the public code: layers, loss, α = 20, and g as the mean squared gradient of features of an image over five stages;
the paper's text was not at hand.

**This differs from the paper in what the features are.** Its stages are those of a VGG16 trained on ImageNet, whose
weights do not come with fusionbench. Here (``measure="gradients"``) they are fixed: at five scales, each half the
size of the one before, the image and the positive and negative parts of its two Sobel slopes. The preserved share of
an image so follows its contrast and its edges, and no semantics. c is ours as well, since it belongs to the features:
the authors' 3.2e3 is for VGG16's; 3e-4 is the median of |g_a − g_b| over the 221 pairs of RoadScene, so that the
weights of a typical pair are .73 and .27. Nor is the sequence of three tasks with elastic weight consolidation built:
a run trains one task, the pairs that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.core.types import LossTerms, Preset
from fusionbench.models.config import Count, Positive, check_choice
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.blocks import DenseBlock, conv_chain, conv_layer, neighbour_contrast
from fusionbench.models.pairs.losses import content_loss, torch_sobel
from fusionbench.models.pairs.padding import pad_to_multiple
from fusionbench.models.precision import at_least_float32

STAGES = 5  # as many as VGG16 has
SOBEL_GAIN = 8.0  # a ramp of one grey level a pixel has a Sobel slope of eight


def gradient_information(image: Tensor) -> Tensor:
    """How much there is to preserve in images (N,1,H,W): (N,) ≥ 0, the mean squared gradient of fixed features.

    Five maps at each of five scales: the image and the positive and negative parts of its two Sobel slopes. The
    gradient is that of the paper's code, the mean of the eight neighbours less the pixel.
    """
    image = at_least_float32(image)
    stages = []
    for _ in range(STAGES):
        across, down = (slope / SOBEL_GAIN for slope in torch_sobel(image))
        features = torch.cat((image, across.relu(), (-across).relu(), down.relu(), (-down).relu()), 1)
        stages.append(neighbour_contrast(features).square().flatten(1).mean(1))
        image = F.avg_pool2d(pad_to_multiple(image, 2), 2)
    return torch.stack(stages).mean(0)


class U2FusionConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of U2Fusion.

    Attributes:
        width: maps of the first layer and of each layer of the dense block.
        dense_layers: layers of the dense block.
        decoder_widths: maps of the layers after it, the output excepted.
        measure: what weighs the images: ``"gradients"`` (see the module), or ``"equal"``: one half each.
        sharpness: c, in units of the measure; smaller values decide more sharply between the images.
        pixel_weight: α.

    Raises:
        UsageError: an unknown measure, or a sharpness that is not positive.
    """

    model: ClassVar[str] = "u2fusion"
    width: Positive = 44
    dense_layers: Count = 5
    decoder_widths: tuple[Positive, ...] = (128, 64, 32)
    measure: str = "gradients"
    sharpness: float = 3e-4
    pixel_weight: float = 20.0

    def __post_init__(self) -> None:
        check_choice(self.model, measure=(self.measure, ("gradients", "equal")))
        if not self.sharpness > 0:
            raise UsageError(f"u2fusion: sharpness={self.sharpness:g} is not positive")


class U2Fusion(PairModel):
    """Densely connected network, trained with information-preservation weights. Views (N,2,1,H,W) in [0,1] of any
    size; ``fuse`` gives (N,1,H,W) in [0,1].

    :class:`U2FusionConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("u2fusion", ImageSpec(channels=1, height=32, width=32, views=2), preset="tiny")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
        >>> model.preservation(pair[:, 0], pair[:, 0])  # the same image twice
        tensor([[0.5000, 0.5000]])
    """

    title = "U2Fusion"
    reference: ClassVar[str] = "Xu et al., IEEE TPAMI 2022"
    version: ClassVar[str] = "1"

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {"optimizer": "adam", "lr": 1e-4, "lr_min": 1e-4, "epochs": 3, "batch": 18, "inputs": "all"},
            "paper size, 0.659 M parameters, weights of our own features instead of VGG16's; epochs and batch of the "
            "authors' first task on patches of 64×64, Adam where they have RMSProp",
        ),
        "tiny": Preset(
            {"width": 6, "dense_layers": 3, "decoder_widths": [12, 8]},
            {"optimizer": "adam", "lr": 3e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU: narrow and shallow; not comparable with the paper",
        ),
    }

    Config: ClassVar[type[U2FusionConfig]] = U2FusionConfig
    config: U2FusionConfig

    @property
    def receptive_radius(self) -> int:
        """One pixel for each 3×3 layer: the first, the dense block, the decoder."""
        return 1 + self.config.dense_layers + len(self.config.decoder_widths) + 1

    def build(self) -> None:
        c, slope = self.config, 0.2
        deep = c.width * (1 + c.dense_layers)
        self.encoder = nn.Sequential(
            conv_layer(2, c.width, slope=slope), DenseBlock(c.width, c.width, c.dense_layers, slope=slope)
        )
        self.decoder = conv_chain((deep, *c.decoder_widths, 1), slope=slope)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W)."""
        result: Tensor = self.decoder(self.encoder(torch.cat((a, b), 1)))
        return result.tanh() / 2 + 0.5

    @torch.no_grad()
    def preservation(self, a: Tensor, b: Tensor) -> Tensor:
        """ω: the weights of a and b (N,1,H,W) in the loss, (N,2), which add up to one."""
        if self.config.measure == "equal":
            return torch.full((len(a), 2), 0.5, device=a.device)
        information = torch.stack((gradient_information(a), gradient_information(b)), 1)
        return (information / self.config.sharpness).softmax(1)

    def fusion_loss(self, fused: Tensor, a: Tensor, b: Tensor) -> LossTerms:
        """SSIM and mean squared error against each image, weighted by what it has to preserve."""
        weights = self.preservation(a, b)
        ssim, pixel = (
            (weights * torch.stack([content_loss(fused, image, *which) for image in (a, b)], 1)).sum(1).mean()
            for which in ((0, 1), (1, 0))
        )
        terms = {"ssim": ssim.detach(), "pixel": pixel.detach(), "weight_a": weights[:, 0].mean()}
        return LossTerms(ssim + self.config.pixel_weight * pixel, terms)
