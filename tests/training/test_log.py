"""Rows of ``log.csv``: means over windows, and no row twice after a run goes on. Expected means are written out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from fusionbench.training.log import RunLog


def rows(folder: Path) -> list[list[str]]:
    with (folder / "log.csv").open(newline="") as stream:
        return list(csv.reader(stream))


def fill(log: RunLog, first: int, last: int, total: int = 99) -> None:
    """Steps first..last with a loss that is the number of the step."""
    for step in range(first, last + 1):
        log.add(step, step / 4, {"loss": torch.tensor(float(step))}, speed=8.0, final=step == total)


def test_a_row_has_the_mean_of_its_window(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0, 4, False) as log:
        for step, (loss, kl) in enumerate([(1.0, 2.0), (2.0, 2.0), (3.0, 4.0), (6.0, 0.0)], 1):
            terms = {"loss": torch.tensor(loss), "kl": torch.tensor(kl)}
            shown = log.add(step, step / 8, terms, speed=12.5, final=False)
            assert bool(shown) == (step == 4)
        assert log.latest == 3.0
        assert {name: float(value) for name, value in shown.items()} == {
            "loss": 3.0,
            "kl": 2.0,
            "images_per_second": 12.5,
        }
    assert rows(tmp_path) == [
        ["step", "epoch", "name", "value"],
        ["4", "0.5000", "loss", "3"],
        ["4", "0.5000", "kl", "2"],
        ["4", "0.5000", "images_per_second", "12.5"],
    ]


def test_a_window_starts_empty_and_the_last_one_may_be_short(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0, 4, False) as log:
        fill(log, 1, 10, total=10)
    losses = [(int(row[0]), float(row[3])) for row in rows(tmp_path)[1:] if row[2] == "loss"]
    assert losses == [(4, 2.5), (8, 6.5), (10, 9.5)]


def test_a_term_that_is_there_now_and_then_is_averaged_over_its_own_steps(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0, 4, False) as log:
        for step in range(1, 5):
            terms = {"loss": torch.tensor(1.0)} | ({"extra": torch.tensor(float(step))} if step % 2 else {})
            shown = log.add(step, 0.0, terms, 1.0, final=False)
    assert float(shown["extra"]) == 2.0  # of 1 and 3


def test_a_run_that_goes_on_drops_what_it_does_again(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0, 2, False) as log:
        fill(log, 1, 8)
    whole = rows(tmp_path)
    with RunLog(tmp_path, 4, 2, False):
        assert [int(row[0]) for row in rows(tmp_path)[1:]] == [2, 2, 4, 4]
    with RunLog(tmp_path, 4, 2, False) as log:
        fill(log, 5, 8)
    assert rows(tmp_path) == whole
    with RunLog(tmp_path, 0, 2, False):
        assert len(rows(tmp_path)) == 1, "a run from the start begins a new file"


def test_a_damaged_row_does_not_stop_a_run(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,epoch,name,value\n2,0.5,loss,1\n\nbroken\n3,0.7,lo")
    with RunLog(tmp_path, 2, 2, False):
        pass
    assert rows(tmp_path) == [["step", "epoch", "name", "value"], ["2", "0.5", "loss", "1"]]


def test_float32_sums_lose_nothing(tmp_path: Path) -> None:
    """16,777,217 is no float32: a window summed in float32 would be off."""
    with RunLog(tmp_path, 0, 2, False) as log:
        log.add(1, 0.0, {"loss": torch.tensor(16777216.0)}, 1.0, final=False)
        shown = log.add(2, 0.0, {"loss": torch.tensor(1.0)}, 1.0, final=False)
    assert float(shown["loss"]) == 16777217 / 2


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0, 2, False, active=False) as log:
        fill(log, 1, 2)
        assert log.latest == 1.5
    assert list(tmp_path.iterdir()) == []


def test_gradients_are_not_kept(tmp_path: Path) -> None:
    x = torch.ones(1, requires_grad=True)
    with RunLog(tmp_path, 0, 1, False) as log:
        shown = log.add(1, 0.0, {"loss": (2 * x).sum()}, 1.0, final=False)
    assert not shown["loss"].requires_grad


def test_tensorboard_gets_the_same_values(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with RunLog(tmp_path, 0, 2, True) as log:
        fill(log, 1, 4)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(2, 1.5), (4, 3.5)]
