"""Progress for people: a bar on a terminal or in a notebook, plain lines in a log, silence on request.

Everything goes to stderr, or into the output of a notebook's cell: stdout is data.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

QUIET = False  # set by the command line's --quiet
VERBOSE = False  # by its --verbose
_BRIEF = False  # see brief()
_LOG_EVERY = 10.0  # seconds between lines when stderr is not a terminal


class Task(Protocol):
    """One running job: ``advance`` by units done, with a short note (loss, images/s) shown beside the bar.

    ``set_total`` where the number of units turns out to be another.
    """

    def advance(self, amount: float = 1, note: str = "") -> None: ...

    def set_total(self, total: float) -> None: ...


class _Silent:
    def advance(self, amount: float = 1, note: str = "") -> None:
        pass

    def set_total(self, total: float) -> None:
        pass


class _Lines:
    def __init__(self, title: str, total: float | None, unit: str, done: float) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, done
        self.last = self.begun = time.monotonic()
        self.before = done  # by an earlier call

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.last >= _LOG_EVERY or (self.done == self.total and not _BRIEF):
            self.last = now
            of = f"/{self.total:g}" if self.total else ""
            left = self._left(now - self.begun)
            say(f"{self.title}: {self.done:g}{of} {self.unit}" + (f", {note}" if note else "") + left)

    def _left(self, seconds: float) -> str:
        """How long the rest will take at the pace of this call, where that is minutes."""
        done = self.done - self.before
        minutes = seconds / 60 * (self.total - self.done) / done if self.total and done > 0 else 0.0
        if minutes < 1:
            return ""
        return f", about {minutes:.0f} min left" if minutes < 100 else f", about {minutes / 60:.0f} h left"

    def set_total(self, total: float) -> None:
        self.total = total


class _Bar:
    def __init__(self, progress: object, task: int, unit: str) -> None:
        self.progress, self.task, self.unit = progress, task, unit

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.progress.update(self.task, advance=amount, note=note)  # type: ignore[attr-defined]

    def set_total(self, total: float) -> None:
        self.progress.update(self.task, total=total)  # type: ignore[attr-defined]


def say(message: str) -> None:
    """Log one line on stderr; one that nobody reads any more is no reason to end the work."""
    if not QUIET:
        from fusionbench.core.io import escaped

        with contextlib.suppress(BrokenPipeError):
            print("\n".join(map(escaped, message.split("\n"))), file=sys.stderr, flush=True)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """No lines and no new displays in this block: for what has been said once and would be repeated.

    Example:
        >>> from fusionbench.core.progress import say, silenced
        >>> with silenced():
        ...     say("not shown")
    """
    global QUIET
    before, QUIET = QUIET, True
    try:
        yield
    finally:
        QUIET = before


@contextlib.contextmanager
def brief() -> Iterator[None]:
    """Nothing about what is over in seconds, in this block: for functions that a script calls many times.

    Bars on terminals go when the work is done. Lines about what takes longer stay, and so do bars in notebooks.

    Example:
        >>> from fusionbench.core.progress import brief, progress
        >>> with brief(), progress("work", 1) as task:
        ...     task.advance()
    """
    global _BRIEF
    before, _BRIEF = _BRIEF, True
    try:
        yield
    finally:
        _BRIEF = before


@contextlib.contextmanager
def progress(title: str, total: float | None, unit: str = "", done: float = 0) -> Iterator[Task]:
    """A progress display for ``total`` units, ``done`` of which are done already (a resumed job)."""
    from fusionbench.core.notebook import NotebookBar, display_function

    if QUIET or (_BRIEF and total is not None and total <= 1):
        yield _Silent()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from fusionbench.core.io import escaped

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=_BRIEF) as bar:
            yield _Bar(bar, bar.add_task(escape(escaped(title)), total=total, completed=int(done), note=""), unit)
    elif (display := display_function()) is not None:
        shown = NotebookBar(display, title, total, unit, done)
        try:
            yield shown
        finally:
            shown.close()
    else:
        yield _Lines(title, total, unit, done)
