"""Rows of a suite on a cluster of separate processes, of which one is killed while it trains."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from fusionbench.core.errors import DataError
from fusionbench.core.locks import lock
from fusionbench.core.workers import TaskOutcome
from fusionbench.evaluation.cluster_rows import row_on_worker, seen_here
from fusionbench.evaluation.jobs import RowsFailed
from fusionbench.evaluation.suites import run_suite
from fusionbench.models import MODELS, register_model
from tests.helpers import plugins

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two workers; they and this process have the model that ends in every way there is."""
    for name, value in plugins.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path / "plugin")
    register_model("net")(importlib.import_module("crashers").Net)
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as found:
        yield found.scheduler_address
    MODELS._objects.pop("net")
    del sys.modules["crashers"]


@pytest.mark.slow
def test_a_killed_worker_and_a_bad_row_stop_no_row(scheduler: str, tmp_path: Path) -> None:
    """A worker is killed amid a row: it ends elsewhere, with the bits of one that was never stopped."""
    path = plugins.suite(tmp_path, "data", "nothing", "patient")
    killed: list[int] = []

    def kill() -> None:
        while not (found := list(tmp_path.glob("waiting-*"))):
            time.sleep(0.01)
        killed.append(psutil.Process(int(found[0].name.partition("-")[2])).ppid())
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(RowsFailed) as caught:
        run_suite(path, data_root=tmp_path / "data", out=tmp_path / "results", device="cpu", scheduler=scheduler)
    assert killed and os.getpid() not in killed
    assert caught.value.failed == {("data", 0): "that.png: damaged"}
    assert [result.identity.model.name for result in caught.value.results] == ["mean-image", "net", "net"]
    runs = tmp_path / "runs/small"
    said = (runs / "patient-seed0.log").read_text().splitlines()
    assert [line for line in said if line.startswith("step")] == ["step 0", "step 1", "step 2"], "none twice"
    assert any("going on from step 2 of 3" in line for line in said)
    stopped, whole = (load_file(runs / f"{key}-seed0/weights.safetensors") for key in ("patient", "nothing"))
    assert stopped.keys() == whole.keys() and all(torch.equal(stopped[key], whole[key]) for key in whole)


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
