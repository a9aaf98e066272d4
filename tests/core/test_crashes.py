"""How an end is told, and the note that a crash leaves in a run folder."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench.core.crashes import (
    NOTE,
    crash_note,
    describe_exit,
    exit_remedy,
    is_out_of_memory,
    native_remedy,
    note_crash,
    read_crash,
    signal_name,
    who_exited,
)


@pytest.mark.parametrize(
    ("code", "words", "remedy"),
    [
        (-signal.SIGSEGV, "crashed (SIGSEGV) in native code", "fusionbench doctor"),
        (-signal.SIGBUS, "crashed (SIGBUS) in native code", "fusionbench doctor"),
        (-signal.SIGABRT, "crashed (SIGABRT) in native code", "fusionbench doctor"),
        (-signal.SIGILL, "crashed (SIGILL) in native code", "fusionbench doctor"),
        (-signal.SIGKILL, "killed (SIGKILL), most likely for memory", "--jobs 1 or a smaller batch"),
        (-signal.SIGTERM, "stopped by SIGTERM", "run the same command again"),
        (-250, "stopped by signal 250", "run the same command again"),
        (7, "left with exit code 7 and without a result", "log"),
        (0, "left with exit code 0 and without a result", "log"),
        (0xC0000005, "crashed (access violation) in native code", "fusionbench doctor"),
    ],
)
def test_every_end_has_words_and_a_remedy(code: int, words: str, remedy: str) -> None:
    assert describe_exit(code) == words and remedy in exit_remedy(code)


def test_names_of_signals() -> None:
    assert (signal_name(-11), signal_name(0), signal_name(11)) == ("SIGSEGV", "", "")


def test_a_peak_is_told_of_a_kill() -> None:
    assert describe_exit(-9, 3 << 29).endswith("(its peak was 1.5 GiB)")
    assert "peak" not in describe_exit(-11, 3 << 29)


@pytest.mark.parametrize(
    ("machine", "limit", "capability", "expected"),
    [
        ("x86_64", None, "AVX512", "ONEDNN_MAX_CPU_ISA=AVX2"),
        ("x86_64", None, "AVX2", "ONEDNN_MAX_CPU_ISA=SSE41"),
        ("AMD64", "AVX2", "AVX512", "ONEDNN_MAX_CPU_ISA=SSE41"),
        ("x86_64", "avx512_core", "AVX512", "ONEDNN_MAX_CPU_ISA=AVX2"),
        ("x86_64", "SSE41", "AVX2", "OMP_NUM_THREADS=1"),
        ("arm64", None, "DEFAULT", "OMP_NUM_THREADS=1"),
    ],
)
def test_the_remedy_is_one_that_was_not_tried(
    machine: str, limit: str | None, capability: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert native_remedy().endswith(f"try {expected}")


def test_where_memory_ran_out() -> None:
    import cv2
    import numpy as np
    import torch

    with pytest.raises(MemoryError) as of_numpy:
        np.empty(1 << 60, np.uint8)
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(cv2.error) as other:
        cv2.resize(np.zeros((2, 2), np.uint8), (0, 0))
    assert is_out_of_memory(of_numpy.value) and is_out_of_memory(of_torch.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(other.value) and not is_out_of_memory(ValueError("memory"))


def test_notes_are_read_back_in_one_line(tmp_path: Path) -> None:
    assert read_crash(tmp_path) is None
    note_crash(tmp_path, "crashed; log: a.log\nmore")
    assert read_crash(tmp_path) == "crashed; log: a.log"
    note_crash(tmp_path / "none", "crashed")  # a run that was never begun
    assert not (tmp_path / "none").exists()


def test_a_note_from_outside_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / NOTE).write_bytes(b"\x1b[2Jred\x07\xff\x00" + b"x" * 10_000_000)
    found = read_crash(tmp_path)
    assert found is not None and found.startswith("[2Jred") and found.isprintable() and len(found) <= 400
    (tmp_path / NOTE).unlink()
    (tmp_path / NOTE).mkdir()
    assert read_crash(tmp_path) is None
    if hasattr(os, "mkfifo"):
        (tmp_path / NOTE).rmdir()
        os.mkfifo(tmp_path / NOTE)
        assert read_crash(tmp_path) is None  # and does not wait for a writer


def test_who_called_sys_exit_is_told() -> None:
    with pytest.raises(SystemExit) as caught:
        sys.exit("no\nlicence")
    told = who_exited(caught.value)
    assert told.startswith(f"{__file__}, line ") and told.endswith(r"ended the work with sys.exit('no\nlicence')")
    with pytest.raises(SystemExit) as caught:
        exec(compile("import builtins, _sitebuiltins as s\ns.Quitter('exit', '')(3)", "own.py", "exec"), {})
    assert who_exited(caught.value) == "own.py, line 2, in <module>, ended the work with sys.exit(3)"
    assert who_exited(SystemExit()) == "ended the work with sys.exit(None)"


CRASH = """
import os, signal, sys
from pathlib import Path
from fusionbench.core.crashes import crash_note
with crash_note(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_a_process_of_its_own_leaves_a_note_and_the_next_attempt_removes_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGSEGV
    found = read_crash(tmp_path)
    assert found is not None and found.startswith("crashed (Segmentation fault) in native code")
    assert str(tmp_path / NOTE) in found and "fusionbench doctor" in found
    with crash_note(tmp_path):
        pass
    assert not (tmp_path / NOTE).exists()


def test_a_faulthandler_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    code = f"import faulthandler; faulthandler.enable()\n{CRASH}"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert "Fatal Python error: Segmentation fault" in done.stderr and read_crash(tmp_path) is None


def test_an_attempt_that_ends_otherwise_leaves_no_note(tmp_path: Path) -> None:
    code = CRASH.replace("os.kill(os.getpid(), signal.SIGSEGV)", "raise KeyboardInterrupt")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True)
    assert not (tmp_path / NOTE).exists()
