"""What the downstream probe is compared with beside fused images: the two sources together, as two channels.

No method that gives one grey image can show more than both sources do; how far below them it stays is its loss.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fusionbench.core.types import Batch
from fusionbench.models.classical.pyramids import PairRow
from fusionbench.models.pairs.base import PairModel


class BothSources(PairRow):
    """Both sources as two channels; no fused image, and no registered model: only the probe reads it.

    Example:
        >>> import torch
        >>> from fusionbench import Batch
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.probe_references import BothSources
        >>> views = torch.tensor([[0.25, 0.0], [0.0, 0.5]]).view(1, 2, 1, 1, 2)
        >>> batch = Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))
        >>> BothSources(ImageSpec(channels=1, height=1, width=2, views=2)).fuse(batch).shape
        torch.Size([1, 2, 1, 2])
    """

    title: ClassVar[str] = "both sources as channels"

    @torch.no_grad()
    def fuse(self, batch: Batch) -> Tensor:
        """(N,2,H,W) float32 in [0,1].

        Raises:
            UsageError: an incomplete pair, or views of another kind.
        """
        return torch.cat(PairModel.pair(self, batch), dim=1)  # type: ignore[arg-type]  # it uses the title only
