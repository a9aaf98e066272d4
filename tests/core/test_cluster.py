"""Tasks on a cluster of separate processes: each has its outcome, whoever dies, and none outlives the command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core import cluster
from fusionbench.core.cluster import dask_client, run_on_cluster
from fusionbench.core.errors import DataError, MeasurementError, UsageError
from tests.helpers.endings import act

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as found:
        yield found


@pytest.fixture
def scheduler(local: Any) -> str:
    """Two workers, also after a test that killed one or let it leave."""
    local.scale(2)
    with distributed.Client(local) as client:
        client.wait_for_workers(2, timeout=60)
    return str(local.scheduler_address)


SECONDS = 240.0  # until a test gives up what takes seconds, on a busy machine too


def until(there: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


class Beside(threading.Thread):
    """Something that happens while tasks run; ``error`` is why it did not."""

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.action = action
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.action()
        except BaseException as error:
            self.error = error


def outcomes(ways: list[str], place: Path, scheduler: str, beside: Beside | None = None) -> dict[str, Any]:
    """Outcomes by way. It ends with a message where they do not come, or where what should happen beside does not."""
    found: dict[str, Any] = {}

    def gather() -> None:
        tasks = [(how, place) for how in ways]
        for outcome in run_on_cluster(act, tasks, scheduler, logs=lambda index: place / f"{ways[index]}.log"):
            found[ways[outcome.index]] = outcome

    running, deadline = Beside(gather), time.monotonic() + SECONDS
    while running.is_alive():
        running.join(0.1)
        if beside is not None and beside.error is not None:
            raise AssertionError(f"what should happen while {ways} run failed: {beside.error!r}") from beside.error
        if time.monotonic() > deadline:
            there = {path.name: path.read_text()[:60] for path in sorted(place.iterdir()) if path.is_file()}
            pytest.fail(f"of {ways} only {sorted(found)} came within {SECONDS:.0f} s; files: {there}")
    if running.error is not None:
        raise running.error
    return found


@pytest.mark.slow
def test_every_task_has_its_outcome_and_its_log(scheduler: str, tmp_path: Path) -> None:
    found = outcomes(["good", "refused", "exit", "killed", "killed-once"], tmp_path, scheduler)
    assert found["good"].value == "good, try 1" and (tmp_path / "good.log").read_text() == "said by good\n"
    assert found["killed-once"].value == "killed-once, try 2"
    assert isinstance(found["refused"].error, DataError) and str(found["refused"].error) == "that.png: damaged"
    assert found["exit"].death.code == 7 and len(list(tmp_path.glob("exit-*"))) == 1
    assert found["killed"].death.code == -signal.SIGKILL and len(list(tmp_path.glob("killed-[0-9]"))) == cluster.TRIES


@pytest.mark.slow
def test_what_a_killed_worker_had_is_done_elsewhere(scheduler: str, tmp_path: Path) -> None:
    first = tmp_path / "waits-once-0"

    def kill() -> None:
        until(lambda: first.is_file() and first.read_text())
        os.kill(int(first.read_text()), signal.SIGKILL)

    killer = Beside(kill)
    found = outcomes(["waits-once", "good"], tmp_path, scheduler, killer)
    killer.join()
    assert (found["waits-once"].value, found["good"].value) == ("waits-once, try 2", "good, try 1")
    assert (tmp_path / "waits-once-1").read_text() != first.read_text()
    until((tmp_path / "saved").is_file)  # the process that it had started heard that nobody waits for it


@pytest.mark.slow
def test_what_runs_is_stopped_with_the_command(scheduler: str, tmp_path: Path) -> None:
    tasks = [("good", tmp_path), ("waits", tmp_path)]
    with contextlib.closing(run_on_cluster(act, tasks, scheduler, logs=lambda _: tmp_path / "log")) as found:
        assert next(found).value == "good, try 1"
        until((tmp_path / "waits-0").is_file)
    until((tmp_path / "saved").is_file)
    assert len(list(tmp_path.glob("waits-*"))) == 1, "nobody does it again"


@pytest.mark.slow
def test_what_runs_is_stopped_when_the_command_is_killed(scheduler: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fusionbench.core.cluster import run_on_cluster\n"
        "from tests.helpers.endings import act\n"
        "place = Path(sys.argv[2])\n"
        "list(run_on_cluster(act, [('waits', place)], sys.argv[1], logs=lambda _: place / 'log'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = subprocess.Popen([sys.executable, "-c", code, scheduler, str(tmp_path)], env=environment)
    until((tmp_path / "waits-0").is_file)
    command.kill()
    command.wait()
    until((tmp_path / "saved").is_file)


@pytest.mark.slow
def test_what_a_worker_has_that_leaves_is_done_elsewhere(scheduler: str, tmp_path: Path) -> None:
    """As at the end of its lifetime in a batch system."""
    first = tmp_path / "waits-once-0"

    def retire() -> None:
        until(lambda: first.is_file() and first.read_text())
        with distributed.Client(scheduler) as client:
            pids = client.run(os.getpid, on_error="ignore")  # one that was killed before may still be listed
            (address,) = (key for key, pid in pids.items() if pid == int(first.read_text()))
            # it is refused, without an error, while the other worker is not there to take over
            until(lambda: client.retire_workers([address]) or address not in client.scheduler_info()["workers"])

    leaving = Beside(retire)
    assert outcomes(["waits-once"], tmp_path, scheduler, leaving)["waits-once"].value == "waits-once, try 2"
    leaving.join()
    assert (tmp_path / "waits-once-1").read_text() != first.read_text()
    until((tmp_path / "saved").is_file)  # the first process may still be on its way out when the second is done


def test_a_scheduler_that_goes_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_GONE", 0.2)
    monkeypatch.setattr(cluster, "_PATIENCE", 0.1)
    said: list[str] = []
    monkeypatch.setattr(cluster, "say", said.append)
    options = {"n_workers": 0, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as found:
        address = found.scheduler_address

        def close() -> None:
            until(lambda: bool(said))
            found.close()

        closer = threading.Thread(target=close, daemon=True)
        closer.start()
        with pytest.raises(MeasurementError, match="the Dask scheduler is gone; what is finished is kept"):
            outcomes(["good"], tmp_path, address)
        closer.join()
    assert said == [f"{address}: no Dask worker is there yet; start one with `dask worker {address}`"]


def test_other_versions_are_refused() -> None:
    outcome = cluster._run_here(b"not a pickle", "log", "0.0.0")
    assert isinstance(outcome.error, UsageError) and "this command is of 0.0.0" in str(outcome.error)


def test_no_certificates() -> None:
    with (
        pytest.raises(UsageError, match=r"tls://127\.0\.0\.1:1: .*docs/clusters\.md"),
        dask_client("tls://127.0.0.1:1"),
    ):
        pass
