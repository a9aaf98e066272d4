"""A training inside a protocol, kept on disk while it goes on: a call that comes after a stop begins at its last state.

Detectors and U-Nets that are trained on what a method makes take minutes to hours, and are no runs of anybody.
"""

from __future__ import annotations

import contextlib
import copy
import time
from typing import Any, Protocol

import numpy as np
import torch

from fusionbench.core.errors import DataError
from fusionbench.core.time_limit import UnfinishedError, note_progress, time_is_up
from fusionbench.evaluation.partial_scores import partial_scores
from fusionbench.training.checkpoints import list_checkpoints, load_checkpoint, save_checkpoint

SECONDS = 60.0  # of work that a killed process may lose


class _Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Any) -> None: ...


class KeptTraining:
    """The state of a training of ``steps`` steps, which begins at ``step``: 0, or where an earlier call was stopped.

    Kept in :func:`fusionbench.evaluation.partial_scores.partial_scores`; a damaged state counts as none.

    Args:
        name: of the training, among those of one result.
        rng: what images are drawn by.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from fusionbench.evaluation.kept_training import KeptTraining
        >>> network = torch.nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
        >>> kept = KeptTraining("head-0", network, optimizer, schedule, np.random.default_rng(0), steps=10)
        >>> kept.step
        0
    """

    def __init__(
        self,
        name: str,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: _Stateful,
        rng: np.random.Generator,
        *,
        steps: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network, self.optimizer, self.schedule, self.rng, self.steps = network, optimizer, schedule, rng, steps
        self.folder, self.step = partial_scores().training(name), 0
        for path in [] if self.folder is None else reversed(list_checkpoints(self.folder)):
            parts: tuple[_Stateful, ...] = (network, optimizer, schedule)
            before = copy.deepcopy([part.state_dict() for part in parts])
            images = copy.deepcopy(rng.bit_generator.state)
            try:
                with torch.random.fork_rng(devices=[]):
                    state, _ = load_checkpoint(path, network, {"head": optimizer}, torch.device(device))
                schedule.load_state_dict(state["schedule"])
                rng.bit_generator.state = state["images"]
                self.step = int(state["step"])
                break
            except (DataError, KeyError, ValueError, TypeError, AttributeError):  # some of it may be loaded already
                for part, values in zip(parts, before, strict=True):
                    part.load_state_dict(values)
                rng.bit_generator.state = images
        self._first, self._since = self.step, time.monotonic()

    def stop_in_time(self, label: str) -> None:
        """Stop before the next step where the time is over; every call does some, however little time it has.

        Raises:
            UnfinishedError: it is over.
        """
        if self.step > self._first and time_is_up():
            self._save()
            raise UnfinishedError(f"{label}: stopped at step {self.step} of {self.steps}; the same command goes on")

    def advance(self) -> None:
        """A step is done. The last state is kept, too: the training may not be the last one of its result."""
        self.step += 1
        note_progress()
        if time.monotonic() - self._since >= SECONDS or (self.step == self.steps and self._first < self.step):
            self._save()

    def _save(self) -> None:
        if self.folder is not None:
            state = {"schedule": self.schedule.state_dict(), "images": _plain(self.rng.bit_generator.state)}
            with contextlib.suppress(DataError):  # a full disk: the work goes on without
                save_checkpoint(self.folder, self.step, self.network, {"head": self.optimizer}, state, {})
        self._since = time.monotonic()


def _plain(state: Any) -> Any:
    """A generator's state as JSON has it."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state
