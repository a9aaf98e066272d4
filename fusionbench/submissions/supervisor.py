"""Runs one command and stops it, with everything that it started, when it uses more than it may or nobody waits for it.

A process of its own between whoever scores a submission and the process that reads one. It becomes the parent of every
orphan below it (Linux), so that a process that detached itself is found and ended as well, and it ends everything when
its standard input is closed, which also happens when whoever started it is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import msgspec

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_LOOK = 0.25  # seconds between two looks at time, memory and the number of processes
_KEPT = 16 << 10  # bytes of the beginning, and of the end, of what the command says
_PATIENCE = 20.0  # seconds for killed processes to end


class Order(msgspec.Struct):
    """What to run, and the limits of all its processes together: seconds, bytes of memory, number of processes."""

    command: list[str]
    seconds: int
    memory: int
    processes: int


class Ended(msgspec.Struct):
    """How a command ended.

    Attributes:
        code: its exit code; negative for a signal.
        exceeded: "time", "memory" or "processes" where it was stopped for that, else "".
        head, tail: the beginning and the end of what it wrote to stderr.
        peak: most bytes of memory that were seen, of all its processes together.
        reaped: whether no process can have detached itself.
    """

    code: int
    exceeded: str = ""
    head: str = ""
    tail: str = ""
    peak: int = 0
    reaped: bool = True


def supervise(order: Order, abandoned: threading.Event) -> Ended:
    """Run ``order.command`` until it ends, exceeds a limit, or ``abandoned`` is set; then nothing of it is left."""
    reaped = _become_reaper()
    worker = subprocess.Popen(
        order.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=os.name == "posix",
    )
    assert worker.stderr is not None
    said = _Said(worker.stderr)
    end, exceeded, peak = time.monotonic() + order.seconds, "", 0
    while worker.poll() is None and not abandoned.is_set():
        count, used = _usage()
        peak = max(peak, used)
        if time.monotonic() > end:
            exceeded = "time"
        elif used > order.memory:
            exceeded = "memory"
        elif count > order.processes:
            exceeded = "processes"
        if exceeded:
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(_LOOK)
    worker.kill()
    code = worker.wait()  # before anything else collects it
    end_descendants()
    said.join(_PATIENCE)  # a process that could not be ended may hold the pipe
    return Ended(code, exceeded, said.head, said.tail, peak, reaped)


def end_descendants() -> None:
    """Kill every process below this one, again and again until there is none."""
    import psutil

    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        found = psutil.Process().children(recursive=True)
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)
        _reap()


def _reap() -> None:
    """Collect orphans that ended, which are children of this process now."""
    with contextlib.suppress(OSError, AttributeError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _usage() -> tuple[int, int]:
    """Number of processes below this one, and bytes of memory that are theirs alone."""
    import psutil

    count, used = 0, 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError):
            used += _memory(process.pid)
            count += 1
    return count, used


def _memory(process: int) -> int:
    """Bytes of a process, without the pages of files that it maps: the system drops those when it needs room."""
    import psutil

    if sys.platform != "linux":
        return int(psutil.Process(process).memory_info().rss)
    lines = Path(f"/proc/{process}/status").read_text(errors="replace").splitlines()
    found = [line.split() for line in lines if line.startswith(("RssAnon:", "RssShmem:"))]
    return sum(int(words[1]) << 10 for words in found)


def _become_reaper() -> bool:
    """Become the parent of orphans below; False where the system has no such thing."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        return bool(ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0) == 0)
    return False


class _Said(threading.Thread):
    """Reads a stream to its end and keeps its beginning and its end, however long it is."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream, self._head, self._tail = stream, b"", b""
        self.start()

    def run(self) -> None:
        while block := self._stream.read1(_KEPT):  # type: ignore[attr-defined]
            room = _KEPT - len(self._head)
            self._head += block[:room]
            self._tail = (self._tail + block[room:])[-_KEPT:]

    @property
    def head(self) -> str:
        return self._head.decode(errors="replace")

    @property
    def tail(self) -> str:
        return self._tail.decode(errors="replace")


def _main() -> None:
    """Read the order, one line of JSON, from stdin; the end of stdin means that nobody waits any more."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    abandoned = threading.Event()

    def watch() -> None:
        while os.read(0, 1):
            pass
        abandoned.set()

    threading.Thread(target=watch, daemon=True).start()
    sys.stdout.buffer.write(msgspec.json.encode(supervise(order, abandoned)))
    sys.stdout.flush()
    os._exit(0)  # a thread may still wait for stdin


if __name__ == "__main__":
    _main()
