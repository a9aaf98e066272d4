"""Rows of a suite on a cluster of separate processes, of which one is killed while it trains."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.locks import lock
from fusionbench.core.workers import TaskOutcome
from fusionbench.evaluation.cluster_rows import row_on_worker, seen_here
from fusionbench.evaluation.jobs import RowsFailed
from fusionbench.evaluation.suites import run_suite
from tests.helpers import plugins

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")

CLUSTER = """
[[models]]
name = "mean-image"
[[models]]
name = "fcn"
preset = "tiny"
training = {batch = 8, epochs = 0.4}
seeds = [1, 2]
[[models]]
name = "fcn"
label = "bad"
params = {channels = "many"}
"""


@pytest.mark.slow
def test_a_killed_worker_and_a_bad_row_stop_no_row_on_a_cluster(tmp_path: Path) -> None:
    """Two rows train on two workers; one worker is killed, and its row ends elsewhere with the same bits."""
    path = tmp_path / "small.toml"
    path.write_text(plugins.SUITE + CLUSTER)
    where: dict[str, Any] = {"data_root": tmp_path / "data", "device": "cpu"}
    here = run_suite(path, out=tmp_path / "here/results", jobs=1, models=["mean-image", "fcn"], **where)
    logs = [tmp_path / f"there/runs/small/fcn-seed{seed}/log.csv" for seed in (1, 2)]

    def kill(pid: int) -> None:
        while not all(log.is_file() and "\n10," in log.read_text() for log in logs):
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        pid = next(iter(client.run(os.getpid).values()))
        killer = threading.Thread(target=kill, args=(pid,), daemon=True)
        killer.start()
        with pytest.raises(RowsFailed) as caught:
            run_suite(path, out=tmp_path / "there/results", scheduler=cluster.scheduler_address, **where)
        killer.join()
    assert list(caught.value.failed) == [("bad", 0)] and "cannot be built" in caught.value.failed["bad", 0]
    there = caught.value.results
    assert [result.identity for result in there] == [result.identity for result in here]
    assert [result.scores for result in there] == [result.scores for result in here]
    resumed = [log.parent.with_name(f"{log.parent.name}.log").read_text().count("going on from step") for log in logs]
    assert sorted(resumed) == [0, 1], "the row of the worker that was killed, from the state that its process saved"


def test_a_row_waits_for_the_process_that_had_it(tmp_path: Path) -> None:
    run, settings, held, left = tmp_path / "run", {"folder": str(tmp_path)}, threading.Event(), threading.Event()

    def hold() -> None:
        with lock(run / ".lock"):
            held.set()
            time.sleep(0.3)
            left.set()

    threading.Thread(target=hold, daemon=True).start()
    held.wait(10)
    unused: Any = None
    assert row_on_worker(lambda *_: str(left.is_set()), str(run), unused, unused, 1, settings) == "True"
    with pytest.raises(DataError, match=r"nowhere: not there on the worker .*; share it"):
        row_on_worker(lambda *_: "", str(run), unused, unused, 1, {"folder": str(tmp_path / "nowhere")})


def test_what_is_not_shared_is_told(tmp_path: Path) -> None:
    assert seen_here(TaskOutcome(3, value=str(tmp_path))).value == str(tmp_path)
    unseen = seen_here(TaskOutcome(3, value=str(tmp_path / "x")))
    assert (unseen.index, unseen.value) == (3, None) and "the cluster must share this folder" in str(unseen.error)
