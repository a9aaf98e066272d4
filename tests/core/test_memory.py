"""Memory of machines and containers, from made-up files of the system."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.memory import MachineMemory, machine_memory

GIB = 1 << 30


def write_machine(root: Path, total: int = 16, free: int = 9) -> None:
    """A machine with so many GiB."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: {total << 20} kB\nMemAvailable: {free << 20} kB\nPages: 0\n")
    (root / "proc/self/cgroup").write_text("0::/box\n")


def write_limit(folder: Path, version: int, limit: str, used: int, stat: str | None = None) -> None:
    """A control group."""
    folder.mkdir(parents=True, exist_ok=True)
    most, now = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (folder / most).write_text(f"{limit}\n")
    (folder / now).write_text(f"{used}\n")
    if stat is not None:
        (folder / "memory.stat").write_text(stat)


def test_a_machine_without_limits(tmp_path: Path) -> None:
    write_machine(tmp_path)
    write_limit(tmp_path / "sys/fs/cgroup/box", 2, "max", 3 * GIB)
    assert machine_memory(tmp_path) == MachineMemory(16 * GIB, 9 * GIB)


@pytest.mark.parametrize(
    ("version", "place", "key"), [(2, "box", "inactive_file"), (1, "memory", "total_inactive_file")]
)
def test_a_container_may_drop_files_that_it_has_read(tmp_path: Path, version: int, place: str, key: str) -> None:
    write_machine(tmp_path)
    folder = tmp_path / "sys/fs/cgroup" / place
    write_limit(folder, version, str(4 * GIB), 3 * GIB)
    assert machine_memory(tmp_path) == MachineMemory(4 * GIB, 1 * GIB, contained=True)
    write_limit(folder, version, str(4 * GIB), 3 * GIB, f"anon 1\n{key} {2 * GIB}\nactive_file {GIB}\n")
    assert machine_memory(tmp_path) == MachineMemory(4 * GIB, 3 * GIB, contained=True)


@pytest.mark.parametrize("stat", ["", "inactive_file\n", "inactive_file many\n", "a b c\n"])
def test_odd_statistics_of_a_container_count_as_none(tmp_path: Path, stat: str) -> None:
    write_machine(tmp_path)
    write_limit(tmp_path / "sys/fs/cgroup/box", 2, str(4 * GIB), 3 * GIB, stat)
    assert machine_memory(tmp_path).free == GIB


def test_a_limit_beyond_the_machine_is_none(tmp_path: Path) -> None:
    write_machine(tmp_path)
    write_limit(tmp_path / "sys/fs/cgroup/memory", 1, str(2**63 - 4096), 3 * GIB)
    assert machine_memory(tmp_path) == MachineMemory(16 * GIB, 9 * GIB)


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    found = machine_memory(tmp_path)  # the number of pages is known on POSIX systems
    assert found.free is None and not found.contained
