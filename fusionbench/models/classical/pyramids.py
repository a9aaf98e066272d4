"""Methods for registered pairs without training: copies and average (trivial), pyramids (classical).

    copy-a  copy-b            a source unchanged
    average                   (A + B)/2
    laplacian-pyramid         a ─┐ band-pass levels: the larger amplitude wins; base: mean      Burt, Adelson 1983
    contrast-pyramid          b ─┘ ratios of levels: the larger |ratio - 1| wins; base: mean    Toet 1989

All take two grey views of any size or more of them (a stack: of the coefficients of all views the strongest is kept, of
the base the mean is taken), have no weights to train, and compute in float64, so that an image does not depend
on its batch, up to rare differences in the last bit of the float32 result. Differences from the papers: pyramids
reflect the image at its border.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, ImageSpec, Preset
from fusionbench.models.pairs.base import PairModel

_NOTHING: Mapping[str, Preset] = {"default": Preset(note="nothing to train")}
_PAPER: Mapping[str, Preset] = {"default": Preset(note="the paper's parameters; nothing to train")}
STACKS = ("average", "laplacian-pyramid", "wavelet", "guided-filter", "exposure-fusion")  # rows that people look for


class PairRow(nn.Module):
    """A fixed fusion rule for two grey views; a subclass implements ``combine``.

    One that is defined for any number of views implements ``combine_all`` in its place. It then takes stacks of three
    views or more, of which some may be absent: what is there is fused, one view is given back as it is, and without any
    the image is a flat ½.

    Raises:
        UsageError: another number of views or channels.
    """

    title: ClassVar[str]
    reference: ClassVar[str] = "trivial row"
    version: ClassVar[str] = "1"
    family: ClassVar[str] = "trivial"
    PRESETS: ClassVar[Mapping[str, Preset]] = _NOTHING
    bytes_per_pixel: ClassVar[int] = 32  # of memory while fusing, measured as the growth of a process; see tiling

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        if spec.channels != 1 or spec.views < 2 or (spec.views > 2 and not self.takes_stacks()):
            stacks = (
                "" if self.takes_stacks() else f"; of more views `{'`, `'.join(STACKS[:-1])}` and `{STACKS[-1]}` do"
            )
            raise UsageError(
                f"{self.title} fuses two grey views; this data set has {spec.views} view(s) of {spec.channels} "
                f"channel(s): use a pairs set{stacks if spec.views > 2 else ''}"
            )
        self.spec = spec

    @classmethod
    def takes_stacks(cls) -> bool:
        """Whether the rule is defined for more than two views."""
        return cls.combine_all is not PairRow.combine_all

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W), float64 in [0,1], any H and W."""
        return self.combine_all([a, b])

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        """The same of two views or more; by default of two alone."""
        raise NotImplementedError

    @torch.no_grad()
    def fuse(self, batch: Batch) -> Tensor:
        """(N,1,H,W) float32 in [0,1].

        Raises:
            UsageError: an incomplete pair, or views of another kind.
        """
        if self.spec.views > 2:
            return self._fuse_stacks(batch).clamp(0, 1).float()
        a, b = PairModel.pair(self, batch)  # type: ignore[arg-type]  # it uses the title only
        return self.combine(a.double(), b.double()).clamp(0, 1).float()

    def _fuse_stacks(self, batch: Batch) -> Tensor:
        count, channels = batch.views.shape[1:3]
        if channels != 1 or count < 2:
            raise UsageError(f"{self.title} fuses grey views, two or more, not {count} of {channels} channel(s)")
        views = batch.views.double()
        if batch.present_count == batch.present.numel() or bool(batch.present.all()):
            return self.combine_all(views.unbind(1))
        fused = []
        for stack, present in zip(views, batch.present.tolist(), strict=True):
            there = [view[None] for view, is_there in zip(stack, present, strict=True) if is_there]
            if len(there) > 1:
                fused.append(self.combine_all(there))
            else:
                fused.append(there[0] if there else torch.full_like(stack[:1], 0.5))
        return torch.cat(fused) if fused else views[:, 0]


class CopyA(PairRow):
    """The first source, unchanged.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("copy-a", ImageSpec(channels=1, height=1, width=2, views=2))
        >>> views = torch.tensor([[0.25, 0.0], [0.0, 0.5]]).view(1, 2, 1, 1, 2)
        >>> model.fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).flatten().tolist()
        [0.25, 0.0]
    """

    title = "copy of source A"
    receptive_radius: ClassVar[int] = 0

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        return views[0]


class CopyB(PairRow):
    """The second source, unchanged.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("copy-b", ImageSpec(channels=1, height=1, width=2, views=2))
        >>> views = torch.tensor([[0.25, 0.0], [0.0, 0.5]]).view(1, 2, 1, 1, 2)
        >>> model.fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).flatten().tolist()
        [0.0, 0.5]
    """

    title = "copy of source B"
    receptive_radius: ClassVar[int] = 0

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        return views[1]


class Average(PairRow):
    """The mean of both sources.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("average", ImageSpec(channels=1, height=1, width=2, views=2))
        >>> views = torch.tensor([[0.25, 0.0], [0.0, 0.5]]).view(1, 2, 1, 1, 2)
        >>> model.fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).flatten().tolist()
        [0.125, 0.25]
    """

    title = "average of the sources"
    receptive_radius: ClassVar[int] = 0

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        return total(views) / len(views)


class _Pyramid(PairRow):
    """Levels by a 5-tap binomial filter; as many as leave the coarsest one at least 2 pixels wide."""

    family = "classical"
    PRESETS = _PAPER
    bytes_per_pixel = 208

    def __init__(self, spec: ImageSpec, levels: int = 4) -> None:
        super().__init__(spec)
        if levels < 1:
            raise UsageError(f"{self.title}: levels={levels} must be at least 1")
        self.levels = levels

    @property
    def tile_multiple(self) -> int:
        """Every level keeps every second pixel, counted from the first."""
        return int(2**self.levels)

    @property
    def receptive_radius(self) -> int:
        """Two taps a level on the way down, 2·(1 + 2 + 4 + …) pixels, and as many on the way up."""
        return int(4 * (2**self.levels - 1))

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Smoothed levels from fine to coarse."""
        steps = [x]
        while len(steps) <= self.levels and min(steps[-1].shape[-2:]) > 2:
            steps.append(shrink(steps[-1]))
        return steps


class LaplacianPyramid(_Pyramid):
    """Of each band-pass coefficient the one with the larger amplitude; of the base the mean.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("laplacian-pyramid", ImageSpec(channels=1, height=32, width=32, views=2))
        >>> pair = torch.full((1, 2, 1, 32, 32), 0.5)
        >>> pair[0, 0, 0, 16, 16] = 0.9  # a point that only the first source shows; the average halves its contrast
        >>> fused = model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
        >>> round(float(fused[0, 0, 16, 16]), 2)
        0.9
    """

    title = "Laplacian pyramid"
    reference = "Burt, Adelson 1983, IEEE Trans. Commun. 31(4), 532–540"

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        steps = [self.pyramid(view) for view in views]
        fused = total([each[-1] for each in steps]) / len(steps)
        for place in reversed(range(len(steps[0]) - 1)):
            chosen, *others = (each[place] - expand(each[place + 1], each[place]) for each in steps)
            for detail in others:
                chosen = torch.where(chosen.abs() >= detail.abs(), chosen, detail)
            fused = expand(fused, steps[0][place]) + chosen
        return fused


class ContrastPyramid(_Pyramid):
    """Of each ratio of neighbouring levels the one further from 1; of the base the mean.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("contrast-pyramid", ImageSpec(channels=1, height=32, width=32, views=2))
        >>> pair = torch.full((1, 2, 1, 32, 32), 0.5)
        >>> pair[0, 0, 0, 16, 16] = 0.9  # a point that only the first source shows; the average halves its contrast
        >>> fused = model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
        >>> round(float(fused[0, 0, 16, 16]), 2)
        0.9
    """

    title = "contrast pyramid"
    reference = "Toet 1989, Pattern Recognit. Lett. 9(4), 245–253"
    FLOOR: ClassVar[float] = 1 / 255  # one grey level, added to both sides of a ratio against division by zero

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        steps = [self.pyramid(view + self.FLOOR) for view in views]
        fused = total([each[-1] for each in steps]) / len(steps)
        for place in reversed(range(len(steps[0]) - 1)):
            chosen, *others = (each[place] / expand(each[place + 1], each[place]) for each in steps)
            for ratio in others:
                chosen = torch.where((chosen - 1).abs() >= (ratio - 1).abs(), chosen, ratio)
            fused = expand(fused, steps[0][place]) * chosen
        return fused - self.FLOOR


def total(views: Sequence[Tensor]) -> Tensor:
    """The sum of images, in their order."""
    result = views[0]
    for view in views[1:]:
        result = result + view
    return result


def largest(found: Sequence[Tensor]) -> Tensor:
    """Where which of several tensors of one shape is the largest: its number, the first of equals.

    In a fifteenth of the time of ``argmax`` over the stack of two bands of 320×240, which goes through memory in large
    steps.
    """
    best, winner = found[0], torch.zeros(found[0].shape, dtype=torch.long, device=found[0].device)
    for number, other in enumerate(found[1:], 1):
        winner = torch.where(other > best, number, winner)
        best = torch.maximum(best, other)
    return winner


def shrink(x: Tensor) -> Tensor:
    """Every second pixel of a 5-tap binomial filter along both axes, the image reflected at its border.

    Factors are powers of two, so that a processor that multiplies and adds in one instruction rounds no differently.
    """
    return _every_second(_every_second(x, -2), -1)


def expand(x: Tensor, like: Tensor) -> Tensor:
    """Upsample to the size of ``like``, twice that of x or one less: zeros between the pixels and the same filter, with
    weights that sum to 1 again.
    """
    return _twice(_twice(x, like.shape[-1], -1), like.shape[-2], -2)


def _every_second(x: Tensor, dim: int) -> Tensor:
    size = x.shape[dim]
    padded = F.pad(x, (2, 2, 0, 0) if dim == -1 else (0, 0, 2, 2), mode="reflect" if size > 2 else "replicate")

    def tap(place: int) -> Tensor:
        kept = slice(place, place + size + size % 2 - 1, 2)
        return padded[..., kept] if dim == -1 else padded[..., kept, :]

    sums = tap(0) + tap(4)
    sums.add_(tap(1) + tap(3), alpha=4)
    return sums.add_(tap(2), alpha=4).add_(tap(2), alpha=2).mul_(1 / 16)


def _twice(x: Tensor, size: int, dim: int) -> Tensor:
    """Pixels in place are ⅛ ¾ ⅛ of three, those between the mean of two."""
    count, between = x.shape[dim], size // 2
    if count == 1:
        return x.repeat_interleave(size, dim)
    # a border between two pixels shows the last one twice, a border on a pixel the one before it
    last = x.narrow(dim, count - 2 if size % 2 else count - 1, 1)
    around = torch.cat((x.narrow(dim, 1, 1), x, last), dim)
    sums = around.narrow(dim, 0, count) + around.narrow(dim, 2, count)
    even = sums.add_(x, alpha=4).add_(x, alpha=2).mul_(1 / 8)
    odd = (x.narrow(dim, 0, between) + around.narrow(dim, 2, between)).mul_(1 / 2)
    shape = [*x.shape]
    shape[dim] = size
    found = x.new_empty(shape)
    places = (found[..., ::2], found[..., 1::2]) if dim == -1 else (found[..., ::2, :], found[..., 1::2, :])
    for place, values in zip(places, (even, odd), strict=True):
        place.copy_(values)
    return found
