"""Convolution blocks that the fusion networks of the literature have in common.

Their codes mirror the border at every 3×3 convolution, put the normalisation between convolution and activation, and
connect the layers of an encoder densely (Huang et al., "Densely Connected Convolutional Networks", CVPR 2017). All
blocks keep the size of (N,C,H,W) features, for any H and W.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 255  # most networks of the literature were trained on grey levels; ours get [0,1] and weigh losses by this


def mirror_border(x: Tensor, width: int) -> Tensor:
    """(N,C,H,W) with ``width`` more pixels on every side: mirrored without repeating the edge, 2 1 0 1 2.

    An axis with too few pixels to mirror repeats its edge instead, so that an image of one pixel passes as well.
    """
    if not width:
        return x
    rows, columns = ("reflect" if size > width else "replicate" for size in x.shape[-2:])
    if rows == columns:
        return F.pad(x, (width, width, width, width), rows)
    return F.pad(F.pad(x, (width, width, 0, 0), columns), (0, 0, width, width), rows)


class MirrorConv(nn.Conv2d):
    """Convolution with an odd kernel that keeps the size, on a mirrored border."""

    def __init__(self, channels: int, out: int, kernel: int = 3) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel}×{kernel} has no centre: use an odd size")
        super().__init__(channels, out, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(mirror_border(x, self.kernel_size[0] // 2))


def conv_layer(channels: int, out: int, kernel: int = 3, *, norm: bool = False, slope: float = 0.0) -> nn.Sequential:
    """Convolution on a mirrored border, batch normalisation where asked, (leaky) ReLU."""
    layers: list[nn.Module] = [MirrorConv(channels, out, kernel)]
    if norm:
        layers.append(nn.BatchNorm2d(out))
    return nn.Sequential(*layers, nn.LeakyReLU(slope) if slope else nn.ReLU())


class DenseBlock(nn.Module):
    """``layers`` 3×3 layers, each of which sees the input and all earlier outputs; returns all of them concatenated.

    (N,C,H,W) → (N,C + ``layers``·``growth``,H,W); the input comes first.
    """

    def __init__(self, channels: int, growth: int, layers: int, *, norm: bool = False, slope: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            conv_layer(channels + index * growth, growth, norm=norm, slope=slope) for index in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat((x, layer(x)), 1)
        return x


def conv_chain(widths: Sequence[int], *, norm: bool = False, slope: float = 0.0) -> nn.Sequential:
    """3×3 layers one after the other, ``widths[0]`` → … → ``widths[-1]``; the last one is a convolution alone.

    With ``norm`` every layer but the first and the last is normalised.
    """
    steps = list(pairwise(widths))
    inner = [conv_layer(*step, norm=norm and index > 0, slope=slope) for index, step in enumerate(steps[:-1])]
    return nn.Sequential(*inner, MirrorConv(*steps[-1]))


def neighbour_contrast(x: Tensor) -> Tensor:
    """Mean of the eight neighbours less the pixel itself, per channel of (N,C,H,W), edges repeated."""
    mean = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return (mean - x) * (9 / 8)


def torch_laplacian(x: Tensor) -> Tensor:
    """Sum of the four neighbours less four times the pixel itself, per channel of (N,C,H,W), edges repeated."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 1:-1, :], padded[..., 1:-1]
    return across[..., :-2] + across[..., 2:] + down[..., :-2, :] + down[..., 2:, :] - 4 * x
