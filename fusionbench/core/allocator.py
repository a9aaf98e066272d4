"""Keep freed memory for the next image, on systems whose allocator gives it back at once.

glibc asks the system for every array of more than 32 MB anew, and gives it back when it is freed. Each of its pages is
then a fault that zeroes it, before a network writes one map of an image: 16 to 47 % of the time that networks take
on a CPU (``benchmarks/perf/allocator.py``). Kept, the same memory serves the next layer.

The processes of the command line that run networks do this, and their workers. A program that imports fusionbench
decides for itself: how memory is given back is a matter of the whole process.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from fusionbench.core.memory import machine_memory

MAPPED_FROM = 256 << 20  # bytes of an array that goes back to the system nevertheless: what is kept falls into pieces
KEPT = (1 << 31) - 1  # bytes at the end of the heap that are kept at most: the largest number that mallopt takes
ENOUGH = 4 << 30  # free bytes below which speed is not worth memory
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt(3), the same on every architecture
_keeps = False


def keep_freed_memory() -> bool:
    """Let the allocator of this process keep what is freed, up to 2 GiB; whether it does.

    Networks fuse 1.2 to 1.8 times as fast on a CPU, and the process holds up to 1.4 times as much memory. All threads
    share one heap, since those of other threads cannot hold large arrays. Nothing is changed, and the answer is False,
    where less than 4 GiB are free, where the allocator is not glibc's, and where the environment says how it is to
    behave (``MALLOC_TRIM_THRESHOLD_`` and its like, ``GLIBC_TUNABLES``). It may be called at any time and again; best
    before threads are started.

    Example:
        >>> from fusionbench.core.allocator import keep_freed_memory
        >>> keep_freed_memory() in (True, False)
        True
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    process, free = _glibc(), machine_memory().free
    if process is None or (free is not None and free < ENOUGH):
        return False
    global _keeps  # of the process, as the allocator is
    settings = {_ARENA_MAX: 1, _MMAP_THRESHOLD: MAPPED_FROM, _TRIM_THRESHOLD: KEPT}
    _keeps = all([process.mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings.items()])
    return _keeps


def release_kept_memory() -> None:
    """Give back what this process keeps because of :func:`keep_freed_memory`: before work on arrays of other sizes.

    They would not fit into what was freed: a process that scored networks on pictures of many sizes grew to more than
    twice its peak.

    Example:
        >>> from fusionbench.core.allocator import release_kept_memory
        >>> release_kept_memory()
    """
    if _keeps:
        release_freed_memory()


def release_freed_memory() -> None:
    """Give back what the allocator holds of freed memory now; nothing where the allocator is not glibc's.

    Example:
        >>> from fusionbench.core.allocator import release_freed_memory
        >>> release_freed_memory()
    """
    process = _glibc()
    if process is not None:
        process.malloc_trim(ctypes.c_size_t(0))


def _glibc() -> Any:
    """The C library of this process, None where it is another one: musl's functions of these names do nothing."""
    try:
        process = ctypes.CDLL(None)
        _ = process.gnu_get_libc_version, process.mallopt, process.malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return process
