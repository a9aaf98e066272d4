"""Averaged weights (EMA), re-estimated batch statistics, and a filter of exploding gradients."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fusionbench.core.interfaces import Module

WINDOW = 101  # recent gradient norms that the guard compares with
MAX_SKIPS_IN_A_ROW = 3


class WeightAverage:
    """Exponential moving average of a model's parameters: shadow ← decay·shadow + (1−decay)·parameter, every step.

    The first steps use a smaller decay, (1+t)/(10+t), so that the start is forgotten.
    """

    def __init__(self, model: Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.shadow = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: Module) -> None:
        self.steps += 1
        weight = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        named = dict(model.named_parameters())  # all of them in a few kernels, where the device has such
        torch._foreach_lerp_([self.shadow[name] for name in named], [v.detach() for v in named.values()], weight)

    @torch.no_grad()
    def copy_to(self, model: Module) -> None:
        """Put the average in the place of the parameters."""
        for name, value in model.named_parameters():
            value.copy_(self.shadow[name])

    def tensors(self) -> dict[str, Tensor]:
        """State for a checkpoint."""
        return self.shadow | {"#steps": torch.tensor(self.steps)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """From :meth:`tensors` of the same model."""
        self.steps = int(tensors["#steps"])
        for name, value in self.shadow.items():
            value.copy_(tensors[name])


class GradientGuard:
    """Decides which steps to skip: those whose gradient norm exceeds ``factor`` times the median of recent ones.

    A norm that is not finite is skipped too, and never compared with. Never more than three steps in a row, so that
    training cannot stand still below a moving gradient.
    """

    def __init__(self, factor: float) -> None:
        self.factor, self.recent, self.skipped = factor, [], 0  # type: ignore[var-annotated]

    def skips(self, norm: float) -> bool:
        """Whether to skip the step whose gradient norm is ``norm``, which is taken into account from now on."""
        extreme = len(self.recent) >= 10 and norm > self.factor * statistics.median(self.recent)
        if (extreme or not math.isfinite(norm)) and self.skipped < MAX_SKIPS_IN_A_ROW:
            self.skipped += 1
            return True
        self.skipped = 0
        if math.isfinite(norm):  # a checkpoint is JSON, which has no other numbers
            self.recent = [*self.recent[-WINDOW + 1 :], norm]
        return False

    def state(self) -> dict[str, Any]:
        """JSON for a checkpoint."""
        return {"recent": self.recent, "skipped": self.skipped}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From :meth:`state`."""
        self.recent, self.skipped = list(state["recent"]), int(state["skipped"])


def gradient_norm(parameters: Iterable[nn.Parameter]) -> float:
    """Euclidean norm of all gradients."""
    norms = [p.grad.detach().float().norm() for p in parameters if p.grad is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0


@torch.enable_grad()
def reestimate_statistics(model: Module, passes: int, run: Callable[[int], Any]) -> None:
    """Measure the batch statistics again: plain means over ``passes`` calls of ``run(i)`` in training mode.

    Running statistics follow the weights with a delay and, when batches have different numbers of views, the last
    batches; a mean over many batches with fixed weights has neither fault. ``run`` may differentiate by its inputs, as
    a critic's penalty does; no parameter gets a gradient, so that no pass keeps its activations.
    """
    norms = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in norms]
    training, learning = model.training, [p for p in model.parameters() if p.requires_grad]
    model.train()
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        for index in range(passes):
            for layer in norms:
                layer.momentum = 1 / (index + 1)  # the running value becomes the mean of all so far
            run(index)
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        for parameter in learning:
            parameter.requires_grad_(True)
        model.train(training)
