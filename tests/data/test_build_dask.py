"""A build on a real Dask cluster of separate processes, one of which is killed on the way."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.data.build import build_dataset
from tests.data.test_build import contents, small_recipe

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_makes_the_same_bytes(tmp_path: Path) -> None:
    recipe = small_recipe(16)
    expected = contents(build_dataset(recipe, out=tmp_path / "here"))
    journal = recipe.folder(tmp_path / "cluster") / ".build"
    killed: list[int] = []

    def kill_one(pids: list[int]) -> None:
        while len(list(journal.glob("*.json"))) < 5:
            time.sleep(0.005)
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        pids = list(client.run(os.getpid).values())
        assert os.getpid() not in pids
        killer = threading.Thread(target=kill_one, args=(pids,), daemon=True)
        killer.start()
        folder = build_dataset(recipe, out=tmp_path / "cluster", scheduler=cluster.scheduler_address)
        killer.join(timeout=10)
    assert killed and contents(folder) == expected


def test_no_scheduler_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(UsageError, match="no Dask scheduler answers"):
        build_dataset(small_recipe(1024), out=tmp_path, scheduler="tcp://127.0.0.1:1")
