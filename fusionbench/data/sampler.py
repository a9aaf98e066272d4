"""The order in which a ``torch.utils.data.DataLoader`` asks for samples; it can be stored and resumed in mid-epoch.

Nothing here needs torch: a loader takes any object with ``__iter__`` and ``__len__`` as its ``sampler``, and
torchdata's ``StatefulDataLoader`` stores and resumes any that has ``state_dict`` and ``load_state_dict``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any, Literal

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.seeds import epoch_order

Uneven = Literal["keep", "pad", "drop"]
_UNEVEN = ("keep", "pad", "drop")
_NUMBERS = ("samples", "seed", "epoch", "position", "world_size")


class ResumableSampler:
    """Indices of the samples of this process for one epoch after another.

    The order of an epoch is a permutation that follows from ``seed`` and the epoch alone; it is that of
    :func:`fusionbench.train` with the same seed. Process ``rank`` of ``world_size`` gets every ``world_size``-th of
    it. Every pass that ends moves on to the next epoch, so that no call is needed between epochs;
    :meth:`set_epoch` may be called, as for torch's ``DistributedSampler``.

    Args:
        data: what is sampled, or its length. When it has ``set_epoch``, as the data sets of
            :meth:`fusionbench.data.dataset.Dataset.torch` do, it is told the epoch at the start of every pass.
        shuffle: False for the stored order in every epoch.
        seed: a whole number of 0 or more.
        rank, world_size: number of this process, and how many there are.
        uneven: what to do when the samples cannot be shared out evenly. ``"keep"``: nothing is lost or doubled, and
            the first processes have one sample more; ``"pad"``: samples from the start of the order are repeated at
            its end, at most ``world_size - 1`` of them (more when there are fewer samples than processes);
            ``"drop"``: the last ones of the order, fewer than ``world_size``, are left out in this epoch.

    Raises:
        UsageError: no samples, a rank that is not below ``world_size``, or nothing left for a process.

    Example:
        >>> import itertools
        >>> from fusionbench.data.sampler import ResumableSampler
        >>> sampler = ResumableSampler(10, seed=0)
        >>> first = list(itertools.islice(sampler, 4))
        >>> state = sampler.state_dict(consumed=3)
        >>> again = ResumableSampler(10, seed=0)
        >>> again.load_state_dict(state)
        >>> rest = list(again)
        >>> sorted(first[:3] + rest) == list(range(10)), again.epoch, len(list(again)), again.epoch
        (True, 0, 10, 1)
    """

    def __init__(
        self,
        data: Sized | int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        uneven: Uneven = "keep",
    ) -> None:
        self.samples = data if isinstance(data, int) else len(data)
        self._tell = getattr(data, "set_epoch", None)
        self.shuffle, self.seed, self.rank, self.world_size, self.uneven = shuffle, seed, rank, world_size, uneven
        if self.samples < 1:
            raise UsageError("a sampler needs at least one sample")
        if not _whole(seed):
            raise UsageError(f"a sampler's seed is a whole number of 0 or more, not {seed!r}")
        if not (_whole(rank) and _whole(world_size) and rank < world_size):
            raise UsageError(f"rank {rank!r} of {world_size!r} processes: ranks go from 0 to world_size - 1")
        if uneven not in _UNEVEN:
            raise UsageError(f"uneven={uneven!r} is none of {', '.join(_UNEVEN)}")
        if not len(self):
            raise UsageError(f"{self.samples} samples leave none for rank {rank} of {world_size}; use uneven='pad'")
        self._epoch, self._first = 0, 0  # where the next pass starts
        self._position = 0  # samples of the present pass that were handed out
        self._ended = False

    def __repr__(self) -> str:
        share = f", rank {self.rank} of {self.world_size}" if self.world_size > 1 else ""
        return f"<ResumableSampler of {self.samples:,} samples, seed {self.seed}, epoch {self._epoch}{share}>"

    @property
    def epoch(self) -> int:
        """The epoch of the present pass, or of the one that comes next when none has begun."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Make ``epoch`` that of the next pass. Where a pass was resumed stays as it is when the epoch is the same.

        Raises:
            UsageError: not a whole number of 0 or more.
        """
        if not _whole(epoch):
            raise UsageError(f"an epoch is a whole number of 0 or more, not {epoch!r}")
        if epoch != self._epoch or self._ended:
            self._first = self._position = 0
        self._epoch, self._ended = int(epoch), False

    def __len__(self) -> int:
        """Samples of this process in a whole epoch."""
        if self.uneven == "pad":
            return -(-self.samples // self.world_size)
        if self.uneven == "drop":
            return self.samples // self.world_size
        return len(range(self.rank, self.samples, self.world_size))

    def order(self, epoch: int) -> np.ndarray:
        """The samples of this process in an epoch, in order: int64 (len(self),)."""
        whole = epoch_order(self.seed, epoch, self.samples) if self.shuffle else np.arange(self.samples)
        if self.uneven != "keep":
            whole = np.resize(whole, len(self) * self.world_size)  # repeats from the start, or cuts the end off
        return whole[self.rank :: self.world_size]

    def __iter__(self) -> Iterator[int]:
        if self._ended:
            self._epoch, self._ended = self._epoch + 1, False
        first, self._first = self._first, 0
        self._position = first
        if self._tell is not None:
            self._tell(self._epoch)
        for index in self.order(self._epoch)[first:].tolist():
            self._position += 1
            yield index
        self._ended = True

    def state_dict(self, consumed: int | None = None) -> dict[str, Any]:
        """Where the present pass is, as numbers that any checkpoint can hold.

        Args:
            consumed: samples of this epoch that this process has trained on. Without it, those that were handed out:
                a loader asks for batches before they are needed, so with a plain ``DataLoader`` state it here
                (batches done times batch size). ``StatefulDataLoader`` does its own counting.

        Raises:
            UsageError: more samples than the process has.
        """
        position = self._position if consumed is None else consumed
        if not _whole(position) or position > len(self):
            raise UsageError(f"consumed={consumed!r}: this process has {len(self)} samples in an epoch")
        return {
            "samples": self.samples,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "epoch": self._epoch,
            "position": int(position),
            "world_size": self.world_size,
            "uneven": self.uneven,
            "ended": int(position) == len(self),  # with "drop" the processes have fewer samples than there are
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let the next pass start where ``state_dict`` was made.

        It may come from another number of processes, as long as what all of them had done can be shared out evenly
        among the present ones. With ``uneven="keep"`` take that of process 0, which is never done before the others:
        to a state of a process that had no sample left, the epoch is over.

        Raises:
            UsageError: not a state of a sampler, or one of other samples, another order, or a place that cannot be
                shared out.
        """
        known = isinstance(state_dict, Mapping) and all(_whole(state_dict.get(name)) for name in _NUMBERS)
        if not known or not isinstance(state_dict["shuffle"], bool) or not state_dict["world_size"]:
            raise UsageError("this is not the state of a ResumableSampler; pass what its state_dict() returned")
        for name in ("samples", "shuffle", "seed", "uneven"):
            if state_dict.get(name) != getattr(self, name):
                raise UsageError(
                    f"the stored state is of a sampler with {name}={state_dict.get(name)!r}, this one has "
                    f"{name}={getattr(self, name)!r}; make it with the same"
                )
        position, epoch = state_dict["position"], state_dict["epoch"]
        ended = state_dict.get("ended", False)  # older states do not say it; theirs is judged by the position below
        if not isinstance(ended, bool):
            raise UsageError("this is not the state of a ResumableSampler; pass what its state_dict() returned")
        if not ended and state_dict["world_size"] != self.world_size:
            done = position * state_dict["world_size"]
            position, rest = divmod(done, self.world_size)
            if done >= self.samples:
                position = len(self)
            elif rest:
                raise UsageError(
                    f"{done} samples were done by {state_dict['world_size']} processes, which {self.world_size} cannot "
                    "share evenly; store the state at another step, or resume with as many processes"
                )
        if ended or position >= len(self):
            position, epoch = 0, epoch + 1
        self._epoch, self._first, self._position, self._ended = epoch, position, position, False


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0
