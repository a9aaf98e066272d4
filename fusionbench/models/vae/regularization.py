"""Regularisers that stabilise deep hierarchies: spectral norms of all convolutions, largest scales of batch norms.

Both from NVAE (Vahdat & Kautz, 2020, section 3.2). Matrices of one shape are stacked, so that a power
iteration costs one batched product per shape instead of one per layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.models.precision import at_least_float32
from fusionbench.models.vae.cells import WNConv2d

FIRST_ITERATIONS, ITERATIONS, EPS, VANISHING = 40, 4, 1e-3, 1e-2


def _normalise(x: Tensor, old: Tensor | None = None) -> Tensor:
    """Rows of unit length; a row that vanishes (a convolution that starts at zero) keeps its ``old`` direction."""
    norm = x.square().sum(dim=1, keepdim=True).sqrt()
    unit = x / (norm + EPS)
    return unit if old is None else torch.where(norm > VANISHING, unit, old)


class StabilityPenalty(nn.Module):
    """Σ over convolutions of the largest singular value + Σ over batch norms of the largest |scale|: a scalar.

    The singular vectors are buffers, stored in checkpoints. Gradients go through
    uᵀWv with fixed u and v.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        shapes: dict[tuple[int, int], list[nn.Conv2d]] = {}
        norms: list[nn.BatchNorm2d] = []
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                shapes.setdefault((len(part.weight), part.weight[0].numel()), []).append(part)
            elif isinstance(part, nn.BatchNorm2d):
                norms.append(part)
        # tuples: the layers belong to the model and must not be registered twice
        self._convs = tuple(tuple(convs) for convs in shapes.values())
        self._norms = tuple(norms)
        generator = torch.Generator().manual_seed(0)
        for index, ((rows, columns), convs) in enumerate(shapes.items()):
            self.register_buffer(f"u{index}", _normalise(torch.randn(len(convs), rows, generator=generator)))
            self.register_buffer(f"v{index}", _normalise(torch.randn(len(convs), columns, generator=generator)))

    def forward(self, first: bool) -> Tensor:
        """The penalty; ``first`` selects the longer iteration of the first use."""
        total = torch.stack([norm.weight.abs().max() for norm in self._norms]).sum() if self._norms else 0.0
        for index, convs in enumerate(self._convs):
            weights = [c.effective_weight() if isinstance(c, WNConv2d) else c.weight for c in convs]
            with torch.autocast(weights[0].device.type, enabled=False):
                matrix = torch.stack([at_least_float32(w).flatten(1) for w in weights])
                u, v = getattr(self, f"u{index}"), getattr(self, f"v{index}")
                with torch.no_grad():
                    for _ in range(FIRST_ITERATIONS if first else ITERATIONS):
                        v.copy_(_normalise(torch.einsum("nor,no->nr", matrix, u), v))
                        u.copy_(_normalise(torch.einsum("nor,nr->no", matrix, v), u))
                total = total + torch.einsum("no,nor,nr->", u.clone(), matrix, v.clone())
        assert isinstance(total, Tensor)
        return total
