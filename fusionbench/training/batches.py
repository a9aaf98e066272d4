"""Which samples a training step has, and how many of their views: functions of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fusionbench.core.errors import UsageError
from fusionbench.core.interfaces import StreamLike
from fusionbench.core.seeds import derive_seed, epoch_order
from fusionbench.core.types import Batch
from fusionbench.core.uploads import upload
from fusionbench.training.runtime import Runtime
from fusionbench.training.schedule import Training


class StepBatches:
    """Draws the batches of a training on ``samples`` samples.

    An epoch is a permutation of the samples, cut into whole batches; what is left over is not seen in that epoch. With
    several processes each one gets its part of the batch.
    """

    def __init__(self, training: Training, samples: int, seed: int, runtime: Runtime) -> None:
        self.training, self.samples, self.seed, self.runtime = training, samples, seed, runtime
        self.batch = min(training.batch, samples)
        self.per_epoch = samples // self.batch
        self._orders: dict[int, np.ndarray] = {}

    def of_step(self, stream: StreamLike, step: int) -> Batch:
        """This process's part of the samples of ``step``, with the number of views that the step has."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch not in self._orders:
            self._orders = {epoch: epoch_order(self.seed, epoch, self.samples)}
        indices = self._orders[epoch][position * self.batch : (position + 1) * self.batch]
        generator = np.random.Generator(np.random.Philox(derive_seed(self.seed, "inputs", step)))
        batch = stream.batch(self.runtime.shard(indices), epoch=epoch)
        views, whole = batch.present.shape[1], batch.present_count == batch.present.numel()
        if self.training.inputs == "all" or batch.target is None:
            return batch
        if self.training.inputs == "per-batch":
            counts = np.full(len(indices), generator.integers(0, views + 1))
        elif self.training.inputs == "stratified":
            # what a batch has over is spread by a rotation with the step
            counts = generator.permutation((np.arange(len(indices)) + step) % (views + 1))
        else:
            counts = generator.integers(0, views + 1, len(indices))
        mine = self.runtime.shard(counts)
        first = torch.arange(views, device=batch.present.device) < upload(mine, batch.present.device)[:, None]
        return batch.with_present(batch.present & first, int(mine.sum()) if whole else None)


@contextmanager
def told_without_target(batch: Batch, name: str) -> Iterator[None]:
    """A loss tripping over the missing target of registered pairs is one line; no model says before that it needs it.

    Args:
        name: of the model's class.

    Raises:
        UsageError: in the place of an error about None.
    """
    try:
        yield
    except (TypeError, AttributeError) as error:
        if batch.target is not None or "NoneType" not in str(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{name}.loss: {reason}; registered pairs have no target (batch.target is None): "
            "train on masked views, or let the loss compare with batch.views"
        ) from error
