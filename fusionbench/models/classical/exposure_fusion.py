"""Exposure fusion: every pixel of every exposure weighted by its contrast and by how well it is exposed.

    view ─ contrast · well-exposedness ─ weights, normalised over the views ─ Gaussian pyramid ─┐
         └ Laplacian pyramid ─────────────────────────────────────────────────────── weighted ─┴ sum ─ image

Reference: Mertens, Kautz, Van Reeth, "Exposure fusion: a simple and practical alternative to high dynamic range
photography", Computer Graphics Forum 28(1), 2009.

Differences from the paper: views are grey, so that there is no saturation to weight by and well-exposedness has one
channel; the image is reflected at its border, as by the other pyramids here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec, Preset
from fusionbench.models.classical.pyramids import LaplacianPyramid, expand, total

_FLOOR = 1e-12  # added to every weight, so that some are left where none has contrast


class ExposureFusion(LaplacianPyramid):
    """Two views or more, blended by weights over a pyramid.

    Args:
        contrast, exposedness: exponents of the two measures; 0 leaves one out.
        sigma: width of the Gaussian around ½ that says how well a value is exposed.
        levels: scales of the pyramid at most; it ends where a side has two pixels.

    Raises:
        UsageError: a negative exponent, a width that is not positive, or no level.

    Source: Mertens, Kautz, Van Reeth 2009, sections 3.1 and 3.2.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("exposure-fusion", ImageSpec(channels=1, height=32, width=32, views=3))
        >>> stack = torch.full((1, 3, 1, 32, 32), 0.02)  # two exposures that show nothing, and one that does
        >>> stack[:, 2] = torch.rand(32, 32, generator=torch.Generator().manual_seed(0)) / 2 + 0.25
        >>> fused = model.fuse(Batch(None, stack, torch.ones(1, 3, dtype=torch.bool), torch.arange(1)))
        >>> bool((fused - stack[:, 2]).abs().mean() < 0.02)
        True
    """

    title = "exposure fusion"
    reference = "Mertens, Kautz, Van Reeth 2009, Comput. Graph. Forum 28(1), 161–171"
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(note="the paper's exponents and width; nothing to train")
    }

    def __init__(
        self, spec: ImageSpec, contrast: float = 1.0, exposedness: float = 1.0, sigma: float = 0.2, levels: int = 9
    ) -> None:
        super().__init__(spec, levels)
        if min(contrast, exposedness) < 0 or sigma <= 0:
            raise UsageError(f"{self.title}: contrast and exposedness may not be negative, sigma must be positive")
        self.contrast, self.exposedness, self.sigma = contrast, exposedness, sigma

    @property
    def receptive_radius(self) -> int:
        """The pyramid's, and the pixel around it by which contrast is measured."""
        return super().receptive_radius + 1

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        weights = [self.weight(view) for view in views]
        sums = total(weights)
        fused: list[Tensor] = []
        for view, weight in zip(views, weights, strict=True):
            steps, shares = self.pyramid(view), self.pyramid(weight / sums)
            bands = [fine - expand(coarse, fine) for fine, coarse in pairwise(steps)] + steps[-1:]
            parts = [band * share for band, share in zip(bands, shares, strict=True)]
            fused = [old + new for old, new in zip(fused, parts, strict=True)] if fused else parts
        image = fused[-1]
        for band in reversed(fused[:-1]):
            image = expand(image, band) + band
        return image

    def weight(self, view: Tensor) -> Tensor:
        """Of a view (N,1,H,W) how much every pixel counts, before the weights of all views are normalised."""
        p = F.pad(view, (1, 1, 1, 1), mode="replicate")
        laplacian = p[..., 1:-1, 2:] + p[..., 1:-1, :-2] + p[..., 2:, 1:-1] + p[..., :-2, 1:-1] - 4 * view
        exposed = torch.exp(-((view - 0.5) ** 2) / (2 * self.sigma**2))
        return laplacian.abs() ** self.contrast * exposed**self.exposedness + _FLOOR
