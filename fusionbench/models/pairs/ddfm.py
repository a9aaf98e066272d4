"""DDFM: a denoising diffusion model draws the fused image, corrected at every step by what both sources say.

Reference: Zhao, Bai, Zhu, Zhang, Xu, Zhang, Zhang, Meng, Timofte, Van Gool, "DDFM: Denoising Diffusion Model for
Multi-Modality Image Fusion", ICCV 2023; the diffusion is that of Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic
Models", NeurIPS 2020.

    noise ─► x_T ─► … ─► x_t ─ denoiser ─► clean image f ─ one EM step with both sources ─► f' ─► x_{t-1} ─► … ─► x_0

The denoiser knows no pairs: it learns single images of either sensor (``loss``), and fusing needs no further training.
The paper's is OpenAI's for 256×256 photographs, 552 M parameters, which is not at hand: any of :data:`DENOISERS`,
trained here, takes its place, so that a row of ours says how the rule works and not what that denoiser can do.

The EM step minimises ‖f − a‖₁ + ‖f − b‖₁ with small total variation of f − a, a infrared (view 0) and b visible (view
1). With x = f − b and y = a − b, both norms become weighted squares (the E step: a Laplacian is a normal distribution
of random variance), and h ≈ y − x has slopes that are shrunk (half-quadratic splitting):

    (1 + ∇ᵀ∇) h = y − x + ∇ᵀg      g = ρ/(2λ + ρ) ∇h      x = (2C y + ρ(y − h)) / (2C + 2D + ρ)      f = b + x

with C = (2/τ_a)^½ / |y − x| and D = min((2/τ_b)^½ / |x|, 2C). The formulas are those of the authors' code; the
paper's text was not at hand. That f = b + x follows from x = f − b, which is the code's own definition; yet it returns
a − x (``result="a-x"``), that is a + b − f, which exchanges the parts of the sources. Its borders are neighbours of the
opposite ones; ours are mirrored. Images are in [−1,1] inside. Draws are the same for every pair: fusing is repeatable
and does not depend on a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.core.io import digest
from fusionbench.core.types import LossTerms, Preset
from fusionbench.core.uploads import send
from fusionbench.models.classical.poisson import CosineSolver, divergence, gradient
from fusionbench.models.config import Positive, check_choice
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.padding import pad_to_multiple
from fusionbench.models.precision import at_least_float32

_EPSILON = 1e-6


def _norm(channels: int) -> nn.GroupNorm:
    """Normalisation over groups of two channels or more, so that an image of one pixel has a deviation."""
    return nn.GroupNorm(math.gcd(8, max(channels // 2, 1)), channels)


class TimedBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x))) + time))): (N,C,H,W) and an embedding of the step (N,E) to (N,C,H,W)."""

    def __init__(self, channels: int, out: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(channels), nn.Conv2d(channels, out, 3, padding=1)
        self.time = nn.Linear(embedding, out)
        self.norm2, self.conv2 = _norm(out), nn.Conv2d(out, out, 3, padding=1)
        self.skip = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x))) + self.time(embedding)[..., None, None]
        result: Tensor = self.skip(x) + self.conv2(F.silu(self.norm2(y)))
        return result


class UNet(nn.Module):
    """A denoiser without attention: a noisy image (N,1,H,W) and its step (N,) to the noise in it (N,1,H,W).

    H and W are multiples of ``multiple``; ``widths`` has the channels of each scale, half the size each.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.multiple, embedding = 2 ** (len(widths) - 1), 4 * widths[0]
        self.frequencies = widths[0]
        self.embed = nn.Sequential(nn.Linear(2 * widths[0], embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.stem = nn.Conv2d(1, widths[0], 3, padding=1)
        down = [
            TimedBlock(before, width, embedding) for before, width in zip(widths[:1] + widths, widths, strict=False)
        ]
        up = [TimedBlock(below + width, width, embedding) for below, width in zip(widths[1:], widths, strict=False)]
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(reversed(up))
        self.middle = TimedBlock(widths[-1], widths[-1], embedding)
        self.norm, self.output = _norm(widths[0]), nn.Conv2d(widths[0], 1, 3, padding=1)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        rate = torch.exp(torch.arange(self.frequencies, device=x.device) * (-math.log(1e4) / self.frequencies))
        angle = step.to(rate)[:, None] * rate
        embedding = self.embed(torch.cat((angle.sin(), angle.cos()), 1).to(self.stem.weight.dtype))
        x = self.stem(x)
        kept: list[Tensor] = []
        for block in self.down:
            x = block(F.avg_pool2d(x, 2) if kept else x, embedding)
            kept.append(x)
        x = self.middle(kept.pop(), embedding)
        for block in self.up:
            x = block(torch.cat((F.interpolate(x, scale_factor=2.0), kept.pop()), 1), embedding)
        result: Tensor = self.output(F.silu(self.norm(x)))
        return result


DENOISERS: Mapping[str, type[UNet]] = {"unet": UNet}


class DDFMConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of DDFM.

    Attributes:
        denoiser: a name of :data:`DENOISERS`.
        widths: its channels at each scale.
        timesteps: steps of the diffusion that is trained, T.
        steps: how many of them fusing takes, evenly spaced.
        smoothness, penalty: λ and ρ of the EM step.
        result: ``"b+x"``, what x means, or ``"a-x"`` (the authors' code).
        draw: number of the draw: another one gives another fused image.

    Raises:
        UsageError: an unknown choice, more steps than there are, or a penalty that is not positive.
    """

    model: ClassVar[str] = "ddfm"
    denoiser: str = "unet"
    widths: tuple[Positive, ...] = (32, 64, 128)
    timesteps: Positive = 1000
    steps: Positive = 100
    smoothness: float = 0.5
    penalty: float = 0.01
    result: str = "b+x"
    draw: int = 0

    def __post_init__(self) -> None:
        check_choice(self.model, denoiser=(self.denoiser, DENOISERS), result=(self.result, ("b+x", "a-x")))
        if not self.widths:
            raise UsageError("ddfm: widths is empty; a denoiser has at least one scale")
        if self.steps > self.timesteps:
            raise UsageError(
                f"ddfm: steps={self.steps} of timesteps={self.timesteps}: fusing cannot take more than all"
            )
        if self.smoothness < 0 or self.penalty <= 0:
            raise UsageError(f"ddfm: smoothness={self.smoothness:g} and penalty={self.penalty:g} must be positive")


@dataclass
class EMState:
    """What one EM step hands on to the next: the shrunk slopes g (N,2,H,W), and the scales τ_a and τ_b (N,1,1,1)."""

    slopes: Tensor
    scale_a: Tensor
    scale_b: Tensor


class DDFM(PairModel):
    """A diffusion model of single images, sampled so that the image goes with both sources. Views (N,2,1,H,W) in [0,1]
    of any size; ``fuse`` gives (N,1,H,W) in [0,1], and takes ``steps`` passes of the denoiser.

    :class:`DDFMConfig` has the parameters.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("ddfm", ImageSpec(channels=1, height=16, width=16, views=2), preset="tiny", steps=3)
        >>> pair = torch.rand(1, 2, 1, 13, 10)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 13, 10)
    """

    title = "DDFM"
    reference: ClassVar[str] = "Zhao et al., ICCV 2023"
    version: ClassVar[str] = "1"
    receptive_radius: ClassVar[int | None] = None  # the EM step has a scale of the whole image

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "small": Preset(
            {},
            {"optimizer": "adam", "lr": 2e-4, "lr_min": 2e-5, "epochs": 200, "batch": 16, "clip": 1.0, "inputs": "all"},
            "the paper's sampler (100 steps, λ 0.5, ρ 0.01) over a denoiser of 0.89 M parameters; the paper's has 552 "
            "M and was trained on photographs",
        ),
        "tiny": Preset(
            {"widths": [8, 16], "steps": 10},
            {"optimizer": "adam", "lr": 2e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "clip": 1.0, "inputs": "all"},
            "seconds on a CPU; not comparable with the paper",
        ),
    }

    Config: ClassVar[type[DDFMConfig]] = DDFMConfig
    config: DDFMConfig
    kept: Tensor  # ᾱ_t, the share of the image's variance that is left after step t = 1 … T; 1 for t = 0

    def build(self) -> None:
        self.denoiser = DENOISERS[self.config.denoiser](self.config.widths)
        # from 1e-4 to 0.02 in 1,000 steps; the same noise in all where there are fewer
        noise = torch.linspace(0.1, 20, self.config.timesteps, dtype=torch.float64) / self.config.timesteps
        kept = torch.cat((torch.ones(1, dtype=torch.float64), (1 - noise.clamp(max=0.999)).cumprod(0)))
        self.register_buffer("kept", kept.float(), persistent=False)

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """Squared error of the predicted noise, at a random step for each image of either sensor."""
        images = 2 * torch.cat((a, b)) - 1
        height, width = images.shape[-2:]
        images = pad_to_multiple(images, self.denoiser.multiple)
        generator = torch.Generator().manual_seed(int(digest(["ddfm loss", self.seed, step])[:15], 16))
        at = torch.randint(1, self.config.timesteps + 1, (len(images),), generator=generator)
        at, noise = send(at, images.device), torch.randn(images.shape, generator=generator)
        noise = send(noise.to(images.dtype), images.device)
        kept = self.kept[at].view(-1, 1, 1, 1).to(images)
        found = self.denoiser(kept.sqrt() * images + (1 - kept).sqrt() * noise, at)
        error = (at_least_float32(found) - noise)[..., :height, :width].square().mean()
        return LossTerms(error, {"noise": error.detach()})

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W)."""
        height, width = a.shape[-2:]
        a, b = (pad_to_multiple(2 * at_least_float32(image) - 1, self.denoiser.multiple) for image in (a, b))
        generator = torch.Generator().manual_seed(int(digest(["ddfm fuse", self.config.draw])[:15], 16))

        def draw() -> Tensor:
            return torch.randn((1, *a.shape[1:]), generator=generator).to(a)

        solver, state = CosineSolver(a, 1.0), self.first_state(a)
        last, count = self.config.timesteps, self.config.steps
        times = [round(last - (last - 1) * place / max(count - 1, 1)) for place in range(count)]
        x, clean = draw().expand_as(a), a
        for time, after in zip(times, [*times[1:], 0], strict=True):
            kept, kept_after = self.kept[time].to(a), self.kept[after].to(a)
            noise = at_least_float32(self.denoiser(x, torch.full((len(a),), time, device=a.device)))
            clean = ((x - (1 - kept).sqrt() * noise) / kept.sqrt()).clamp(-1, 1)
            clean, state = self.em_step(clean, a, b, state, solver)
            if after:  # the distribution of x at the next time, given x now and the image without noise
                left = kept / kept_after
                mean = kept_after.sqrt() * (1 - left) / (1 - kept) * clean
                mean = mean + left.sqrt() * (1 - kept_after) / (1 - kept) * x
                x = mean + ((1 - kept_after) / (1 - kept) * (1 - left)).sqrt() * draw()
        return ((clean + 1) / 2)[..., :height, :width]

    @staticmethod
    def first_state(a: Tensor) -> EMState:
        """The state before the first EM step for images (N,1,H,W)."""
        one = torch.ones(len(a), 1, 1, 1, dtype=a.dtype, device=a.device)
        return EMState(a.new_zeros(len(a), 2, *a.shape[-2:]), one, one.clone())

    def em_step(self, f: Tensor, a: Tensor, b: Tensor, state: EMState, solver: CosineSolver) -> tuple[Tensor, EMState]:
        """One EM step on f (N,1,H,W) with sources a and b, all in [−1,1]; ``solver`` solves (1 + ∇ᵀ∇)h = r."""
        smoothness, penalty = self.config.smoothness, self.config.penalty
        y, x = a - b, f - b
        weight_a = (2 / state.scale_a).sqrt() / ((y - x).abs() + _EPSILON)
        weight_b = torch.minimum((2 / state.scale_b).sqrt() / (x.square() + _EPSILON).sqrt(), 2 * weight_a)
        scales = [
            (1 / (weight + 1e-10) + scale / 2).mean((1, 2, 3), keepdim=True)
            for weight, scale in ((weight_a, state.scale_a), (weight_b, state.scale_b))
        ]
        h = solver.solve(y - x + divergence(state.slopes))
        slopes = penalty / (2 * smoothness + penalty) * gradient(h)
        x = (2 * weight_a * y + penalty * (y - h)) / (2 * weight_a + 2 * weight_b + penalty)
        return b + x if self.config.result == "b+x" else a - x, EMState(slopes, *scales)
