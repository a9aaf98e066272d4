"""Ctrl-C at a terminal: exit code 130 and one line, whatever the workers are doing, and no worker is left over.

The signal is sent when something that can be seen has happened, never after a time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import plugins

psutil = pytest.importorskip("psutil", reason="processes cannot be listed without psutil")
pytestmark = pytest.mark.slow
LINE = "fusionbench: Interrupted; no partial files. Rerun to resume."


class Job:
    """A command in a session of its own, as at a terminal: Ctrl-C goes to its process group."""

    def __init__(self, folder: Path, *words: object, **more: str) -> None:
        self.errors = folder / "stderr"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fusionbench", *map(str, words)],
            cwd=folder,
            env=plugins.environment(folder, **more),
            stdout=subprocess.PIPE,
            stderr=self.errors.open("w"),
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # the tests may run with it ignored
        )
        self.seen: set[psutil.Process] = set()

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert self.process.poll() is None and time.monotonic() < deadline, self.errors.read_text()
            self.workers()
            time.sleep(0.05)

    def workers(self) -> list[psutil.Process]:
        """Those there are; processes of other programs, which imports may start, are seen but not meant."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.seen.update(found)
        return [process for process in found if "worker_process" in " ".join(command_of(process))]

    def interrupt(self) -> None:
        self.workers()
        os.killpg(self.process.pid, signal.SIGINT)

    def check(self) -> None:
        out, _ = self.process.communicate(timeout=120)
        said = self.errors.read_text()
        assert self.process.returncode == 130 and out == "", said
        assert said.splitlines()[-1] == LINE and "Traceback" not in said and "Exception" not in said
        assert said.count("Interrupted") == 1
        assert [worker.pid for worker in self.seen if runs(worker)] == []


def command_of(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # it is gone
        return []


def runs(process: psutil.Process) -> bool:
    """Not a zombie either: Ctrl-C may leave one of a program that an import had asked for the machine's name."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def waiting(folder: Path) -> Callable[[], object]:
    """Somebody is in the middle of its first task."""
    return lambda: list(folder.glob("waiting-*"))


def words_of(verb: str, folder: Path, how: str) -> list[object]:
    """A command with several jobs whose tasks end in ``how``."""
    if verb == "generate":
        return ["generate", "--recipe", plugins.recipe(folder), "--jobs", 2]
    if verb == "score":
        for name in "abf":
            (folder / name).mkdir()
            for number in range(3):
                Image.fromarray(np.full((50, 50), 40 * number, np.uint8)).save(folder / name / f"{number}.png")
        return ["score", "--a", "a", "--b", "b", "--fused", "f", "--metrics", "slow", "--jobs", 2]
    if verb == "quickstart":
        return ["quickstart", "--suite", plugins.suite(folder, how, f"{how}-too"), "--jobs", 2]
    return ["run", plugins.suite(folder, how, f"{how}-too"), "--jobs", 2]


@pytest.mark.parametrize("verb", ["run", "generate"])
def test_while_workers_are_started(verb: str, tmp_path: Path) -> None:
    job = Job(tmp_path, *words_of(verb, tmp_path, "patient"), HOW="patient")
    job.until(job.workers)
    job.interrupt()
    job.check()


@pytest.mark.parametrize("verb", ["run", "generate", "quickstart", "score"])
def test_in_the_first_task(verb: str, tmp_path: Path) -> None:
    job = Job(tmp_path, *words_of(verb, tmp_path, "patient"), HOW="patient")
    job.until(waiting(tmp_path))
    job.interrupt()
    job.check()
    assert not list(tmp_path.glob("**/*.tmp"))
    if verb == "run":  # the step in hand was finished and its state kept
        kept = {path.name for path in tmp_path.glob("runs/small/*/checkpoint/*")}
        assert "00000002" in kept and kept <= {"00000001", "00000002"}  # the other worker was not so far


@pytest.mark.parametrize("verb", ["run", "generate"])
def test_twice(verb: str, tmp_path: Path) -> None:
    """A task that hears nothing is waited for, until Ctrl-C is pressed again."""
    job = Job(tmp_path, *words_of(verb, tmp_path, "deaf"), HOW="deaf")
    job.until(waiting(tmp_path))
    job.interrupt()
    job.until(lambda: "Ctrl-C again ends them at once" in job.errors.read_text())
    job.interrupt()
    job.check()


def test_without_workers(tmp_path: Path) -> None:
    job = Job(tmp_path, "run", plugins.suite(tmp_path, "patient"), "--jobs", 1)
    job.until(waiting(tmp_path))
    assert job.workers() == []
    job.interrupt()
    job.check()
    said = job.errors.read_text().splitlines()
    assert [line for line in said if line.startswith("step ")] == ["step 0", "step 1"]  # the plugin prints


def test_in_the_imports_of_a_verb(tmp_path: Path) -> None:
    """Whatever an import of compiled modules makes of it."""
    job = Job(tmp_path, "run", plugins.suite(tmp_path, "nothing"), "--jobs", 2)
    maps = Path(f"/proc/{job.process.pid}/maps")
    if not maps.exists():
        job.process.kill()
        pytest.skip("what is imported cannot be seen here")
    job.until(lambda: "libtorch" in maps.read_text())
    job.interrupt()
    job.check()


def test_an_interrupted_build_goes_on(tmp_path: Path) -> None:
    words = words_of("generate", tmp_path, "patient")
    job = Job(tmp_path, *words, HOW="patient")
    job.until(lambda: list(tmp_path.glob("data/**/.build/*.h5.json")))
    job.interrupt()
    job.check()
    (first,) = tmp_path.glob("data/**/*.h5")
    when = first.stat().st_mtime_ns
    done = plugins.fusionbench(tmp_path, *words)
    assert done.returncode == 0 and first.stat().st_mtime_ns == when
    assert len(list((tmp_path / done.stdout.strip()).glob("*.h5"))) == 5


SLOW = """
import time
from pathlib import Path
import torch
class Slow(torch.nn.Module):
    def __init__(self, spec): super().__init__()
    def fuse(self, batch):
        Path("waiting-0").touch()
        time.sleep(0.2 if batch.views.mean() < 0.5 else 600)
        return batch.views[:, 0]
"""


def test_fusing_does_not_wait_for_pairs_and_goes_on_later(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for number, level in enumerate((20, 40, 250, 250, 60)):
            Image.fromarray(np.full((9, 9), level, np.uint8)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "slow.py").write_text(SLOW)
    job = Job(tmp_path, "fuse", "slow.py:Slow", "--a", "a", "--b", "b", "-o", "out", "--jobs", 2)
    job.until(lambda: (tmp_path / "out" / "1.png").exists())
    job.interrupt()
    job.check()  # at once, although a pair has ten minutes to go
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"0.png", "1.png", ".fuse.lock", "fuse.jsonl"}
