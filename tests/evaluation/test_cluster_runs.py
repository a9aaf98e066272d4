"""Runs scored on a cluster: the results of this machine, and a run that fails stops no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.cluster_runs import RunsFailed, evaluate_on_cluster, evaluate_run
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.results.schema import load
from fusionbench.training.loop import train

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")


@pytest.mark.slow
def test_a_run_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the paths given are relative
    data = open_dataset(build_dataset(load_recipe("fusiondigits"), out="data"))
    train("mean-image", data, out="mean", device="cpu")
    protocol = PROTOCOLS.get("masked/1")
    options = protocol.options(draws=2, limit=4)
    settings = {"device": "cpu", "force": False}
    expected = load(evaluate_run("mean", "masked/1", str(data.folder), options, None, "here", settings))
    runs = [Path("nowhere"), Path("mean")]
    cluster = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**cluster) as found, pytest.raises(RunsFailed) as caught:
        where = {"split": None, "out": Path("there"), "scheduler": found.scheduler_address}
        evaluate_on_cluster(runs, protocol, protocol.open("data/fusiondigits", options), options, **where, **settings)
    (detail,) = caught.value.details
    assert detail.startswith("nowhere: ") and "no such run" in detail and caught.value.exit_code == 3
    (result,) = caught.value.results
    assert result.id == expected.id and result.scores == expected.scores
    assert (result.folder("there") / "result.json").is_file()


def test_protocols_that_measure_time_are_refused() -> None:
    with pytest.raises(UsageError, match=r"pairs/1 measures the time of each image on one machine"):
        evaluate_on_cluster([], PROTOCOLS.get("pairs/1"), None, None, split=None, out=Path(), scheduler="tcp://x")
