"""Batches of a training step: every sample once an epoch, views as the setting says, nothing but seed and step counts.

Oracle: counting over whole epochs; nothing is drawn again with the generators of the module.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, LossTerms, Preset
from fusionbench.models import MODELS
from fusionbench.training.batches import StepBatches, told_without_target
from fusionbench.training.loop import train
from fusionbench.training.runtime import Runtime
from fusionbench.training.schedule import create_training
from tests.helpers.pairs import PairDataset

VIEWS = 3


class Recorder:
    """A stream that notes what it is asked for; the last view of sample 0 is absent."""

    def __init__(self, target: bool = True) -> None:
        self.target, self.asked = target, []  # type: ignore[var-annotated]

    def batch(self, indices: np.ndarray, epoch: int) -> Batch:
        self.asked.append((epoch, indices.tolist()))
        present = torch.ones(len(indices), VIEWS, dtype=torch.bool)
        present[torch.from_numpy(indices == 0), VIEWS - 1] = False
        views = torch.zeros(len(indices), VIEWS, 1, 2, 2)
        return Batch(views[:, 0] if self.target else None, views, present, torch.from_numpy(indices))


def batches(
    inputs: str = "all", samples: int = 10, batch: int = 4, seed: int = 5, rank: int = 0, world: int = 1
) -> StepBatches:
    fabric: Any = SimpleNamespace(global_rank=rank, world_size=world)
    training = create_training({"inputs": inputs, "batch": batch})
    return StepBatches(training, samples, seed, Runtime(fabric, torch.device("cpu"), "fp32"))


def asked(made: StepBatches, steps: range) -> list[tuple[int, list[int]]]:
    stream = Recorder()
    for step in steps:
        made.of_step(stream, step)
    return stream.asked


def test_an_epoch_sees_no_sample_twice_and_leaves_out_what_fills_no_batch() -> None:
    made = batches()
    assert (made.batch, made.per_epoch) == (4, 2)
    found = asked(made, range(40))
    assert [epoch for epoch, _ in found] == [step // 2 for step in range(40)]
    for epoch in range(20):
        seen = [i for at, indices in found if at == epoch for i in indices]
        assert len(seen) == len(set(seen)) == 8 and set(seen) <= set(range(10))
    counts = Counter(i for _, indices in found for i in indices)
    assert set(counts) == set(range(10)), "what an epoch leaves out is another sample each time"
    assert len({tuple(indices) for _, indices in found}) == 40


def test_a_step_depends_on_seed_and_step_and_not_on_the_way_there() -> None:
    whole = asked(batches(), range(7))
    assert asked(batches(), range(5, 7)) == whole[5:], "a run that goes on sees what the first one would have seen"
    assert asked(batches(seed=6), range(7)) != whole


def test_a_batch_is_no_larger_than_the_data_set() -> None:
    made = batches(samples=3, batch=100)
    assert (made.batch, made.per_epoch) == (3, 1)
    assert sorted(asked(made, range(1))[0][1]) == [0, 1, 2]


@pytest.mark.parametrize("inputs", ["all", "per-batch", "per-image", "stratified"])
def test_processes_share_a_batch(inputs: str) -> None:
    whole = batches(inputs).of_step(Recorder(), 3)
    parts = [batches(inputs, rank=rank, world=2).of_step(Recorder(), 3) for rank in range(2)]
    for rank, part in enumerate(parts):
        assert part.ids.tolist() == whole.ids[rank::2].tolist()
        assert part.present.tolist() == whole.present[rank::2].tolist()


def test_all_views_are_given_where_they_are_present() -> None:
    for step in range(10):
        batch = batches().of_step(Recorder(), step)
        for index, row in zip(batch.ids.tolist(), batch.present.tolist(), strict=True):
            assert row == [True, True, index != 0]


@pytest.mark.parametrize("inputs", ["per-batch", "per-image"])
def test_numbers_of_views_are_uniform_from_none_to_all(inputs: str) -> None:
    made, counts, alike = batches(inputs, samples=400, batch=8), Counter[int](), []
    for step in range(400):
        batch = made.of_step(Recorder(), step)
        rows = [row for index, row in zip(batch.ids.tolist(), batch.present.tolist(), strict=True) if index]
        assert all(row == sorted(row, reverse=True) for row in rows), "the first views are given"
        numbers = [sum(row) for row in rows]
        counts.update(numbers[:1] if inputs == "per-batch" else numbers)
        alike.append(len(set(numbers)) == 1)
    assert set(counts) == {0, 1, 2, 3}
    total = sum(counts.values())
    for count in counts.values():  # within four standard deviations of a quarter
        assert abs(count - total / 4) < 4 * np.sqrt(total * 3 / 16)
    assert all(alike) if inputs == "per-batch" else sum(alike) < 20


def test_a_stratified_batch_has_every_number_of_views_equally_often() -> None:
    made, total, places = batches("stratified", samples=401, batch=10), Counter[int](), Counter[int]()
    for step in range(400):
        batch = made.of_step(Recorder(), step)
        if 0 in batch.ids:
            continue  # one of its views is absent
        numbers = batch.present.sum(dim=1).tolist()
        assert sorted(Counter(numbers).values()) == [2, 2, 3, 3], "ten images, four numbers of views"
        total.update(numbers)
        places.update({numbers[0]: 1})
    assert max(total.values()) - min(total.values()) <= 12, "what a batch has over is spread over the numbers"
    for count in places.values():  # no place of the batch has a number of its own: four standard deviations
        assert abs(count - places.total() / 4) < 4 * np.sqrt(places.total() * 3 / 16)


def test_an_absent_view_is_never_given() -> None:
    made = batches("per-image", samples=4, batch=4)
    for step in range(40):
        batch = made.of_step(Recorder(), step)
        assert not batch.present[batch.ids == 0, VIEWS - 1].any()


def test_without_a_target_every_view_is_given() -> None:
    """Nothing could be learned from a batch that has neither views nor a target."""
    for step in range(20):
        assert batches("per-image", samples=40).of_step(Recorder(target=False), step).present[:, :2].all()


class OfTargets(torch.nn.Module):
    """A model of masked views whose loss does not ask whether there is a target."""

    title, reference, version = "of targets", "none", "1"
    PRESETS: ClassVar[dict[str, Preset]] = {"tiny": Preset(model={}, training={"batch": 4}, note="x")}

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def parameter_groups(self) -> dict[str, list[Any]]:
        return {"main": [self.weight]}

    def loss(self, batch: Any, group: str, step: int) -> LossTerms:
        return LossTerms((self.weight * batch.views[:, 0] - batch.target).abs().mean(), {})


def test_a_loss_that_needs_a_target_is_one_line_on_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._objects, "of-targets", OfTargets)  # type: ignore[arg-type]
    data: Any = PairDataset()
    with pytest.raises(
        UsageError, match=r"^OfTargets\.loss: .*'NoneType'; registered pairs have no target \(.*\): train"
    ):
        train("of-targets", data, out=tmp_path / "run", device="cpu")


@pytest.mark.parametrize("target", [None, torch.zeros(1)])
@pytest.mark.parametrize("message", ["'Tensor' and 'str'", "'NoneType' object"])
def test_other_errors_of_a_loss_stay_as_they_are(target: Any, message: str) -> None:
    batch = Batch(target, torch.zeros(1, 2, 1, 2, 2), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1))
    told = target is None and "NoneType" in message
    with pytest.raises(UsageError if told else TypeError, match="'"), told_without_target(batch, "OfTargets"):
        raise TypeError(message)
