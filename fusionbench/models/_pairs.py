"""What the models of registered pairs have in common: the two views of a batch, and fusing one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from fusionbench.contracts import Batch, ImageSpec
from fusionbench.errors import UsageError, unknown_name


def check_pair_spec(model: str, spec: ImageSpec) -> None:
    """Refuse data that is not two grey views; the image size is free.

    Raises:
        UsageError: another number of views or channels.
    """
    if spec.views != 2:
        raise UsageError(f"{model} fuses pairs, and this data set has {spec.views} view(s) per sample; use a pairs set")
    if spec.channels != 1:
        raise UsageError(f"{model} fuses grey images, and this data set has {spec.channels} channels; fuse luminance")


def check_choice(model: str, **choices: tuple[str, Iterable[str]]) -> None:
    """Refuse a word parameter that is not one of the known words: ``check_choice(name, base=(value, known))``.

    Raises:
        UsageError: with the nearest known word.
    """
    for parameter, (value, known) in choices.items():
        if value not in (known := tuple(known)):
            raise unknown_name(f"{parameter} of {model}", value, known)


def pair_of(model: str, batch: Batch) -> tuple[Tensor, Tensor]:
    """Views 0 and 1 of a batch, each (N,1,H,W).

    Raises:
        UsageError: a view is absent, or there are not two grey ones.
    """
    if batch.views.shape[1:3] != (2, 1):
        views, channels = batch.views.shape[1:3]
        raise UsageError(f"{model} fuses two grey views, not {views} view(s) of {channels} channel(s)")
    if not bool(batch.present.all()):
        index = int(batch.ids[~batch.present.all(1)][0])
        raise UsageError(f"{model} needs both images of a pair, and sample {index} lacks one")
    return batch.views[:, 0], batch.views[:, 1]


@torch.no_grad()
def fuse_each(model: nn.Module, combine: Callable[[Tensor, Tensor], Tensor], batch: Batch) -> Tensor:
    """``combine`` of every pair by itself, in evaluation mode, clamped to [0,1]: (N,1,H,W) float32.

    Convolution libraries choose their order of summation by the batch size, so that the last bits of an image
    would otherwise depend on its neighbours. At these image sizes a batch is no faster than its images in turn.
    """
    a, b = pair_of(type(model).__name__, batch)
    was_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        fused = [combine(x, y) for x, y in zip(a.split(1), b.split(1), strict=True)]
    finally:
        for module in was_training:
            module.training = True
    return torch.cat(fused).float().clamp(0, 1) if fused else torch.empty_like(a)
