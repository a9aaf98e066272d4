"""The bottom-up network: one encoder, with shared weights, for every view and for the target.

    stem conv3×3 ─► P × [normal cells, down cell] ─► per scale: groups × cells ─(feature)─ … ─ down cell ─► next scale

Views that are absent are never encoded, so they cannot enter the batch statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fusionbench.core.types import Batch
from fusionbench.models.vae.cells import BatchNorm, EncoderCell, SplitBatchNorm, WNConv2d


@dataclass(frozen=True)
class Shape:
    """Sizes that encoder and decoder share.

    Attributes:
        channels: C at full resolution; it doubles with every halving.
        groups: latent groups per scale, the finest latent resolution first.
        cells: residual cells per group.
        blocks: pre-processing and post-processing blocks; each halves or doubles the resolution.
        block_cells: cells per block, the one that changes the resolution included.
        patch: the network works on patches of this many pixels squared, each one a pixel with as many channels.
    """

    channels: int
    groups: tuple[int, ...]
    cells: int
    blocks: int
    block_cells: int
    patch: int = 1

    @property
    def top(self) -> int:
        """Channels at the coarsest latent resolution."""
        return self.channels << (self.blocks + len(self.groups) - 1)

    @property
    def reduction(self) -> int:
        """Image size divided by the coarsest latent size."""
        return self.patch << (self.blocks + len(self.groups) - 1)


class Packing:
    """Which rows of a packed tensor (M,…) belong to which sample and view; M is the number of present views.

    Args:
        present: (N,V) bool.
        count: M where the host knows it: a device is then not waited for.
    """

    def __init__(self, present: Tensor, count: int | None = None) -> None:
        self.present = present
        self.index = _indices(present.flatten(), count)
        self.count = present.sum(dim=1)  # (N,)
        self.any = self.count > 0

    def pad(self, packed: Tensor, fill: float) -> Tensor:
        """(M,…) -> (N,V,…), absent views filled."""
        n, v = self.present.shape
        if len(packed) == n * v:
            whole: Tensor = packed.unflatten(0, (n, v))
            return whole
        padded = packed.new_full((n * v, *packed.shape[1:]), fill)
        result: Tensor = padded.index_copy(0, self.index, packed).unflatten(0, (n, v))
        return result

    def max(self, packed: Tensor) -> Tensor:
        """Maximum over a sample's present views: (M,…) -> (N,…); zero for samples without any."""
        if len(packed) == 0:
            return packed.new_zeros((len(self.present), *packed.shape[1:]))
        largest = self.pad(packed, -torch.inf).amax(dim=1)
        return largest.masked_fill(~self.any.view(-1, *[1] * (largest.dim() - 1)), 0.0)

    def sum(self, packed: Tensor) -> Tensor:
        """Sum over a sample's present views: (M,…) -> (N,…)."""
        if len(packed) == 0:
            return packed.new_zeros((len(self.present), *packed.shape[1:]))
        return self.pad(packed, 0.0).sum(dim=1)


def _indices(chosen: Tensor, count: int | None) -> Tensor:
    """Where ``chosen`` (K,) is true: int64 (M,), ascending."""
    if count is None or chosen.device.type == "cpu":
        return chosen.nonzero().squeeze(1)
    return _counted_indices(chosen, count)


def _counted_indices(chosen: Tensor, count: int) -> Tensor:
    """The same where the count is known: nonzero waits for it before it can allocate its result. The m-th true value is
    where the running count reaches m."""
    return torch.searchsorted(chosen.cumsum(0), torch.arange(1, count + 1, device=chosen.device))


@dataclass(frozen=True)
class Encoding:
    """Features of a batch.

    Attributes:
        packing: where the rows of ``views`` belong.
        views: per latent group, in the order in which the decoder consumes them, (M,C,h,w).
        target: the same for the target, (N,C,h,w), or None.
        scales: the views' last feature of every resolution, coarsest first, (M,C,h,w): for skip connections.
        images: the present views themselves, (M,Cin,H,W) in [0,1].
    """

    packing: Packing
    views: list[Tensor]
    target: list[Tensor] | None
    scales: list[Tensor]
    images: Tensor


def _patches(images: Tensor, size: int) -> Tensor:
    """Patches of size×size pixels as channels: (M,C,H,W) -> (M,C·size²,H/size,W/size).

    As ``pixel_unshuffle``, which gives images that are none their old shape.
    """
    if size == 1:
        return images
    m, c, h, w = images.shape
    cut = images.reshape(m, c, h // size, size, w // size, size).permute(0, 1, 3, 5, 2, 4)
    return cut.reshape(m, c * size * size, h // size, w // size)


class Encoder(nn.Module):
    """Images (M,Cin,H,W) in [0,1] -> features of every group, and of every resolution.

    ``separate_norm``: batch statistics of views and targets apart (:class:`SplitBatchNorm`).
    """

    def __init__(self, cin: int, shape: Shape, separate_norm: bool = False) -> None:
        super().__init__()
        norm = SplitBatchNorm if separate_norm else BatchNorm
        width = shape.channels
        self.patch = shape.patch
        self.stem = WNConv2d(cin * shape.patch**2, width, 3)
        self.blocks = nn.ModuleList()
        for _ in range(shape.blocks):
            normal = [EncoderCell(width, norm=norm) for _ in range(shape.block_cells - 1)]
            self.blocks.append(nn.Sequential(*normal, EncoderCell(width, down=True, norm=norm)))
            width *= 2
        self.tower = nn.ModuleList()
        self.downs = nn.ModuleList()
        for scale, count in enumerate(shape.groups):
            cells = [nn.Sequential(*(EncoderCell(width, norm=norm) for _ in range(shape.cells))) for _ in range(count)]
            self.tower.append(nn.ModuleList(cells))
            if scale < len(shape.groups) - 1:
                self.downs.append(EncoderCell(width, down=True, norm=norm))
                width *= 2
        self.last = nn.Sequential(nn.ELU(), WNConv2d(width, width, 1), nn.ELU())
        self._split = tuple(layer for layer in self.modules() if isinstance(layer, SplitBatchNorm))

    def features(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Group features in consumption order, and the last feature of each resolution, coarsest first."""
        x = self.stem(_patches(2 * images - 1, self.patch))
        scales, groups = [x], []
        for block in self.blocks:
            x = block(x)
            scales.append(x)
        scales.pop()  # replaced by the tower's own feature of that resolution
        for scale, members in enumerate(self.tower):
            for group in members:  # type: ignore[attr-defined]
                x = group(x)
                groups.append(x)
            scales.append(x)
            if scale < len(self.downs):
                x = self.downs[scale](x)
        groups[-1] = self.last(groups[-1])
        return groups[::-1], scales[::-1]

    def forward(self, batch: Batch, with_target: bool) -> Encoding:
        packing = Packing(batch.present, batch.present_count)
        views = batch.views.flatten(0, 1).index_select(0, packing.index)
        count = len(views)
        for layer in self._split:
            layer.views = count
        if not with_target:
            groups, scales = self.features(views)
            return Encoding(packing, groups, None, scales, views)
        assert batch.target is not None
        groups, scales = self.features(torch.cat([views, batch.target]))
        of_views, of_target = [g[:count] for g in groups], [g[count:] for g in groups]
        return Encoding(packing, of_views, of_target, [s[:count] for s in scales], views)
