"""Guided filter fusion: base and detail weighted by saliency, weights smoothed along the edges of the sources.

    saliency of A, B ─ the larger one ─ guided filters ─ weights ─┐
    box mean of A, B (base), what is left of them (detail) ───────┴ weighted sums ─ image

Reference: Li, Kang, Hu, "Image fusion with guided filtering", IEEE Trans. Image Process. 22(7), 2013. The paper's r and
ε are used on images in [0,1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models.classical.pyramids import _PAPER, PairRow, largest


class GuidedFilter(PairRow):
    """Two layers, weighted where each source is the more salient one, the weights guided by the sources.

    Args:
        base_size: side of the box whose mean is the base layer.
        base_radius, base_eps, detail_radius, detail_eps: r and ε of the guided filters of both weights.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("guided-filter", ImageSpec(channels=1, height=32, width=32, views=2))
        >>> pair = torch.full((1, 2, 1, 32, 32), 0.5)
        >>> pair[0, 0, 0, 16, 16] = 0.9  # a point that only the first source shows; the average halves its contrast
        >>> fused = model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
        >>> round(float(fused[0, 0, 16, 16]), 2)
        0.9
    """

    title = "guided filter fusion"
    reference = "Li, Kang, Hu 2013, IEEE Trans. Image Process. 22(7), 2864–2875"
    family = "classical"
    PRESETS = _PAPER
    bytes_per_pixel = 240

    def __init__(
        self,
        spec: ImageSpec,
        base_size: int = 31,
        base_radius: int = 45,
        base_eps: float = 0.3,
        detail_radius: int = 7,
        detail_eps: float = 1e-6,
    ) -> None:
        super().__init__(spec)
        if base_size < 1 or base_size % 2 == 0 or min(base_radius, detail_radius) < 1:
            raise UsageError(f"{self.title}: base_size must be odd and radii at least 1")
        if min(base_eps, detail_eps) <= 0:
            raise UsageError(f"{self.title}: eps must be positive")
        self.base_size = base_size
        self.base, self.detail = (base_radius, base_eps), (detail_radius, detail_eps)

    @property
    def receptive_radius(self) -> int:
        """Two box means of weights that depend on a saliency of 1 + 5 pixels; or the box of the base layer."""
        return max(2 * max(self.base[0], self.detail[0]) + 6, self.base_size // 2)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        first = (saliency(a) >= saliency(b)).to(a)
        bases = [box_mean(x, self.base_size // 2) for x in (a, b)]
        fused = torch.zeros_like(a)
        for layer, (radius, eps) in (("base", self.base), ("detail", self.detail)):
            weights = [guided(first, a, radius, eps).clamp(0, 1), guided(1 - first, b, radius, eps).clamp(0, 1)]
            total = weights[0] + weights[1]
            # equal weights where both vanish
            share = torch.where(total > 0, weights[0] / torch.where(total > 0, total, 1.0), 0.5)
            layers = bases if layer == "base" else [x - base for x, base in zip((a, b), bases, strict=True)]
            fused = fused + share * layers[0] + (1 - share) * layers[1]
        return fused

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        """As ``combine``, of whose two views it gives the same up to rounding; the most salient view wins a pixel."""
        if len(views) == 2:
            return self.combine(*views)
        winner = largest([saliency(view) for view in views])
        bases = [box_mean(view, self.base_size // 2) for view in views]
        fused = torch.zeros_like(views[0])
        for layer, (radius, eps) in (("base", self.base), ("detail", self.detail)):
            weighted, sums = torch.zeros_like(fused), torch.zeros_like(fused)
            plain = torch.zeros_like(fused)  # of equal weights, where all of them vanish
            for number, view in enumerate(views):
                weight = guided((winner == number).to(view), view, radius, eps).clamp(0, 1)
                part = bases[number] if layer == "base" else view - bases[number]
                weighted, sums, plain = weighted + weight * part, sums + weight, plain + part / len(views)
            fused = fused + torch.where(sums > 0, weighted / torch.where(sums > 0, sums, 1.0), plain)
        return fused


def saliency(x: Tensor) -> Tensor:
    """Amplitude of the Laplacian, smoothed by an 11×11 Gaussian of sigma 5."""
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    laplacian = p[..., 1:-1, 2:] + p[..., 1:-1, :-2] + p[..., 2:, 1:-1] + p[..., :-2, 1:-1] - 4 * x
    taps = torch.exp(-((torch.arange(-5, 6, device=x.device, dtype=x.dtype) / 5) ** 2) / 2)
    return _along_both(laplacian.abs(), taps / taps.sum())


def guided(weight: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """Guided filter (He, Sun, Tang 2013): ``weight`` as a locally linear function of ``guide``, box means."""
    mean_g, mean_w = box_mean(guide, radius), box_mean(weight, radius)
    slope = (box_mean(guide * weight, radius) - mean_g * mean_w) / (box_mean(guide * guide, radius) - mean_g**2 + eps)
    return box_mean(slope, radius) * guide + box_mean(mean_w - slope * mean_g, radius)


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over the part of a box of side 2·radius+1 that lies inside the image, by running sums."""
    for dim in (-2, -1):
        size = x.shape[dim]
        reach = min(radius, size)
        # zeros around the image: the sum of a box is then a difference at the same distance everywhere
        sums = F.pad(x, (reach + 1, reach) if dim == -1 else (0, 0, reach + 1, reach)).cumsum(dim)
        place = torch.arange(size, device=x.device)
        inside = (place + reach + 1).clamp(max=size) - (place - reach).clamp(min=0)
        counts = inside.to(x).view(-1, *([1] * (-1 - dim)))
        x = (sums.narrow(dim, 2 * reach + 1, size) - sums.narrow(dim, 0, size)).div_(counts)
    return x


def _along_both(x: Tensor, taps: Tensor) -> Tensor:
    """Correlate (N,1,H,W) with taps along rows and columns."""
    return _along(_along(x, taps, -1), taps, -2)


def _along(x: Tensor, taps: Tensor, dim: int) -> Tensor:
    """Correlate (N,1,H,W) with taps along an axis; the border is replicated where it cannot be reflected."""
    half = len(taps) // 2
    pad, shape = ((half, half, 0, 0), (1, 1, 1, -1)) if dim == -1 else ((0, 0, half, half), (1, 1, -1, 1))
    x = F.pad(x, pad, mode="reflect" if x.shape[dim] > half else "replicate")
    return F.conv2d(x, taps.view(shape))
