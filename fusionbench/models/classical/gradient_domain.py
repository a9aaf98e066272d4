"""Gradient-domain fusion: at every pixel the gradient of the steeper source, integrated by one cosine transform.

    a, b ─ Sobel magnitudes, smoothed ─ weights of both gradients ─ target gradient g ─┐ (λ + ∇ᵀ∇)F = ∇ᵀg + λL
           sum of both, without their means ──────────────────────── low frequencies L ─┘ ─ centre ─ soft clip ─ fused

The rule is ours; selecting gradients and integrating them is as in Pérez et al. 2003, and the term λ as in Bhat et al.
2008. It learns nothing, and is ahead of networks on most metrics: docs/classical.md says what follows from that.

Where the sources contradict each other, a dark roof before a bright sky in one and the reverse in the other, L has no
edge while g has the steeper one's, and the difference is spread around the edge as a halo. ``consent`` moves g towards
∇L there, as far as the gradients oppose each other, so that the halo loses its source.

The sum makes the sky of a day as dark as infrared has it. ``base="visible"`` takes the visible image for L instead,
with what is brighter in infrared added and some room left above and below: what an eye expects of a photograph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec, Preset
from fusionbench.models.classical.poisson import CosineSolver, divergence, gradient
from fusionbench.models.classical.pyramids import PairRow
from fusionbench.models.config import check_choice

_SMALL = 1e-4  # slopes of [0,1] per pixel; opposition among slopes far below a fortieth of a grey level counts less

_FLAT = 1e-5  # range of [0,1] that is rounding in float32


class GradientDomain(PairRow):
    """The image whose gradients are the steeper source's and whose low frequencies are those of the sum.

    1. Sobel magnitudes s of both, smoothed by a Gaussian of 0.8 pixels; w = s_a^p / (s_a^p + s_b^p), 1/2 where both
       vanish; g = gain · (w ∇a + (1 − w) ∇b).
    2. L = β((a − mean a) + (b − mean b)), or with base ``visible`` L = (1 − r) b + r mean b + h max(0, a − b).
    3. With consent κ, opposition o = smoothed max(0, −(Sobel a · Sobel b)) / (s_a s_b) and c = 1/(1 + κo), g becomes
       c g + (1 − c) ∇L.
    4. F solves (λ + ∇ᵀ∇)F = ∇ᵀg + λL, differences across the border being 0.
    5. With base ``sum``, F is shifted so that the middle between its 2 % and its 98 % quantile is 1/2 (the sources'
       mean where these are flat).
    6. What is within ``knee`` of 0 or 1, or beyond, is bent: 1 − k exp(−x/k) for the value 1 − k + x, likewise at 0.
    7. Where both sources are darker than ``shadow``, what is brighter than both is taken back: by the share of the
       shadow that M = max(a, b) lacks, F becomes min(F, M).

    Args:
        gain: factor on the gradients; 1 keeps the sources' contrast.
        low_weight: λ, how closely the low frequencies follow L; gradients are kept over 1/√λ pixels.
        low_gain: β, factor on the sum of the sources.
        base: ``sum`` or ``visible``: whose low frequencies are kept; view 1 is the visible image.
        heat: h, how much of what is brighter in infrared is added to the visible image; with base ``visible`` alone.
        headroom: r, the share of the visible image's contrast that is given up for details of the infrared one, in
            smoke or glare for example; with base ``visible`` alone.
        power: p; the larger, the harder the choice of the steeper source.
        consent: κ, 0 to keep the steeper gradient wherever the sources oppose each other, halo included.
        knee: k, width of the soft clip, at most 0.5; 0 clips.
        shadow: below which value of [0,1] black stays black, as the background of medical images, which room below
            and the soft clip lift otherwise; 0 for nowhere.

    Raises:
        UsageError: values that are not positive, a negative consent or heat, a knee outside 0..0.5, a headroom or
            shadow outside 0..1, or an unknown base.

    Source: ours; Pérez, Gangnet, Blake 2003; Bhat, Curless, Cohen, Zitnick 2008.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("gradient-domain", ImageSpec(channels=1, height=16, width=16, views=2), gain=1)
        >>> pair = torch.full((1, 2, 1, 16, 16), 0.5)
        >>> pair[0, 0, 0, :, 8:], pair[0, 1, 0, 8:, :] = 0.7, 0.6  # an edge across in view 0, one down in view 1
        >>> fused = model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))[0, 0]
        >>> [round(float(step), 1) for step in (fused[2, 8] - fused[2, 7], fused[8, 2] - fused[7, 2])]
        [0.2, 0.1]
    """

    title = "gradient-domain fusion"
    reference = "fusionbench; Pérez, Gangnet, Blake 2003, ACM Trans. Graph. 22(3), 313–318"
    family = "classical"
    bytes_per_pixel = 224
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "balanced": Preset(note="less than half of the halo of `metrics`; nothing to train"),
        "metrics": Preset(
            model={"gain": 1.3, "power": 8.0, "consent": 0.0}, note="scored best on the pairs it was chosen on; halos"
        ),
        "natural": Preset(
            model={"base": "visible", "consent": 8.0, "gain": 1.1, "shadow": 0.03},
            note="for people: the visible image's light, chosen by eye; `fuse` takes it",
        ),
    }

    def __init__(
        self,
        spec: ImageSpec,
        gain: float = 1.2,
        low_weight: float = 0.005,
        low_gain: float = 1.05,
        power: float = 4.0,
        consent: float = 2.0,
        knee: float = 0.045,
        base: str = "sum",
        heat: float = 0.6,
        headroom: float = 0.25,
        shadow: float = 0.0,
    ) -> None:
        super().__init__(spec)
        if not all(0 < value < float("inf") for value in (gain, low_weight, low_gain, power)):
            raise UsageError(f"{self.title}: gain, low_weight, low_gain and power must be positive")
        if not (0 <= consent < float("inf") and 0 <= knee <= 0.5):
            raise UsageError(f"{self.title}: consent must be at least 0 and knee between 0 and 0.5")
        check_choice(self.title, base=(base, ("sum", "visible")))
        if not (0 <= heat < float("inf") and 0 <= headroom <= 1 and 0 <= shadow <= 1):
            raise UsageError(f"{self.title}: heat must be at least 0, headroom and shadow between 0 and 1")
        self.base, self.heat, self.headroom, self.shadow = base, heat, headroom, shadow
        self.gain, self.low_weight, self.low_gain = gain, low_weight, low_gain
        self.power, self.consent, self.knee = power, consent, knee

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        fused = self.integrated(a, b)
        if self.base == "sum":
            fused = centred_between_quantiles(fused, level=(a + b).mean((1, 2, 3)) / 2)
        fused = bent(fused, self.knee)
        return kept_dark(fused, torch.maximum(a, b), self.shadow) if self.shadow > 0 else fused

    def integrated(self, a: Tensor, b: Tensor) -> Tensor:
        """F (N,1,H,W) before it is centred or bent: any level, any range."""
        slope_a, slope_b = sobel_slopes(a), sobel_slopes(b)
        sizes = torch.cat([x.square().sum(1, keepdim=True).sqrt() for x in (slope_a, slope_b)], 1)
        opposed = [(slope_a * slope_b).sum(1, keepdim=True).neg_().clamp_(min=0)] if self.consent > 0 else []
        size_a, size_b, *opposed = blurred(torch.cat([sizes, *opposed], 1)).split(1, 1)
        first = steeper_share(size_a, size_b, self.power)
        grad_a, grad_b = gradient(a), gradient(b)
        target = self.gain * (grad_b + first * (grad_a - grad_b))
        if self.base == "visible":
            low = torch.lerp(b, b.mean((-2, -1), keepdim=True), self.headroom) + self.heat * (a - b).clamp(min=0)
        else:
            low = self.low_gain * ((a - a.mean((-2, -1), keepdim=True)) + (b - b.mean((-2, -1), keepdim=True)))
        if opposed:
            opposition = opposed[0] / (size_a * size_b + _SMALL)
            calm = gradient(low) if self.base == "visible" else self.low_gain * (grad_a + grad_b)
            target = torch.lerp(calm, target, 1 / (1 + self.consent * opposition))
        ratio = 1 / self.low_weight
        return CosineSolver(a, ratio).solve(ratio * divergence(target) + low)


def sobel_slopes(x: Tensor) -> Tensor:
    """Sobel slopes (N,2,H,W) of (N,1,H,W), horizontal and vertical, per pixel; the border is replicated."""
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    down, across = p[..., :-2, :] + 2 * p[..., 1:-1, :] + p[..., 2:, :], p[..., :-2] + 2 * p[..., 1:-1] + p[..., 2:]
    return torch.cat((down[..., 2:] - down[..., :-2], across[..., 2:, :] - across[..., :-2, :]), 1) / 8


def blurred(x: Tensor, sigma: float = 0.8, radius: int = 3) -> Tensor:
    """Every channel of (N,C,H,W), smoothed by a Gaussian cut at ``radius``; the border is replicated."""
    places = torch.arange(-radius, radius + 1, dtype=x.dtype)  # on the host, which needs them one by one
    shape = torch.exp(-((places / sigma) ** 2) / 2)
    taps: list[float] = (shape / shape.sum()).tolist()
    for dim, pad in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        size, p = x.shape[dim], F.pad(x, pad, mode="replicate")
        x = torch.zeros_like(x)
        for place, tap in enumerate(taps):
            x.add_(p.narrow(dim, place, size), alpha=tap)
    return x


def steeper_share(a: Tensor, b: Tensor, power: float) -> Tensor:
    """a^p / (a^p + b^p) of values that are at least 0, without overflow; 1/2 where both vanish."""
    large = torch.maximum(a, b)
    small = (torch.minimum(a, b) / torch.where(large > 0, large, 1.0)) ** power
    share = torch.where(a >= b, 1.0, small) / (1 + small)
    return torch.where(large > 0, share, 0.5)


def centred_between_quantiles(x: Tensor, level: Tensor, share: float = 0.02) -> Tensor:
    """Each image (N,1,H,W) shifted so that the middle between its quantiles ``share`` and 1 − ``share`` is 1/2.

    The quantiles are pixels: of n in order the one at ``share`` · (n − 1), rounded down, from either end. An image that
    is flat between them has no range to centre: its middle becomes its ``level`` (N,).
    """
    values = x.flatten(1)
    place = int(share * (values.shape[1] - 1))
    low, high = values.kthvalue(place + 1, 1).values, values.kthvalue(values.shape[1] - place, 1).values
    aim = torch.where(high - low > _FLAT, 0.5, level)
    return x + (aim - (low + high) / 2)[:, None, None, None]


def bent(x: Tensor, knee: float) -> Tensor:
    """Values to [0,1]: unchanged between ``knee`` and 1 − ``knee``, exponential towards 0 and 1 outside."""
    if knee == 0:
        return x.clamp(0, 1)
    over, under = (x - (1 - knee)).clamp(min=0), (knee - x).clamp(min=0)
    return x.clamp(knee, 1 - knee) - knee * (torch.expm1(-over / knee) - torch.expm1(-under / knee))


def kept_dark(x: Tensor, brightest: Tensor, shadow: float) -> Tensor:
    """Values no brighter than the sources where these are black; unchanged from ``shadow`` on, without a step."""
    return torch.lerp(torch.minimum(x, brightest), x, (brightest / shadow).clamp(max=1))
