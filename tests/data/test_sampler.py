"""Every sample once an epoch, whatever the number of processes; a pass goes on where its state was stored."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from fusionbench.core.errors import UsageError
from fusionbench.core.seeds import derive_seed
from fusionbench.data.sampler import ResumableSampler
from fusionbench.training.batches import StepBatches


class Epochs(torch.utils.data.Dataset[tuple[int, int]]):
    """Its samples say in which epoch they were read."""

    def __init__(self, samples: int) -> None:
        self.samples, self.epoch = samples, -1

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> tuple[int, int]:
        return index, self.epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def test_the_order_is_numpys_permutation_and_changes_with_seed_and_epoch() -> None:
    sampler = ResumableSampler(50, seed=5)
    passes = [list(sampler) for _ in range(3)]
    for epoch, found in enumerate(passes):
        generator = np.random.Generator(np.random.Philox(derive_seed(5, "order", epoch)))
        assert found == generator.permutation(50).tolist()
    assert list(ResumableSampler(50, seed=6)) != passes[0]
    assert list(ResumableSampler(4, shuffle=False)) == [0, 1, 2, 3]


def test_a_training_sees_the_same_order() -> None:
    class Stream:
        def batch(self, indices: Any, epoch: int) -> Any:
            raise StopIteration(indices.tolist())

    class Alone:
        def shard(self, indices: np.ndarray) -> np.ndarray:
            return indices

    training: Any = type("Training", (), {"batch": 4, "inputs": "all"})()
    batches = StepBatches(training, 12, 9, Alone())  # type: ignore[arg-type]
    sampler = ResumableSampler(12, seed=9)
    for epoch in range(2):
        order = list(sampler)
        for step in range(3):
            with pytest.raises(StopIteration) as seen:
                batches.of_step(Stream(), 3 * epoch + step)  # type: ignore[arg-type]
            assert seen.value.value == order[4 * step : 4 * step + 4]


@given(st.integers(1, 40), st.integers(1, 7), st.integers(0, 3))
def test_processes_share_every_sample(samples: int, world: int, epoch: int) -> None:
    def parts(uneven: Any) -> list[list[int]]:
        made = []
        for rank in range(world):
            sampler = ResumableSampler(samples, seed=1, rank=rank, world_size=world, uneven=uneven)
            sampler.set_epoch(epoch)
            made.append(list(sampler))
            assert len(made[-1]) == len(sampler)
        return made

    order = ResumableSampler(samples, seed=1).order(epoch).tolist()
    padded = parts("pad")
    assert len({len(part) for part in padded}) == 1 and set(itertools.chain(*padded)) == set(range(samples))
    together = [index for row in zip(*padded, strict=True) for index in row]
    assert together[:samples] == order and len(together) - samples < world
    if world <= samples:
        assert sorted(itertools.chain(*parts("keep"))) == list(range(samples))
        dropped = parts("drop")
        assert [index for row in zip(*dropped, strict=True) for index in row] == order[: samples // world * world]
    else:
        for uneven in ("keep", "drop"):
            with pytest.raises(UsageError, match=r"none for rank \d+ of .*uneven='pad'"):
                parts(uneven)


@given(st.integers(1, 30), st.data())
def test_a_pass_goes_on_where_it_was(samples: int, data: st.DataObject) -> None:
    whole = ResumableSampler(samples, seed=2)
    expected = [list(whole) for _ in range(3)]
    epoch, done = data.draw(st.integers(0, 1)), data.draw(st.integers(0, samples))
    first = ResumableSampler(samples, seed=2)
    first.set_epoch(epoch)
    seen = list(itertools.islice(first, done))
    second = ResumableSampler(samples, seed=2)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    if done == samples:  # nothing of the epoch is left
        assert list(second) == expected[epoch + 1]
    else:
        assert seen + list(second) == expected[epoch]
        assert list(second) == expected[epoch + 1] and second.epoch == epoch + 1


def test_set_epoch_of_the_same_epoch_keeps_the_place_and_another_does_not() -> None:
    state = ResumableSampler(10).state_dict(consumed=4)
    order = ResumableSampler(10).order(0).tolist()
    sampler = ResumableSampler(10)
    sampler.load_state_dict(state)
    sampler.set_epoch(0)
    assert list(sampler) == order[4:]
    sampler.set_epoch(0)
    assert list(sampler) == order, "once more, from the start"
    sampler.load_state_dict(state)
    sampler.set_epoch(1)
    assert sorted(sampler) == list(range(10))


def test_an_epoch_that_was_left_begins_again() -> None:
    sampler = ResumableSampler(10)
    left = list(itertools.islice(sampler, 3))
    assert list(sampler)[:3] == left and sampler.epoch == 0


def test_another_number_of_processes_takes_over() -> None:
    order = ResumableSampler(24, seed=3).order(0).tolist()
    state = ResumableSampler(24, seed=3, rank=1, world_size=4).state_dict(consumed=3)  # 12 samples by all of them
    parts = []
    for rank in range(3):
        sampler = ResumableSampler(24, seed=3, rank=rank, world_size=3)
        sampler.load_state_dict(state)
        parts.append(list(sampler))
    assert [index for row in zip(*parts, strict=True) for index in row] == order[12:]
    with pytest.raises(UsageError, match="12 samples were done by 4 processes, which 5 cannot share"):
        ResumableSampler(24, seed=3, world_size=5).load_state_dict(state)
    ended = ResumableSampler(10).state_dict(consumed=10)
    third = ResumableSampler(10, world_size=3)
    third.load_state_dict(ended)
    assert third.epoch == 1


@pytest.mark.parametrize("uneven", ["keep", "pad", "drop"])
@pytest.mark.parametrize(("samples", "before", "after"), [(10, 4, 2), (10, 3, 2), (10, 2, 4), (7, 3, 5), (12, 4, 3)])
def test_an_epoch_that_ended_is_over_for_any_number_of_processes(
    uneven: Any, samples: int, before: int, after: int
) -> None:
    """Not only where its processes had all samples: with "drop" they never have, with "keep" the last has fewer."""
    expected = ResumableSampler(samples, world_size=after, uneven=uneven).order(1).tolist()
    for rank in range(before):
        sampler = ResumableSampler(samples, rank=rank, world_size=before, uneven=uneven)
        done = len(list(sampler))
        for state in (sampler.state_dict(), sampler.state_dict(consumed=done)):
            resumed = ResumableSampler(samples, world_size=after, uneven=uneven)
            resumed.load_state_dict(json.loads(json.dumps(state)))
            assert resumed.epoch == 1 and list(resumed) == expected
        assert not sampler.state_dict(consumed=done - 1)["ended"]


def test_states_that_do_not_say_whether_the_pass_ended_are_read() -> None:
    for consumed, epoch, left in ((3, 0, 6), (6, 1, 12)):
        state = ResumableSampler(24, seed=3, world_size=4).state_dict(consumed=consumed)
        del state["ended"]
        again = ResumableSampler(24, seed=3, world_size=2)
        again.load_state_dict(state)
        assert (again.epoch, len(list(again))) == (epoch, left)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "a sampler with seed=1, this one has seed=0"),
        ({"samples": 9}, "samples=9"),
        ({"shuffle": False}, "shuffle=False"),
        ({"uneven": "pad"}, "uneven='pad'"),
        ({"position": -1}, "not the state of a ResumableSampler"),
        ({"epoch": "0"}, "not the state"),
        ({"world_size": 0}, "not the state"),
        ({"shuffle": 1}, "not the state"),
        ({"position": True}, "not the state"),
        ({"ended": 1}, "not the state"),
    ],
)
def test_states_of_others_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ResumableSampler(10).load_state_dict({**ResumableSampler(10).state_dict(), **change})


def test_what_is_no_state_is_refused() -> None:
    for bad in ({}, [], None, {"epoch": 3}):
        with pytest.raises(UsageError, match="not the state"):
            ResumableSampler(10).load_state_dict(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [{"seed": -1}, {"seed": 0.5}, {"rank": 2, "world_size": 2}, {"rank": -1}, {"world_size": 0}, {"uneven": "even"}],
)
def test_bad_options_are_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        ResumableSampler(10, **options)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="at least one"):
        ResumableSampler(0)


def test_bad_places_and_epochs_are_refused() -> None:
    sampler = ResumableSampler(10)
    with pytest.raises(UsageError, match="10 samples in an epoch"):
        sampler.state_dict(consumed=11)
    for bad in (-1, 1.5, None):
        with pytest.raises(UsageError, match="an epoch is a whole number"):
            sampler.set_epoch(bad)  # type: ignore[arg-type]


def test_a_loader_tells_its_data_the_epoch() -> None:
    data = Epochs(10)
    loader = DataLoader(data, batch_size=4, sampler=ResumableSampler(data, seed=1))
    for epoch in range(3):
        found = [
            (index, seen) for batch in loader for index, seen in zip(*map(torch.Tensor.tolist, batch), strict=True)
        ]
        assert sorted(found) == [(index, epoch) for index in range(10)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [1, 3, 5])
def test_torchdata_stores_and_resumes_it(workers: int, done: int) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    def loader() -> Any:
        sampler = ResumableSampler(20, seed=4)
        return stateful.StatefulDataLoader(range(20), batch_size=4, sampler=sampler, num_workers=workers)

    order = ResumableSampler(20, seed=4)
    expected = [index for _ in range(2) for index in order]
    first, second = loader(), loader()
    seen = list(itertools.islice(first, done))
    second.load_state_dict(first.state_dict())
    rest = [batch for _ in range(2) for batch in second][: 10 - done]
    assert torch.cat(seen + rest).tolist() == expected
