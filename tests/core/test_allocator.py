"""Freed memory is kept where the allocator is glibc's, in the processes that run networks, and bits stay."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from fusionbench import cli
from fusionbench.core import allocator
from fusionbench.core.memory import machine_memory
from fusionbench.core.workers import run_in_workers

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")

FAULTS = """
import ctypes, resource, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 kB, also where the system likes larger ones
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.full((25 << 18,), 1.0)  # 25 MiB are 6400 pages
        torch.full((25 << 20,), 1.0)  # 100 MiB are 25600
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""


def clean() -> dict[str, str]:
    """The environment without what Dask leaves in it: MALLOC_TRIM_THRESHOLD_, in a process that had a cluster."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}


def count_faults(first: str, **environment: str) -> int:
    """Page faults of ten arrays of 25 MiB and of 100 MiB in a new process that runs ``first``."""
    code = f"{first}\n{FAULTS}\nfaults()\nprint(faults())"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env={**clean(), **environment}, check=True, capture_output=True, text=True)
    return int(run.stdout.split()[-1])


# as if there were enough memory, whatever runs beside this test
KEEP = "import fusionbench.core.allocator as own; own.ENOUGH = 0; kept = own.keep_freed_memory()"


@glibc
def test_arrays_are_made_in_memory_that_was_freed() -> None:
    assert count_faults("pass") > 200_000
    assert count_faults(f"{KEEP}; assert kept") < 60_000


@glibc
def test_threads_share_what_is_kept() -> None:
    """A heap of a thread of its own holds no large array."""
    in_thread = FAULTS + "\nimport threading\nfound = []\ndef work():\n    faults(); found.append(faults())\n"
    in_thread += "t = threading.Thread(target=work); t.start(); t.join()\nprint(found[0])"
    run = subprocess.run(
        [sys.executable, "-c", KEEP + in_thread], env=clean(), check=True, capture_output=True, text=True
    )
    assert int(run.stdout) < 60_000


@glibc
@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_TRIM_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072")]
)
def test_the_environment_has_the_last_word(name: str, value: str) -> None:
    assert count_faults(f"{KEEP}; assert not kept", **{name: value}) > 200_000


@glibc
@pytest.mark.parametrize(("free", "kept"), [(None, True), (4 << 30, True), ((4 << 30) - 1, False)])
def test_small_machines_keep_memory_for_others(free: int | None, kept: bool) -> None:
    first = "import fusionbench.core.allocator as module; from fusionbench.core.memory import MachineMemory\n"
    first += f"module.machine_memory = lambda: MachineMemory(8 << 30, {free})\n"
    found = count_faults(f"{first}assert module.keep_freed_memory() is {kept}")
    assert (found < 60_000) == kept


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_other_systems_are_left_alone(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: str | None) -> object:
        raise error("there is none")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    assert allocator.keep_freed_memory() is False


def test_a_mallopt_of_another_library_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def mallopt(self, name: int, value: int) -> int:
            raise AssertionError("musl's is another one")

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Other())
    assert allocator.keep_freed_memory() is False


def page_faults() -> int:
    """What a worker counts."""
    import resource

    import torch

    for round_ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.full((25 << 20,), float(round_))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_workers_keep_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    if (machine_memory().free or allocator.ENOUGH) < 2 * allocator.ENOUGH:
        pytest.skip("too little memory is free for a worker to keep any")
    (outcome,) = run_in_workers(page_faults, [()], 1, threads=1)
    assert outcome.error is None and outcome.value < 60_000


@pytest.mark.parametrize("verb", sorted(cli.RUN_NETWORKS))
def test_verbs_that_run_networks_keep_memory(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: asked.append(True))
    with pytest.raises(SystemExit):
        cli.main([verb, "--no-such-option"])
    assert verb in cli.VERBS and asked == [True]


def test_other_verbs_leave_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: pytest.fail("serving a board keeps no memory"))
    with pytest.raises(SystemExit):
        cli.main(["serve", "--no-such-option"])


@glibc
def test_what_is_kept_is_given_back_before_other_sizes() -> None:
    """Only what this process keeps on purpose; the allocator's own ways are left alone."""
    held = "def held():\n    rows = open('/proc/self/status').read().splitlines()\n"
    held += "    return next(int(row.split()[1]) for row in rows if row.startswith('VmRSS')) >> 10\n"
    code = f"{KEEP}\n{held}\nimport torch\nfrom fusionbench.core.allocator import release_kept_memory\n"
    code += "before = held()\ntorch.full((200 << 18,), 1.0)\nkept = held() - before\nrelease_kept_memory()\n"
    code += "print(kept, held() - before)"
    run = subprocess.run([sys.executable, "-c", code], env=clean(), check=True, capture_output=True, text=True)
    kept, left = map(int, run.stdout.split())
    assert kept > 190 and left < 20
