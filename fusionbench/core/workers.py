"""Tasks in worker processes of our own: one task at a time in each, so that a worker that dies names its task.

Pools of the standard library and of joblib are broken as a whole when one of their processes is killed, and do not say
which task it had. Here the others continue. Workers are started with :mod:`subprocess` in a separate process group,
which Ctrl-C at a terminal does not reach: the parent asks them to stop, and waits for it. They run what can be pickled;
a function of ``__main__`` is sent by value, so that scripts need no guard.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fusionbench.core import worker_process
from fusionbench.core.cpus import core_count
from fusionbench.core.crashes import describe_exit, exit_remedy
from fusionbench.core.errors import MeasurementError
from fusionbench.core.interrupts import check_interrupt, no_interrupt
from fusionbench.core.progress import say

_END_SECONDS = 10.0  # for workers without a task
_PATIENCE = 3.0  # seconds of stopping before it is said what is waited for
_POLL = 0.2  # seconds between looks at the workers where nothing wakes us
_THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "NUMBA")


@dataclass(frozen=True)
class Death:
    """The end of a worker amid a task.

    Attributes:
        code: exit code, negative after a signal.
        peak: largest resident memory in bytes, where the system tells it.
        log: what it printed, and the stack of a crash in native code.
        beside: other tasks were running at some time of it, whose memory may have been the reason.
    """

    code: int
    peak: int | None
    log: Path
    beside: bool

    def __str__(self) -> str:
        return self.text()

    def text(self, native: str = "") -> str:
        """What happened, where the log lies and what to try: the end of a line that starts with the task's name.

        Args:
            native: what to try after a crash of other libraries than torch.
        """
        return f"{describe_exit(self.code, self.peak)}; log: {self.log}; {exit_remedy(self.code, native)}"


@dataclass(frozen=True)
class TaskOutcome:
    """What became of task ``index``: its ``value``, or the ``error`` that it raised, or its worker's ``death``."""

    index: int
    value: Any = None
    error: Exception | None = None
    death: Death | None = None


@dataclass(frozen=True)
class Again:
    """What a task returns that has more to do: it is called again, with the same arguments, behind those that wait.

    Long tasks that do so keep all workers busy to the end, where their number is no multiple of the workers'.
    """


def run_in_workers(
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    jobs: int,
    *,
    logs: Callable[[int], Path] | None = None,
    threads: int | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Generator[TaskOutcome, None, None]:
    """Outcomes of ``function(*task)`` as they come, in any order; none is tried twice, but see :class:`Again`.

    Closing the generator stops the workers: a task gets :class:`KeyboardInterrupt`, as from Ctrl-C.

    Args:
        jobs: workers at a time.
        logs: file for what the worker of a task prints, appended to; None: a temporary one. Empty ones are removed.
        threads: of each worker's numeric libraries, unless the environment sets them; None shares the cores.
        stopped: looked at several times a second: once it is true, the outcomes end and the workers are stopped.

    Raises:
        MeasurementError: no worker can be started.
    """
    if logs is None:
        handle, name = tempfile.mkstemp(prefix="fusionbench-", suffix=".log")
        os.close(handle)
        files = [Path(name)] * len(tasks)
    else:
        files = [logs(index) for index in range(len(tasks))]
    with _without_empty(set(files)), _crew(threads or max(1, core_count() // jobs)) as crew:
        todo = deque(range(len(tasks)))
        while (todo or crew.busy) and not (stopped is not None and stopped()):
            while todo and len(crew.busy) < jobs:
                index = todo.popleft()
                crew.give(index, files[index], (function, tasks[index]))
            for outcome in crew.wait():
                if isinstance(outcome.value, Again):
                    todo.append(outcome.index)
                else:
                    yield outcome


@contextlib.contextmanager
def _without_empty(files: set[Path]) -> Iterator[None]:
    try:
        yield
    finally:
        for path in files:
            with contextlib.suppress(OSError):
                if path.stat().st_size == 0:
                    path.unlink()


@contextlib.contextmanager
def _crew(threads: int) -> Iterator[_Crew]:
    crew = _Crew(threads)
    try:
        yield crew
    finally:
        crew.stop()


class _Crew:
    """Workers of one call; only its own thread asks the system about them, so that no process id is met twice."""

    def __init__(self, threads: int) -> None:
        self.environment = {**{f"{name}_NUM_THREADS": str(threads) for name in _THREADS}, **os.environ}
        self.environment.setdefault("VECLIB_MAXIMUM_THREADS", str(threads))
        self.wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.busy: list[_Worker] = []
        self.idle: list[_Worker] = []

    def give(self, index: int, log: Path, call: tuple[Any, ...]) -> None:
        """Hand a task to an idle worker, or to a new one."""
        import cloudpickle

        payload = cloudpickle.dumps(call, pickle.HIGHEST_PROTOCOL)
        self.idle = [worker for worker in self.idle if worker.poll() is None]
        if not self.idle:
            log.parent.mkdir(parents=True, exist_ok=True)
            with no_interrupt(defer=True):  # a process that is not on our list yet could not be stopped
                self.idle.append(_Worker(log, self.environment, self.wake))
        worker = self.idle.pop()
        worker.beside = bool(self.busy)
        for other in self.busy:
            other.beside = True
        self.busy.append(worker)
        worker.give(index, log, payload)

    def wait(self) -> list[TaskOutcome]:
        """What has come to an end since the last call; it may be nothing."""
        check_interrupt()
        with contextlib.suppress(queue.Empty):
            self.wake.get(timeout=_POLL)
        found = []
        for worker in list(self.busy):
            ended = worker.poll() is not None
            if ended:
                worker.reader.join(2.0)  # a grandchild may hold the pipe open for ever
            if worker.answers:
                found.append(_outcome(worker.index, worker.answers.popleft()))
            elif ended:
                found.append(TaskOutcome(worker.index, death=worker.death()))
            else:
                continue
            self.busy.remove(worker)
            if not ended:
                self.idle.append(worker)
        return found

    def stop(self) -> None:
        """Ask all to stop, wait, and end those that do not; a second Ctrl-C ends them at once."""
        team = [*self.busy, *self.idle]
        patience = worker_process.STOP_SECONDS if self.busy else _END_SECONDS
        try:
            for worker in team:
                worker.ask_to_stop()
            begun, told = time.monotonic(), False
            for pause in itertools.chain([0.0, 0.002, 0.01], itertools.repeat(0.03)):
                time.sleep(pause)
                spent = time.monotonic() - begun
                if all([worker.poll() is not None for worker in team]) or spent > patience:
                    break
                if spent > _PATIENCE and not told:
                    told = True
                    say("Waiting for the workers to save their state; Ctrl-C again ends them at once")
        finally:
            with no_interrupt():
                for worker in team:
                    worker.kill()


def _outcome(index: int, answer: bytes) -> TaskOutcome:
    good, body, trace = pickle.loads(answer)
    try:
        value = pickle.loads(body)
    except Exception as error:
        value, good = worker_process.WorkerFaultError(f"{type(error).__name__}: {error}"), False
    if good:
        return TaskOutcome(index, value=value)
    value.__cause__ = worker_process.WorkerFaultError(f"in a worker process:\n{trace}")
    return TaskOutcome(index, error=value)


class _Worker:
    """One process, and the thread that reads its answers."""

    def __init__(self, log: Path, environment: dict[str, str], wake: queue.SimpleQueue[None]) -> None:
        token, self.wake, self.log = secrets.token_hex(16), wake, log
        # the path first: Python would look into the current folder before the folders of the parent
        served = f"from {worker_process.__name__} import serve_worker; serve_worker({token!r})"
        # its arguments last: records say which command they are from
        code = f"import sys; sys.path[:] = {sys.path!r}; sys.argv[:] = {sys.argv!r}; {served}"
        options: dict[str, Any] = {"process_group": 0}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
        try:
            with open(log, "ab") as errors:
                self.process = subprocess.Popen(
                    [sys.executable, *flags, "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=environment,
                    **options,
                )
        except OSError as error:
            raise MeasurementError(f"A worker process cannot be started ({error}); try --jobs 1") from error
        self.index, self.beside = -1, False
        self.code: int | None = None
        self.peak: int | None = None
        self.answers: deque[bytes] = deque()
        assert self.process.stdout is not None
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout, token.encode()), daemon=True)
        self.reader.start()

    def _read(self, stream: IO[bytes], token: bytes) -> None:
        seen = b""
        while not seen.endswith(token) and (byte := stream.read(1)):  # whatever is printed before the token is dropped
            seen = (seen + byte)[-len(token) :]
        while (answer := worker_process.read_message(stream)) is not None:  # type: ignore[arg-type]
            self.answers.append(answer)
            self.wake.put(None)
        self.wake.put(None)

    def give(self, index: int, log: Path, payload: bytes) -> None:
        self.index, self.log = index, log
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has died: poll() tells
            worker_process.write_message(self.process.stdin, pickle.dumps((str(log.absolute()), payload)))  # type: ignore[arg-type]

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        if self.code is None and hasattr(os, "wait4"):
            try:
                pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            except ChildProcessError:  # other code of this program has waited for it
                self.code = self.process.poll()
            else:
                if pid:
                    self.code = self.process.returncode = os.waitstatus_to_exitcode(status)
                    self.peak = _own_peak(usage.ru_maxrss)
        elif self.code is None:
            self.code = self.process.poll()
        return self.code

    def death(self) -> Death:
        assert self.code is not None
        found = Death(self.code, self.peak, self.log, self.beside)
        with contextlib.suppress(OSError), open(self.log, "a", encoding="utf-8") as stream:
            stream.write(f"worker process {self.process.pid} {describe_exit(self.code, self.peak)}\n")
        return found

    def ask_to_stop(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def kill(self) -> None:
        """End the process and its children, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(OSError):
                if hasattr(os, "killpg"):
                    os.killpg(self.process.pid, signal.SIGKILL)
                else:
                    self.process.kill()
            while self.poll() is None:
                time.sleep(0.005)
        self.reader.join(2.0)
        if not self.reader.is_alive() and self.process.stdout is not None:
            self.process.stdout.close()


def _own_peak(counted: int) -> int | None:
    """A child's peak in bytes; None where the number may be ours: Linux counts what a child was before it became it."""
    peak = counted * (1 if sys.platform == "darwin" else 1024)
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        ours = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        ours = 0
    return peak if peak > ours else None
