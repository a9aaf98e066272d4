"""IFCNN: features of each image by two convolutions, the larger one of each kept, two convolutions back to an image.

Reference: Zhang, Liu, Sun, Yan, Zhao, Zhang, "IFCNN: A general image fusion framework based on convolutional neural
network", Information Fusion 54, 2020.

    each image, three channels, ImageNet mean and deviation ─ 7×7 (64) ─ 3×3, BN, ReLU (64) ─┐
                          fused ◄─ truncation to 8 bits, luma ◄─ 1×1 (3) ◄─ 3×3, BN, ReLU ◄─ maximum over images

All images are extended by their outermost pixels before a convolution. A grey image is three equal channels, and the
order of the images does not matter. Where training differs from the paper:

* The paper learns from multi-focus images made of NYU-D2's photographs and depths, with the photograph as the target.
  Here the target is every image of the pairs, and what is fused are two copies of it, each blurred where the other one
  is sharp, in random regions: :func:`fusionbench.models.pairs.mfeif.complementary_corruptions`. No image is fused with
  one of another sensor in training, as in the paper.
* The paper adds a perceptual loss of ResNet-101's features to the mean squared error, and takes the 7×7 layer from
  ResNet-101, frozen. Both need weights of ImageNet, which do not come with fusionbench: the loss is the mean squared
  error alone, and the 7×7 layer is learned with the rest.
* Optimiser, steps and batch of the preset ``paper`` are ours; it has the paper's size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionbench.core.types import LossTerms, Preset
from fusionbench.models.config import Positive, check_choice
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.mfeif import complementary_corruptions
from fusionbench.models.pairs.published_state import published_state
from fusionbench.models.precision import at_least_float32
from fusionbench.models.published_weights import PublishedWeights

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue
_LUMA = (9798, 19235, 3735)  # of BT.601 in 1/2^15, as OpenCV rounds it
_LUMA_BITS = 15


class IFCNNConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of IFCNN.

    Attributes:
        width: channels of the features.
        levels: what the three fused channels pass on the way to one: ``"published"`` truncates each to 8 bits and takes
            OpenCV's luma of 8 bits, as the authors' script does; ``"none"`` takes their luma as it is.

    Raises:
        UsageError: unknown ``levels``.
    """

    model: ClassVar[str] = "ifcnn"
    width: Positive = 64
    levels: str = "published"

    def __post_init__(self) -> None:
        check_choice(self.model, levels=(self.levels, ("published", "none")))


class IFCNN(PairModel):
    """Maximum of convolutional features of two images. Views (N,2,1,H,W) in [0,1] of any size, in any order; ``fuse``
    gives (N,1,H,W) in [0,1], of 256 levels unless ``levels="none"``.

    :class:`IFCNNConfig` has the parameters. Training here has no perceptual loss and learns from corrupted copies of
    single images; the text of the module has the differences from the paper.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("ifcnn", ImageSpec(channels=1, height=32, width=32, views=2))
        >>> sum(parameter.numel() for parameter in model.parameters())
        83587
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
    """

    title = "IFCNN"
    reference: ClassVar[str] = "Zhang et al., Information Fusion 2020"
    version: ClassVar[str] = "1"
    receptive_radius: ClassVar[int | None] = 5

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {"optimizer": "adam", "lr": 1e-3, "lr_min": 1e-5, "epochs": 60, "batch": 32, "inputs": "all"},
            "paper size, 0.084 M parameters; mean squared error without the perceptual loss, schedule of our own",
        ),
        "tiny": Preset(
            {"width": 8},
            {"optimizer": "adam", "lr": 2e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU; not comparable with the paper",
        ),
    }
    PUBLISHED: ClassVar[PublishedWeights] = PublishedWeights(
        files=("weights",),
        sha256=("6022b44c88a2f0367ba9b08fcdf0d663745d9a966fca0ee1f41867797b6ff53f",),
        homepage="https://github.com/uzeful/IFCNN",
        licence="none stated",
        checked="IFCNN-MAX, TNO pairs 01, 06, 19 and 29 as published by Linfeng-Tang/Image-Fusion: at most one grey "
        "level apart in at most 8 pixels of an image, root mean square at most .0043 levels",
        state_sha256="11223b56d16c88d5d9b44e7b9e847951dc0b6bce804905563afdc7e7a9bb6fb0",
    )

    Config: ClassVar[type[IFCNNConfig]] = IFCNNConfig
    config: IFCNNConfig
    mean: Tensor
    deviation: Tensor

    def build(self) -> None:
        width = self.config.width
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, width, 7, padding=3, padding_mode="replicate", bias=False)
        self.features = _block(width)
        self.merged = _block(width)
        self.output = nn.Conv2d(width, 3, 1)

    def reconstruct(self, a: Tensor, b: Tensor) -> Tensor:
        """Three fused channels (N,3,H,W) of a and b (N,1,H,W) or (N,3,H,W); they may leave [0,1]."""
        features = [
            self.features(self.stem((image.expand(-1, 3, -1, -1) - self.mean) / self.deviation)) for image in (a, b)
        ]
        fused: Tensor = self.output(self.merged(torch.maximum(*features)))
        return at_least_float32(fused) * self.deviation + self.mean

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W) or (N,3,H,W)."""
        channels = self.reconstruct(a, b).clamp(0, 1)
        if self.config.levels == "published":
            channels = (channels * 255).floor()
        weights = torch.tensor(_LUMA, dtype=channels.dtype, device=channels.device).view(3, 1, 1)
        luma = (channels * weights).sum(1, keepdim=True)  # of whole numbers below 2^23: exact in float32
        if self.config.levels == "published":
            return ((luma + (1 << _LUMA_BITS - 1)) / (1 << _LUMA_BITS)).floor() / 255
        return luma / (1 << _LUMA_BITS)

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """Mean squared error of each image of the pairs, fused from two complementary corruptions of it."""
        images = torch.cat((a, b))
        restored = self.reconstruct(*complementary_corruptions(images, self.seed, step))
        total = (restored - at_least_float32(images)).square().mean()
        return LossTerms(total, {"pixel": total.detach()})

    @classmethod
    def from_published(cls, states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """This model's state from that of ``IFCNN-MAX.pth``, whose layers are ``conv1`` to ``conv4``.

        Raises:
            DataError: names or shapes of another network.
        """
        names = {"stem": "conv1", "output": "conv4"}
        for ours, theirs in (("features", "conv2"), ("merged", "conv3")):
            names |= {f"{ours}.0": f"{theirs}.conv", f"{ours}.1": f"{theirs}.bn"}
        return published_state(cls, cls.PUBLISHED.params, states, (names,))


def _block(width: int) -> nn.Sequential:
    """3×3 convolution without bias, batch normalisation, ReLU."""
    convolution = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate", bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
