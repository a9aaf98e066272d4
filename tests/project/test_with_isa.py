"""The tool that runs a command as on an older processor: what it sets is what the libraries then do."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "with_isa.py"
LOOK = """
import json
import numpy as np
import torch
from numpy._core._multiarray_umath import __cpu_dispatch__ as dispatched, __cpu_features__ as features
used = [name for name in dispatched if features[name]]
try:
    from numba import njit
    def total(x):
        return (x * x).sum()
    code = njit(total)
    code(np.ones(99))
    wide = [name for name in ("zmm", "ymm") if name in "".join(code.inspect_asm().values())]
except ImportError:
    wide = []
torch_uses = {"torch": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
print(json.dumps({"numba": wide, "numpy": used, **torch_uses}))
"""


def seen(*options: str) -> dict[str, object]:
    done = subprocess.run([sys.executable, TOOL, *options, "--", sys.executable, "-c", LOOK], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="levels of x86-64")
def test_libraries_use_no_newer_instructions() -> None:
    old, middle = seen("SSE41", "--threads", "1"), seen("AVX2", "--threads", "2")
    assert old == {"numba": [], "numpy": [], "torch": "DEFAULT", "threads": 1}
    assert not any(name.startswith(("AVX512", "X86_V4")) for name in middle["numpy"])  # type: ignore[attr-defined]
    assert "zmm" not in middle["numba"]  # type: ignore[operator]
    assert middle["torch"] in ("AVX2", "DEFAULT") and middle["threads"] == 2


@pytest.mark.parametrize(
    "wrong", [["AVX9", "--", "true"], ["AVX2"], ["AVX2", "--threads", "--", "true"], ["AVX2", "--"], []]
)
def test_calls_that_are_wrong(wrong: list[str]) -> None:
    done = subprocess.run([sys.executable, TOOL, *wrong], capture_output=True, text=True)
    assert done.returncode == 2 and "python tools/with_isa.py AVX2" in done.stderr


def test_the_exit_code_is_the_command_s() -> None:
    assert subprocess.call([sys.executable, TOOL, "default", "--", sys.executable, "-c", "raise SystemExit(5)"]) == 5
