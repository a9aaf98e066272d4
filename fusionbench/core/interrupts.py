"""Ctrl-C, wherever it comes: heard once, never lost, and never a traceback. SIGTERM, which ends child processes too.

Python raises KeyboardInterrupt at any line of the main thread, and other people's code may swallow it there: an
``except:`` around an import, a callback whose exceptions are only printed. So it is also remembered, and
:func:`check_interrupt` raises it again where long work begins.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_asked: list[int] = []  # signals since the command began


def check_interrupt() -> None:
    """Raise what was swallowed.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed since the command began.
    """
    if _asked:
        raise KeyboardInterrupt


def silence(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A ``sys.unraisablehook`` that says nothing of KeyboardInterrupt: it is remembered."""

    def unraisable(args: Any) -> None:
        if not issubclass(args.exc_type, KeyboardInterrupt):
            hook(args)

    return unraisable


@contextlib.contextmanager
def one_interrupt() -> Iterator[None]:
    """Ctrl-C ends the body with KeyboardInterrupt, and is ignored from then on: the command is about to end.

    An import of a compiled module that it broke off may have turned it into any other exception.
    """
    handler, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    if threading.current_thread() is not threading.main_thread() or handler is not signal.default_int_handler:
        yield  # it is ignored, or another handler's
        return

    def interrupt(number: int, frame: Any) -> None:
        _asked.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = silence(hook)
    try:
        yield
        check_interrupt()
    except Exception:
        check_interrupt()
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if _asked else handler)
        sys.unraisablehook = hook
        _asked.clear()


@contextlib.contextmanager
def no_interrupt(*, defer: bool = False) -> Iterator[None]:
    """Ctrl-C is ignored in the body, or waits for its end. Other threads than the main one do not get it anyway."""
    old = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or old is None:
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
    if held and defer and callable(old):
        old(signal.SIGINT, None)


@contextlib.contextmanager
def deferred_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM do nothing in the body but make what it is given true: it ends at the next good place.

    Example:
        >>> import signal
        >>> from fusionbench.core.interrupts import deferred_signals
        >>> with deferred_signals() as stopped:
        ...     before = stopped()
        ...     signal.raise_signal(signal.SIGTERM)
        ...     after = stopped()
        >>> before, after
        (False, True)
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    names = (signal.SIGINT, signal.SIGTERM)
    old = {name: signal.signal(name, lambda number, _: asked.append(number)) for name in names}
    try:
        yield lambda: bool(asked)
    finally:
        for name, handler in old.items():
            signal.signal(name, handler)


def end_children_on_terminate() -> None:
    """From now on SIGTERM ends all processes that this one started, and theirs, before it ends this one.

    SIGTERM runs no clean-up, and libraries start processes of their own, such as compilers. Those would live on and
    keep the pipe open that this process wrote to, so that whoever reads it (``fusionbench train … | tail``) waits.
    Nothing is done outside the main thread, or where SIGTERM has another handler. Where the main thread is in compiled
    code, the signal waits for its end.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return

    def terminate(number: int, frame: Any) -> None:
        for child in _descendants(os.getpid()):
            with contextlib.suppress(OSError):  # it has ended
                os.kill(child, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)


def _descendants(pid: int) -> list[int]:
    """Processes that ``pid`` started, and theirs; none where the system does not tell."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # the name before the state is in brackets, and may hold brackets and blanks itself
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    if not parents and sys.platform != "win32":
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, timeout=10).stdout
            parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found, at = [pid], 0
    while at < len(found):
        found += [child for child, parent in parents.items() if parent == found[at] and child not in found]
        at += 1
    return found[1:]
