"""Two more trivial rules for registered pairs: what a copy and an average reach with one choice for each image.

    better-copy         the source with the larger spatial frequency, unchanged
    stretched-average   (A + B)/2, stretched to the full range

They show what a metric gives for a choice and for contrast alone, which a fusion method has to beat.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusionbench.models.classical.pyramids import PairRow, total


class BetterCopy(PairRow):
    """Of the two sources, image by image, the one with the larger spatial frequency; view 0 where they are equal.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("better-copy", ImageSpec(channels=1, height=1, width=2, views=2))
        >>> views = torch.tensor([[0.25, 0.5], [0.75, 0.0]]).view(1, 2, 1, 1, 2)
        >>> model.fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).flatten().tolist()
        [0.75, 0.0]
    """

    title = "better copy"
    bytes_per_pixel = 48

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        best, most = views[0], squared_frequency(views[0])
        for view in views[1:]:
            frequency = squared_frequency(view)
            kept = most >= frequency * (1 - 1e-12)  # rounding decides no tie
            best, most = torch.where(kept[:, None, None, None], best, view), torch.where(kept, most, frequency)
        return best


class StretchedAverage(PairRow):
    """The mean of both sources, stretched to [0,1] image by image; a flat one stays as it is.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("stretched-average", ImageSpec(channels=1, height=1, width=3, views=2))
        >>> views = torch.tensor([[0.25, 0.5, 0.5], [0.25, 0.25, 0.5]]).view(1, 2, 1, 1, 3)
        >>> model.fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).flatten().tolist()
        [0.0, 0.5, 1.0]
    """

    title = "stretched average"
    bytes_per_pixel = 48

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        mean = total(views) / len(views)
        low, high = mean.amin((-2, -1), keepdim=True), mean.amax((-2, -1), keepdim=True)
        spread = high - low
        return torch.where(spread > 0, (mean - low) / torch.where(spread > 0, spread, 1.0), mean)


def squared_frequency(x: Tensor) -> Tensor:
    """Squared spatial frequency (N,) of (N,1,H,W): mean squared row differences plus those of columns; a side of one
    pixel has none.
    """
    steps = (x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :])
    return torch.stack([s.flatten(1).square().sum(1) / max(1, s[0].numel()) for s in steps]).sum(0)
