"""The SLURM example of docs/clusters.md: the job that dask-jobqueue makes of it is one that SLURM would run."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path
from typing import Any

import pytest

from fusionbench.evaluation.run_suite import run_suite

GUIDE = Path(__file__).parents[2] / "docs" / "clusters.md"


def example() -> str:
    return GUIDE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]


def test_the_example_is_python_and_names_what_there_is() -> None:
    compile(example(), str(GUIDE), "exec")
    call = example().partition("run_suite(")[2].partition(")\n")[0]
    for option in ("data_root", "out", "scheduler"):
        assert f"{option}=" in call and option in inspect.signature(run_suite).parameters


def test_the_job_script_has_what_slurm_needs() -> None:
    pytest.importorskip("dask_jobqueue", reason="pip install dask-jobqueue")
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(example(), str(GUIDE), "exec"), names)
    with names["create_cluster"](scheduler_options={"dashboard_address": None}) as cluster:
        script, address = cluster.job_script().splitlines(), cluster.scheduler_address
    assert script[0].startswith("#!")
    directives = {line.removeprefix("#SBATCH ") for line in script if line.startswith("#SBATCH")}
    assert {"-p compute", "-n 1", "--cpus-per-task=8", "-t 04:00:00"} <= directives
    assert any(line.startswith("--mem=") for line in directives)
    body = [line for line in script[1:] if line and not line.startswith("#")]
    assert body[:2] == ["source ~/fusionbench/bin/activate", "export OMP_NUM_THREADS=1"]
    words = shlex.split(body[2])
    assert words[1:4] == ["-m", "distributed.cli.dask_worker", address]
    for option, value in {"--nworkers": "8", "--nthreads": "1", "--lifetime": "3h50m"}.items():
        assert words[words.index(option) + 1] == value
