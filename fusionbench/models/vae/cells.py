"""Building blocks of the FusionVAE family: weight-normalised convolutions and residual cells.

The cells are NVAE's (Vahdat & Kautz, "NVAE: A Deep Hierarchical Variational Autoencoder",
NeurIPS 2020, figure 3), in the sizes that FusionVAE uses:

    encoder cell   x ─ BN ─ swish ─ conv3×3 ─ BN ─ swish ─ conv3×3 ─ SE ─ ×0.1 ─┐
                   └───────────────── skip ────────────────────────────────────(+)─
    decoder cell   x ─ (up) ─ BN ─ conv1×1 (×e) ─ BN ─ swish ─ depthwise 5×5 ─ BN ─ swish ─ conv1×1 ─ BN ─ SE ─ ×0.1 ─┐
                   └──────────────────────────────── skip ──────────────────────────────────────────────────────────(+)─
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.models.precision import at_least_float32
from fusionbench.models.vae.batch_norm_sync import synchronised_batch_norm

BN_MOMENTUM = 0.05
RESIDUAL_SCALE = 0.1

Folded = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


class WNConv2d(nn.Conv2d):
    """Convolution with weight normalisation and a learned log-norm per output channel.

    (N,Cin,H,W) -> (N,Cout,H',W'). The effective weight is exp(n)·W/(‖W‖₂ + 1e-5).
    """

    def __init__(self, cin: int, cout: int, size: int, stride: int = 1, groups: int = 1, bias: bool = True) -> None:
        super().__init__(cin, cout, size, stride, padding=size // 2, groups=groups, bias=bias)
        with torch.no_grad():
            norm = self.weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        self.log_norm = nn.Parameter(torch.log(norm + 1e-2))
        self._fixed: Tensor | None = None

    def effective_weight(self) -> Tensor:
        """The normalised weight (Cout, Cin/groups, k, k), float32 whatever the autocast."""
        if self._fixed is not None:
            return self._fixed
        with torch.autocast(self.weight.device.type, enabled=False):
            # written out: linalg's norm is several times slower on small tensors
            norm = self.weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
            return self.weight * (self.log_norm.exp() / (norm + 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self._conv_forward(x, self.effective_weight(), self.bias)
        return result


@contextlib.contextmanager
def fixed_weights(module: nn.Module) -> Iterator[None]:
    """Normalise every weight once, and put the batch norms of decoder cells in evaluation into their convolutions: for
    scoring, where many passes share the same weights."""
    convs = [m for m in module.modules() if isinstance(m, WNConv2d)]
    cells = [m for m in module.modules() if isinstance(m, DecoderCell) and not m.training]
    try:
        for conv in convs:
            conv._fixed = conv.effective_weight().detach()
        for cell in cells:
            cell._folded = cell.fold()
        yield
    finally:
        for conv in convs:
            conv._fixed = None
        for cell in cells:
            cell._folded = None


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation with NVAE's constants, over the rows of all processes. (N,C,H,W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-5, momentum=BN_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None and self.running_var is not None
        return self._normalise(x, self.running_mean, self.running_var)

    def as_affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift (C,) that this layer is in evaluation."""
        assert self.running_mean is not None and self.running_var is not None
        scale = self.weight.detach() * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias.detach() - self.running_mean * scale

    def _normalise(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        momentum = BN_MOMENTUM if self.momentum is None else self.momentum
        affine = (self.weight, self.bias)
        return synchronised_batch_norm(x, (mean, variance), affine, self.training, momentum, self.eps)


class SplitBatchNorm(BatchNorm):
    """Batch normalisation with one scale and shift but separate statistics for the first ``views`` rows and the rest.

    Masked views and clean targets have different statistics; sharing them makes both depend on how many views a batch
    has. ``views`` is set by the encoder before every pass. (N,C,H,W) -> same.
    """

    clean_mean: Tensor
    clean_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("clean_mean", torch.zeros(channels))
        self.register_buffer("clean_var", torch.ones(channels))
        self.views = 0

    def forward(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None and self.running_var is not None
        views = self._normalise(x[: self.views], self.running_mean, self.running_var)
        return torch.cat([views, self._normalise(x[self.views :], self.clean_mean, self.clean_var)])


class SqueezeExcite(nn.Module):
    """Channel gates from global means: Linear to max(C/16, 4), ReLU, Linear to C, sigmoid. (N,C,H,W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 4)
        self.reduce, self.expand = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def gates(self, mean: Tensor) -> Tensor:
        """(N,C) means -> (N,C,1,1) gates in (0,1)."""
        return torch.sigmoid(self.expand(F.relu(self.reduce(mean))))[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gates(at_least_float32(x).mean(dim=(2, 3)))


class PhaseSkip(nn.Module):
    """Skip of a down cell: swish, then a 1×1 convolution of its own on each of the four pixel phases.

    (N,C,H,W) -> (N,Cout,H/2,W/2) with even H and W; no pixel is thrown away. The phases are sliced and convolved with
    stride 1: oneDNN's gradient of 1×1 convolutions with a stride is wrong for few channels (see
    ``fusionbench.training.safe_convolutions``).
    """

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        widths = [cout // 4] * 3 + [cout - 3 * (cout // 4)]
        self.convs = nn.ModuleList(WNConv2d(cin, width, 1) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(x)
        phases = (x[:, :, ::2, ::2], x[:, :, 1::2, 1::2], x[:, :, ::2, 1::2], x[:, :, 1::2, ::2])
        return torch.cat([conv(phase) for conv, phase in zip(self.convs, phases, strict=True)], dim=1)


class EncoderCell(nn.Module):
    """Residual cell; ``down`` halves the resolution and doubles the channels. (N,C,H,W) -> (N,C',H',W')."""

    COMPILE = True

    def __init__(self, channels: int, down: bool = False, norm: Callable[[int], nn.Module] = BatchNorm) -> None:
        super().__init__()
        cout = 2 * channels if down else channels
        self.skip: nn.Module = PhaseSkip(channels, cout) if down else nn.Identity()
        self.bn1, self.conv1 = norm(channels), WNConv2d(channels, cout, 3, stride=2 if down else 1)
        self.bn2, self.conv2 = norm(cout), WNConv2d(cout, cout, 3)
        self.gate = SqueezeExcite(cout)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.bn1(x)))
        inner = self.conv2(F.silu(self.bn2(inner)))
        result: Tensor = self.skip(x) + RESIDUAL_SCALE * self.gate(inner)
        return result


class UpSkip(nn.Module):
    """Skip of an up cell: bilinear ×2 with aligned corners, then a 1×1 convolution. (N,C,H,W) -> (N,C',2H,2W)."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = WNConv2d(cin, cout, 1, bias=False)  # without a bias, as the authors' and NVAE's

    def forward(self, x: Tensor) -> Tensor:
        # a 1×1 convolution commutes with interpolation (weights that sum to one); before it there are 4× fewer pixels
        return F.interpolate(self.conv(x), scale_factor=2, mode="bilinear", align_corners=True)


def _rows(weight: Tensor, scale: Tensor) -> Tensor:
    return weight * scale.view(-1, 1, 1, 1)


class DecoderCell(nn.Module):
    """Inverted residual cell, expansion counted from the input channels; ``up``: twice the size, half the channels."""

    COMPILE = True

    def __init__(self, channels: int, expansion: int, up: bool = False) -> None:
        super().__init__()
        cout, hidden = channels // 2 if up else channels, channels * expansion
        self.up = up
        self.skip: nn.Module = UpSkip(channels, cout) if up else nn.Identity()
        self.bn0 = BatchNorm(channels)
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn1 = BatchNorm(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden, bias=False)
        self.bn2 = BatchNorm(hidden)
        self.project = nn.Conv2d(hidden, cout, 1, bias=False)
        self.bn3 = BatchNorm(cout)
        self.gate = SqueezeExcite(cout)
        self._folded: Folded | None = None

    def fold(self) -> Folded:
        """Weights and biases of the three convolutions with the four norms in them: the same map, fewer passes."""
        (scale0, shift0), *others = (norm.as_affine() for norm in (self.bn0, self.bn1, self.bn2, self.bn3))
        (scale1, shift1), (scale2, shift2), (scale3, shift3) = others
        expand, depthwise, project = (conv.weight.detach() for conv in (self.expand, self.depthwise, self.project))
        bias = scale1 * (expand.flatten(1) @ shift0) + shift1  # a 1×1 convolution has no border that a shift misses
        return (
            (_rows(expand, scale1) * scale0[:, None, None], bias),
            (_rows(depthwise, scale2), shift2),
            (_rows(project, RESIDUAL_SCALE * scale3), RESIDUAL_SCALE * shift3),
        )

    def _forward_folded(self, x: Tensor, folded: Folded) -> Tensor:
        expand, depthwise, project = folded
        inner = F.silu(F.conv2d(x, *expand), inplace=True)
        if self.up:
            inner = F.interpolate(inner, scale_factor=2, mode="nearest")
        inner = F.silu(F.conv2d(inner, *depthwise, padding=2, groups=len(depthwise[0])), inplace=True)
        residual = F.conv2d(inner, *project)
        result: Tensor = self.skip(x) + residual * self.gate.gates(
            at_least_float32(residual).mean(dim=(2, 3)) / RESIDUAL_SCALE
        )
        return result

    def forward(self, x: Tensor) -> Tensor:
        if self._folded is not None:
            return self._forward_folded(x, self._folded)
        # Nearest-neighbour doubling repeats every pixel four times, so statistics and the 1×1 convolution are the
        # same before it, with a quarter of the work. (The running variance uses n-1: a difference of 3/(4n).)
        inner = F.silu(self.bn1(self.expand(self.bn0(x))))
        if self.up:
            inner = F.interpolate(inner, scale_factor=2, mode="nearest")
        inner = F.silu(self.bn2(self.depthwise(inner)))
        result: Tensor = self.skip(x) + RESIDUAL_SCALE * self.gate(self.bn3(self.project(inner)))
        return result
