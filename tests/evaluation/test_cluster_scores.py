"""Folders of images scored on a cluster have the values, remarks and refusals of one machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import CannotMeasure, DataError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.parallel import WorkerLostError
from fusionbench.evaluation import cluster_scores
from fusionbench.evaluation.cluster_scores import _score_rows, score_on_cluster
from fusionbench.evaluation.image_files import pair_files, score_files
from fusionbench.metrics import METRICS

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
NAMES = ["en", "sd", "mi"]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Workers as threads: how processes start is tested in tests/core/test_cluster.py."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as found:
        yield found.scheduler_address


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """Six rows, relative to the current folder; one of the fused images is a JPEG."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for side in ("a", "b", "fused"):
        (tmp_path / side).mkdir()
        for number in range(6):
            pixels = generator.integers(0, 256, (16, 16), dtype=np.uint8)
            suffix = "jpg" if (side, number) == ("fused", 4) else "png"
            Image.fromarray(pixels).save(tmp_path / side / f"{number}.{suffix}")
    return "a", "b", "fused"


def test_the_scores_are_those_of_one_machine_to_the_bit(folders: tuple[str, str, str], scheduler: str) -> None:
    here = score_files(*folders, NAMES, jobs=1)
    there = score_files(*folders, NAMES, scheduler=scheduler)
    assert there.to_json() == here.to_json() and there.ids == list("012345")
    assert [values.tobytes() for values in there.values.values()] == [v.tobytes() for v in here.values.values()]
    assert len(there.warnings) == 1 and "1 fused files are JPEG" in there.warnings[0]


def test_all_that_is_wrong_is_told_in_one_line(folders: tuple[str, str, str], scheduler: str) -> None:
    Path("fused/1.png").write_bytes(b"no image")
    Image.new("L", (8, 8)).save("a/5.png")
    with pytest.raises(DataError, match=r"2 of 6 rows cannot be scored") as caught:
        score_files(*folders, NAMES, scheduler=scheduler)
    assert "1.png" in str(caught.value) and "5: sizes differ" in str(caught.value)


def test_memory_and_lost_workers_are_measurements_that_failed(
    folders: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = pair_files(*map(Path, folders))
    metrics = [METRICS.get(name) for name in NAMES]

    def no_memory(*_: object) -> None:
        raise MemoryError

    def lost(*_: object) -> object:
        raise WorkerLostError("died")
        yield

    monkeypatch.setattr(cluster_scores, "score_triple", no_memory)
    begin, (found,) = _score_rows(4, rows[4:5], metrics, Ranges())
    assert begin == 4 and isinstance(found, CannotMeasure) and "4: out of memory" in str(found)
    monkeypatch.setattr(cluster_scores, "score_triple", lambda *_: sys.exit(0))
    _, (found,) = _score_rows(4, rows[4:5], metrics, Ranges())
    assert isinstance(found, CannotMeasure) and "ended the work with sys.exit(" in str(found)
    monkeypatch.setattr(cluster_scores, "run_tasks", lost)
    with pytest.raises(CannotMeasure, match=r"tcp://x: the workers that scored died again and again"):
        list(score_on_cluster(rows, metrics, Ranges(), "tcp://x"))
