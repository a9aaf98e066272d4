"""Workers that die name their task and stop no other; nothing that they print is taken for data; none is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import CannotMeasure, DataError
from fusionbench.core.worker_process import WorkerFault
from fusionbench.core.workers import Again, Death, TaskOutcome, run_in_workers


def act(what: str, *more: Any) -> Any:
    """What a task of these tests does."""
    if what.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, what))
        time.sleep(100)
    elif what == "exit":
        os._exit(more[0])
    elif what == "raise":
        raise more[0]
    elif what == "print":
        print("to stdout")
        os.write(1, b"to descriptor 1\n")
        print("to stderr", file=sys.stderr)
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        return sys.stdin.read()
    elif what == "generator":
        return (number for number in range(3))
    elif what == "again":
        with open(more[0], "a") as stream:
            stream.write(f"{more[1]}\n")
        return Again() if Path(more[0]).read_text().split().count(more[1]) < 3 else more[1]
    elif what == "pid":
        return os.getpid()
    elif what == "command":
        return sys.argv
    elif what == "wait":
        Path(more[0], str(os.getpid())).touch()
        try:
            while True:
                time.sleep(0.02)
        finally:
            Path(more[0], f"{os.getpid()}-left").touch()
    elif what == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Path(more[0], str(os.getpid())).touch()
        time.sleep(1000)
    return what, *more


def outcomes(tasks: list[tuple[Any, ...]], jobs: int = 2, **options: Any) -> list[TaskOutcome]:
    return sorted(run_in_workers(act, tasks, jobs, **options), key=lambda outcome: outcome.index)


def until(condition: Callable[[], Any]) -> Any:
    """Wait for something that happens; a slow machine has a minute for it."""
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.01)
    return found


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").is_file() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_a_death_names_its_task_and_the_others_are_finished(tmp_path: Path) -> None:
    tasks = [("a",), ("SIGSEGV",), ("b",), ("SIGKILL",), ("exit", 7), ("c",), ("SIGABRT",)]
    found = outcomes(tasks, logs=lambda index: tmp_path / f"{index}.log")
    assert [outcome.value for outcome in found if outcome.death is None] == [("a",), ("b",), ("c",)]
    deaths = {outcome.index: outcome.death for outcome in found if outcome.death is not None}
    codes = {1: -signal.SIGSEGV, 3: -signal.SIGKILL, 4: 7, 6: -signal.SIGABRT}
    assert {index: death.code for index, death in deaths.items()} == codes
    for index, death in deaths.items():
        assert death.log == tmp_path / f"{index}.log" and str(death.log) in str(death) and "\n" not in str(death)
    for index, words in ((1, "Fatal Python error: Segmentation fault"), (6, "Fatal Python error: Aborted")):
        text = (tmp_path / f"{index}.log").read_text()
        assert words in text and "in act" in text  # the stack of the task
    assert "crashed (SIGSEGV) in native code" in str(deaths[1]) and "ONEDNN_MAX_CPU_ISA" in str(deaths[1])
    assert "killed (SIGKILL), most likely for memory" in str(deaths[3]) and "--jobs 1" in str(deaths[3])
    assert "exit code 7" in str(deaths[4])
    assert not (tmp_path / "0.log").exists()  # nothing was printed


def test_who_is_alone_has_nobody_beside() -> None:
    (alone,) = outcomes([("SIGKILL",)])
    one, two = outcomes([("SIGKILL",), ("SIGKILL",)])
    assert [outcome.death.beside for outcome in (alone, one, two) if outcome.death] == [False, True, True]
    for outcome in (alone, one):
        assert outcome.death is not None
        outcome.death.log.unlink()


def test_a_worker_has_the_arguments_of_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results say which command made them, whichever process did."""
    command = ["fusionbench", "run", 'it\'s a "suite"\n', "--jobs", "2", "\udcff"]
    monkeypatch.setattr(sys, "argv", command)
    (outcome,) = outcomes([("command",)], jobs=1)
    assert outcome.value == command


def test_workers_are_used_again_and_not_more_than_asked_for() -> None:
    assert len({outcome.value for outcome in outcomes([("pid",)] * 8)}) <= 2
    assert os.getpid() not in {outcome.value for outcome in outcomes([("pid",)], 1)}


def test_tasks_that_have_more_to_do_take_turns(tmp_path: Path) -> None:
    log = str(tmp_path / "order")
    found = outcomes([("again", log, name) for name in "abc"], jobs=1)
    assert [outcome.value for outcome in found] == ["a", "b", "c"]
    assert Path(log).read_text().split() == list("abcabcabc")


@pytest.mark.parametrize(
    ("error", "kind"), [(DataError("that.png"), DataError), (MemoryError(), MemoryError), (SystemExit(3), WorkerFault)]
)
def test_exceptions_are_outcomes(error: BaseException, kind: type[Exception], tmp_path: Path) -> None:
    bad, good = outcomes([("raise", error), ("good",)], 1, logs=lambda index: tmp_path / "log")
    assert type(bad.error) is kind and "in act" in str(bad.error.__cause__) and good.value == ("good",)
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    bad, good = outcomes([("generator",), ("good",)], 1)
    assert "generator" in str(bad.error) and good.value == ("good",)


def test_what_a_task_prints_goes_to_its_log_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logs = [tmp_path / "deep" / "0.log", tmp_path / "deep" / "1.log"]
    printing, silent = outcomes([("print",), ("silent",)], 1, logs=logs.__getitem__)
    assert (printing.value, silent.value) == ("", ("silent",))  # its input is empty
    expected = ["from a child", "to descriptor 1", "to stderr", "to stdout"]
    assert sorted(logs[0].read_text().splitlines()) == expected and not logs[1].exists()
    assert capfd.readouterr() == ("", "")


def test_what_is_printed_before_the_first_task_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello' * 1000)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert outcomes([("good",)])[0].value == ("good",)


def test_a_folder_of_a_package_s_name_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fusionbench", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    assert outcomes([("good",)])[0].value == ("good",)


def test_functions_of_a_script_without_a_guard(tmp_path: Path) -> None:
    """Scripts that call run_suite or build_dataset at their top, as users write them."""
    script = tmp_path / "script.py"
    script.write_text(
        "from fusionbench.core.workers import run_in_workers\n"
        "def double(number): return 2 * number\n"
        "print(sorted(outcome.value for outcome in run_in_workers(double, [(1,), (2,)], 2)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[2, 4]\n", "")


PEAK = """
import os, signal
from fusionbench.core.workers import run_in_workers
def grow():
    held = bytearray(300 << 20)
    held[::4096] = bytes([1]) * len(held[::4096])
    os.kill(os.getpid(), signal.SIGKILL)
(outcome,) = run_in_workers(grow, [()], 1)
print(outcome.death.peak, outcome.death)
"""


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system does not tell")
def test_the_peak_of_a_killed_worker_is_told(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, timeout=120)
    peak, _, words = done.stdout.partition(" ")
    assert 300 << 20 < int(peak) < 500 << 20, done.stderr
    assert "(its peak was 0.3 GiB)" in words or "(its peak was 0.4 GiB)" in words


def test_a_peak_that_may_be_the_parent_s_is_not_told() -> None:
    held = bytearray(64 << 20)
    held[::4096] = bytes([1]) * len(held[::4096])
    (outcome,) = outcomes([("SIGKILL",)])
    assert outcome.death is not None and outcome.death.peak is None and "peak" not in str(outcome.death)


def test_closing_interrupts_the_tasks(tmp_path: Path) -> None:
    running = run_in_workers(act, [("first",), ("wait", tmp_path), ("wait", tmp_path)], 2)
    assert next(running).value == ("first",)
    pids = until(lambda: [int(path.name) for path in tmp_path.iterdir()])
    running.close()
    assert all((tmp_path / f"{pid}-left").exists() and is_gone(pid) for pid in pids)


def test_a_task_that_does_not_stop_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionbench.core.worker_process.STOP_SECONDS", 0.1)
    running = run_in_workers(act, [("first",), ("deaf", tmp_path)], 2)
    assert next(running).value == ("first",)
    (path,) = until(lambda: list(tmp_path.iterdir()))
    running.close()
    assert is_gone(int(path.name))


ORPHANS = """
import sys
from fusionbench.core.workers import run_in_workers
from tests.core.test_workers import act
list(run_in_workers(act, [("wait", sys.argv[1])] * 2, 2))
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS, str(tmp_path)], cwd=Path(__file__).parents[2])
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    parent.kill()
    parent.wait()
    until(lambda: all((tmp_path / f"{pid}-left").exists() for pid in pids))
    until(lambda: all(is_gone(pid) for pid in pids))


def test_a_worker_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(CannotMeasure, match=r"cannot be started.*--jobs 1"):
        outcomes([("good",)])


def test_a_python_that_cannot_run_is_a_death_and_not_a_hang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("fusionbench.core.workers.worker_process.__name__", "no_such_module")
    (outcome,) = outcomes([("good",)], logs=lambda index: tmp_path / "log")
    assert outcome.death is not None and outcome.death.code == 1
    assert "No module named 'no_such_module'" in (tmp_path / "log").read_text()


def test_threads_of_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    (outcome,) = run_in_workers(_threads, [()], 1, threads=3)
    assert outcome.value == ("3", "5")


def _threads() -> tuple[str, str]:
    return os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]


def test_the_line_of_a_death() -> None:
    death = Death(-signal.SIGKILL, 3 << 30, Path("a.log"), True)
    assert str(death) == (
        "killed (SIGKILL), most likely for memory (its peak was 3.0 GiB); log: a.log; try --jobs 1 or a smaller batch"
    )
    assert Death(-signal.SIGBUS, None, Path("a.log"), True).text("look at it").endswith("log: a.log; look at it")
