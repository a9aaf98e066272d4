"""A small network that goes on where gradient-domain fusion ends: learned steps uphill in what the sources' edges ask.

    a, b ─ gradient-domain rule ─► F₀    Fₖ₊₁ = Fₖ + η(1 + 4γₖ) · sign ∂E + 0.3 δₖ,   (γₖ, δₖ, mₖ₊₁) = U-Net(…)
                                    the U-Net sees a, b, Fₖ, ∂E = ∂ kept edges / ∂Fₖ, ∂ SCD / ∂Fₖ and its memory mₖ

The rule (:mod:`fusionbench.models.classical.gradient_domain`) takes the steeper source's gradient pixel by pixel. Where
edges of both cross, its choice is not the gradient of any image, and what integration leaves of it has neither source's
direction. Kept edges, the numerator of Q^{AB/F}, say at every pixel which way is better; what is good for one pixel is
bad for its neighbour, and the network learns which steps to take, as learned solvers of inverse problems do (Adler,
Öktem, "Solving ill-posed inverse problems using iterative deep neural networks", Inverse Problems 33, 2017). It works
on 2×2 patches at three scales, and is one network for all steps but for a bias.

``aim="score"`` trains for what tables ask: kept edges, while entropy and spatial frequency exceed the rule's by a
little and spread and SCD are hardly below. ``aim="natural"`` keeps the low frequencies of the rule, and pays for slopes
that are steeper than both sources' at the same place, and for halos: slopes at a scale of two pixels where neither
source has any. It learns on sources with additional noise and is asked for what they are without, so that noise does
not become stronger. Network, losses and schedule are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.core.seeds import derive_seed
from fusionbench.core.types import LossTerms, Preset
from fusionbench.core.uploads import send
from fusionbench.models.classical.gradient_domain import (
    GradientDomain,
    bent,
    blurred,
    centred_between_quantiles,
    sobel_slopes,
)
from fusionbench.models.config import Positive, check_choice
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.losses import torch_sobel
from fusionbench.models.pairs.metric_losses import (
    combined,
    edge_ascent,
    entropies,
    pooled_frequency,
    pooled_scd,
    pooled_spread,
    scd_weights,
    shortfall,
    soft_qabf,
)
from fusionbench.models.pairs.padding import pad_to_multiple
from fusionbench.models.precision import at_least_float32

_ETA = 0.008  # of the image's range: the untrained network's step
_GAMMA = 4.0  # how many times that it may be changed
_DELTA = 0.3  # the largest change beside
_UPHILL, _MOST = 1 / 30, 2.0  # bring the ascent, which is 2 in the middle and 15 at edges, to the size of an image
_PATCH = 2
_MEMORY = 6  # channels
_SLOPE = 0.1  # of leaky ReLUs
# Rows and columns at a time, and how far a step looks at most, all in multiples of 8. Columns are as many as to leave
# the common sizes whole, whose bits stay.
_STRIP, _WIDE, _REACH = 256, 2048, 72
_COARSE = 8  # pixels: details that are smaller are no low frequencies


class GradientDomainNetConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of the network.

    Attributes:
        widths: channels at a half, a quarter and an eighth of the size.
        steps: how often the network is applied.
        rule: preset of ``gradient-domain`` that is gone on from, before its soft clip and its shadow.
        aim: ``"score"`` or ``"natural"``: what is trained for.
        more_spread, more_entropy, more_scd, more_frequency: with aim ``score``, by how much the rule's SD (share), EN
            (bits) and SCD are to be exceeded at least, and its SF (share) just so.
        edges: the weight of edges that are not kept.
        steep, halo: with aim ``natural``, the weights of slopes steeper than the steeper source's, and of slopes at a
            scale of two pixels beyond the sum of the sources'.
        noise: with aim ``natural``, the largest standard deviation of the noise that is added to both sources, in grey
            levels; each image gets its own, from 0 on, and the loss asks for what the sources without it ask.
        knee: width of the soft clip, as the rule's.

    Raises:
        UsageError: other than three widths, an unknown rule or aim, a negative weight or wish, or a knee outside
            0..0.5.
    """

    model: ClassVar[str] = "gradient-domain-net"
    widths: tuple[Positive, ...] = (12, 20, 28)
    steps: Positive = 8
    rule: str = "metrics"
    aim: str = "score"
    more_spread: float = 0.0
    more_frequency: float = 0.01
    more_scd: float = 0.0
    more_entropy: float = 0.03
    edges: float = 1.0
    steep: float = 30.0
    halo: float = 1000.0
    noise: float = 4.0
    knee: float = 0.045

    def __post_init__(self) -> None:
        if len(self.widths) != 3:
            raise UsageError(f"{self.model} takes three widths, not {list(self.widths)}")
        check_choice(self.model, rule=(self.rule, GradientDomain.PRESETS), aim=(self.aim, ("score", "natural")))
        wishes = ("more_spread", "more_entropy", "more_scd", "more_frequency")
        for name in (*wishes, "edges", "steep", "halo", "noise"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{self.model}: {name}={getattr(self, name)} is not at least 0")
        if not 0 <= self.knee <= 0.5:
            raise UsageError(f"{self.model}: knee={self.knee} is not between 0 and 0.5")


class GradientDomainNet(PairModel):
    """Learned steps from gradient-domain fusion towards more kept edges. View 0 is infrared, view 1 visible luminance,
    (N,2,1,H,W) in [0,1] of any size; ``fuse`` gives (N,1,H,W) in [0,1].

    :class:`GradientDomainNetConfig` has the parameters; the text of the module says what is trained for.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("gradient-domain-net", ImageSpec(channels=1, height=32, width=32, views=2))
        >>> sum(parameter.numel() for parameter in model.parameters())
        44062
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
    """

    title = "gradient-domain network"
    reference: ClassVar[str] = "fusionbench"
    version: ClassVar[str] = "1"
    receptive_radius: ClassVar[int | None] = None  # the rule looks at the whole image
    bytes_per_pixel: ClassVar[int] = 256  # measured: 240 with 3840×2160 and with 400×6000, most of it the rule's

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "score": Preset(
            {},
            {
                "optimizer": "adam",
                "lr": 2e-3,
                "lr_min": 1e-5,
                "epochs": 6,
                "batch": 6,
                "clip": 1.0,
                "guard": 10,
                "ema": 0.999,
                "inputs": "all",
            },
            "0.044 M parameters; trained for EN, SD, SF and Qabf: for tables, not for people",
        ),
        "natural": Preset(
            {"rule": "natural", "aim": "natural", "steps": 4, "edges": 0.6},
            {
                "optimizer": "adam",
                "lr": 2e-3,
                "lr_min": 1e-5,
                "epochs": 3,
                "batch": 6,
                "clip": 1.0,
                "guard": 10,
                "ema": 0.999,
                "inputs": "all",
            },
            "0.044 M parameters; for people: no stronger noise, no halo",
        ),
        "tiny": Preset(
            {"widths": [6, 8, 10], "steps": 2},
            {"optimizer": "adam", "lr": 2e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "seconds on a CPU",
        ),
    }
    Config: ClassVar[type[GradientDomainNetConfig]] = GradientDomainNetConfig
    config: GradientDomainNetConfig

    def build(self) -> None:
        first, second, third = self.config.widths
        rule: dict[str, Any] = dict(GradientDomain.PRESETS[self.config.rule].model)
        self.rule = GradientDomain(self.spec, **rule)
        self.enter = nn.Conv2d(6 * _PATCH**2 + _MEMORY, first, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(self.config.steps, first, 1, 1))
        self.fine = _layer(first, first)
        self.to_half = nn.Sequential(_layer(first, second, stride=2), _layer(second, second))
        self.to_quarter = nn.Sequential(_layer(second, third, stride=2), *(_layer(third, third) for _ in range(3)))
        self.from_quarter, self.at_half = nn.Conv2d(third, second, 1), _layer(second, second)
        self.from_half, self.at_fine = nn.Conv2d(second, first, 1), _layer(first, first)
        self.leave = nn.Conv2d(first, 2 * _PATCH**2 + _MEMORY, 3, padding=1)
        for parameter in self.leave.parameters():  # untrained, every step is η uphill
            nn.init.zeros_(parameter)

    @torch.no_grad()
    def ruled(self, a: Tensor, b: Tensor) -> Tensor:
        """The rule's image (N,1,H,W) before its soft clip."""
        wide_a, wide_b = a.double(), b.double()
        fused = self.rule.integrated(wide_a, wide_b)
        if self.rule.base == "sum":
            fused = centred_between_quantiles(fused, level=(wide_a + wide_b).mean((1, 2, 3)) / 2)
        return fused.to(torch.promote_types(a.dtype, torch.float32))

    def applied(self, x: Tensor, memory: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """δ and γ (N,2,H,W), and the next memory, from what the network sees (N,6,H,W); H and W multiples of 8."""
        x = self.enter(torch.cat((F.pixel_unshuffle(x, _PATCH), memory), 1)) + self.place[step]
        fine = self.fine(F.leaky_relu(x, _SLOPE))
        half = self.to_half(fine)
        x = half + F.interpolate(self.from_quarter(self.to_quarter(half)), scale_factor=2.0)
        x = fine + F.interpolate(self.from_half(self.at_half(x)), scale_factor=2.0)
        # bounded: what comes back as an input of the next step could grow from step to step without end
        change, memory = torch.tanh(self.leave(self.at_fine(x))).split((2 * _PATCH**2, _MEMORY), 1)
        return F.pixel_shuffle(change, _PATCH), memory

    def unclipped(self, a: Tensor, b: Tensor, rule: Tensor) -> Tensor:
        """The fused image (N,1,H,W) before the soft clip, from the rule's."""
        height, width = a.shape[-2:]
        a, b, fused = (pad_to_multiple(x, 4 * _PATCH) for x in (a, b, rule))
        memory = a.new_zeros(len(a), _MEMORY, a.shape[-2] // _PATCH, a.shape[-1] // _PATCH)
        for step in range(self.config.steps):
            now = bent(fused, self.config.knee)
            weights = scd_weights(now, a, b)
            if torch.is_grad_enabled():
                fused, memory = self.stepped(fused, memory, now, a, b, weights, step)
            else:
                fused, memory = self.stepped_in_parts(fused, memory, now, a, b, weights, step)
        return fused[..., :height, :width]

    def stepped(
        self, fused: Tensor, memory: Tensor, now: Tensor, a: Tensor, b: Tensor, weights: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        """The image (N,1,H,W) after a step, and the next memory; ``now`` is the image after its soft clip."""
        uphill = edge_ascent(now, a, b)
        sign = uphill / (uphill.abs() + 1)
        of_scd = combined(weights, now, a, b)
        seen = (a - 0.5, b - 0.5, fused - 0.5, (_UPHILL * uphill).clamp(-_MOST, _MOST), sign, of_scd)
        change, memory = self.applied(torch.cat(seen, 1), memory, step)
        delta, gamma = at_least_float32(change).split(1, 1)
        return fused + _DELTA * delta + _ETA * (1 + _GAMMA * gamma) * sign, memory

    def stepped_in_parts(
        self, fused: Tensor, memory: Tensor, now: Tensor, a: Tensor, b: Tensor, weights: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        """The same, a part at a time with what it depends on: only the rule and SCD look at the whole image, and
        nothing else has to hold features of all of a large one at once."""
        parts = [
            (rows, columns)
            for rows in _parts(fused.shape[-2], _STRIP, _REACH)
            for columns in _parts(fused.shape[-1], _WIDE, _REACH)
        ]
        if len(parts) == 1:
            return self.stepped(fused, memory, now, a, b, weights, step)
        after, remembered = torch.empty_like(fused), torch.empty_like(memory)
        for rows, columns in parts:
            before, clipped, of_a, of_b = (x[..., rows.seen, columns.seen] for x in (fused, now, a, b))
            there = memory[..., rows.coarse().seen, columns.coarse().seen]
            part, kept = self.stepped(before, there, clipped, of_a, of_b, weights, step)
            after[..., rows.own, columns.own] = part[..., rows.inside, columns.inside]
            rows, columns = rows.coarse(), columns.coarse()
            remembered[..., rows.own, columns.own] = kept[..., rows.inside, columns.inside]
        return after, remembered

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a (infrared) and b (visible), (N,1,H,W)."""
        return bent(self.unclipped(a, b, self.ruled(a, b)), self.config.knee)

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        return self.loss_of_degraded(a, b, a, b, step)

    def loss_of_degraded(self, a: Tensor, b: Tensor, clean_a: Tensor, clean_b: Tensor, step: int) -> LossTerms:
        """Edges that are not kept, what is beyond [0,1] before the soft clip, and the terms of the aim."""
        seen_a, seen_b, a, b = a, b, clean_a, clean_b
        if self.config.aim == "natural" and self.config.noise > 0:
            seen_a, seen_b = self.noisy(seen_a, "a", step), self.noisy(seen_b, "b", step)
        rule = self.ruled(a, b)
        start = rule if seen_a is a and seen_b is b else self.ruled(seen_a, seen_b)
        unclipped = self.unclipped(seen_a, seen_b, start)
        fused, before = bent(unclipped, self.config.knee), bent(rule, self.config.knee)
        terms = self.to_score(fused, before, a, b) if self.config.aim == "score" else self.to_look(fused, before, a, b)
        terms["edges"] = self.config.edges * (1 - soft_qabf(fused, a, b)).mean()
        terms["beyond"] = 40 * ((unclipped - 0.5).abs() - 0.5).clamp(min=0).mean()
        return LossTerms(torch.stack([*terms.values()]).sum(), {name: value.detach() for name, value in terms.items()})

    def noisy(self, x: Tensor, name: str, step: int) -> Tensor:
        """Images (N,1,H,W) with Gaussian noise, a function of seed and step."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "noise", name, step))
        sizes = torch.rand(len(x), 1, 1, 1, generator=generator) * (self.config.noise / 255)
        noise = sizes * torch.randn(x.shape, generator=generator)
        return (x + send(noise.to(x.dtype), x.device)).clamp(0, 1)

    def to_score(self, fused: Tensor, before: Tensor, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """What the batch lacks of the spread, entropy and SCD that are wanted, and how far its spatial frequency is
        from what is wanted: beyond that it costs SCD, and looks."""
        config = self.config
        frequency_wanted = (1 + config.more_frequency) * pooled_frequency(before)
        scd_wanted = pooled_scd(before, a, b) + config.more_scd
        entropy_wanted = entropies(before).mean() + config.more_entropy
        return {
            "spread": 20 * shortfall(pooled_spread(fused), (1 + config.more_spread) * pooled_spread(before)),
            "frequency": 5 * (pooled_frequency(fused) / frequency_wanted - 1).abs(),
            "scd": (scd_wanted - pooled_scd(fused, a, b)).clamp(min=0),
            "entropy": 2 * (entropy_wanted - entropies(fused).mean()).clamp(min=0),
        }

    def to_look(self, fused: Tensor, before: Tensor, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Changed low frequencies, slopes steeper than the steeper source's, and halos."""
        slopes = [torch.cat(torch_sobel(x), 1) for x in (fused, a, b)]
        sizes = [(x.square().sum(1, keepdim=True) + 1e-8).sqrt() for x in slopes]
        excess = (sizes[0] - torch.maximum(sizes[1], sizes[2])).clamp(min=0)
        coarse = [sobel_slopes(x).norm(dim=1) for x in blurred(torch.cat((fused, a, b), 1), 2.0, 8).split(1, 1)]
        size = [min(_COARSE, side) for side in fused.shape[-2:]]
        return {
            "low": 10 * (F.avg_pool2d(fused, size) - F.avg_pool2d(before, size)).abs().mean(),
            "steep": self.config.steep * excess.mean(),
            "halo": self.config.halo * (coarse[0] - coarse[1] - coarse[2]).clamp(min=0).mean(),
        }


class _Part(NamedTuple):
    """A part of a side, and what it depends on: ``first`` <= ``begin`` < ``end`` <= ``last``."""

    first: int
    begin: int
    end: int
    last: int

    @property
    def own(self) -> slice:
        return slice(self.begin, self.end)

    @property
    def seen(self) -> slice:
        return slice(self.first, self.last)

    @property
    def inside(self) -> slice:
        """Its own places in what is seen."""
        return slice(self.begin - self.first, self.end - self.first)

    def coarse(self) -> _Part:
        """The same of an image of patches."""
        return _Part(*(place // _PATCH for place in self))


def _parts(side: int, size: int, reach: int) -> list[_Part]:
    """Parts of ``size`` that cover a side; the whole of one that is not longer than what a part sees."""
    if side <= size + 2 * reach:
        return [_Part(0, 0, side, side)]
    begins = range(0, side, size)
    return [_Part(max(b - reach, 0), b, min(b + size, side), min(b + size + reach, side)) for b in begins]


def _layer(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1), nn.LeakyReLU(_SLOPE))
