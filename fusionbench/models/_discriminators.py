"""Judges of real against made images, and the adversarial losses.

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

    The mean over pixels makes it free of the image size. ``norm``: ``"batch"`` as printed, or ``"group"``.

    Show it real and made images through :meth:`compare`: with batch normalisation, separate batches would let it
    tell the two apart by their statistics alone.
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
        return self.score(self.features(images).mean((2, 3))).squeeze(1)

    def compare(self, real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both, judged in one batch."""
        judged = self(torch.cat((real, made)))
        return judged[: len(real)], judged[len(real) :]


def discriminator_loss(real: Tensor, made: Tensor, kind: str = "non-saturating") -> Tensor:
    """What a discriminator minimises, from its logits of real and made images; a scalar.

    −E log D(real) − E log(1 − D(made)); for least squares E (D(real) − 1)² + E D(made)² on the bare outputs.
    """
    _check(kind)
    real, made = at_least_float32(real), at_least_float32(made)
    if kind == "least-squares":
        return (real - 1).square().mean() + made.square().mean()
    return F.softplus(-real).mean() + F.softplus(made).mean()


def deception_loss(made: Tensor, kind: str = "non-saturating") -> Tensor:
    """What the maker of images minimises, from the discriminator's logits of them; a scalar.

    * ``non-saturating``: −E log D(made). Same fixed point as the next one, but its gradient does not vanish while
      the discriminator is sure.
    * ``saturating``: E log(1 − D(made)), the printed form; not bounded from below.
    * ``least-squares``: E (D(made) − 1)².
    """
    _check(kind)
    made = at_least_float32(made)
    if kind == "least-squares":
        return (made - 1).square().mean()
    return F.softplus(-made).mean() if kind == "non-saturating" else -F.softplus(made).mean()


@contextmanager
def frozen(*modules: nn.Module, evaluation: bool = False) -> Iterator[None]:
    """Inside the block the modules' parameters get no gradient (it still flows through to their inputs).

    With ``evaluation`` they also use, and do not change, their running statistics. All is restored afterwards.
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
