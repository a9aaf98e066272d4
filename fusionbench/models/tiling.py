"""Pairs of any size within a bound on memory: whole where they fit, otherwise in tiles.

    whole image ─ fits into the budget ─────────────────────────────────────────────────────────► fuse
               └─ tiles that overlap ─ fuse each ─ known radius: cut the margin off, join ──────► the same image
                                                 └ none: cut the rim off, blend with a cosine ──► its seams are told

Two attributes of a model decide how (class variables, or properties where they depend on parameters):

* ``receptive_radius``: an output pixel depends on input pixels at most so many rows and columns away. The margin of
  the tiles is at least that, so that the joined image equals the whole one up to rounding. None, or absent: it depends
  on the whole image (attention, global statistics, a global minimum). Tiles then differ where they overlap; they are
  blended, and one line says by how much they differed.
* ``tile_multiple``: tiles begin at multiples of it, because the model subsamples or pads to patches of that size.

The default tile follows from the model, its parameters and the size of the image, never from the machine's free memory,
so that the same pair gives the same image everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.interfaces import Fuses
from fusionbench.core.progress import progress, say
from fusionbench.models.fusing_memory import device_of, fusing_memory, pairs_as_batch

MEMORY = 2 << 30  # bytes that fusing may need beyond the model, the pair and the fused image
ALWAYS_WHOLE = 192 * 192  # pixels; such images are not worth measuring the model
SIDES = (128, 192, 256, 384, 512, 640, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
RIM, BLEND = 16, 64  # without a known radius: pixels that are cut off, and over which tiles are blended
Tile = Literal["auto", "none"] | int


@dataclass(frozen=True)
class TilePlan:
    """How a pair of ``height`` × ``width`` is fused.

    Attributes:
        rows, columns: (begin, end) of the tiles along both axes; one each where the image stays whole.
        margin: pixels at an inner edge of a tile that are cut off.
        blend: pixels over which neighbours are blended, next to the margin; 0 for models with a known radius.

    Example:
        >>> from fusionbench.models.tiling import TilePlan
        >>> plan = TilePlan(100, 200, rows=((0, 100),), columns=((0, 120), (80, 200)), margin=20, blend=0)
        >>> plan.count, plan.tiled, plan.largest
        (2, True, (100, 120))
    """

    height: int
    width: int
    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]
    margin: int
    blend: int

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)

    @property
    def tiled(self) -> bool:
        """Whether there is more than one."""
        return self.count > 1

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width of the largest tile."""
        return max(end - begin for begin, end in self.rows), max(end - begin for begin, end in self.columns)


def plan_tiles(
    model: Fuses, height: int, width: int, *, tile: Tile = "auto", memory: int | None = None, views: int = 2
) -> TilePlan:
    """The tiles that :func:`fuse_any_size` uses for a pair of this size.

    Args:
        tile, memory: as for :func:`fuse_any_size`.
        views: a stack of so many views in place of a pair; what it takes is reckoned in proportion.

    Raises:
        UsageError: an unknown ``tile``, one too small for the model's margins, or too little ``memory`` for any.

    Example:
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.models.tiling import plan_tiles
        >>> model = create_model("laplacian-pyramid", ImageSpec(channels=1, height=64, width=64, views=2))
        >>> plan_tiles(model, 480, 640).tiled
        False
        >>> plan_tiles(model, 300, 500, tile=256).rows  # tiles begin at multiples of 16 and overlap by twice the radius
        ((0, 224), (96, 300))
    """
    if height < 1 or width < 1:
        raise DataError(f"a pair of {height}×{width} pixels has nothing to fuse")
    radius: int | None = getattr(model, "receptive_radius", None)
    multiple = max(1, int(getattr(model, "tile_multiple", 1)))
    margin, blend = (_up(RIM, multiple), _up(BLEND, multiple)) if radius is None else (_up(radius, multiple), 0)
    overlap = 2 * margin + blend
    smallest = _up(overlap + max(multiple, 16, blend), multiple)
    if tile == "none":
        side = max(height, width)
    elif tile == "auto":
        allowed = (MEMORY if memory is None else memory) * 2 // views
        side = _side(model, height, width, allowed, smallest, multiple)
    elif isinstance(tile, int) and not isinstance(tile, bool):
        side = max(height, width) if max(height, width) <= tile else tile // multiple * multiple
        if side < smallest and side < max(height, width):
            raise UsageError(
                f"{_name(model)}: tiles of {tile} pixels are too small for its margins: use {smallest} or more"
            )
    else:
        raise UsageError(f"tile={tile!r} is not 'auto', 'none' or a number of pixels")
    return TilePlan(
        height,
        width,
        _spans(height, side, overlap, blend, multiple),
        _spans(width, side, overlap, blend, multiple),
        margin,
        blend,
    )


def fuse_any_size(model: Fuses, pair: Tensor, *, tile: Tile = "auto", memory: int | None = None) -> Tensor:
    """Fuse pairs (N,2,1,H,W) float in [0,1] of any size: (N,1,H,W) float32 in [0,1], on the device of ``pair``.

    Stacks (N,V,1,H,W) of more views are fused in the same way by a model that takes them.

    Pairs are fused one after the other, so that N changes neither memory nor a bit of the result. For a model with a
    ``receptive_radius`` the tiles give the whole image's result up to rounding. For others they are blended, and one
    line says by how many grey levels they differed where they overlap.

    Args:
        model: fuses grey pairs, on any device; tiles are moved to it.
        tile: ``"auto"``, ``"none"`` for the whole image, or the largest side of a tile in pixels.
        memory: bytes that fusing may need beyond model, pair and result, for ``"auto"``; None is 2 GiB. The result of
            a model without ``receptive_radius`` depends on it.

    Raises:
        UsageError: as :func:`plan_tiles`, or an argument of another shape.
        DataError: values outside [0,1], or none at all.

    Example:
        >>> import torch
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.models.tiling import fuse_any_size
        >>> model = create_model("laplacian-pyramid", ImageSpec(channels=1, height=64, width=64, views=2))
        >>> pair = torch.rand(1, 2, 1, 300, 500)
        >>> whole, tiled = fuse_any_size(model, pair), fuse_any_size(model, pair, tile=256)
        >>> bool((whole - tiled).abs().max() < 1e-6)
        True
    """
    if pair.ndim != 5 or pair.shape[1] < 2 or pair.shape[2] != 1 or not pair.is_floating_point():
        raise UsageError(f"pairs are floats (N,2,1,H,W), not {pair.dtype} {tuple(pair.shape)}")
    plan = plan_tiles(model, pair.shape[3], pair.shape[4], tile=tile, memory=memory, views=pair.shape[1])
    if pair.numel():
        low, high = (float(value) for value in pair.aminmax())
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise DataError(f"pairs hold values from {low:g} to {high:g}; fusing needs 0 to 1")
    result = pair.new_zeros((len(pair), 1, *pair.shape[3:]), dtype=torch.float32)
    differences: list[tuple[float, float]] = []
    with torch.no_grad():
        for index in range(len(pair)):
            views = pair[index : index + 1]
            if plan.tiled:
                differences.append(_fuse_tiles(model, views, result[index, 0], plan))
            else:
                result[index] = _fuse(model, views)
    if plan.blend and differences:
        _tell(model, plan, max(most for most, _ in differences), max(mean for _, mean in differences))
    return result


def _fuse(model: Fuses, views: Tensor) -> Tensor:
    """One pair, or a tile of one, fused on the model's device: (1,H,W)."""
    fused = model.fuse(pairs_as_batch(views.to(device_of(model))))
    if tuple(fused.shape) != (1, 1, *views.shape[3:]):
        raise UsageError(f"{_name(model)} makes {tuple(fused.shape)} of a pair of {views.shape[3]}×{views.shape[4]}")
    return fused[0].to(views.device, torch.float32)


def _fuse_tiles(model: Fuses, views: Tensor, fused: Tensor, plan: TilePlan) -> tuple[float, float]:
    """Fill ``fused`` (H,W), zeros before; how much tiles differ where they are blended, at most and on average."""
    most, total, counted = 0.0, 0.0, 0
    # what earlier tiles said, for the comparison; NaN where there is none
    seen = torch.full_like(fused, math.nan) if plan.blend else None
    # a bar for each of many images with a few tiles would bury what else is said
    shown = progress(f"fuse with {_name(model)}", plan.count, "tiles") if plan.count > 8 else nullcontext()
    with shown as bar:
        for place, down in _axis(plan.rows, plan):
            for across, right in _axis(plan.columns, plan):
                (top, bottom), (left, end) = place, across
                image = _fuse(model, views[..., top:bottom, left:end])[0]
                weight = (down[:, None] * right).to(image)
                fused[top:bottom, left:end] += weight * image
                if seen is not None:
                    part = seen[top:bottom, left:end]
                    apart = (image - part).abs()[~part.isnan() & (weight > 0)].double()
                    if apart.numel():
                        most, total, counted = (
                            max(most, float(apart.max())),
                            total + float(apart.sum()),
                            counted + apart.numel(),
                        )
                    part.copy_(torch.where(weight > 0, image, part))
                if bar is not None:
                    bar.advance()
    fused.clamp_(0, 1)
    return most, total / max(1, counted)


def _axis(spans: tuple[tuple[int, int], ...], plan: TilePlan) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """The tiles along one axis with their weights (length,) in float64, which add up to 1 at every pixel."""
    # a raised cosine; a slope and its mirror image add up to 1
    slope = (1 - torch.cos(math.pi * (torch.arange(plan.blend, dtype=torch.float64) + 0.5) / max(1, plan.blend))) / 2
    edge = torch.cat((torch.zeros(plan.margin, dtype=torch.float64), slope))
    for index, (begin, end) in enumerate(spans):
        weight = torch.ones(end - begin, dtype=torch.float64)
        if index > 0:
            weight[: len(edge)] = edge
        if index + 1 < len(spans):
            weight[len(weight) - len(edge) :] = edge.flip(0)
        yield (begin, end), weight


def _spans(size: int, side: int, overlap: int, blend: int, multiple: int) -> tuple[tuple[int, int], ...]:
    """(begin, end) of tiles of at most ``side`` pixels, about equally long, that begin at multiples of ``multiple``."""
    if size <= side:
        return ((0, size),)
    count = math.ceil((size - overlap) / (side - overlap))
    # no shorter than the blend, so that never more than two tiles share a pixel
    step = max(_up(math.ceil((size - overlap) / count), multiple), blend)
    begins = range(0, size - overlap, step)
    return tuple((begin, min(begin + step + overlap, size)) for begin in begins)


def _side(model: Fuses, height: int, width: int, memory: int, smallest: int, multiple: int) -> int:
    """The longest side of a tile that needs at most ``memory`` bytes."""
    whole = max(height, width)
    if height * width <= ALWAYS_WHOLE and memory >= MEMORY:
        return whole
    need = fusing_memory(model)
    if need.of(height, width) <= memory:
        return whole
    fitting = [
        side
        for side in (_up(s, multiple) for s in SIDES)
        if smallest <= side < whole and need.of(min(side, height), min(side, width)) <= memory
    ]
    if not fitting:
        least = need.of(min(smallest, height), min(smallest, width))
        if least > memory:
            raise UsageError(
                f"{_name(model)}: a pair of {height}×{width} pixels does not fit into {memory / 2**20:.0f} MiB even in "
                f"tiles of {smallest}, which need {math.ceil(least / 2**20)} MiB: allow more memory"
            )
        return smallest
    return max(fitting)


def _tell(model: Fuses, plan: TilePlan, most: float, mean: float) -> None:
    height, width = plan.largest
    say(
        f"note: {_name(model)} depends on the whole image; {plan.height}×{plan.width} pixels were fused in "
        f"{plan.count} tiles of up to {height}×{width}, blended over {plan.blend} pixels, where they differed by "
        f"{255 * mean:.2g} grey levels on average and {255 * most:.2g} at most"
    )


def _up(value: int, multiple: int) -> int:
    """``value`` rounded up to a multiple."""
    return -(-value // multiple) * multiple


def _name(model: Fuses) -> str:
    return getattr(model, "title", type(model).__name__)
