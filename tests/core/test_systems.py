"""Systems without what Linux has: the calls are taken away before anything is imported, and the verbs still work."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.io import shipped_folder
from fusionbench.core.locks import lock
from fusionbench.data.shards.manifest import read_manifest
from fusionbench.sources.pairs import Pairs
from fusionbench.submissions import sandbox
from fusionbench.submissions.supervisor import Ended, Order
from tests.sources import folders

# what Windows does not have; macOS lacks the first two
CALLS = "sched_getaffinity sched_setaffinity fork getuid geteuid getgid getpgid killpg setsid getloadavg sysconf"
MODULES = "fcntl resource pwd grp termios pty posix_ipc"
BARE = f"""
import asyncio, os, sys, warnings  # asyncio is the interpreter's own and knows which system it is on
warnings.simplefilter("ignore")
for name in {MODULES.split()!r}:
    sys.modules[name] = None
for name in {CALLS.split()!r}:
    if hasattr(os, name):
        delattr(os, name)
from fusionbench.cli import main
main(sys.argv[1:])
"""


def bare(cwd: Path, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BARE, *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_scoring(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b", "fused")):
        folders.save(tmp_path / name / "1.png", folders.picture(seed, 48, 56, grey=True))
    done = bare(tmp_path, "score", "--a", "a", "--b", "b", "--fused", "fused", "--metrics", "en,sd", "--json")
    assert done.returncode == 0 and '"en"' in done.stdout, done.stderr


def test_generating_and_verifying(tmp_path: Path) -> None:
    text = (shipped_folder("datasets_recipes") / "fusiondigits.toml").read_text()
    (tmp_path / "r.toml").write_text(text)
    done = bare(tmp_path, "generate", "--recipe", "r.toml", "--out", "d")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.strip()
    # the published identity: the same bytes as where nothing was taken away
    assert read_manifest(folder).id == "92432a49751223749c1607637281578a64ce1a6af89e6388ddbefb591cc9e112"
    assert not list((folder / ".build").glob("lock*"))
    done = bare(tmp_path, "verify", folder, "--regenerate", "5")
    assert done.returncode == 0 and "equal" in done.stdout, done.stderr


def test_training_saves_checkpoints(tmp_path: Path) -> None:
    bare(tmp_path, "generate", "fusiondigits")
    done = bare(tmp_path, "train", "fcn", "--preset", "tiny", "--data", "fusiondigits", "--budget", "2 steps")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "runs").glob("**/weights.safetensors"))


def test_every_limit_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process of ``check`` and ``accept`` where there is no module ``resource``; time and memory are watched."""
    real = sandbox._supervised

    def hidden(order: Order, environment: dict[str, str]) -> Ended:
        at = order.command.index("fusionbench.submissions.sandbox")
        script = (
            "import sys; sys.modules['resource'] = None; from fusionbench.submissions import sandbox as s; s._main()"
        )
        order.command[at - 1 : at + 1] = ["-c", script]
        return real(order, environment)

    monkeypatch.setattr(sandbox, "_supervised", hidden)
    sandbox._tell.cache_clear()
    done = sandbox.run_limited("os:getcwd", [], seconds=60)
    assert done.ok and done.unlimited[:3] == ("CPU time", "address space", "size of files")
    told = f"note: this system does not limit {', '.join(done.unlimited)} of the process that reads a submission\n"
    assert capsys.readouterr().err == told
    assert done.facts["not_limited"] == list(done.unlimited), "and a result says it"
    done = sandbox.run_limited("time:sleep", ["x"], seconds=60)  # a failure is still told
    assert not done.ok and done.message.startswith("TypeError")
    assert capsys.readouterr().err == "", "once is enough"


def test_a_limit_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS refuses the limit of address space; on Linux, where it is known to work, that stays an error."""
    resource = pytest.importorskip("resource")

    def refused(what: int, limits: tuple[int, int]) -> None:
        if what == resource.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refused)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sandbox._limit(10) == ["address space"]
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ValueError, match="exceeds"):
        sandbox._limit(10)


def test_no_library_to_leave_the_network_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> object:
        raise TypeError("argument of type 'NoneType'")  # of Windows

    monkeypatch.setattr(ctypes, "CDLL", none)
    assert sandbox._leave_network() is False


def test_two_folders_on_two_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.pairs(tmp_path, "one/x", "two/y")

    def apart(_: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os.path, "commonpath", apart)
    source = Pairs.between(tmp_path / "one" / "x", tmp_path / "two" / "y", "all")
    assert source.stems("all") == ["01", "02", "x3"]
    assert source.read_pairs("all", np.array([0]))[0].shape == (2, 12, 16)


def test_an_open_lock_needs_no_call_of_posix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CALLS.split():
        monkeypatch.delattr(os, name, raising=False)
    with lock(tmp_path / "lock", wait=False) as held:
        assert held
