"""Discriminators of real and generated images, and the adversarial losses.

Reference: DAE-Fuse (arXiv 2409.10080) eqs. 3, 7, 10, 14; least squares: Mao et al., ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.models.precision import at_least_float32

ADVERSARIAL = ("non-saturating", "saturating", "least-squares")


class Discriminator(nn.Module):
    """(N,C,H,W) → (N,) logits: {3×3 convolution of stride 2, LeakyReLU 0.2, norm} per width, mean, one linear layer.

    The mean over pixels makes it independent of the image size. ``norm``: ``"batch"`` as printed, or ``"group"``.

    Compare real and generated images through :meth:`compare`: with batch normalisation, separate batches would let it
    separate the two by their statistics alone.
    """

    def __init__(self, channels: int = 1, widths: Sequence[int] = (32, 64, 128, 256), norm: str = "batch") -> None:
        super().__init__()
        if norm not in ("batch", "group"):
            raise ValueError(f"norm is 'batch' or 'group', not {norm!r}")
        layers: list[nn.Module] = []
        for width in widths:
            normalise = nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(min(8, width), width)
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2), normalise]
            channels = width
        self.features = nn.Sequential(*layers)
        self.score = nn.Linear(channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.score(self.features(images).mean((2, 3))).squeeze(1)
        return result

    def compare(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of real and generated images, computed in one batch."""
        logits = self(torch.cat((real, fake)))
        return logits[: len(real)], logits[len(real) :]


def discriminator_loss(real: Tensor, fake: Tensor, kind: str = "non-saturating") -> Tensor:
    """The loss of a discriminator from its logits of real and generated images; a scalar.

    −E log D(real) − E log(1 − D(fake)); for least squares E (D(real) − 1)² + E D(fake)² on the logits themselves.
    """
    _check(kind)
    real, fake = at_least_float32(real), at_least_float32(fake)
    if kind == "least-squares":
        return (real - 1).square().mean() + fake.square().mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor, kind: str = "non-saturating") -> Tensor:
    """The adversarial loss of a generator from the discriminator's logits of its images; a scalar.

    * ``non-saturating``: −E log D(fake). Same fixed point as ``saturating``, but its gradient does not vanish while
      the discriminator is certain.
    * ``saturating``: E log(1 − D(fake)), as printed; not bounded from below.
    * ``least-squares``: E (D(fake) − 1)².
    """
    _check(kind)
    fake = at_least_float32(fake)
    if kind == "least-squares":
        return (fake - 1).square().mean()
    return F.softplus(-fake).mean() if kind == "non-saturating" else -F.softplus(fake).mean()


@contextmanager
def frozen(*modules: nn.Module, evaluation: bool = False) -> Iterator[None]:
    """Inside the block the modules' parameters get no gradient; it still flows through to their inputs.

    With ``evaluation`` they also use, and do not update, their running statistics. Both are restored afterwards.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    training = [m for module in modules for m in module.modules() if m.training] if evaluation else []
    for parameter in parameters:
        parameter.requires_grad_(False)
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for module in training:
            module.training = True


def _check(kind: str) -> None:
    if kind not in ADVERSARIAL:
        raise ValueError(f"adversarial loss {kind!r} is not one of {', '.join(ADVERSARIAL)}")
