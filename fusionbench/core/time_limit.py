"""How long a command may take: work that can go on later looks at the clock at its own boundaries, and stops there.

Unlike a budget it changes nothing about the work. Training ends after a step with a checkpoint, scoring after a chunk
of images whose scores are on disk, and the same command goes on from there to the same end.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from contextvars import ContextVar

from fusionbench.core.errors import FusionbenchError, UsageError

_until: ContextVar[float | None] = ContextVar("_until", default=None)  # in seconds of time.time
_worked: ContextVar[list[bool] | None] = ContextVar("_worked", default=None)  # since the outermost limit was set


class UnfinishedError(FusionbenchError):
    """The time is over and the work is not done; the same call goes on (exit code 75, EX_TEMPFAIL of sysexits.h).

    Example:
        >>> from fusionbench.core.time_limit import UnfinishedError
        >>> UnfinishedError("runs/mine: stopped at step 100 of 400").exit_code
        75
    """

    exit_code = 75


def how_far(name: str, text: str) -> str:
    """A line of a list of what is unfinished: what an error says about ``name``, without what all of them say.

    Example:
        >>> from fusionbench.core.time_limit import how_far
        >>> how_far("fcn", "fcn: not begun, the time is over; the same command goes on")
        'fcn: not begun'
    """
    for tail in ("; the same command goes on", ", the time is over"):
        text = text.removesuffix(tail)
    return f"{name}: {text.removeprefix(f'{name}: ')}"


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``9m`` or ``1.5h``.

    Raises:
        UsageError: anything else, or no time at all.

    Example:
        >>> from fusionbench.core.time_limit import parse_duration
        >>> parse_duration("9m"), parse_duration("1.5h")
        (540.0, 5400.0)
    """
    match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|m|h)\s*", text, re.ASCII)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"Time {text!r} is not understood; write 90s, 9m or 1.5h")
    return seconds


@contextlib.contextmanager
def time_limit(until: float | None) -> Iterator[None]:
    """The body is to stop at ``until``, in seconds of :func:`time.time`; None for no limit; the earlier one holds.

    Example:
        >>> import time
        >>> from fusionbench.core.time_limit import time_is_up, time_limit
        >>> with time_limit(time.time() - 1):
        ...     over = time_is_up()
        >>> over, time_is_up()
        (True, False)
    """
    before = _until.get()
    known = [limit for limit in (before, until) if limit is not None]
    token = _until.set(min(known) if known else None)
    work = _worked.set([]) if before is None else None
    try:
        yield
    finally:
        _until.reset(token)
        if work is not None:
            _worked.reset(work)


def limit_now() -> float | None:
    """When the time is over, in seconds of :func:`time.time`: for a process that works for this one.

    Example:
        >>> from fusionbench.core.time_limit import limit_now, time_limit
        >>> with time_limit(100.0):
        ...     limit_now()
        100.0
    """
    return _until.get()


def time_is_up() -> bool:
    """Whether the time is over; never where there is no limit.

    Example:
        >>> from fusionbench.core.time_limit import time_is_up
        >>> time_is_up()
        False
    """
    until = _until.get()
    return until is not None and time.time() >= until


def note_progress() -> None:
    """Say that this call has done something that another one need not do again."""
    if (worked := _worked.get()) is not None:
        worked[:] = [True]


def stop_before(what: str) -> None:
    """As :func:`check_time`, where something was done since the limit was set: a call whose time is over before it
    began does the least that it can, or it would begin for ever.

    Raises:
        UnfinishedError: the time is over.

    Example:
        >>> from fusionbench.core.time_limit import UnfinishedError, note_progress, stop_before, time_limit
        >>> with time_limit(0.0):
        ...     stop_before("the first")
        ...     note_progress()
        ...     try:
        ...         stop_before("the second")
        ...     except UnfinishedError as error:
        ...         print(error)
        the second: not begun, the time is over; the same command goes on
    """
    if _worked.get():
        check_time(what)


def check_time(what: str) -> None:
    """Stop before ``what`` is begun where the time is over.

    Raises:
        UnfinishedError: it is.

    Example:
        >>> from fusionbench.core.time_limit import check_time
        >>> check_time("the row fcn")
    """
    if time_is_up():
        raise UnfinishedError(f"{what}: not begun, the time is over; the same command goes on")
