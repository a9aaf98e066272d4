"""The number of cores, with and without the system's CPU affinity."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fusionbench.core.cpus import core_count


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_affinity_is_respected() -> None:
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from fusionbench.core.cpus import core_count; print(core_count())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "1", done.stderr


def test_a_system_without_affinity_has_cores_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    assert 1 <= core_count() <= (os.cpu_count() or 1)
