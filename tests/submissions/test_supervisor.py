"""A command and all that it starts end together, for every reason there is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from fusionbench.submissions.supervisor import Ended, Order

pytestmark = pytest.mark.skipif(os.name != "posix", reason="tests with processes of POSIX")
FOREVER = "import time\nwhile True: time.sleep(0.1)\n"


def start(order: Order) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fusionbench.submissions.supervisor"]
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PYTHONPATH": root, "PATH": os.defpath}
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(order) + b"\n")
    process.stdin.flush()
    return process


def ended(script: str, seconds: int = 60, memory: int = 1 << 30, processes: int = 20) -> Ended:
    process = start(Order([sys.executable, "-c", script], seconds, memory, processes))
    assert process.stdout is not None and process.stdin is not None
    answer = process.stdout.read()
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
    return msgspec.json.decode(answer, type=Ended)


def until(holds: object, message: str) -> None:
    end = time.monotonic() + 60
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, message
        time.sleep(0.05)


def test_code_and_words_come_back() -> None:
    found = ended("import sys; print('one', file=sys.stderr); sys.exit(7)")
    assert (found.code, found.exceeded, found.head, found.tail) == (7, "", "one\n", "")
    assert ended("import os; os.kill(os.getpid(), 9)").code == -9


def test_of_many_words_the_beginning_and_the_end_come_back() -> None:
    found = ended("import sys; sys.stderr.write('begin' + 'x' * 1_000_000 + 'end')")
    assert found.head.startswith("begin") and found.tail.endswith("end")
    assert len(found.head) == len(found.tail) == 16 << 10


@pytest.mark.parametrize(
    ("script", "limits", "exceeded"),
    [
        (FOREVER, {"seconds": 1}, "time"),
        ("x = b'x' * (300 << 20)\n" + FOREVER, {"memory": 200 << 20}, "memory"),
        ("import os\nfor _ in range(5): os.fork()\n" + FOREVER, {"processes": 20}, "processes"),
    ],
)
def test_limits(script: str, limits: dict[str, int], exceeded: str) -> None:
    found = ended(script, **limits)
    assert found.exceeded == exceeded and found.code == -9


def test_memory_of_all_processes_counts_together() -> None:
    script = "import os, time\nfor _ in range(3):\n  if not os.fork(): break\nx = b'x' * (100 << 20)\ntime.sleep(60)"
    found = ended(script, memory=250 << 20)
    assert found.exceeded == "memory" and found.peak > 250 << 20


def test_a_process_that_detached_itself_ends_too(tmp_path: Path) -> None:
    """In a session of its own, with a parent that is gone."""
    script = (
        "import os, time\n"
        "if not os.fork():\n"
        "  os.setsid()\n"
        "  if os.fork(): os._exit(0)\n"
        f"  open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "  time.sleep(600)\n"
        f"while not os.path.exists({str(tmp_path / 'pid')!r}): time.sleep(0.05)\n"
        "time.sleep(0.2)\n"
    )
    found = ended(script)
    assert found.code == 0
    if found.reaped:
        assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_everything_ends_with_whoever_waits(tmp_path: Path) -> None:
    """The end of stdin is all that a supervisor sees of a worker of a queue that was killed."""
    script = f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n{FOREVER}"
    process = start(Order([sys.executable, "-c", script], 600, 1 << 30, 20))
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "it starts")
    child = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(child) and process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0
    assert not psutil.pid_exists(child)


def test_somebody_who_does_not_wait_any_more() -> None:
    """In a process of its own: what it is called in ends all its children."""
    script = (
        "import sys, threading\n"
        "from fusionbench.submissions.supervisor import Order, supervise\n"
        "event = threading.Event()\n"
        "event.set()\n"
        "found = supervise(Order([sys.executable, '-c', 'import time; time.sleep(60)'], 60, 1 << 30, 9), event)\n"
        "sys.exit(0 if found.code == -9 and not found.exceeded else 1)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60, cwd=Path(__file__).parents[2])
    assert done.returncode == 0
