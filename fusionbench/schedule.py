"""How long to train and with which learning rate: budgets, steps, optimisers, the paper's schedule."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from fusionbench.errors import UsageError, unknown_name


class Training(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Training parameters, as presets and ``--set`` give them; all of them are part of a result's identity.

    Attributes:
        optimizer: ``adamax`` or ``adam``.
        lr, lr_min: learning rate after the warm-up, and at the end.
        warmup_epochs: linear rise from zero; the cosine follows, one value per epoch.
        weight_decay: coupled L2; eps: the optimiser's.
        epochs, batch: length of training, and samples per step over all processes.
        inputs: number of views: uniform in 0..V drawn ``per-batch`` or ``per-image``, or ``all`` views always.
        clip: largest gradient norm, 0 for none.
        guard: leave out a step whose gradient norm exceeds this many times the recent median; 0 for never.
        ema: decay of averaged weights, which are then the ones that are kept; 0 for none.
        reestimate: batches from which the batch statistics are measured again at the end; 0 keeps the running ones.
        live: views made anew every epoch instead of the stored ones.
    """

    optimizer: Literal["adamax", "adam"] = "adamax"
    lr: float = 1e-3
    lr_min: float = 0.0
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    eps: float = 1e-8
    betas: tuple[float, float] = (0.9, 0.999)
    epochs: float = 10.0
    batch: int = 32
    inputs: Literal["per-batch", "per-image", "all"] = "per-batch"
    clip: float = 0.0
    guard: float = 0.0
    ema: float = 0.0
    reestimate: int = 0
    live: bool = True


def create_training(params: dict[str, Any]) -> Training:
    """Checked training parameters.

    Raises:
        UsageError: unknown names (with a suggestion), wrong types, or values without sense.
    """
    for name in params:
        if name not in Training.__struct_fields__:
            raise unknown_name("training parameter", name, Training.__struct_fields__)
    try:
        training = msgspec.convert(params, Training)
    except msgspec.ValidationError as error:
        raise UsageError(f"Training parameters: {error}") from error
    if not (training.epochs > 0 and training.batch > 0 and training.lr > 0 and training.lr_min >= 0):
        raise UsageError("Training parameters: epochs, batch and lr must be positive and lr_min not negative")
    return training


def create_optimizer(parameters: Iterable[Any], training: Training) -> Any:
    """A torch optimiser."""
    import torch

    cls = torch.optim.Adamax if training.optimizer == "adamax" else torch.optim.Adam
    return cls(parameters, lr=training.lr, betas=training.betas, eps=training.eps, weight_decay=training.weight_decay)


def learning_rate(training: Training, step: int, total: int) -> float:
    """Learning rate of ``step`` of ``total``: warm-up per step, then a cosine with one value per epoch.

    The epoch is counted as if ``total`` steps were all ``epochs``, so that a budget compresses the whole schedule.
    """
    epoch = training.epochs * step / max(total, 1)
    if epoch < training.warmup_epochs:
        return training.lr * epoch / training.warmup_epochs
    span = max(training.epochs - training.warmup_epochs - 1, 1e-9)
    turn = min(max(math.floor(epoch) - training.warmup_epochs, 0.0) / span, 1.0)
    return training.lr_min + (training.lr - training.lr_min) * (1 + math.cos(math.pi * turn)) / 2


@dataclass(frozen=True)
class Budget:
    """A limit on training: ``60s``, ``5m``, ``2h``, ``2000 steps`` or ``5%``. Schedules are compressed to fit."""

    kind: Literal["seconds", "steps", "share"]
    value: float

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a budget.

        Raises:
            UsageError: anything else, or nothing left to train.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|steps?|%)\s*", text)
        if not match:
            raise UsageError(f"Budget {text!r} is not understood; write 60s, 5m, 2h, 2000 steps or 5%")
        value, unit = float(match[1]), match[2]
        if unit == "%":
            budget = cls("share", value / 100)
        elif unit.startswith("st"):
            budget = cls("steps", value)
        else:
            budget = cls("seconds", value * {"s": 1, "m": 60, "h": 3600}[unit[0]])
        if budget.value <= 0:
            raise UsageError(f"Budget {text!r} leaves nothing to train")
        return budget

    def steps(self, planned: int) -> int:
        """Number of steps to train of ``planned``; all of them for a budget in seconds, until the speed is known."""
        if self.kind == "seconds":
            return planned
        return max(1, min(planned, round(self.value if self.kind == "steps" else self.value * planned)))
