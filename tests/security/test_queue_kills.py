"""Workers of a queue are killed while they score; a small run of ``benchmarks/perf/stress_queue.py``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "perf" / "stress_queue.py"


@pytest.fixture(scope="module")
def stress_queue() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stress_queue", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal")
def test_no_submission_is_lost_or_scored_twice(
    stress_queue: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(5):  # a kill that comes too late hits no item; one that hits is what is tested
        root = tmp_path / f"stress-{seed}"
        root.mkdir()
        well = stress_queue.stress(root, items=10, workers=2, kills=2, seed=seed, images=4, draws=1)
        told = capsys.readouterr().out
        if "0 of 2 kills hit" not in told:
            break
    assert well and "holds: 9 results, one for each" in told, told

    # and what the checks would say of a queue in which something is wrong
    done = root / "queue" / "done"
    (done / "0000.zip").write_bytes((done / "0001.zip").read_bytes())
    verdicts = dict(stress_queue.checks(root))
    assert not verdicts["10 submissions are there, each once"]
    (done / "0002.zip").rename(root / "queue" / "incoming" / "0002.zip")
    (done / "0003.log").unlink()
    failing = {text for text, holds in stress_queue.checks(root) if not holds}
    assert {"none waits and none failed", "each has one log", "9 are in done"} <= failing
