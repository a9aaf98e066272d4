"""Looks at the machine: system, processor, threads, memory, folders, encoding."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusionbench.core.cpus import core_count
from fusionbench.core.memory import machine_memory

GIB = 1 << 30
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ISA_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
# of /proc/cpuinfo: those that numerical libraries choose their code by
INSTRUCTIONS = ("sse4_1", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")


@dataclass(frozen=True)
class Finding:
    """One check: ``ok``, ``warn`` (works, but look at it) or ``fail`` (something will not work), and the remedy."""

    check: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""


def check_python() -> Iterator[Finding]:
    """Which Python on which system; an older one than 3.11 does not get this far."""
    version = f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}"
    yield Finding("python", "ok", version)


def usable_cores() -> int:
    """Cores that this process may use: affinity and cgroup limits count."""
    try:
        return core_count()
    except Exception:  # a broken joblib has a line of its own
        return os.cpu_count() or 1


def check_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[Finding]:
    """Model, instruction sets, usable cores, and what the environment takes away from them."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    with contextlib.suppress(OSError):
        pairs = [line.partition(":") for line in cpuinfo.read_text(errors="replace").splitlines()]
        fields = {key.strip().lower(): value.strip() for key, _, value in reversed(pairs)}  # the first core's win
        model = fields.get("model name", model)
        flags = set(fields.get("flags", fields.get("features", "")).split())
    if platform.system() == "Darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            model = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or model
    usable, total = usable_cores(), os.cpu_count() or 1
    cores = f"{usable} cores" if usable == total else f"{usable} of {total} cores usable (affinity, container)"
    known = " ".join(flag for flag in INSTRUCTIONS if flag in flags)
    limits = [f"{name}={os.environ[name]}" for name in ISA_LIMITS if os.environ.get(name)]
    yield Finding("processor", "ok", ", ".join(part for part in (model, cores, known, *limits) if part))


def check_threads() -> Iterator[Finding]:
    """Numbers of threads that the environment asks numerical libraries for."""
    given = {name: os.environ[name] for name in THREADS if os.environ.get(name)}
    cores = usable_cores()
    wrong = [f"{name}={value}" for name, value in given.items() if not value.isdecimal() or not int(value)]
    many = [f"{name}={value}" for name, value in given.items() if value.isdecimal() and int(value) > cores]
    if wrong:
        yield Finding("threads", "warn", f"no number of threads: {', '.join(wrong)}", "unset them, or write a number")
    elif many:
        detail = f"{', '.join(many)} for {cores} usable cores: threads would wait for each other"
        yield Finding("threads", "warn", detail, "unset them, or set them to the number of cores")
    else:
        yield Finding("threads", "ok", ", ".join(f"{k}={v}" for k, v in given.items()) or "as the libraries choose")


def check_memory(root: Path = Path("/")) -> Iterator[Finding]:
    """Memory of the machine and of the container; ``root`` is where ``proc`` and ``sys`` are."""
    memory = machine_memory(root)
    if memory.total is None:
        yield Finding("memory", "ok", "not known on this system")
        return
    detail = f"{memory.total / GIB:.1f} GiB" + (
        f", {memory.free / GIB:.1f} GiB free" if memory.free is not None else ""
    )
    if memory.contained:
        detail += " (limit of the container)"
    if (memory.total if memory.free is None else memory.free) < 2 * GIB:
        remedy = "close other programs, or use fewer --jobs: every worker process loads its own libraries"
        yield Finding("memory", "warn", detail, remedy)
    else:
        yield Finding("memory", "ok", detail)


def check_folder(folder: Path, name: str = "folder") -> Iterator[Finding]:
    """The folder can be written and has room."""
    folder = folder.resolve()
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"fusionbench")
            stream.flush()
    except OSError as error:
        detail = f"{folder} cannot be written: {error.strerror}"
        remedy = (
            "set TMPDIR to another folder" if name == "temporary" else "work in a folder of your own, or give --out"
        )
        yield Finding(name, "fail", detail, remedy)
        return
    free = shutil.disk_usage(folder).free
    if free < GIB:
        remedy = "free some space: quickstart needs 0.1 GiB, FusionMNIST 0.5 GiB"
        yield Finding(name, "warn", f"{folder}: only {free / GIB:.2f} GiB free", remedy)
    else:
        yield Finding(name, "ok", f"{folder}: writable, {free / GIB:,.0f} GiB free")


def check_encoding() -> Iterator[Finding]:
    """Tables use a few characters outside ASCII."""
    names = {"stdout": getattr(sys.stdout, "encoding", None) or "ascii", "files": sys.getfilesystemencoding()}
    bad = [f"{name} {encoding}" for name, encoding in names.items() if encoding.lower().replace("-", "") != "utf8"]
    if bad:
        remedy = "set PYTHONUTF8=1 or a UTF-8 locale, for example LC_ALL=C.UTF-8"
        yield Finding("encoding", "warn", f"not UTF-8: {', '.join(bad)}", remedy)
    else:
        yield Finding("encoding", "ok", "UTF-8")
