"""What the doctor says of a machine: made-up processors, containers, folders and environments."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from fusionbench.cli import machine


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.status for finding in machine.check_folder(tmp_path)] == ["ok"]
    assert [finding.status for finding in machine.check_folder(tmp_path / "missing")] == ["fail"]
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    assert [finding.status for finding in machine.check_folder(tmp_path)] == ["warn"]


def test_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, "getfilesystemencoding", lambda: "ascii")
    (finding,) = machine.check_encoding()
    assert finding.status == "warn" and "PYTHONUTF8" in finding.remedy


def test_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor : 0\nmodel name\t: Model One\nflags\t: fpu sse4_1 avx2\n\nprocessor : 1\nflags : fpu\n"
    )
    monkeypatch.setattr(machine, "usable_cores", lambda: 3)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(machine.platform, "system", lambda: "Linux")
    for name in machine.ISA_LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    (finding,) = machine.check_processor(cpuinfo)
    expected = "Model One, 3 of 64 cores usable (affinity, container), sse4_1 avx2, ONEDNN_MAX_CPU_ISA=AVX2"
    assert (finding.status, finding.detail) == ("ok", expected)


@pytest.mark.parametrize(("value", "status"), [("2", "ok"), ("8", "warn"), ("many", "warn"), ("0", "warn")])
def test_threads(value: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    for name in machine.THREADS:
        monkeypatch.delenv(name, raising=False)
    assert [finding.status for finding in machine.check_threads()] == ["ok"]
    monkeypatch.setenv("MKL_NUM_THREADS", value)
    (finding,) = machine.check_threads()
    assert finding.status == status and f"MKL_NUM_THREADS={value}" in finding.detail


def test_memory(tmp_path: Path) -> None:
    """A machine of 16 GiB with 9 free, then a container with a limit of 4 GiB of which 3 are taken."""
    (tmp_path / "proc/self").mkdir(parents=True)
    group = tmp_path / "sys/fs/cgroup/box"
    group.mkdir(parents=True)
    gib = 1 << 20  # in KiB
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {16 * gib} kB\nMemAvailable: {9 * gib} kB\nHugePages_Total: 0\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/box\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text(f"{3 << 30}\n")
    (finding,) = machine.check_memory(tmp_path)
    assert (finding.status, finding.detail) == ("ok", "16.0 GiB, 9.0 GiB free")
    (group / "memory.max").write_text(f"{4 << 30}\n")
    (finding,) = machine.check_memory(tmp_path)
    assert (finding.status, finding.detail) == ("warn", "4.0 GiB, 1.0 GiB free (limit of the container)")
