"""Run a command as on another x86-64 processor: the numerical libraries are told to use older instructions only.

    python tools/with_isa.py AVX2 -- python -m pytest tests/models
    python tools/with_isa.py SSE41 --threads 2 -- fusionbench doctor

Levels: ``SSE41`` (the oldest that the wheels run on), ``AVX2`` (most desktops and laptops) and ``default`` (this
processor). oneDNN, torch's own kernels, NumPy, OpenCV and OpenBLAS each have a variable of their own, and NumPy's names
differ between releases, so they are read from the one that is installed. What a library does not know it ignores.
"""

from __future__ import annotations

import os
import subprocess
import sys

LEVELS = ("SSE41", "AVX2", "default")
_OPENCV = {"AVX2": "AVX512-SKX", "SSE41": "AVX512-SKX,AVX2,FP16,AVX"}
_OPENBLAS = {"AVX2": "Haswell", "SSE41": "Nehalem"}
_NUMBA = {"AVX2": ("haswell", "+avx2"), "SSE41": ("penryn", "+sse4.1")}
_ATEN = {"AVX2": "avx2", "SSE41": "default"}
_SSE = ("SSE", "SSSE", "POPCNT", "X86_V2")


def environment(level: str, threads: int | None = None) -> dict[str, str]:
    """Variables that hold a process to a level and, where given, to a number of threads.

    Raises:
        ValueError: an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; choose one of {', '.join(LEVELS)}")
    found = {"FUSIONBENCH_TEST_ISA": level}
    if threads is not None:
        found |= {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS")}
        found["FUSIONBENCH_TEST_THREADS"] = str(threads)
    if level == "default":
        return found
    return found | {
        "ONEDNN_MAX_CPU_ISA": level,
        "ATEN_CPU_CAPABILITY": _ATEN[level],
        "NPY_DISABLE_CPU_FEATURES": " ".join(numpy_features(level)),
        "OPENCV_CPU_DISABLE": _OPENCV[level],
        "OPENBLAS_CORETYPE": _OPENBLAS[level],
        "NUMBA_CPU_NAME": _NUMBA[level][0],
        "NUMBA_CPU_FEATURES": _NUMBA[level][1],
    }


def numpy_features(level: str) -> list[str]:
    """Dispatched features of the installed NumPy above a level, by the names that it knows."""
    from numpy._core._multiarray_umath import __cpu_dispatch__ as dispatched

    newest = ("AVX512", "X86_V4")
    return [name for name in dispatched if (name.startswith(newest) if level == "AVX2" else not name.startswith(_SSE))]


def main(arguments: list[str]) -> int:
    """The command's exit code; 2 for a call that is wrong."""
    try:
        split = arguments.index("--")
        options, command = arguments[:split], arguments[split + 1 :]
        level, *rest = options
        threads = int(rest[1]) if rest[:1] == ["--threads"] else None
        if not command or len(rest) not in (0, 2) or (rest and threads is None):
            raise ValueError("no command")
        more = environment(level, threads)
    except (ValueError, IndexError) as error:
        print(f"{error}\n{(__doc__ or '').strip()}", file=sys.stderr)
        return 2
    return subprocess.call(command, env={**os.environ, **more})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
