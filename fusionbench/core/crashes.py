"""How a process ended that did not finish its work: as text for users, and as a note in a run folder.

A process that is killed or crashes in native code cannot report it. Where it was a worker, its parent reads the exit
code; where it was alone, ``faulthandler`` writes the stack to the note in the run folder.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import platform
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

NOTE = "crash.txt"  # in a run folder: the last attempt to train ended by a signal
_NATIVE = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS")
_WINDOWS = {  # exit codes of Windows: NTSTATUS values
    0xC0000005: "access violation",
    0xC000001D: "illegal instruction",
    0xC0000094: "integer division by zero",
    0xC00000FD: "stack overflow",
    0xC0000374: "heap corruption",
    0xC0000409: "stack buffer overrun",
}
_LONGEST = 400  # characters of a note that are shown


def signal_name(code: int) -> str:
    """``SIGSEGV`` for the exit code -11; empty where the process was not ended by a signal."""
    if code >= 0:
        return ""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def describe_exit(code: int, peak: int | None = None) -> str:
    """What happened to a process, as the end of a sentence that starts with its name.

    Args:
        code: exit code as :mod:`subprocess` gives it, negative after a signal.
        peak: largest resident memory of the process in bytes, where it is known.
    """
    name = signal_name(code)
    if name == "SIGKILL":
        memory = "" if peak is None else f" (its peak was {peak / 2**30:.1f} GiB)"
        return f"killed (SIGKILL), most likely for memory{memory}"
    if name in _NATIVE:
        return f"crashed ({name}) in native code"
    if name:
        return f"stopped by {name}"
    if code in _WINDOWS:
        return f"crashed ({_WINDOWS[code]}) in native code"
    return f"left with exit code {code} and without a result"


def exit_remedy(code: int, native: str = "") -> str:
    """What a user can try after :func:`describe_exit`. ``native``: after a crash of other libraries than torch."""
    text = describe_exit(code)
    if text.startswith("killed"):
        return "try --jobs 1 or a smaller batch"
    if text.startswith("crashed"):
        return native or native_remedy()
    return "run the same command again" if text.startswith("stopped") else "the end of the log may say why"


def native_remedy() -> str:
    """What a user can try after a crash in native code.

    torch's kernels on x86-64 differ by instruction set; a lower one takes other kernels.
    """
    doctor = "`fusionbench doctor` checks gradients on this processor"
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"{doctor}; try OMP_NUM_THREADS=1"
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if limit == "SSE41":
        return f"{doctor}; try OMP_NUM_THREADS=1"
    wide = limit.startswith("AVX512") or (not limit and _has_avx512())
    return f"{doctor}; try ONEDNN_MAX_CPU_ISA={'AVX2' if wide else 'SSE41'}"


def _has_avx512() -> bool:
    torch = sys.modules.get("torch")  # not worth an import
    try:
        return torch is not None and "AVX512" in torch.backends.cpu.get_cpu_capability().upper()
    except AttributeError:
        return False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: of Python or NumPy, of a GPU, or in torch's or OpenCV's own allocation on the CPU."""
    if {cls.__name__ for cls in type(error).__mro__} & {"MemoryError", "OutOfMemoryError"}:
        return True
    return any(text in str(error) for text in ("DefaultCPUAllocator", "Insufficient memory"))


def who_exited(error: SystemExit) -> str:
    """Which line called ``sys.exit``: code of a method or a metric that does so has come to no result.

    Example:
        >>> from fusionbench.core.crashes import who_exited
        >>> try:
        ...     raise SystemExit(7)
        ... except SystemExit as error:
        ...     who_exited(error).rpartition(", ")[2]
        'ended the work with sys.exit(7)'
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "_sitebuiltins" not in frame.filename]
    said = " ".join(repr(error.code).split())[:100]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name}, " if frames else ""
    return f"{where}ended the work with sys.exit({said})"


def note_crash(folder: Path, text: str) -> None:
    """Leave the line ``text`` in a run folder, for :func:`read_crash`; a folder that is not there gets none."""
    if folder.is_dir():
        with contextlib.suppress(OSError):
            (folder / NOTE).write_text(text.splitlines()[0] + "\n", encoding="utf-8")


def read_crash(folder: Path) -> str | None:
    """How the last attempt to train into ``folder`` crashed, in one line; None where it did not.

    A run folder may come from outside, so that only a few printable characters of it are shown.
    """
    path = folder / NOTE
    try:
        if not path.is_file():
            return None
        with open(path, encoding="utf-8", errors="replace") as stream:
            first = stream.readline(4 * _LONGEST).strip()
    except OSError:
        return None
    for start in ("Fatal Python error: ", "Windows fatal exception: "):  # written by faulthandler, the stack follows
        if first.startswith(start):
            first = f"crashed ({first.removeprefix(start)}) in native code; stack: {path}; {native_remedy()}"
    return "".join(letter for letter in first if letter.isprintable())[:_LONGEST] or None


@contextlib.contextmanager
def crash_note(folder: Path) -> Iterator[None]:
    """Remove the note of an earlier attempt, and let ``faulthandler`` write one should the body crash.

    Where ``faulthandler`` is on already (a worker with a log, pytest, ``python -X faulthandler``) it is left alone:
    whoever turned it on gets the stack.
    """
    path = folder / NOTE
    path.unlink(missing_ok=True)
    if faulthandler.is_enabled():
        yield
        return
    try:
        with open(path, "w") as stream:
            faulthandler.enable(stream)
            try:
                yield
            finally:
                faulthandler.disable()
    finally:
        path.unlink(missing_ok=True)
