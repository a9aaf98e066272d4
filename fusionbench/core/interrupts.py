"""Ctrl-C, wherever it comes: heard once, never lost, and never a traceback.

Python raises KeyboardInterrupt at any line of the main thread, and other people's code may swallow it there: an
``except:`` around an import, a callback whose exceptions are only printed. So it is also remembered, and
:func:`check_interrupt` raises it again where long work begins.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
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
