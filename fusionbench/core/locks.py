"""Locks between processes, on file systems with and without support for locks.

Where the system locks files (``flock``, ``LockFileEx``), a lock ends with its process, however that ends. Some network
file systems refuse (NFS without lockd and Lustre without ``-o flock`` answer ENOLCK or ENOSYS), and some systems have
no such call. There a marker file ``<path>.held`` takes its place. It names process and host of its holder, and outlives
a holder that is killed: a marker whose process no longer runs on this host is removed, any other is named to the user.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench.core.errors import DataError
from fusionbench.core.progress import say

if TYPE_CHECKING:
    from filelock import BaseFileLock

_REFUSED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_POLL = 0.25  # seconds between two looks at a marker
_SETTLES = 3.0  # seconds after which a marker that says nothing counts as held
_MAX_RECORD = 1024  # bytes of a marker


@contextlib.contextmanager
def lock(path: str | Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an advisory lock on the file ``path``, created when missing, or on the marker ``<path>.held`` (see above).

    Yields True when the lock is held; with ``wait=False`` yields False when another process has it. Where that other
    process left a marker that cannot be checked from here, one line on stderr names the marker.

    Raises:
        DataError: the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _acquire(path, wait)
    except OSError as error:
        raise DataError(f"{path}: cannot write: {error.strerror or error}; check the folder") from error
    try:
        yield held is not None
    finally:
        if held is not None:
            held.release()


def _acquire(path: Path, wait: bool) -> BaseFileLock | None:
    """The lock that is now held; None where another process holds it and it is not waited for."""
    from filelock import FileLock, SoftFileLock, Timeout

    if not issubclass(FileLock, SoftFileLock):  # it is one where the system has no locks at all
        # not its own way out: that would put the marker at ``path``, where a lock file of another day may lie
        hard = FileLock(path, fallback_to_soft=False)
        try:
            hard.acquire(blocking=wait)
            return hard
        except Timeout:
            return None
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
    marker = path.with_name(f"{path.name}.held")
    soft, told, settled = SoftFileLock(marker), False, time.monotonic() + _SETTLES
    while True:
        clear = _clear(marker)
        if clear or os.name != "posix":
            with contextlib.suppress(Timeout):
                soft.acquire(blocking=False)
                return soft
        if clear is None and time.monotonic() < settled:  # being written or looked at just now
            time.sleep(_POLL / 10)
            continue
        if not told:
            told = True
            say(f"{marker}: {_holder(marker)} is at work here; if that process has ended, remove this file")
        if not wait:
            return None
        time.sleep(_POLL)


def _clear(marker: Path) -> bool | None:
    """Whether no marker is in the way, once one of a process of this host that is gone has been removed.

    None where that is unknown now: the marker is half written, or another process looks at it. Only the holder of a
    second marker, ``<marker>.check``, removes one, so that no process removes the new marker of a third. The library's
    own way exchanges two names atomically, which network file systems refuse.
    """
    from filelock import SoftFileLock, Timeout

    if not marker.exists():
        return True
    if (found := _record(marker)) is None:
        return None
    if os.name != "posix" or _runs(found[0]):  # elsewhere signal 0 means something else, and the library takes over
        return False
    guard = marker.with_name(f"{marker.name}.check")
    try:
        with SoftFileLock(guard).acquire(blocking=False):
            record, ours = _record(marker), _record(guard)  # ours says how the library spells this host
            if record is None or ours is None:
                return None
            if record[1] != ours[1] or _runs(record[0]):
                return False
            marker.unlink(missing_ok=True)
            return True
    except Timeout:
        return None


def _record(marker: Path) -> tuple[int, str] | None:
    """Process and host in a marker, or None."""
    try:
        with open(marker, "rb") as stream:
            lines = stream.read(_MAX_RECORD).decode("ascii").split("\n")
        number = int(lines[0])
        return (number, lines[1]) if 0 < number < 1 << 31 and lines[1] else None
    except (OSError, ValueError, IndexError):
        return None


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs and belongs to another user
        return True
    return True


def _holder(marker: Path) -> str:
    record = _record(marker)
    if record is None:
        return "an unknown process"
    host = "".join(letter if letter.isprintable() else "?" for letter in record[1]).partition("?pidns-")[0]
    return f"process {record[0]} on {host[:80]}"


__all__ = ["lock"]
