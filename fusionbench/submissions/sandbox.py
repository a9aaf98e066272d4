"""Runs one of our own functions on submitted data in a process of its own, with limits and out of reach of the rest.

Only our own code runs and nothing submitted is executed: this is defence in depth, against faults in the libraries that
read submissions. The process has an empty environment, and a limit on time, memory, number of processes, CPU time and
sizes of files. It reads and writes only what it was given, by bubblewrap or Landlock (:mod:`isolation`), and nothing
of it is left when it ends, or when whoever waits for it is killed (:mod:`supervisor`). What a system cannot limit is
named: once on stderr, in the log of a queue's item, and in the provenance of a result.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fusionbench.core.errors import MeasurementError
from fusionbench.core.progress import say
from fusionbench.submissions import isolation
from fusionbench.submissions.supervisor import Ended, Order

GIB = 1 << 30
MEMORY = 8 * GIB  # bytes that all processes together may use
RESERVED = 24 << 30  # bytes of address space, most of which torch reserves and never touches
FILES = 4 << 30  # bytes of a file that is written
PROCESSES = 64
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_UNLIMITED = "not limited: "
_BEGINS = "limits are set"  # what the process says before it looks at anything that was submitted
_EXCEEDED = {"memory": "needs more memory than is allowed", "processes": "starts too many processes"}


class _Task(msgspec.Struct):
    """What the process does, and within which limits."""

    function: str
    arguments: list[str]
    seconds: int
    memory: int
    isolated: bool  # by bubblewrap, from outside
    readable: list[str]
    writable: list[str]


@dataclass(frozen=True)
class Done:
    """How a process ended.

    Attributes:
        ok: whether the function returned.
        message: one line for people, "" where it did.
        network: whether the process had one.
        unlimited: what the system could not limit.
        isolation: "bubblewrap", "landlock", or "none" where it could read and write what its user can.
        peak: most bytes of memory that were seen in use.
    """

    ok: bool
    message: str
    network: bool
    unlimited: tuple[str, ...] = ()
    isolation: str = "none"
    peak: int = 0

    @property
    def facts(self) -> dict[str, object]:
        """What a result's provenance says about its scoring."""
        return {"isolation": self.isolation, "not_limited": list(self.unlimited)}


def run_limited(
    function: str,
    arguments: Sequence[str],
    *,
    seconds: int,
    memory: int = MEMORY,
    readable: Iterable[Path] = (),
    writable: Iterable[Path] = (),
) -> Done:
    """Call ``module:function`` of ours with texts as arguments.

    Args:
        function: ``module:function``.
        arguments: its arguments.
        seconds: most time by the clock.
        memory: most bytes of memory.
        readable, writable: absolute files and folders that the function reads, and folders that are there that it
            writes to; everything else is out of its reach where the system allows that.

    Raises:
        MeasurementError: the process could not be started, which says nothing about what was submitted.
    """
    reads = [place for path in readable for place in isolation.linked_places(Path(path))]
    writes = [Path(path) for path in writable]
    program = isolation.bubblewrap()
    root = str(Path(__file__).resolve().parents[2])  # fusionbench itself may be a checkout
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as scratch:
        environment = {"PATH": os.defpath, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "HOME": "/"}
        environment |= {"TMPDIR": "/tmp" if program else scratch, "PYTHONDONTWRITEBYTECODE": "1"}
        if "SYSTEMROOT" in os.environ:  # Windows starts no Python without it
            environment["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
        places = isolation.python_places(function)
        task = _Task(
            function,
            list(arguments),
            seconds,
            memory,
            program is not None,
            [str(path) for path in (*places, *reads)],
            [str(path) for path in (*writes, Path(scratch))],
        )
        command = [sys.executable, "-m", "fusionbench.submissions.sandbox", msgspec.json.encode(task).decode()]
        if program is not None:
            command = isolation.bubblewrap_command(program, command, [*places, *reads], writes)
        ended = _supervised(Order(command, seconds, memory, PROCESSES), environment)
    return _judged(ended, seconds, program is not None)


def limits_of_this_system() -> tuple[str, tuple[str, ...]]:
    """How submissions are kept apart here ("bubblewrap", "landlock" or "none"), and what could not be limited.

    Raises:
        MeasurementError: no such process can be started.
    """
    done = _tried()
    return done.isolation, done.unlimited


@functools.cache
def _tried() -> Done:
    return run_limited("os:getcwd", [], seconds=120)


def _supervised(order: Order, environment: dict[str, str]) -> Ended:
    """Run an order in a supervisor; it ends everything when this process ends, however that happens."""
    command = [sys.executable, "-m", "fusionbench.submissions.supervisor"]
    process = subprocess.Popen(
        command,
        env=environment,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=os.name == "posix",
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            process.stdin.flush()
        answer = process.stdout.read()
        try:
            return msgspec.json.decode(answer, type=Ended)
        except msgspec.DecodeError as error:
            lines = process.stderr.read().decode(errors="replace").split("\n")
            reason = next((line for line in reversed(lines) if line.strip()), "no answer")[:300]
            raise MeasurementError(f"the process that watches over scoring failed: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _judged(ended: Ended, seconds: int, isolated: bool) -> Done:
    """What an end means."""
    before, begun, after = ended.head.partition(f"{_BEGINS}\n")
    if not begun and not ended.exceeded:
        lines = [line for line in (ended.head + ended.tail).splitlines() if line.strip()]
        reason = lines[-1][:300] if lines else f"code {ended.code}"
        raise MeasurementError(f"the process that reads submissions could not be started: {reason}")
    said = before.splitlines()
    unlimited = [line.removeprefix(_UNLIMITED) for line in said if line.startswith(_UNLIMITED)]
    if not ended.reaped and not isolated:
        unlimited.append("processes that detach themselves")
    network = "network" in unlimited
    kind = "bubblewrap" if isolated else "landlock" if "landlock" in said else "none"
    if unlimited:
        _tell(f"note: this system does not limit {', '.join(unlimited)} of the process that reads a submission")

    def done(message: str) -> Done:
        return Done(not message, message, network, tuple(unlimited), kind, ended.peak)

    if ended.exceeded:
        return done(_EXCEEDED.get(ended.exceeded, f"took longer than {seconds} s"))
    if ended.code == 0:
        return done("")
    lines = (after + ended.tail).splitlines()
    errors = [line for line in lines if line.startswith("fusionbench: ")]
    if errors:
        return done(errors[-1].removeprefix("fusionbench: ") or "failed")
    # A shell's way to tell of a signal, which bubblewrap follows.
    signal = -ended.code if ended.code < 0 else ended.code - 128
    if signal > 0:
        return done(f"was stopped by signal {signal}: over its limit of time or memory")
    return done(lines[-1][:300] if lines else f"ended with code {ended.code}")


@functools.cache
def _tell(message: str) -> None:
    """Say something once, however many submissions there are."""
    say(message)


def _limit(seconds: int, memory: int = MEMORY) -> list[str]:
    """Set the limits that this system has; the names of the others."""
    limits = {
        "CPU": ("CPU time", seconds),
        "AS": ("address space", max(RESERVED, 2 * memory)),
        "DATA": ("", memory),
        "FSIZE": ("size of files", FILES),
        "CORE": ("", 0),
    }
    try:
        import resource
    except ImportError:
        return [name for name, _ in limits.values() if name]
    missing: list[str] = []
    for kind, (name, most) in limits.items():
        try:
            what = getattr(resource, f"RLIMIT_{kind}")
            _, hard = resource.getrlimit(what)
            # The limit on memory must leave room for what is mapped already.
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (most, most))
        except (AttributeError, ValueError, OSError):
            if sys.platform == "linux":  # where all of them are known to work
                raise
            missing.append(name)
    return [name for name in missing if name]


def _leave_network() -> bool:
    """Move into a network of its own, which has no way out; False where the system does not allow it."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWNET) == 0)
    return False


def _main() -> None:
    from fusionbench.core.errors import FusionbenchError

    task = msgspec.json.decode(sys.argv[1], type=_Task)
    missing = _limit(task.seconds, task.memory)
    if not task.isolated:
        if not _leave_network():
            missing.append("network")
        if isolation.confine(task.readable, task.writable):
            print("landlock", file=sys.stderr)
        else:
            missing.append("which files are read and written")
    for name in missing:
        print(f"{_UNLIMITED}{name}", file=sys.stderr)
    print(_BEGINS, file=sys.stderr, flush=True)
    module, _, name = task.function.partition(":")
    try:
        getattr(importlib.import_module(module), name)(*task.arguments)
    except FusionbenchError as error:
        print(f"fusionbench: {error}", file=sys.stderr)
        sys.exit(1)
    except MemoryError:
        print("fusionbench: needs more memory than is allowed", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        print(f"fusionbench: {type(error).__name__}: {' '.join(str(error).split())[:300]}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    atexit.register(gc.freeze)  # looking for garbage in all of torch at the end takes a third of a second
    _main()
