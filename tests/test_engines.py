"""Every engine gives every result once, and says when a worker is lost."""

from __future__ import annotations

import os
import signal
import time

import pytest

from fusionbench.engines import WorkerLost, run_tasks


def square(number: int) -> int:
    return number * number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_run_once(jobs: int) -> None:
    assert sorted(run_tasks(square, [(i,) for i in range(9)], jobs)) == [i * i for i in range(9)]


def test_a_killed_worker_is_told() -> None:
    with pytest.raises(WorkerLost):
        list(run_tasks(die, [(i,) for i in range(12)], 2))


def test_other_errors_pass() -> None:
    with pytest.raises(TypeError):
        list(run_tasks(square, [("a",)], 2))
