"""What the process that reads a submission can see and write: bubblewrap where it works, else Landlock.

Bubblewrap gives it a root of what Python needs, a private ``/tmp``, no network, no capabilities and its own process
numbers, which end together. It needs user namespaces, which some systems refuse, so it is tried once in earnest. Where
it does not work, Landlock (through the package ``landlock``, extra ``sandbox``) limits which files are opened.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

# Of the system: libraries, their index, the time zone, and how many processors there are.
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/alternatives", "/etc/localtime"),
    *(
        "/etc/ld.so.cache",
        "/etc/ld.so.conf",
        "/etc/ld.so.conf.d",
        "/sys/devices/system/cpu",
        "/sys/devices/system/node",
    ),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_SCRATCH = 1 << 30  # bytes of the private /tmp
_SHARED = 64 << 20  # bytes of /dev/shm
_MAX_LINKS = 64  # above this many targets of links their folders are made readable instead
_MAX_LOOKED = 200_000  # entries of a folder that are looked at for links


@functools.cache
def bubblewrap() -> str | None:
    """The program, or None where there is none or it does not work here; tried once, with the arguments of real use."""
    program = shutil.which("bwrap") if sys.platform == "linux" else None
    if program is None:
        return None
    command = bubblewrap_command(program, [sys.executable, "-I", "-c", "pass"], python_places(), [])
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, cwd="/")
        return program if done.returncode == 0 else None
    return None


def bubblewrap_command(
    program: str, command: Sequence[str], readable: Iterable[Path], writable: Iterable[Path]
) -> list[str]:
    """``command`` with a root that has the system's libraries and ``readable``, and only ``writable`` to write to.

    Writable folders must be there; of what is readable, what is not there is left out.
    """
    words = [program, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    words += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for place in _SYSTEM:
        words += ["--ro-bind-try", place, place]
    words += ["--proc", "/proc", "--dev", "/dev", "--size", str(_SHARED), "--tmpfs", "/dev/shm"]
    words += ["--size", str(_SCRATCH), "--tmpfs", "/tmp", "--remount-ro", "/dev"]
    # A folder before what is in it: a later mount hides what an earlier one put below its place.
    for path in sorted(set(readable), key=lambda path: len(path.parts)):
        words += ["--ro-bind-try", str(path), str(path)]
    for path in sorted(set(writable), key=lambda path: len(path.parts)):
        words += ["--bind", str(path), str(path)]
    return [*words, "--remount-ro", "/", "--chdir", "/", "--", *command]


def python_places(function: str = "") -> list[Path]:
    """Folders that this Python, fusionbench, registered plugins and the module of ``function`` are read from."""
    root = Path(__file__).resolve().parents[2]
    places = [Path(sys.prefix), Path(sys.base_prefix), *map(Path, site.getsitepackages())]
    executable = Path(sys.executable)
    places += [executable.parent, executable.resolve().parent.parent]
    places += [root / name for name in ("fusionbench", "datasets_recipes", "benchmarks")]
    module, _, _ = function.partition(":")
    places += _folders_of(module.partition(".")[0])
    with contextlib.suppress(Exception):  # a damaged package of somebody else is not ours to report here
        for package in importlib.metadata.distributions():
            for entry in package.entry_points:
                if entry.group.startswith("fusionbench."):
                    places += _folders_of(entry.module.partition(".")[0])
    # not "/": where Python is installed there, its parts are among the system's places
    return [place for place in dict.fromkeys(places) if place.exists() and place != Path(place.anchor)]


def _folders_of(package: str) -> Iterator[Path]:
    """Where a package or a single module lies."""
    with contextlib.suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(package) if package else None
        if spec is not None:
            yield from map(Path, spec.submodule_search_locations or [])
            if spec.submodule_search_locations is None and spec.origin and os.path.isabs(spec.origin):
                yield Path(spec.origin)


def linked_places(folder: Path) -> list[Path]:
    """``folder`` and what links in it lead to, so that data that are spread over disks stay readable."""
    targets: set[Path] = set()
    if not folder.is_dir():
        return [folder]
    for number, entry in enumerate(_entries(folder)):
        if number >= _MAX_LOOKED:
            break
        if entry.is_symlink():
            target = Path(os.path.realpath(entry.path))
            if target.exists() and not target.is_relative_to(folder):
                targets.add(target)
    if len(targets) > _MAX_LINKS:
        targets = {target if target.is_dir() else target.parent for target in targets}
    return [folder, *sorted(target for target in targets if target != Path(target.anchor))]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path))


def confine(readable: Iterable[str], writable: Iterable[str]) -> bool:
    """Let this process open nothing but these files and folders from now on, by Landlock; False where it cannot.

    There is no way back, for this process and all that it starts.
    """
    try:
        from landlock import FSAccess, LandlockError, Ruleset
    except ImportError:
        return False
    reading = FSAccess.READ_FILE | FSAccess.READ_DIR | FSAccess.EXECUTE
    try:
        rules = Ruleset()
        for place in (*_SYSTEM, "/proc", *readable):
            if os.path.exists(place):
                rules.allow(place, rules=reading if os.path.isdir(place) else reading & ~FSAccess.READ_DIR)
        for place in _DEVICES:
            if os.path.exists(place):
                rules.allow(place, rules=FSAccess.READ_FILE | FSAccess.WRITE_FILE)
        for place in writable:
            rules.allow(place)
        rules.apply()
    except (LandlockError, OSError):
        return False
    return True
