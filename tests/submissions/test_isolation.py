"""What a process that reads submissions can see: the words for bubblewrap, the places, and the probe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench.submissions import isolation
from fusionbench.submissions.isolation import bubblewrap, bubblewrap_command, confine, linked_places, python_places

ROOT = Path(__file__).parents[2]


@pytest.fixture
def unprobed() -> object:
    bubblewrap.cache_clear()
    yield None
    bubblewrap.cache_clear()


def test_a_program_that_does_not_work_is_not_used(
    unprobed: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where user namespaces are off: bubblewrap is installed and every call of it fails."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho x >> \"$0.calls\"\necho 'bwrap: No permissions' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(isolation.sys, "platform", "linux")
    monkeypatch.setattr(isolation.shutil, "which", lambda name: str(program))
    assert bubblewrap() is None and bubblewrap() is None
    assert (tmp_path / "bwrap.calls").read_text() == "x\n", "it is tried once"


def test_no_program(unprobed: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation.shutil, "which", lambda name: None)
    assert bubblewrap() is None
    bubblewrap.cache_clear()
    monkeypatch.setattr(isolation.sys, "platform", "darwin")
    monkeypatch.setattr(isolation.shutil, "which", lambda name: sys.executable)
    assert bubblewrap() is None


def test_a_folder_comes_before_what_is_in_it() -> None:
    command = bubblewrap_command("bwrap", ["run", "it"], [Path("/a/b"), Path("/a"), Path("/a/b")], [Path("/a/b/out")])
    places = [command[at + 1] for at, word in enumerate(command) if word in ("--ro-bind-try", "--bind")]
    assert places[-3:] == ["/a", "/a/b", "/a/b/out"] and command[-3:] == ["--", "run", "it"]
    assert {"--unshare-net", "--unshare-pid", "--die-with-parent", "--unshare-user"} <= set(command)
    assert command.index("--tmpfs") < command.index("/a"), "what is given may lie below /tmp"
    assert places.count("/a/b") == 1 and "/" not in places and "/home" not in places and "/etc" not in places


def test_only_what_python_needs_can_be_read() -> None:
    places = python_places("tests.submissions.test_isolation:x")
    assert ROOT / "fusionbench" in places and ROOT / "tests" in places and Path(sys.prefix) in places
    assert ROOT not in places and Path("/") not in places and Path.home() not in places
    assert ROOT / "tests" not in python_places("os:getcwd")
    assert python_places("no_such_module:x") == python_places()


def test_data_that_lie_on_other_disks_stay_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, disk = tmp_path / "data", tmp_path / "disk"
    (data / "sub").mkdir(parents=True)
    disk.mkdir()
    for name in ("a", "b"):
        (disk / name).touch()
        (data / "sub" / name).symlink_to(disk / name)
    (data / "gone").symlink_to(tmp_path / "none")
    (data / "inner").symlink_to(data / "sub")
    assert linked_places(data) == [data, disk / "a", disk / "b"]
    monkeypatch.setattr(isolation, "_MAX_LINKS", 1)
    assert linked_places(data) == [data, disk]
    assert linked_places(disk / "a") == [disk / "a"] and linked_places(tmp_path / "none") == [tmp_path / "none"]


def test_landlock_in_a_process_of_its_own(tmp_path: Path) -> None:
    """It cannot be undone, so it is tried elsewhere; where the system has none, nothing is claimed."""
    (tmp_path / "given").write_text("x")
    (tmp_path / "secret").write_text("x")
    script = (
        "import sys; from fusionbench.submissions.isolation import confine\n"
        f"held = confine([{str(tmp_path / 'given')!r}], [])\n"
        f"open({str(tmp_path / 'given')!r}).close()\n"
        "try:\n"
        f"    open({str(tmp_path / 'secret')!r}).close()\n"
        "except PermissionError:\n"
        "    sys.exit(0 if held else 1)\n"
        "sys.exit(1 if held else 0)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60).returncode == 0


def test_without_the_library_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "landlock", None)
    assert confine([], []) is False
