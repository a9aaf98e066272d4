"""How much memory the machine has, or the container, and how much of it is free."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MachineMemory:
    """Bytes in all and free, None where the system does not tell; ``contained``: the container's limit is the total."""

    total: int | None
    free: int | None
    contained: bool = False


def machine_memory(root: Path = Path("/")) -> MachineMemory:
    """Memory of the machine, or of the container where that is less; ``root`` is where ``proc`` and ``sys`` are.

    Example:
        >>> from fusionbench.core.memory import machine_memory
        >>> memory = machine_memory()
        >>> memory.total is None or memory.total > 1 << 20
        True
    """
    free = total = None
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = [line.split() for line in (root / "proc/meminfo").read_text().splitlines()]
        table = {words[0]: int(words[1]) * 1024 for words in lines}
        total, free = table.get("MemTotal:"), table.get("MemAvailable:")
    if total is None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _container_memory(root)
    if limit is None or (total is not None and limit[0] >= total):
        return MachineMemory(total, free)
    return MachineMemory(limit[0], min(limit[0] - limit[1], limit[0] if free is None else free), True)


def _container_memory(root: Path) -> tuple[int, int] | None:
    """Limit and use in bytes of the control group (version 2, or 1) that this process is in, where it has a limit."""
    group = ""
    with contextlib.suppress(OSError):
        rows = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
        group = next((row[2] for row in rows if len(row) == 3 and row[0] == "0"), "").strip("/")
    base = root / "sys/fs/cgroup"
    for folder, most, now in (
        (base / group, "memory.max", "memory.current"),
        (base, "memory.max", "memory.current"),
        (base / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
            limit, used = int((folder / most).read_text()), int((folder / now).read_text())
            return limit, max(0, used - _file_cache(folder))
    return None


def _file_cache(folder: Path) -> int:
    """Bytes of files that a control group has read and not used since: dropped when memory is asked for."""
    with contextlib.suppress(OSError, ValueError):
        rows = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
    return 0
