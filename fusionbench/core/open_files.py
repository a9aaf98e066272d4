"""Room for many open files: a mapped shard keeps one open, and systems begin with a limit of 256 or 1,024."""

from __future__ import annotations

import contextlib
import os

from fusionbench.core.errors import DataError

_SPARE = 64  # for libraries, logs and workers


def allow_open_files(more: int, name: str) -> None:
    """Let this process open ``more`` files beside those that it has open, by raising its own limit where it is lower.

    Args:
        name: whose files they are, for the message.

    Raises:
        DataError: the system does not let a process open as many.

    Example:
        >>> from fusionbench.core.open_files import allow_open_files
        >>> allow_open_files(10, "my-data")
    """
    try:
        import resource
    except ImportError:  # Windows, where mapped files are not counted
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _open_now() + more + _SPARE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard == resource.RLIM_INFINITY or hard >= needed:
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit beyond what it calls the limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            return
    raise DataError(f"{name}: {more} files have to be open at once, the limit is {soft}; raise it: ulimit -n {needed}")


def _open_now() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(folder))
    return _SPARE
