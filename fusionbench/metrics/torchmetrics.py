"""A metric of fused images as a ``torchmetrics.Metric``, for training code that logs through torchmetrics.

Needs the extra: ``pip install 'fusionbench[torchmetrics]'``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.metrics import get_metric
from fusionbench.metrics.dialects import STANDARD

try:
    import torchmetrics
except (ImportError, RuntimeError) as error:  # a torchvision that does not fit the torch takes torchmetrics down
    raise UsageError(
        f"torchmetrics cannot be imported ({error}); install the extra: pip install 'fusionbench[torchmetrics]'"
    ) from error


class FusionMetric(torchmetrics.Metric):
    """Mean of a metric over images, accumulated as a float64 sum and a count that are summed over processes.

    Args:
        name, dialect: as for :func:`fusionbench.metrics.get_metric`.
        scale: factor on floating images before scoring; 255 for images on 0..1 (they are not rounded).

    Raises:
        UsageError: unknown name or dialect, or a metric that needs latents or samples.

    Example:
        >>> import torch
        >>> from fusionbench.metrics.torchmetrics import FusionMetric
        >>> entropy = FusionMetric("en")
        >>> entropy.update(torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8))  # 64 levels: 6 bits
        >>> entropy.update(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))  # flat: 0 bits
        >>> round(float(entropy.compute()), 4)
        3.0
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, name: str, dialect: str = STANDARD, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metric = get_metric(name, dialect)
        if self.metric.needs not in ("pair", "fused", "target"):
            raise UsageError(f"The metric {name!r} needs {self.metric.needs}, which has no torchmetrics form")
        self.scale = scale
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @property
    def is_differentiable(self) -> bool:  # type: ignore[override]
        """Whether the value of ``forward`` has a gradient by images that require one; sums over batches have none."""
        return self.metric.differentiable

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """Whether the metric's better direction is up."""
        return self.metric.better == "higher"

    def update(self, *images: Tensor) -> None:
        """Add a batch: ``fused, a, b``, ``fused, target`` or ``fused``, each (N,H,W) or (N,1,H,W)."""
        values = self.metric.function(*(self._prepared(stack) for stack in images))
        self.total += values.sum().to(self.total)
        self.count += len(values)

    def compute(self) -> Tensor:
        """Mean as a scalar; NaN when an image had no value or none was added."""
        return self.total / self.count

    def _prepared(self, stack: Tensor) -> Tensor:
        if not self.is_differentiable:
            stack = stack.detach()
        if stack.ndim == 4 and stack.shape[1] == 1:
            stack = stack[:, 0]
        return (stack * self.scale).clamp(0, 255) if stack.is_floating_point() and self.scale != 1 else stack
