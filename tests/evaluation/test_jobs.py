"""Rows whose processes die or whose training fails are told in a line each, and stop nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.core.errors import CannotMeasure, DataError, UsageError
from fusionbench.core.worker_process import WorkerFault
from fusionbench.evaluation.jobs import Rows, RowsFailed, RowsUnfinishedError, describe_error
from fusionbench.evaluation.suites import load_suite, run_suite
from fusionbench.training.loop import _Loop
from fusionbench.training.run import read_run
from tests.helpers import plugins

ENDS = ("nothing", "SIGSEGV", "SIGKILL-once", "exit", "leave", "memory", "unpicklable", "data", "nan")
FAILED = {
    "sigsegv": "crashed (SIGSEGV) in native code; log: runs/small/sigsegv-seed0.log; `fusionbench doctor`",
    "exit": "left with exit code 7 and without a result; log: runs/small/exit-seed0.log",
    "leave": "SystemExit: 7; traceback: runs/small/leave-seed0.log",
    "memory": "out of memory; try --jobs 1 or a smaller batch",
    "unpicklable": "Unpicklable: it has a lock; traceback: runs/small/unpicklable-seed0.log",
    "data": "that.png: damaged",
    "nan": "runs/small/nan-seed0: loss is nan at step 1",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def done(place: Path) -> subprocess.CompletedProcess[str]:
    """`fusionbench run` with two jobs on a good row and on all bad ones."""
    return plugins.fusionbench(place, "run", plugins.suite(place, *ENDS), "--jobs", 2)


@pytest.mark.slow
def test_one_line_for_every_failed_row(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 3 and "Traceback" not in done.stderr
    head, *lines = done.stderr.partition("fusionbench: ")[2].splitlines()
    assert head == "small: 7 rows failed:"
    for line, (key, text) in zip(lines, FAILED.items(), strict=True):  # in the order of the suite
        assert line.startswith(f"  {key}, seed 0: {text}")


@pytest.mark.slow
def test_the_other_rows_are_finished_and_stdout_is_theirs_alone(
    place: Path, done: subprocess.CompletedProcess[str]
) -> None:
    found = [json.loads((place / folder / "result.json").read_text()) for folder in done.stdout.splitlines()]
    names = [result["identity"]["model"]["name"] for result in found]
    params = [result["identity"]["model"]["params"].get("how") for result in found]
    assert list(zip(names, params, strict=True)) == [
        ("mean-image", None),
        ("net", "nothing"),
        ("net", "SIGKILL-once"),  # killed beside another row, and finished when it was tried again, alone
    ]


@pytest.mark.slow
def test_logs_have_what_rows_print_and_the_stack(place: Path, done: subprocess.CompletedProcess[str]) -> None:
    logs = {path.name.removesuffix("-seed0.log"): path.read_text() for path in place.glob("runs/small/*.log")}
    assert set(logs) == {end.lower() for end in ENDS}
    for end, text in logs.items():
        steps = [line for line in text.splitlines() if line.startswith("step ")]
        more = {"nothing": ["step 2"], "sigkill-once": ["step 0", "step 1", "step 2"]}
        assert steps == (["step 0"] if end == "nan" else ["step 0", "step 1", *more.get(end, [])])
    stack = logs["sigsegv"].partition("Fatal Python error: Segmentation fault")[2]
    assert "in end" in stack and "in loss" in stack and "crashed (SIGSEGV)" in logs["sigsegv"].splitlines()[-1]
    assert "Unpicklable: it has a lock" in logs["unpicklable"] and "killed" in logs["sigkill-once"]


@pytest.mark.slow
def test_a_run_that_crashed_says_so_to_who_wants_its_model(place: Path, done: subprocess.CompletedProcess[str]) -> None:
    run = plugins.fusionbench(place, "evaluate", "runs/small/sigsegv-seed0", "--data", "data/fusiondigits")
    (line,) = run.stderr.splitlines()
    assert run.returncode == 2 and "training did not finish: it crashed (SIGSEGV) in native code; log: runs/" in line
    with pytest.raises(DataError, match="training has not finished; run the same train command"):
        read_run(place / "runs/small/nan-seed0").load_model(None)  # type: ignore[arg-type]  # never read


@pytest.mark.slow
def test_the_same_command_goes_on(place: Path, done: subprocess.CompletedProcess[str]) -> None:
    """With the reason gone, the failed row is trained, its note removed, and nothing else done again."""
    run = place / "runs/small/sigsegv-seed0"
    before = {path: path.stat().st_mtime_ns for path in place.glob("**/result.json")}
    again = plugins.fusionbench(place, "run", "small.toml", "--models", "sigsegv,nothing", "--jobs", 2, CURED="1")
    assert again.returncode == 0, again.stderr
    assert not (run / "crash.txt").exists() and read_run(run).info.finished
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(again.stdout.splitlines()) == 2


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    row = '[[models]]\nname = "fcn"\nlabel = "{}"\npreset = "tiny"\ntraining = {{epochs = 0.03}}\nseeds = [1, 2]\n'
    path.write_text(plugins.SUITE + '[[models]]\nname = "mean-image"\n' + row.format("one") + row.format("two"))
    return path


def test_rows_in_this_process_do_not_stop_each_other_either(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = small.parent
    where: dict[str, Any] = {"data_root": place, "out": place / "results", "jobs": 1}

    def fail(self: object, model: object) -> object:
        raise {1: DataError("that.png: damaged"), 2: KeyError("a bug")}[self.info.seed]  # type: ignore[attr-defined]

    monkeypatch.setattr(_Loop, "_train", fail)
    with pytest.raises(RowsFailed) as caught:
        run_suite(small, **where)
    assert isinstance(caught.value, CannotMeasure) and caught.value.exit_code == 3
    assert [result.title for result in caught.value.results] == ["mean image"]
    assert list(caught.value.failed) == [("one", 1), ("one", 2), ("two", 1), ("two", 2)]
    assert caught.value.failed["two", 1] == "that.png: damaged"
    assert caught.value.failed["two", 2].startswith("KeyError: 'a bug'; traceback: ")
    log = place / "runs/small/two-seed2.log"
    assert str(log) in caught.value.failed["two", 2] and "in fail" in log.read_text()
    monkeypatch.undo()
    assert len(run_suite(small, models=["mean-image", "one"], **where)) == 3


def test_rows_that_the_time_cuts_go_on_with_the_same_call(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = small.parent
    where: dict[str, Any] = {"data_root": place, "models": ["mean-image", "one"], "jobs": 1}
    whole = run_suite(small, out=place / "whole/results", **where)
    where["out"] = place / "results"
    looks = iter([False, True])  # after the first and the second step of the first seed
    monkeypatch.setattr("fusionbench.core.time_limit.time_is_up", lambda: False)
    monkeypatch.setattr("fusionbench.training.loop.time_is_up", lambda: next(looks, True))
    with pytest.raises(RowsUnfinishedError) as caught:
        run_suite(small, **where)
    assert caught.value.exit_code == 75 and [result.title for result in caught.value.results] == ["mean image"]
    assert caught.value.unfinished == {("one", 1): "stopped at step 2 of 3", ("one", 2): "stopped at step 1 of 3"}
    assert caught.value.details[0] == "one, seed 1: stopped at step 2 of 3"
    monkeypatch.setattr("fusionbench.core.time_limit.time_is_up", lambda: True)
    with pytest.raises(RowsUnfinishedError, match="3 rows are not finished") as caught:
        run_suite(small, **where)
    assert "not begun" in caught.value.unfinished["one", 1]
    monkeypatch.undo()
    done = run_suite(small, stop_after="1h", **where)
    assert [result.id for result in done] == [result.id for result in whole]
    assert [result.scores["nll@3"].mean for result in done[1:]] == [result.scores["nll@3"].mean for result in whole[1:]]


def test_sys_exit_in_a_row_is_its_failure(tmp_path: Path) -> None:
    rows, log = Rows("small"), tmp_path / "runs" / "a.log"
    assert rows.attempt(("fcn", 0), lambda: sys.exit(0), log) is None
    told = rows.failed["fcn", 0]
    assert told.startswith(f"{__file__}, line ") and told.endswith(f"with sys.exit(0); traceback: {log}")
    assert log.read_text().endswith("SystemExit: 0\n")


def test_a_failure_outweighs_the_time() -> None:
    rows = Rows("small", failed={("fcn", 0): "that.png: damaged"}, unfinished={("cvae", 0): "stopped at step 1 of 2"})
    with pytest.raises(RowsFailed):
        rows.finish([])
    rows.failed.clear()
    with pytest.raises(RowsUnfinishedError, match="1 row is not finished"):
        rows.finish([])


def test_a_row_that_cannot_be_trained_as_written_is_refused_before_any_is(small: Path) -> None:
    small.write_text(small.read_text().replace("epochs", "epcohs", 1))
    with pytest.raises(UsageError, match="Did you mean 'epochs'"):
        run_suite(small, data_root=small.parent, out=small.parent / "results", jobs=1)
    assert not (small.parent / "results").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_one_line_and_not_one_of_every_row(small: Path) -> None:
    with pytest.raises(UsageError, match="torch finds no CUDA device"):
        run_suite(small, data_root=small.parent, out=small.parent / "results", jobs=2, device="cuda", models=["one"])


def test_one_failure_is_one_line() -> None:
    error = RowsFailed("small", {("fcn", 3): "that.png: damaged"})
    assert str(error) == "small: the row fcn, seed 3: that.png: damaged" and error.results == []


def test_nothing_is_raised_where_nothing_failed() -> None:
    assert Rows("small").finish([]) == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("a: b\n  c"), "a: b c"),
        (MemoryError(), "out of memory; try --jobs 1 or a smaller batch"),
        (WorkerFault("X: y\nz"), "X: y z; traceback: a.log"),
        (ValueError("one\ntwo"), "ValueError: one; traceback: a.log"),
        (ValueError(), "ValueError; traceback: a.log"),
    ],
)
def test_errors_in_one_line(error: Exception, line: str) -> None:
    assert describe_error(error, Path("a.log")) == line


def test_the_suite_of_these_tests_is_one(tmp_path: Path) -> None:
    assert [row.key for row in load_suite(plugins.suite(tmp_path, "nothing")).models] == ["mean-image", "nothing"]


SUITE = """
format = "fusionbench.suite/1"
name = "turns"
title = "three rows on two workers"
dataset = "fusiondigits"

[protocol]
draws = 2
limit = 4
"""
ROW = """
[[models]]
name = "fcn"
label = "fcn-{seed}"
preset = "tiny"
seeds = [{seed}]
"""


@pytest.mark.slow
def test_rows_in_turns_learn_the_same_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionbench.evaluation import jobs

    path = tmp_path / "turns.toml"
    path.write_text(SUITE + "".join(ROW.format(seed=seed) for seed in range(3)))
    found = {}
    for worth, name in ((1, "turns"), (10**9, "one")):
        monkeypatch.setattr(jobs, "WORTH", worth)
        where = {"data_root": tmp_path / "data", "out": tmp_path / name / "results"}
        rows = run_suite(path, jobs=2, budget="6 steps", device="cpu", **where)
        found[name] = [row.identity for row in rows], [row.scores["nll@mean"].mean for row in rows]
        log = (tmp_path / name / "runs/turns/fcn-0-seed0-6steps.log").read_text()
        assert log.count("going on from step") == (2 if name == "turns" else 0)  # 2 and 2 and 2 steps
    assert found["turns"] == found["one"]


def test_jobs_are_of_this_machine(small: Path) -> None:
    with pytest.raises(UsageError, match="leave them out with a Dask scheduler"):
        run_suite(small, data_root=small.parent, out=small.parent / "results", jobs=2, scheduler="tcp://127.0.0.1:1")
