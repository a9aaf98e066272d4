"""Runs one of our own functions on a stranger's data in a child process with limits.

Limits: wall-clock time, CPU time, memory, size of files, no core dumps, an empty environment, and no network where the
system lets a process give it up. Our own code runs, only tensors and text are theirs: this is the second line.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MEMORY = 24 << 30  # of address space, most of which torch reserves and never touches
FILES = 4 << 30
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


@dataclass(frozen=True)
class Done:
    """How a child ended. ``message`` is one line for people; ``network`` whether the child had one."""

    ok: bool
    message: str
    network: bool


def run_limited(function: str, arguments: Sequence[str], *, seconds: int) -> Done:
    """Call ``module:function`` of ours with texts as arguments, for at most ``seconds``."""
    command = [sys.executable, "-m", "fusionbench.sandbox", str(seconds), function, *arguments]
    root = str(Path(__file__).resolve().parents[1])  # fusionbench itself may be a checkout
    environment = {"PATH": os.defpath, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "HOME": "/"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=seconds,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return Done(False, f"took longer than {seconds} s", True)
    lines = done.stderr.decode(errors="replace").splitlines()
    network = "network: none" not in lines
    errors = [line for line in lines if line.startswith("fusionbench: ")]
    if done.returncode == 0:
        return Done(True, "", network)
    if errors:
        return Done(False, errors[-1].removeprefix("fusionbench: "), network)
    if done.returncode < 0:
        return Done(False, f"was stopped by signal {-done.returncode}: over its limit of time or memory", network)
    return Done(False, lines[-1][:300] if lines else f"ended with code {done.returncode}", network)


def _limit(seconds: int) -> None:
    import resource

    # The limit on memory must leave room for what is mapped already.
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _leave_network() -> bool:
    """Move into a network of its own, which has no way out; False where the system does not allow it."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWNET) == 0)
    return False


def _main() -> None:
    from fusionbench.errors import FusionbenchError

    seconds, function, *arguments = sys.argv[1:]
    print("network: none" if _leave_network() else "network: as the machine's", file=sys.stderr)
    _limit(int(seconds))
    module, _, name = function.partition(":")
    try:
        getattr(importlib.import_module(module), name)(*arguments)
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
    _main()
