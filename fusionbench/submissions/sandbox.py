"""Runs one of our own functions on submitted data in a child process with limits.

Limits: wall-clock time, CPU time, memory, size of files, no core dumps, an empty environment, and no network where the
system lets a process give it up. Only our own code runs and nothing submitted is executed: this is defence in depth.
Wall-clock time and the environment are limited everywhere; limits that a system does not have (Windows has no
``setrlimit``, macOS none of memory) are named on stderr.
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

from fusionbench.core.progress import say

MEMORY = 24 << 30  # of address space, most of which torch reserves and never touches
FILES = 4 << 30
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_UNLIMITED = "not limited: "


@dataclass(frozen=True)
class Done:
    """How a child ended. ``message`` is one line for people; ``network`` whether the child had one; ``unlimited`` what
    the system could not limit."""

    ok: bool
    message: str
    network: bool
    unlimited: tuple[str, ...] = ()


def run_limited(function: str, arguments: Sequence[str], *, seconds: int) -> Done:
    """Call ``module:function`` of ours with texts as arguments, for at most ``seconds``."""
    command = [sys.executable, "-m", "fusionbench.submissions.sandbox", str(seconds), function, *arguments]
    root = str(Path(__file__).resolve().parents[2])  # fusionbench itself may be a checkout
    environment = {"PATH": os.defpath, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "HOME": "/"}
    if "SYSTEMROOT" in os.environ:  # Windows starts no Python without it
        environment["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
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
    unlimited = tuple(line.removeprefix(_UNLIMITED) for line in lines if line.startswith(_UNLIMITED))
    if unlimited:
        say(f"note: this system does not limit {', '.join(unlimited)} of the process that reads a submission")
    errors = [line for line in lines if line.startswith("fusionbench: ")]
    if done.returncode == 0:
        return Done(True, "", network, unlimited)
    if errors:
        message = errors[-1].removeprefix("fusionbench: ")
    elif done.returncode < 0:
        message = f"was stopped by signal {-done.returncode}: over its limit of time or memory"
    else:
        message = lines[-1][:300] if lines else f"ended with code {done.returncode}"
    return Done(False, message, network, unlimited)


def _limit(seconds: int) -> list[str]:
    """Set the limits that this system has; the names of the others."""
    limits = {
        "CPU": ("CPU time", seconds),
        "AS": ("memory", MEMORY),
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

    seconds, function, *arguments = sys.argv[1:]
    print("network: none" if _leave_network() else "network: as the machine's", file=sys.stderr)
    for name in _limit(int(seconds)):
        print(f"{_UNLIMITED}{name}", file=sys.stderr)
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
