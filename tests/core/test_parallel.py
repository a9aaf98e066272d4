"""Every engine gives every result once, and says when a worker is lost."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from fusionbench.core.parallel import WorkerLost, run_tasks


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


def test_a_killed_worker_is_told_when_all_others_are_done(tmp_path: Path) -> None:
    found = []
    with pytest.raises(WorkerLost, match="killed") as caught:
        for number in run_tasks(die, [(i,) for i in range(12)], 2, log=tmp_path / "log"):
            found.append(number)
    assert sorted(found) == [i for i in range(12) if i != 3]
    assert {index: death.code for index, death in caught.value.deaths.items()} == {3: -signal.SIGKILL}
    assert "killed (SIGKILL)" in (tmp_path / "log").read_text()


def test_one_job_can_have_a_process_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(WorkerLost):
        list(run_tasks(die, [(3,)], 1, isolated=True, log=tmp_path / "log"))
    assert list(run_tasks(os.getpid, [()], 1)) == [os.getpid()] != list(run_tasks(os.getpid, [()], 1, isolated=True))


def always_die(number: int) -> None:
    os._exit(1)


def test_where_every_task_kills_its_worker_not_all_are_tried(tmp_path: Path) -> None:
    with pytest.raises(WorkerLost) as caught:
        list(run_tasks(always_die, [(i,) for i in range(100)], 4, log=tmp_path / "log"))
    assert len(caught.value.deaths) == 12


def test_other_errors_pass() -> None:
    with pytest.raises(TypeError):
        list(run_tasks(square, [("a",)], 2))
