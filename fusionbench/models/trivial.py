"""Trivial baselines: the mean image, the first view unchanged, the pixel-wise maximum of the views.

They give one deterministic image per sample, have no likelihood, and are not ranked with models. Without views,
``first-view`` and ``max-view`` give the mean of the training targets, the best constant image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, ImageSpec, Preset

_PRESETS: Mapping[str, Preset] = {"default": Preset(note="one pass over the training targets")}


class MeanImage(nn.Module):
    """The mean of the training targets, independent of the views.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("mean-image", ImageSpec(channels=1, height=1, width=2, views=1))
        >>> targets = torch.tensor([[[[0.0, 0.5]]], [[[0.5, 1.0]]]])
        >>> batch = Batch(targets, targets[:, None], torch.ones(2, 1, dtype=torch.bool), torch.arange(2))
        >>> model.fit([batch])
        >>> model.fuse(batch)[0].tolist()
        [[[0.25, 0.75]]]
    """

    title: ClassVar[str] = "mean image"
    reference: ClassVar[str] = "trivial row"
    version: ClassVar[str] = "1"
    family: ClassVar[str] = "trivial"
    PRESETS: ClassVar[Mapping[str, Preset]] = _PRESETS
    mean: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", torch.full((spec.channels, spec.height, spec.width), 0.5))

    def fit(self, batches: Iterable[Batch]) -> None:
        """Average the targets of ``batches``, in float64.

        Raises:
            UsageError: the data set has no targets, or there are no batches.
        """
        total, count = torch.zeros(self.mean.shape, dtype=torch.float64), 0
        for batch in batches:
            if batch.target is None:
                raise UsageError(f"{self.title} is the mean of the targets and this data set has none")
            total += batch.target.double().sum(dim=0).cpu()
            count += len(batch)
        if count == 0:
            raise UsageError(f"{self.title}: no training images")
        self.mean.copy_(total / count)

    @torch.no_grad()
    def fuse(self, batch: Batch) -> Tensor:
        return self.mean.expand(len(batch), *self.mean.shape).clone()


class FirstView(MeanImage):
    """The first present view, unchanged; the mean image when there is none.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("first-view", ImageSpec(channels=1, height=1, width=2, views=2))
        >>> views = torch.tensor([[0.25, 0.0], [0.0, 0.5]]).view(1, 2, 1, 1, 2)
        >>> model.fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).flatten().tolist()
        [0.25, 0.0]
    """

    title = "first view"

    @torch.no_grad()
    def fuse(self, batch: Batch) -> Tensor:
        first = batch.present.int().argmax(dim=1)
        chosen = batch.views[torch.arange(len(batch), device=first.device), first]
        return torch.where(batch.present.any(dim=1)[:, None, None, None], chosen, self.mean)


class MaxView(MeanImage):
    """The pixel-wise maximum of the present views; the mean image when there is none.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("max-view", ImageSpec(channels=1, height=1, width=2, views=2))
        >>> views = torch.tensor([[0.25, 0.0], [0.0, 0.5]]).view(1, 2, 1, 1, 2)
        >>> model.fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).flatten().tolist()
        [0.25, 0.5]
    """

    title = "max of views"

    @torch.no_grad()
    def fuse(self, batch: Batch) -> Tensor:
        seen = batch.views.masked_fill(~batch.present[:, :, None, None, None], 0.0).amax(dim=1)
        return torch.where(batch.present.any(dim=1)[:, None, None, None], seen, self.mean)
