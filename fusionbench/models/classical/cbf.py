"""Cross bilateral filter fusion: sources weighted by the strength of their cross bilateral details.

a ─ cross bilateral, guided by b ─ a − base ─ strength of detail ─┐
b ─ cross bilateral, guided by a ─ b − base ─ strength of detail ─┴─ weighted mean of a and b
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models.classical.pyramids import _PAPER, PairRow


class CrossBilateral(PairRow):
    """The mean of both sources, weighted by the variances of their details in a window.

    The image is mirrored at its border, without a second copy of the outermost pixels, as the authors' code does
    (version 1 repeated the outermost pixel).

    Args:
        size: odd side of the filter's square, 11 in the paper.
        sigma_space: standard deviation of the spatial kernel in pixels, 1.8 in the paper.
        sigma_range: standard deviation of the kernel over grey values, 25 of 255 in the paper, on [0,1] here.
        window: odd side of the square in which the strength of detail is measured, 5 in the paper.

    Raises:
        UsageError: sizes that are not odd, a window below 3, or deviations that are not positive.

    Source: Shreyamsha Kumar 2015 (online 2013).

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("cbf", ImageSpec(channels=1, height=32, width=32, views=2))
        >>> pair = torch.full((1, 2, 1, 32, 32), 0.5)
        >>> pair[0, 0, 0, 16, 16] = 0.9  # a point that only the first source shows; the average halves its contrast
        >>> fused = model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
        >>> round(float(fused[0, 0, 16, 16]), 2)
        0.9
    """

    title = "cross bilateral filter"
    reference = "Shreyamsha Kumar 2015, Signal Image Video Process. 9(5), 1193–1204"
    version = "2"
    family = "classical"
    PRESETS = _PAPER
    bytes_per_pixel = 160

    def __init__(
        self,
        spec: ImageSpec,
        size: int = 11,
        sigma_space: float = 1.8,
        sigma_range: float = 25 / 255,
        window: int = 5,
    ) -> None:
        super().__init__(spec)
        if size < 1 or window < 3 or size % 2 == 0 or window % 2 == 0:
            raise UsageError(f"{self.title}: size and window must be odd, window at least 3")
        if min(sigma_space, sigma_range) <= 0:
            raise UsageError(f"{self.title}: sigma_space and sigma_range must be positive")
        self.size, self.sigma_space, self.sigma_range, self.window = size, sigma_space, sigma_range, window

    @property
    def receptive_radius(self) -> int:
        """The window of the strength, of what the filter has taken away."""
        return self.size // 2 + self.window // 2

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        filtered_a, filtered_b = self.filtered(a, b), self.filtered(b, a)
        strength_a, strength_b = strength(a - filtered_a, self.window), strength(b - filtered_b, self.window)
        total = strength_a + strength_b
        # equal weights where neither has detail
        share = torch.where(total > 0, strength_a / torch.where(total > 0, total, 1.0), 0.5)
        return share * a + (1 - share) * b

    def filtered(self, image: Tensor, guide: Tensor) -> Tensor:
        """``image`` (N,1,H,W), smoothed within the edges of ``guide``."""
        half, (height, width) = self.size // 2, image.shape[-2:]
        padded, guides = (mirrored(x, half) for x in (image, guide))
        total, weights = torch.zeros_like(image), torch.zeros_like(image)
        for down in range(self.size):
            for right in range(self.size):
                there = (..., slice(down, down + height), slice(right, right + width))
                distance = ((down - half) ** 2 + (right - half) ** 2) / (2 * self.sigma_space**2)
                weight = (guides[there] - guide).square_().mul_(-0.5 / self.sigma_range**2).exp_()
                weight.mul_(math.exp(-distance))
                total.addcmul_(weight, padded[there])
                weights.add_(weight)
        return total / weights


def mirrored(x: Tensor, margin: int) -> Tensor:
    """(N,1,H,W), mirrored at the outermost pixels by ``margin`` on every side, as often as a small image needs."""
    for dim in (-2, -1):
        size = x.shape[dim]
        place = torch.arange(-margin, size + margin, device=x.device)
        if size > 1:
            period = 2 * (size - 1)
            place = place % period
            place = torch.minimum(place, period - place)
        else:
            place = torch.zeros_like(place)
        x = x.index_select(dim, place)
    return x


def strength(detail: Tensor, window: int) -> Tensor:
    """Sum of the eigenvalues of the covariance matrices of a window's columns and of its rows.

    It equals the sum of the traces, that is of the variances (n − 1) of all columns and of all rows.
    """
    half = window // 2
    padded = mirrored(detail, half)
    squares = _sums(padded.square(), window, window)
    columns = _sums(_sums(padded, window, 1).square(), 1, window)
    rows = _sums(_sums(padded, 1, window).square(), window, 1)
    return ((2 * squares - (columns + rows) / window) / (window - 1)).clamp(min=0)


def _sums(x: Tensor, height: int, width: int) -> Tensor:
    """Sums over all windows that fit."""
    return F.avg_pool2d(x, (height, width), 1, divisor_override=1)
