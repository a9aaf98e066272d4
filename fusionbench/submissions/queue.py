"""A queue of submissions that is nothing but folders: incoming, working, done, rejected, with a log beside each item.

Several workers may serve one queue: an item is locked before it is moved. The lock dies with its worker, so what a
killed worker left in ``working`` is taken up by the next one: no item stays there unnoticed.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from fusionbench.core.errors import FusionbenchError
from fusionbench.core.io import file_sha256, write_bytes
from fusionbench.core.locks import lock
from fusionbench.submissions.kinds import KINDS

STATES = ("incoming", "working", "done", "rejected")


@dataclass(frozen=True)
class Handled:
    """What became of an item: where it lies now, its log, and the result's folder when it was accepted."""

    item: Path
    log: Path
    result: Path | None
    message: str


def serve(queue: Path, handle: Callable[[Path], Path], suffixes: Collection[str] | None = None) -> list[Handled]:
    """Handle everything that waits in ``queue``; ``handle`` scores one file and returns the result's folder.

    Only files that end in one of ``suffixes`` are taken up; None stands for those of all kinds of submission.

    An item whose handling raises a :class:`FusionbenchError` is rejected with the message in its log. Any other error
    is ours: the item goes back to ``incoming`` and the error is raised.
    """
    if suffixes is None:
        suffixes = {kind.suffix for kind in KINDS}
    for state in STATES:
        (queue / state).mkdir(parents=True, exist_ok=True)
    handled = []
    waiting = {
        path.name for state in ("working", "incoming") for path in (queue / state).iterdir() if path.suffix in suffixes
    }
    for name in sorted(waiting):
        with lock(queue / "working" / f".{name}.lock", wait=False) as mine:
            if mine:
                made = _take(queue, name, handle)
                handled += [made] if made is not None else []
    return handled


def _take(queue: Path, name: str, handle: Callable[[Path], Path]) -> Handled | None:
    """Handle one item, whose lock is held."""
    working, incoming = queue / "working" / name, queue / "incoming" / name
    lines = []
    if working.is_file():
        lines.append(_line("taken up again: an earlier worker ended before it was done"))
    elif incoming.is_file():
        os.replace(incoming, working)
    else:
        return None  # another worker was faster
    sha256 = file_sha256(working)
    lines.append(_line(f"sha256 {sha256}"))
    try:
        result: Path | None = handle(working)
        message, state = f"accepted: {result}", "done"
    except FusionbenchError as error:
        result, message, state = None, f"rejected: {error}", "rejected"
    except BaseException:
        os.replace(working, incoming)
        raise
    lines.append(_line(message))
    stem, kind = Path(name).stem, Path(name).suffix
    if any((queue / state / name).exists() for name in (f"{stem}{kind}", f"{stem}.log")):
        stem += f"-{sha256[:12]}"  # another submission of this name was here before
    item, log = queue / state / f"{stem}{kind}", queue / state / f"{stem}.log"
    write_bytes(log, "".join(lines).encode())
    os.replace(working, item)
    return Handled(item, log, result, message)


def _line(text: str) -> str:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return f"{now} {' '.join(text.split())}\n"
