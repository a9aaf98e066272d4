"""What happened to one item of a queue, so that a worker that is killed at any moment leaves nothing in between.

A journal lies beside its item in ``working`` under a name of its own, a line of JSON for every event. It is what the
item's log is made of. An item is filed in three steps: its end is written to the journal, the log appears under a name
that nobody else has, the item is moved. Whoever finds the journal of an item that has ended repeats the last two, which
changes nothing where they were done: the log is recognised by its content.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from fusionbench.core.io import escaped, write_bytes

State = Literal["done", "rejected", "failed"]
_MAX_STEM = 100  # letters of a name that are kept


class Event(msgspec.Struct, omit_defaults=True):
    """A line of a journal. ``state`` only where an item ended; ``begun`` where a worker began with it."""

    time: str
    text: str
    begun: bool = False
    state: State | None = None
    result: str | None = None


def item_key(name: str) -> str:
    """A short name for an item of any name, for files that belong to it."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]


class Journal:
    """The events of one item, on disk after each. Whoever uses it holds the item's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        with contextlib.suppress(OSError):
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(msgspec.DecodeError):  # the last line of a worker that was killed
                    self.events.append(msgspec.json.decode(line, type=Event))

    @property
    def begun(self) -> int:
        """How often a worker began with the item."""
        return sum(event.begun for event in self.events)

    @property
    def end(self) -> Event | None:
        """How the item ended, once it has."""
        return next((event for event in self.events if event.state is not None), None)

    @property
    def log(self) -> bytes:
        """The item's log: a line for every event."""
        return "".join(f"{event.time} {event.text}\n" for event in self.events).encode()

    def add(self, text: str, *, begun: bool = False, state: State | None = None, result: Path | None = None) -> None:
        """Write down an event; it is on disk afterwards."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        text = escaped(" ".join(text.split()))
        if not self.events:  # so that no two items have the same log
            text += f" (ticket {secrets.token_hex(8)})"
        self.events.append(Event(now, text, begun, state, None if result is None else escaped(result)))
        write_bytes(self.path, b"".join(msgspec.json.encode(event) + b"\n" for event in self.events))

    def remove(self) -> None:
        """Forget everything; the log is somewhere else or nothing happened."""
        self.path.unlink(missing_ok=True)


def file_item(item: Path, journal: Journal, folder: Path) -> tuple[Path, Path]:
    """Move ``item`` into ``folder`` with its log beside it, under a name that nothing else there has; both places.

    Names that are too long, hidden or not UTF-8 are replaced; the log has the original one.
    """
    stem, suffix = _safe(item)
    for number in range(1, 1_000_000):
        name = stem if number == 1 else f"{stem}-{number}"
        log, place = folder / f"{name}.log", folder / f"{name}{suffix}"
        if _claim(log, place, journal.log):
            if os.path.lexists(item):
                os.rename(item, place)
            journal.remove()
            return place, log
    raise OSError(f"{folder}: a million submissions of one name")


def _claim(log: Path, place: Path, content: bytes) -> bool:
    """Whether ``log`` is ours: made now, or by a worker that was killed; nothing of anybody else is replaced."""
    with contextlib.suppress(OSError):
        if log.is_file() and not log.is_symlink() and log.read_bytes() == content:
            return True
    if os.path.lexists(place) or os.path.lexists(log):
        return False
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=log.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        try:
            os.link(temporary, log)  # fails where the name is taken, in one step
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            with contextlib.suppress(FileExistsError), open(log, "xb") as stream:
                stream.write(content)
                return True
            return False
        return True
    finally:
        os.unlink(temporary)


def _safe(item: Path) -> tuple[str, str]:
    """Stem and suffix that every system takes, equal to the item's where they are harmless."""
    name = escaped(item.name)
    suffix = item.suffix if item.suffix.isascii() and len(item.suffix) <= 12 else ""
    stem = item.name.removesuffix(suffix) if suffix else item.name
    if name == item.name and not name.startswith(".") and len(os.fsencode(stem)) <= _MAX_STEM:
        return stem, suffix
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in stem)
    return f"{kept[:40].lstrip('.') or 'item'}-{item_key(item.name)[:12]}", escaped(suffix)
