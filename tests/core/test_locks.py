"""Locks exclude others wherever they lie, and no killed process blocks anybody for good."""

from __future__ import annotations

import errno
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core import locks
from fusionbench.core.errors import DataError
from fusionbench.core.locks import lock

fcntl = pytest.importorskip("fcntl")  # what is taken away here


def _refuse(code: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    fcntl.flock = flock


def _hold(path: Path, ready: Any, done: Any, code: int) -> None:
    if code:
        _refuse(code)
    with lock(path):
        ready.set()
        done.wait(30)


@pytest.fixture(
    params=[0, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=["flock", "ENOLCK", "ENOSYS", "EOPNOTSUPP"]
)
def code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The errno with which this file system refuses locks, 0 for one that does not."""
    monkeypatch.setattr(fcntl, "flock", fcntl.flock)  # put back afterwards
    if request.param:
        _refuse(request.param)
    return int(request.param)


def _holder(path: Path, code: int) -> tuple[multiprocessing.process.BaseProcess, Any]:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(path, ready, done, code))
    holder.start()
    assert ready.wait(60)
    return holder, done


def test_a_lock_excludes_others_and_dies_with_its_process(tmp_path: Path, code: int) -> None:
    path = tmp_path / "folder" / "lock"
    holder, _ = _holder(path, code)
    with lock(path, wait=False) as held:
        assert not held
    assert (tmp_path / "folder" / "lock.held").exists() == bool(code)
    holder.kill()
    holder.join(30)
    with lock(path, wait=False) as held:
        assert held
    assert not (tmp_path / "folder" / "lock.held").exists()


def test_a_lock_is_waited_for(tmp_path: Path, code: int) -> None:
    holder, done = _holder(tmp_path / "lock", code)
    threading.Timer(0.6, done.set).start()
    began = time.monotonic()
    with lock(tmp_path / "lock") as held:
        assert held and time.monotonic() - began > 0.3
    holder.join(30)
    assert holder.exitcode == 0


def test_an_old_lock_file_holds_nobody(tmp_path: Path, code: int) -> None:
    """A lock file that was left where locks worked, found where they do not."""
    (tmp_path / "lock").write_bytes(b"")
    with lock(tmp_path / "lock", wait=False) as held:
        assert held
    with lock(tmp_path / "lock", wait=False) as held:
        assert held


def test_a_dead_marker_goes_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems refuse the exchange with which the library takes over."""
    monkeypatch.setattr(fcntl, "flock", fcntl.flock)
    _refuse(errno.ENOLCK)
    soft = pytest.importorskip("filelock._soft")
    monkeypatch.setattr(soft.SoftFileLock, "_try_break_stale_lock", lambda self: None)
    holder, _ = _holder(tmp_path / "lock", errno.ENOLCK)
    holder.kill()
    holder.join(30)
    assert (tmp_path / "lock.held").exists()
    with lock(tmp_path / "lock", wait=False) as held:
        assert held
    assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == []


def test_a_marker_of_another_host_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fcntl, "flock", fcntl.flock)
    _refuse(errno.ENOLCK)
    marker = tmp_path / "lock.held"
    marker.write_text(f"{2**22 + 7}\nnode17\n")
    with lock(tmp_path / "lock", wait=False) as held:
        assert not held
    expected = f"{marker}: process {2**22 + 7} on node17 is at work here; if that process has ended, remove this file\n"
    assert capsys.readouterr().err == expected
    monkeypatch.setattr(locks, "_POLL", 0.01)
    threading.Timer(0.3, marker.unlink).start()
    with lock(tmp_path / "lock") as held:
        assert held and marker.read_text().splitlines()[1].startswith(socket.gethostname()[:5])
    assert capsys.readouterr().err == expected  # once, however long it took
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"\xff\n\n", b"12\n", b"0\nhost\n", b"99999999999999\nhost\n", b"x" * 5000])
def test_markers_that_say_nothing_are_unknown(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(content)
    assert locks._holder(tmp_path / "m") == "an unknown process"


def test_control_characters_of_a_marker_are_not_printed(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"7\nho\x1b[2Jst\n")
    assert locks._holder(tmp_path / "m") == "process 7 on ho?[2Jst"


def test_errors_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot write") as caught, lock(tmp_path / "file" / "lock"):
        pass
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(fcntl, "flock", fcntl.flock)
    _refuse(errno.EIO)  # a fault, not a refusal: no marker takes the lock's place
    with pytest.raises(DataError, match="Input/output error"), lock(tmp_path / "lock"):
        pass
    assert not (tmp_path / "lock.held").exists()


def test_what_the_body_raises_is_its_own(tmp_path: Path, code: int) -> None:
    with pytest.raises(OSError, match="mine"), lock(tmp_path / "lock"):
        raise OSError("mine")
    with lock(tmp_path / "lock", wait=False) as held:
        assert held


WITHOUT_FCNTL = """
import sys, warnings
sys.modules["fcntl"] = None
warnings.simplefilter("ignore")  # the library says once that it has no locks of the system's
from pathlib import Path
from fusionbench.core.locks import lock
with lock(Path(sys.argv[1])) as held:
    print(held, Path(sys.argv[1] + ".held").exists(), flush=True)
    with lock(Path(sys.argv[1]), wait=False) as again:
        print(again)
print(Path(sys.argv[1] + ".held").exists())
"""


def test_a_system_without_fcntl(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_FCNTL, str(tmp_path / "lock")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True", "False", "False"], done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1  # who is at work


def _contend(path: Path, code: int, failed: Any) -> None:
    if code:
        _refuse(code)
    locks._POLL = 0.01
    inside = path.with_name("inside")
    for _ in range(15):
        with lock(path) as held:
            try:
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
                time.sleep(0.001)
                inside.unlink()
            except OSError:
                failed.set()
            if not held:
                failed.set()


def test_one_of_many_is_inside(tmp_path: Path, code: int) -> None:
    """Begun at a marker that a dead process of this host left, so that all of them want to remove it."""
    holder, _ = _holder(tmp_path / "lock", code)
    holder.kill()
    holder.join(30)
    context = multiprocessing.get_context("spawn")
    failed = context.Event()
    crowd = [context.Process(target=_contend, args=(tmp_path / "lock", code, failed)) for _ in range(4)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(120)
    assert [process.exitcode for process in crowd] == [0] * 4 and not failed.is_set()
