"""DDcGAN: a densely connected generator against two discriminators, one for each sensor.

Reference: Ma, Xu, Jiang, Mei, Zhang, "DDcGAN: A Dual-Discriminator Conditional Generative Adversarial Network for
Multi-Resolution Image Fusion", IEEE Transactions on Image Processing 29, 2020.

    a, b ─ cat ─ conv 48 ─ dense block, 4 × 48 ─ 240 maps ─ conv 240, 128, 64, 32, 1 ─ tanh ─► F

    against b:      D_v, at full size
    against ψ(a):   D_i, which sees ψ(F); ψ is the mean over 4×4 pixels

    generator       −log D_v(F) − log D_i(ψ(F)) + λ ( ‖ψ(F) − ψ(a)‖² + η ‖∇F − ∇b‖₁ )

View 0 is infrared, view 1 visible. From the paper: layers, both discriminators of one architecture, the infrared one
at a quarter of the resolution, and the losses. Open or different:

* The paper's infrared images are four times smaller, and a transposed convolution enlarges them for the generator.
  Registered pairs have equal sizes: the generator gets the infrared image as it is, and only D_i and the content loss
  work on ψ(a). ``infrared_scale=1`` gives the authors' variant for equal sizes, in which D_i sees everything.
* λ = 0.6 and η = 1.2 are those of the authors' code for equal sizes. Their norms are sums over patches of 84×84 (and,
  for infrared, over a sixteenth of them); here they are means times these numbers of pixels, so that patches of
  another size have the same balance with the adversarial loss.
* The authors normalise by the batch in evaluation too; here by running statistics, so that an image has one result.
  Their code applies the decoder's first layer twice in succession, which the paper does not print: here it is once.
* Discriminators are of this package: the mean over pixels makes them free of size, and their logits have no tanh.
* The authors repeat updates of whoever is behind, up to twenty times a step; the training loop makes one of each.
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
from fusionbench.models.pairs.blocks import DenseBlock, conv_chain, conv_layer, neighbour_contrast
from fusionbench.models.pairs.discriminators import Discriminator, discriminator_loss, frozen, generator_loss
from fusionbench.models.pairs.padding import pad_to_multiple
from fusionbench.models.precision import at_least_float32

PATCH = 84**2  # pixels of the authors' patches
LOW = PATCH // 16  # and of their infrared ones


class DDcGANConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of DDcGAN.

    Attributes:
        width: maps of the first layer and of each layer of the dense block.
        dense_layers: layers of the dense block.
        decoder_widths: maps of the layers after it, the output excepted.
        critic_widths, critic_norm: of both discriminators, as for ``dae-fuse``.
        infrared_scale: how many times smaller the infrared discriminator's images are, see the module.
        content_weight, gradient_weight: λ and η.

    Raises:
        UsageError: an unknown normalisation.
    """

    model: ClassVar[str] = "ddcgan"
    width: Positive = 48
    dense_layers: Count = 4
    decoder_widths: tuple[Positive, ...] = (240, 128, 64, 32)
    critic_widths: tuple[Positive, ...] = (16, 32, 64)
    critic_norm: str = "batch"
    infrared_scale: Positive = 4
    content_weight: float = 0.6
    gradient_weight: float = 1.2

    def __post_init__(self) -> None:
        check_choice(self.model, critic_norm=(self.critic_norm, ("batch", "group")))


class DDcGAN(PairModel):
    """Densely connected generator, trained against a discriminator of each sensor. Views (N,2,1,H,W) in [0,1] of any
    size; ``fuse`` gives (N,1,H,W) in [0,1].

    :class:`DDcGANConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("ddcgan", ImageSpec(channels=1, height=32, width=32, views=2), preset="tiny")
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
        >>> tuple(model.infrared_size(pair[:, 0]).shape)  # what the infrared discriminator sees
        (1, 1, 5, 8)
    """

    title = "DDcGAN"
    reference: ClassVar[str] = "Ma et al., IEEE TIP 2020"
    version: ClassVar[str] = "1"

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {
                "optimizer": "adam",
                "lr": 2e-4,
                "lr_min": 1e-6,
                "schedule": "step",
                "step_epochs": 1,
                "step_factor": 0.9,
                "epochs": 1,
                "batch": 24,
                "inputs": "all",
            },
            "paper size: 1.097 M parameters in the generator; the authors train one epoch on patches of 84×84, with "
            "RMSProp and plain gradient descent (D) where this has Adam, and with repeated updates",
        ),
        "tiny": Preset(
            {"width": 6, "dense_layers": 2, "decoder_widths": [12, 8], "critic_widths": [8, 16]},
            {"optimizer": "adam", "lr": 3e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU: narrow and shallow; not comparable with the paper",
        ),
    }

    Config: ClassVar[type[DDcGANConfig]] = DDcGANConfig
    config: DDcGANConfig

    @property
    def receptive_radius(self) -> int:
        """One pixel for each 3×3 layer: the first, the dense block, the decoder."""
        return 1 + self.config.dense_layers + len(self.config.decoder_widths) + 1

    def build(self) -> None:
        c = self.config
        deep = c.width * (1 + c.dense_layers)
        self.encoder = nn.Sequential(
            conv_layer(2, c.width, norm=True), DenseBlock(c.width, c.width, c.dense_layers, norm=True)
        )
        self.decoder = conv_chain((deep, *c.decoder_widths, 1), norm=True)
        self.visible_critic = Discriminator(1, c.critic_widths, c.critic_norm)
        self.infrared_critic = Discriminator(1, c.critic_widths, c.critic_norm)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by optimiser, in the order of their steps: the discriminators, then the generator."""
        critics = [*self.visible_critic.parameters(), *self.infrared_critic.parameters()]
        return {"critic": critics, "generator": [*self.encoder.parameters(), *self.decoder.parameters()]}

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W)."""
        result: Tensor = self.decoder(self.encoder(torch.cat((b, a), 1)))
        return result.tanh() / 2 + 0.5

    def infrared_size(self, image: Tensor) -> Tensor:
        """ψ: the mean over blocks of ``infrared_scale`` pixels; the border is mirrored to whole blocks."""
        scale = self.config.infrared_scale
        return F.avg_pool2d(pad_to_multiple(at_least_float32(image), scale), scale)

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """Both discriminators' losses together, or the generator's adversarial and content losses."""
        if group == "critic":
            with torch.no_grad():
                fused = self.combine(a, b)
            visible, infrared = (discriminator_loss(*logits) for logits in self._logits(a, b, fused))
            return LossTerms(visible + infrared, {"visible": visible.detach(), "infrared": infrared.detach()})
        fused = self.combine(a, b)
        with frozen(self.visible_critic, self.infrared_critic):
            adversarial = torch.stack([generator_loss(fake) for _, fake in self._logits(a, b, fused)]).sum()
        intensity = LOW * F.mse_loss(self.infrared_size(fused), self.infrared_size(a))
        of_fused, of_b = (neighbour_contrast(at_least_float32(image)) for image in (fused, b))
        gradient = PATCH * F.l1_loss(of_fused, of_b)
        content = intensity + self.config.gradient_weight * gradient
        terms = {"adversarial": adversarial, "intensity": intensity, "gradient": gradient}
        total = adversarial + self.config.content_weight * content
        return LossTerms(total, {name: value.detach() for name, value in terms.items()})

    def _logits(self, a: Tensor, b: Tensor, fused: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(real, fake) logits of the visible and of the infrared discriminator."""
        small = self.infrared_critic.compare(self.infrared_size(a), self.infrared_size(fused))
        return [self.visible_critic.compare(b, fused), small]
