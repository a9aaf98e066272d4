"""How long to train and with which learning rate: budgets, steps, optimisers, the paper's schedule."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from fusionbench.core.errors import UsageError, unknown_name


class GroupTraining(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True, omit_defaults=True):
    """What one group of parameters does otherwise than the rest; None inherits. Fields as in :class:`Training`."""

    optimizer: Literal["adamax", "adam"] | None = None
    lr: float | None = None
    lr_min: float | None = None
    schedule: Literal["cosine", "smooth-cosine", "step"] | None = None
    weight_decay: float | None = None
    eps: float | None = None
    betas: tuple[float, float] | None = None
    clip: float | None = None


class Training(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Training parameters, as presets and ``--set`` give them; all of them are part of a result's identity.

    Attributes:
        optimizer: ``adamax`` or ``adam``.
        lr, lr_min: learning rate after the warm-up, and at the end.
        warmup_epochs: linear rise from zero; the schedule follows, one value per epoch.
        schedule: ``cosine`` falls from lr to lr_min, one value per epoch, ``smooth-cosine`` with every step; ``step``
            multiplies lr by ``step_factor`` every ``step_epochs``, counted from the beginning, and stays at lr_min once
            there.
        weight_decay: coupled L2; eps: the optimiser's.
        epochs, batch: length of training, and samples per step over all processes.
        inputs: number of views: uniform in 0..V drawn ``per-batch`` or ``per-image``; ``stratified``: every number
            equally often within a batch, to which images is drawn; or ``all`` views always.
        clip: largest gradient norm, 0 for none.
        guard: leave out a step whose gradient norm exceeds this many times the recent median; 0 for never.
        ema: decay of averaged weights, which are then the ones that are kept; 0 for none.
        reestimate: batches from which the batch statistics are measured again at the end; 0 keeps the running ones.
        live: views generated anew every epoch instead of the stored ones.
        per_group: other values for single groups of parameters, e.g. ``{"critic": {"lr": 1e-4, "clip": 1.0}}``.

    Example:
        >>> from fusionbench.training.schedule import create_training
        >>> training = create_training({"lr": 1e-3, "per_group": {"critic": {"lr": 1e-4}}})
        >>> training.of_group("generator").lr, training.of_group("critic").lr
        (0.001, 0.0001)
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
    inputs: Literal["per-batch", "per-image", "stratified", "all"] = "per-batch"
    clip: float = 0.0
    guard: float = 0.0
    ema: float = 0.0
    reestimate: int = 0
    live: bool = True
    schedule: Literal["cosine", "smooth-cosine", "step"] = "cosine"
    step_epochs: float = 20.0
    step_factor: float = 0.5
    per_group: dict[str, GroupTraining] = {}

    def of_group(self, name: str) -> Training:
        """The parameters of one group of parameters: these, with its own in their place."""
        own = self.per_group.get(name)
        if own is None:
            return self
        changes = {key: value for key in own.__struct_fields__ if (value := getattr(own, key)) is not None}
        return msgspec.structs.replace(self, **changes, per_group={})

    def identity(self) -> dict[str, Any]:
        """What a result's identity holds of them. Fields of :data:`_LATER` are in it only where they are not at
        their defaults, so that what was trained before they existed keeps its name."""
        defaults = Training()
        same = {name for name in _LATER if getattr(self, name) == getattr(defaults, name)}
        return {name: value for name, value in msgspec.to_builtins(self).items() if name not in same}


_LATER = ("schedule", "step_epochs", "step_factor", "per_group")


def create_training(params: dict[str, Any]) -> Training:
    """Checked training parameters.

    Raises:
        UsageError: unknown names (with a suggestion), wrong types, or values without sense.

    Example:
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.training.schedule import create_training
        >>> create_training({"epochs": 20, "batch": 8}).optimizer
        'adamax'
        >>> try:
        ...     create_training({"epoch": 20})
        ... except FusionbenchError as error:
        ...     print(error)
        Unknown training parameter 'epoch'. Did you mean 'epochs' or 'step_epochs' or 'warmup_epochs'?
    """
    for name in params:
        if name not in Training.__struct_fields__:
            raise unknown_name("training parameter", name, Training.__struct_fields__)
    groups = params.get("per_group", {})
    for group, own in groups.items() if isinstance(groups, dict) else ():
        for name in own if isinstance(own, dict) else ():
            if name not in GroupTraining.__struct_fields__:
                raise unknown_name(f"training parameter of the group {group!r}", name, GroupTraining.__struct_fields__)
    try:
        training = msgspec.convert(params, Training)
    except msgspec.ValidationError as error:
        raise UsageError(f"Training parameters: {error}") from error
    _check("", training)
    for group in training.per_group:
        _check(f" of the group {group!r}", training.of_group(group))
    return training


def _check(where: str, training: Training) -> None:
    if not (training.epochs > 0 and training.batch > 0 and training.lr > 0 and training.lr_min >= 0):
        raise UsageError(f"Training parameters{where}: epochs, batch and lr must be positive and lr_min not negative")
    if training.schedule == "step" and training.lr_min > training.lr:
        raise UsageError(f"Training parameters{where}: lr_min {training.lr_min:g} is above lr {training.lr:g}")
    if not (training.step_epochs > 0 and 0 < training.step_factor <= 1):
        raise UsageError(f"Training parameters{where}: step_epochs must be positive and step_factor in (0, 1]")


def check_groups(training: Training, model: str, groups: Iterable[str]) -> None:
    """Refuse parameters for a group that a model does not have.

    Raises:
        UsageError: with a suggestion.

    Example:
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.training.schedule import check_groups, create_training
        >>> training = create_training({"per_group": {"critics": {"lr": 1e-4}}})
        >>> try:
        ...     check_groups(training, "mfeif", ["critic", "generator"])
        ... except FusionbenchError as error:
        ...     print(error)
        Unknown group of parameters of mfeif 'critics'. Did you mean 'critic'?
    """
    known = list(groups)
    for name in training.per_group:
        if name not in known:
            raise unknown_name(f"group of parameters of {model}", name, known)


def create_optimizer(parameters: Iterable[Any], training: Training) -> Any:
    """A torch optimiser.

    Example:
        >>> import torch
        >>> from fusionbench.training.schedule import create_optimizer, create_training
        >>> training = create_training({"optimizer": "adam", "lr": 0.01})
        >>> optimizer = create_optimizer([torch.nn.Parameter(torch.zeros(2))], training)
        >>> type(optimizer).__name__, optimizer.param_groups[0]["lr"]
        ('Adam', 0.01)
    """
    import torch

    cls = torch.optim.Adamax if training.optimizer == "adamax" else torch.optim.Adam
    return cls(parameters, lr=training.lr, betas=training.betas, eps=training.eps, weight_decay=training.weight_decay)


def learning_rate(training: Training, step: int, total: int) -> float:
    """Learning rate of ``step`` of ``total``: warm-up per step, then a cosine or stairs with one value per epoch.

    The epoch is counted as if ``total`` steps were all ``epochs``, so that a budget compresses the whole schedule.

    Example:
        >>> from fusionbench.training.schedule import create_training, learning_rate
        >>> cosine = create_training({"lr": 1.0, "epochs": 5, "warmup_epochs": 1})
        >>> [round(learning_rate(cosine, step, total=10), 4) for step in range(10)]  # two steps an epoch
        [0.0, 0.5, 1.0, 1.0, 0.75, 0.75, 0.25, 0.25, 0.0, 0.0]
        >>> stairs = create_training({"lr": 1.0, "epochs": 3, "schedule": "step", "step_epochs": 1})
        >>> [learning_rate(stairs, step, total=6) for step in range(6)]
        [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    epoch = training.epochs * step / max(total, 1)
    if epoch < training.warmup_epochs:
        return training.lr * epoch / training.warmup_epochs
    if training.schedule == "step":
        stairs = math.floor(epoch / training.step_epochs + 1e-9)  # 120 epochs of any number of steps have six stairs
        return max(training.lr * training.step_factor**stairs, training.lr_min)
    if training.schedule == "smooth-cosine":
        turn = (epoch - training.warmup_epochs) / max(training.epochs - training.warmup_epochs, 1e-9)
        return training.lr_min + (training.lr - training.lr_min) * (1 + math.cos(math.pi * turn)) / 2
    span = max(training.epochs - training.warmup_epochs - 1, 1e-9)
    turn = min(max(math.floor(epoch) - training.warmup_epochs, 0.0) / span, 1.0)
    return training.lr_min + (training.lr - training.lr_min) * (1 + math.cos(math.pi * turn)) / 2


@dataclass(frozen=True)
class Budget:
    """A limit on training: ``60s``, ``5m``, ``2h``, ``2000 steps`` or ``5%``. Schedules are compressed to fit.

    Example:
        >>> from fusionbench.training.schedule import Budget
        >>> Budget.parse("2h").value, Budget.parse("5%").steps(2000), Budget.parse("300 steps").steps(2000)
        (7200.0, 100, 300)
    """

    kind: Literal["seconds", "steps", "share"]
    value: float

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a budget.

        Raises:
            UsageError: anything else, or nothing left to train.

        Example:
            >>> from fusionbench import FusionbenchError
            >>> from fusionbench.training.schedule import Budget
            >>> Budget.parse("5m")
            Budget(kind='seconds', value=300.0)
            >>> try:
            ...     Budget.parse("5 parsecs")
            ... except FusionbenchError as error:
            ...     print(error)
            Budget '5 parsecs' is not understood; write 60s, 5m, 2h, 2000 steps or 5%
        """
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|steps?|%)\s*", text)
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
