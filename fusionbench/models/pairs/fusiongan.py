"""FusionGAN: a generator that keeps infrared intensities and visible gradients, against one discriminator.

Reference: Ma, Yu, Liang, Li, Jiang, "FusionGAN: A generative adversarial network for infrared and visible image
fusion", Information Fusion 48, 2019.

    a, b ─ cat ─ 5×5 256 ─ 5×5 128 ─ 3×3 64 ─ 3×3 32 ─ 1×1 1 ─ tanh ─► fused      against b: D

    generator        mean (D(F) − c)² + λ ( mean (F − a)² + ξ mean (∇F − ∇b)² )
    discriminator    mean (D(b) − b₁)² + mean (D(F) − a₁)²

View 0 is infrared, view 1 visible. The paper's text was not at hand; from copies of the authors' code: layers
(convolution, batch normalisation, leaky ReLU 0.2; no padding, so that the image is widened by 6 pixels beforehand),
losses on images in [−1,1], λ = 100, ξ = 5, and soft labels: b₁ and c are uniform in [0.7, 1.2], a₁ in [0, 0.3], drawn
for every image. Open or different:

* ∇ is the Laplacian of the four neighbours, edges repeated.
* The authors' discriminator flattens 6×6 maps into a linear layer, which fits one size of patches. Here it is
  :class:`~fusionbench.models.pairs.discriminators.Discriminator`, with their four widths and the mean over
  pixels, in one batch for real and fused images.
* The authors update the discriminator twice for each update of the generator; the training loop once.
* Labels are a function of seed and step, so that a resumed run goes on to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.core.io import digest
from fusionbench.core.types import LossTerms, Preset
from fusionbench.core.uploads import send
from fusionbench.models.config import Positive, check_choice
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.blocks import torch_laplacian
from fusionbench.models.pairs.discriminators import Discriminator, frozen
from fusionbench.models.precision import at_least_float32

KERNELS = (5, 5, 3, 3, 1)
BORDER = sum(kernel // 2 for kernel in KERNELS)
REAL, FUSED = (0.7, 1.2), (0.0, 0.3)  # soft labels


def soft_labels(low_high: tuple[float, float], name: str, count: int, seed: int, step: int) -> Tensor:
    """``count`` labels, uniform between both limits: (count,), a function of name, seed and step."""
    low, high = low_high
    generator = torch.Generator().manual_seed(int(digest([seed, f"label {name}", step])[:15], 16))
    return low + (high - low) * torch.rand(count, generator=generator)


class FusionGANConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of FusionGAN.

    Attributes:
        widths: maps of the generator's four inner layers.
        critic_widths, critic_norm: as for ``dae-fuse``: layers of the discriminator, ``"batch"`` or ``"group"``.
        content_weight, gradient_weight: λ and ξ.

    Raises:
        UsageError: not four widths, or an unknown normalisation.
    """

    model: ClassVar[str] = "fusiongan"
    widths: tuple[Positive, ...] = (256, 128, 64, 32)
    critic_widths: tuple[Positive, ...] = (32, 64, 128, 256)
    critic_norm: str = "batch"
    content_weight: float = 100.0
    gradient_weight: float = 5.0

    def __post_init__(self) -> None:
        check_choice(self.model, critic_norm=(self.critic_norm, ("batch", "group")))
        if len(self.widths) != len(KERNELS) - 1:
            raise UsageError(f"fusiongan takes four widths, not {list(self.widths)}")


class FusionGAN(PairModel):
    """Generator of five layers, trained against a discriminator of visible images. Views (N,2,1,H,W) in [0,1] of any
    size; ``fuse`` gives (N,1,H,W) in [0,1].

    :class:`FusionGANConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("fusiongan", ImageSpec(channels=1, height=32, width=32, views=2), preset="tiny")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
        >>> list(model.parameter_groups())
        ['critic', 'generator']
    """

    title = "FusionGAN"
    reference: ClassVar[str] = "Ma et al., Information Fusion 2019"
    version: ClassVar[str] = "1"
    receptive_radius: ClassVar[int | None] = BORDER

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {"optimizer": "adam", "lr": 1e-4, "lr_min": 1e-4, "epochs": 10, "batch": 32, "inputs": "all"},
            "paper size: 0.926 M parameters and a discriminator of 0.389 M; the paper trains on patches of 120×120 of "
            "45 pairs (TNO), with two updates of the discriminator for each of the generator",
        ),
        "tiny": Preset(
            {"widths": [16, 12, 8, 6], "critic_widths": [8, 16]},
            {"optimizer": "adam", "lr": 3e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU: a sixteenth of the widths; not comparable with the paper",
        ),
    }

    Config: ClassVar[type[FusionGANConfig]] = FusionGANConfig
    config: FusionGANConfig

    def build(self) -> None:
        layers: list[nn.Module] = []
        for (channels, out), kernel in zip(pairwise((2, *self.config.widths)), KERNELS[:-1], strict=True):
            layers += [nn.Conv2d(channels, out, kernel), nn.BatchNorm2d(out), nn.LeakyReLU(0.2)]
        self.generator = nn.Sequential(*layers, nn.Conv2d(self.config.widths[-1], 1, KERNELS[-1]), nn.Tanh())
        self.critic = Discriminator(1, self.config.critic_widths, self.config.critic_norm)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by optimiser, in the order of their steps: the discriminator, then the generator."""
        return {"critic": list(self.critic.parameters()), "generator": list(self.generator.parameters())}

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W)."""
        images = F.pad(2 * torch.cat((a, b), 1) - 1, (BORDER, BORDER, BORDER, BORDER), mode="replicate")
        result: Tensor = self.generator(images)
        return result / 2 + 0.5

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """Least squares with soft labels; for the generator intensities of a and gradients of b as well."""
        if group == "critic":
            with torch.no_grad():
                fused = self.combine(a, b)
            real, fake = self._logits(b, fused)
            total = (real - self._labels("real", real, step)).square().mean()
            total = total + (fake - self._labels("fused", fake, step)).square().mean()
            return LossTerms(total, {"critic": total.detach()})
        fused = self.combine(a, b)
        with frozen(self.critic):
            fake = self._logits(b, fused)[1]
        adversarial = (fake - self._labels("wanted", fake, step)).square().mean()
        f, x, y = (2 * at_least_float32(image) - 1 for image in (fused, a, b))
        intensity, gradient = F.mse_loss(f, x), F.mse_loss(torch_laplacian(f), torch_laplacian(y))
        content = intensity + self.config.gradient_weight * gradient
        terms = {"adversarial": adversarial, "intensity": intensity, "gradient": gradient}
        total = adversarial + self.config.content_weight * content
        return LossTerms(total, {name: value.detach() for name, value in terms.items()})

    def _logits(self, real: Tensor, fused: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.critic.compare(2 * real - 1, 2 * fused - 1)
        return at_least_float32(first), at_least_float32(second)

    def _labels(self, name: str, like: Tensor, step: int) -> Tensor:
        limits = FUSED if name == "fused" else REAL
        return send(soft_labels(limits, name, len(like), self.seed, step).to(like.dtype), like.device)
