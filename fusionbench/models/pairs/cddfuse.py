"""CDDFuse: features that both sensors share and features that each has alone, taken apart by how they correlate.

Reference: Zhao, Bai, Zhang, Zhang, Xu, Lin, Timofte, Van Gool, "CDDFuse: Correlation-Driven Dual-Branch Feature
Decomposition for Multi-Modality Image Fusion", CVPR 2023.

    image ─ stem ─ Restormer blocks ─┬─ base:   channel attention (low frequencies, shared)
                                     └─ detail: affine couplings (high frequencies, of one sensor)
    phase I    base and detail of one image ──────────────────────── decoder ─► that image again
    phase II   base fusion(base_a + base_b), detail fusion(detail_a + detail_b) ─ decoder ─► fused

View 0 is infrared (CT, PET, SPECT), view 1 visible luminance (MRI). As the authors' public code does and the paper does
not say: the decoder adds an image before its sigmoid (phase I the image itself, phase II the visible one), phase I has
a gradient loss on the visible image, and phase II neither reconstruction term. Where this differs from that code:

* gradients are clipped over all parameters together, not for each of four optimisers; the layers that fuse learn from
  phase II on, with the rate that the others have then;
* SSIM is taken over the pixels whose window fits inside, Sobel's slopes with the edge repeated;
* the denominator of the decomposition loss is held at 0.1, which it does not come near in training.

The authors' weights are not at hand here, so the network has been compared with theirs by its parameters alone: encoder
599,144, decoder 207,936, base fusion 363,016, detail fusion 18,176.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionbench.core.errors import UsageError
from fusionbench.core.types import LossTerms, Preset
from fusionbench.models.config import Count, Positive
from fusionbench.models.pairs.base import PhasesConfig, TwoPhaseModel
from fusionbench.models.pairs.blocks import mirror_border
from fusionbench.models.pairs.losses import (
    content_loss,
    decomposition_loss,
    intensity_loss,
    texture_loss,
    torch_sobel,
)
from fusionbench.models.pairs.restormer import BaseBlock, RestormerBlock


class InvertedResidual(nn.Module):
    """1×1 to twice the channels, 3×3 on each channel of its own, 1×1 back; (N,C,H,W) → (N,C,H,W), without a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.widen = nn.Conv2d(channels, wide, 1, bias=False)
        self.local = nn.Conv2d(wide, wide, 3, groups=wide, bias=False)
        self.project = nn.Conv2d(wide, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.widen(x))
        result: Tensor = self.project(nn.functional.relu6(self.local(mirror_border(x, 1))))
        return result


class Coupling(nn.Module):
    """An affine coupling: after a 1×1 mixing each half of the channels is changed by what the other half says.

    With halves x and y: y ← y + f(x), then x ← x·exp(g(y)) + h(y). Nothing is lost: both steps can be undone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        self.shift, self.scale, self.offset = (InvertedResidual(channels // 2) for _ in range(3))

    def forward(self, features: Tensor) -> Tensor:
        x, y = self.mix(features).chunk(2, dim=1)
        y = y + self.shift(x)
        x = x * torch.exp(self.scale(y)) + self.offset(y)
        return torch.cat((x, y), 1)


class DualBranchEncoder(nn.Module):
    """An image (N,1,H,W) to base and detail features, each (N,C,H,W)."""

    def __init__(self, width: int, heads: int, blocks: int, couplings: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.shared = nn.Sequential(*(RestormerBlock(width, heads) for _ in range(blocks)))
        self.base = BaseBlock(width, heads)
        self.detail = nn.Sequential(*(Coupling(width) for _ in range(couplings)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.shared(self.stem(image))
        return self.base(features), self.detail(features)


class ImageSkipDecoder(nn.Module):
    """Base and detail features, each (N,C,H,W), and an image to add: an image (N,1,H,W) in (0,1)."""

    def __init__(self, width: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2 * width, width, 1, bias=False)
        self.blocks = nn.Sequential(*(RestormerBlock(width, heads) for _ in range(blocks)))
        self.output = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1, bias=False),
            nn.LeakyReLU(),
            nn.Conv2d(width // 2, 1, 3, padding=1, bias=False),
        )

    def forward(self, base: Tensor, detail: Tensor, image: Tensor) -> Tensor:
        return torch.sigmoid(self.output(self.blocks(self.reduce(torch.cat((base, detail), 1)))) + image)


class CDDFuseConfig(PhasesConfig, frozen=True, kw_only=True):
    """Parameters of CDDFuse: those of :class:`PhasesConfig`, and:

    Attributes:
        width, heads, blocks: channels, attention heads, and Restormer blocks of the encoder and of the decoder.
        couplings: affine couplings of the detail branch; the detail fusion has one.
        ssim_weight: weight of 1 − SSIM beside the squared error of phase I: half of 5, as 5 times (1 − SSIM)/2.
        gradient_weight: of phase I's gradient loss on the visible image.
        decomposition_weight: of the decomposition loss, in both phases.
        texture_weight: of phase II's gradient loss beside its intensity loss.

    Raises:
        UsageError: as :class:`PhasesConfig`, or channels that cannot be halved.
    """

    model: ClassVar[str] = "cddfuse"
    width: Positive = 64
    heads: Positive = 8
    blocks: Count = 4
    couplings: Count = 3
    ssim_weight: float = 2.5
    gradient_weight: float = 5.0
    decomposition_weight: float = 2.0
    texture_weight: float = 10.0
    phase_share: float = 1 / 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 2:
            raise UsageError(f"cddfuse: width={self.width}; the couplings halve it, so it must be even")


class CDDFuse(TwoPhaseModel):
    """Auto-encoder with a base and a detail branch, whose features are fused by layers of the same kinds. Views
    (N,2,1,H,W) in [0,1] of any size; ``fuse`` gives (N,1,H,W) in [0,1].

    :class:`CDDFuseConfig` has the parameters. The authors stretch every fused image to the full range before it is
    scored; ``fuse`` does not, the protocol's option ``stretch`` does.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("cddfuse", ImageSpec(channels=1, height=32, width=32, views=2), preset="tiny")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
    """

    title = "CDDFuse"
    reference: ClassVar[str] = "Zhao et al., CVPR 2023"
    version: ClassVar[str] = "1"
    receptive_radius: ClassVar[int | None] = None  # attention between channels looks at every pixel

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {
                "optimizer": "adam",
                "lr": 1e-4,
                "lr_min": 1e-6,
                "schedule": "step",
                "step_epochs": 20,
                "step_factor": 0.5,
                "epochs": 120,
                "batch": 8,
                "clip": 0.01,
                "inputs": "all",
            },
            "paper size, 1.19 M parameters; 40 epochs of phase I and 80 of phase II. Batch 8 as in the authors' code, "
            "16 in the paper",
        ),
        "tiny": Preset(
            {"width": 16, "heads": 2, "blocks": 1, "couplings": 1},
            {"optimizer": "adam", "lr": 1e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "clip": 1.0, "inputs": "all"},
            "minutes on a CPU; not comparable with the paper",
        ),
    }

    Config: ClassVar[type[CDDFuseConfig]] = CDDFuseConfig
    config: CDDFuseConfig

    def build(self) -> None:
        c = self.config
        self.encoder = DualBranchEncoder(c.width, c.heads, c.blocks, c.couplings)
        self.decoder = ImageSkipDecoder(c.width, c.heads, c.blocks)
        self.base_fusion, self.detail_fusion = BaseBlock(c.width, c.heads), Coupling(c.width)

    def reconstruct(self, image: Tensor) -> Tensor:
        """Phase I's auto-encoder: (N,1,H,W) → (N,1,H,W) in (0,1)."""
        result: Tensor = self.decoder(*self.encoder(image), image)
        return result

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W)."""
        return self._fused(b, *self.encoder(torch.cat((a, b))))

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """Reconstruction of both images in phase I, intensity and gradients of the fused one in phase II; decomposition
        in both.
        """
        c = self.config
        images = torch.cat((a, b))
        base, detail = self.encoder(images)
        parts = decomposition_loss(*detail.chunk(2), *base.chunk(2))
        if phase == 2:
            fused = self._fused(b, base, detail)
            intensity, texture = intensity_loss(fused, a, b).mean(), texture_loss(fused, a, b).mean()
            total = intensity + c.texture_weight * texture + c.decomposition_weight * parts
            logged = {"intensity": intensity, "texture": texture}
        else:
            decoded = self.decoder(base, detail, images)
            content = 2 * content_loss(decoded, images, 1.0, c.ssim_weight).mean()  # the sum over both images
            slopes = zip(torch_sobel(decoded.chunk(2)[1]), torch_sobel(b), strict=True)
            # kornia's slopes, which the authors take, are Sobel's over 8
            gradient = torch.stack([(made - wanted).abs().mean() / 8 for made, wanted in slopes]).mean()
            total = content + c.gradient_weight * gradient + c.decomposition_weight * parts
            logged = {"content": content, "gradient": gradient}
        logged = {key: value.detach() for key, value in {**logged, "decomposition": parts}.items()}
        return LossTerms(total, {"phase": phase, **logged})

    def _fused(self, b: Tensor, base: Tensor, detail: Tensor) -> Tensor:
        """From the features of both images, those of ``a`` first."""
        base_a, base_b = base.chunk(2)
        detail_a, detail_b = detail.chunk(2)
        result: Tensor = self.decoder(self.base_fusion(base_a + base_b), self.detail_fusion(detail_a + detail_b), b)
        return result
