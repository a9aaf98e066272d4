"""A queue of submissions that is nothing but folders: incoming, working, done, rejected, failed, with logs.

Several workers may serve one queue: an item is locked before it is moved. The lock dies with its worker, so what a
killed worker left in ``working`` is taken up by the next one: no item stays there unnoticed. Every item is handled by
itself, and nothing that is put into ``incoming`` keeps the others waiting:

* done: accepted; rejected: refused, for a reason that its author can mend;
* failed: for reasons that are ours (an unexpected error, a machine without room) or unknown (workers ended with it
  several times), and what cannot be a submission at all, such as folders, links and pipes. :func:`retry` puts items
  that failed back.

What a worker may not take up for lack of settings stays in ``incoming``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionbench.core.errors import DataError, FusionbenchError, RejectedError, UsageError
from fusionbench.core.io import file_sha256
from fusionbench.core.locks import lock
from fusionbench.submissions.journal import Journal, State, file_item, item_key
from fusionbench.submissions.kinds import KINDS

STATES = ("incoming", "working", "done", "rejected", "failed")
MAX_BEGUN = 5  # times that workers begin with an item before it is set aside
_PARTIAL = (".tmp", ".part", ".partial", ".crdownload", ".filepart")  # of programs that copy


@dataclass(frozen=True)
class Handled:
    """What became of an item.

    Attributes:
        item: where it lies now.
        log: its log; None where it still waits.
        result: the result's folder when it was accepted.
        message: what the log says of its end.
        state: the folder of ``item``; "waits" where this worker lacks the settings for it, "error" where files of the
            queue could not be read or written, so that the item is handled when the queue is served again.
    """

    item: Path
    log: Path | None
    result: Path | None
    message: str
    state: str


def serve(
    queue: Path,
    handle: Callable[[Path], Path],
    suffixes: Collection[str] | None = None,
    notes: Sequence[str] = (),
) -> list[Handled]:
    """Handle everything that waits in ``queue``; ``handle`` scores one file and returns the result's folder.

    An item is rejected where ``handle`` raises a :class:`RejectedError`, waits after a :class:`UsageError`, and fails
    after anything else. Nothing but an interrupt ends the loop; the item in work then waits again.

    Args:
        suffixes: what names of files end in, upper or lower case, that are taken up; None for those of all kinds of
            submission. Files of other kinds wait for another worker.
        notes: lines for every log.

    Raises:
        DataError: the folders of the queue cannot be made or read.
    """
    known = {kind.suffix for kind in KINDS}
    taken = known if suffixes is None else set(suffixes)
    _make_folders(queue)
    handled = []
    for name in _waiting(queue, taken, known | taken):
        try:
            with _locked(queue, name) as mine:
                one = _take(queue, name, handle, taken, notes) if mine else None
        except Exception as error:  # of the queue's own files; the next item may fare better
            place = queue / "incoming" / name
            one = Handled(place, None, None, f"internal error: {type(error).__name__}: {error}", "error")
        if one is not None:
            handled.append(one)
    _sweep(queue)
    return handled


def retry(queue: Path) -> list[Path]:
    """Put every file that failed back into ``incoming``, where no other of its name waits; the new places.

    Logs stay in ``failed``; what is no regular file stays as well.
    """
    _make_folders(queue)
    moved = []
    for path in sorted((queue / "failed").iterdir()):
        place = queue / "incoming" / path.name
        if path.suffix != ".log" and not path.name.startswith(".") and _is_regular(path) and not os.path.lexists(place):
            os.rename(path, place)
            moved.append(place)
    return moved


def hidden_items(queue: Path) -> list[str]:
    """Names in ``incoming`` that start with a dot, in order: nobody takes them up until they are renamed."""
    return sorted((name for name in os.listdir(queue / "incoming") if name.startswith(".")), key=os.fsencode)


def _make_folders(queue: Path) -> None:
    try:
        for state in STATES:
            (queue / state).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{queue}: cannot make the folders of a queue: {error.strerror}; check the folder") from error


def _waiting(queue: Path, taken: Collection[str], known: Collection[str]) -> list[str]:
    """Names of items in order: of a suffix that is taken, and whatever cannot be a submission."""
    names = set()
    for state in ("working", "incoming"):
        with os.scandir(queue / state) as entries:
            for entry in entries:
                suffix = Path(entry.name).suffix.lower()
                if entry.name.startswith(".") or (suffix in _PARTIAL and entry.is_file(follow_symlinks=False)):
                    continue  # ours, or still being written
                if suffix in taken or suffix not in known or not entry.is_file(follow_symlinks=False):
                    names.add(entry.name)
    return sorted(names, key=os.fsencode)


@contextlib.contextmanager
def _locked(queue: Path, name: str) -> Iterator[bool]:
    """Hold the lock of an item, whose file is gone afterwards; False where another worker has it.

    The file is removed while it is locked. Whoever opened it before and locks it now sees that it has no name any more.
    """
    place = _lock_place(queue, item_key(name))
    with lock(place, wait=False) as mine:
        try:
            yield mine
        finally:
            if mine and os.name == "posix":  # elsewhere a file that is open cannot be removed
                place.unlink(missing_ok=True)


def _lock_place(queue: Path, key: str) -> Path:
    return queue / "working" / f".{key}.lock"


def _sweep(queue: Path) -> None:
    """Remove lock files of killed workers whose items are gone."""
    if os.name != "posix":
        return
    items = [entry for state in ("working", "incoming") for entry in os.listdir(queue / state)]
    used = {_lock_place(queue, item_key(name)) for name in items}
    for place in set((queue / "working").glob(".*.lock")) - used:
        with contextlib.suppress(FusionbenchError), lock(place, wait=False) as mine:
            if mine:
                place.unlink(missing_ok=True)


def _take(
    queue: Path, name: str, handle: Callable[[Path], Path], taken: Collection[str], notes: Sequence[str]
) -> Handled | None:
    """Handle one item, whose lock is held."""
    working, incoming = queue / "working" / name, queue / "incoming" / name
    journal = Journal(queue / "working" / f".{item_key(name)}.journal")
    if journal.end is not None:
        return _file(queue, working, journal)
    if os.path.lexists(working):
        journal.add("taken up again: an earlier worker ended before it was done")
    elif os.path.lexists(incoming):
        os.rename(incoming, working)
    else:
        journal.remove()
        return None  # another worker was faster
    try:
        _handle(working, journal, handle, taken, notes)
    except UsageError as error:  # settings of whoever serves the queue
        _put_back(working, incoming)
        journal.remove()
        return Handled(incoming, None, None, f"waits: {error}", "waits")
    except BaseException:
        _put_back(working, incoming)
        journal.remove()
        raise
    return _file(queue, working, journal)


def _handle(
    working: Path, journal: Journal, handle: Callable[[Path], Path], taken: Collection[str], notes: Sequence[str]
) -> None:
    """Bring an item to its end, and write down which one."""
    problem = _no_submission(working, taken)
    if problem:
        journal.add(f"the name was {working.name!r}")
        journal.add(f"set aside: {problem}", state="failed")
        return
    if journal.begun >= MAX_BEGUN:
        journal.add(f"set aside: {journal.begun} workers ended before they were done with it", state="failed")
        return
    journal.add(f"begun: the name is {working.name!r}", begun=True)
    try:
        journal.add(f"sha256 {file_sha256(working)}")
        for note in notes:
            journal.add(note)
        result = handle(working)
    except RejectedError as error:
        journal.add(f"rejected: {error}", state="rejected")
    except UsageError:
        raise
    except FusionbenchError as error:
        journal.add(f"failed, which is not known to be the submission's fault: {error}", state="failed")
    except Exception as error:
        journal.add(f"internal error: {type(error).__name__}: {str(error)[:1000]}", state="failed")
    else:
        journal.add(f"accepted: {result}", state="done", result=result)


def _file(queue: Path, working: Path, journal: Journal) -> Handled:
    """Put an item that has ended where it belongs."""
    end = journal.end
    assert end is not None and end.state is not None
    item, log = file_item(working, journal, queue / end.state)
    return Handled(item, log, None if end.result is None else Path(end.result), end.text, end.state)


def _no_submission(path: Path, taken: Collection[str]) -> str:
    """Why something cannot be a submission, "" where it may be one."""
    mode = os.lstat(path).st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        return f"{kinds.get(stat.S_IFMT(mode), 'a device')}, not a file; send one file for each submission"
    if path.suffix.lower() not in taken:
        return f"no submission ends in {path.suffix!r}; the queue takes {', '.join(sorted(taken))}"
    return ""


def _is_regular(path: Path) -> bool:
    return stat.S_ISREG(os.lstat(path).st_mode)


def _put_back(working: Path, incoming: Path) -> None:
    """Let an item wait again; where another of its name has come meanwhile, it stays in ``working``."""
    if os.path.lexists(working) and not os.path.lexists(incoming):
        os.rename(working, incoming)


__all__ = ["MAX_BEGUN", "STATES", "Handled", "State", "retry", "serve"]
