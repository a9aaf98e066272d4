"""The stdout of a command: text that cannot move a cursor, to a reader who may leave early.

:func:`own_stdout` is around every verb. Whoever read a pipe and has left (``| head -1``) makes no command fail: what
is left is not written, and the exit code is that of the work, such as the verdict of ``gate``. click and rich would
each end the process with 1, which means a regression here.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, TypeGuard

from fusionbench.cli.console import PrintableStream

# of a pipe or a socket without a reader; Windows says EINVAL
_NO_READER = (errno.EPIPE, errno.ESHUTDOWN, *([errno.EINVAL] if sys.platform == "win32" else []))


class _Output(io.RawIOBase):
    """Bytes into the open file ``number``, which is closed with it; nothing more once it cannot be written."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.gone = number, False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.number

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and not self.gone:
                left = left[os.write(self.number, left) :]
        except OSError as error:
            self.gone = True  # what is still in a buffer would fail again, when nobody can tell of it any more
            if error.errno not in _NO_READER:
                raise OSError(error.errno, error.strerror, "stdout") from error
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self.number)


@contextlib.contextmanager
def own_stdout() -> Iterator[PrintableStream]:
    """What is printed in this block passes :class:`fusionbench.cli.console.PrintableStream` on its way to stdout.

    Raises:
        OSError: with ``stdout`` as its file name: it cannot be written, for another reason than that nobody reads it.

    Example:
        >>> from fusionbench.cli.own_stdout import own_stdout
        >>> with own_stdout() as stdout:
        ...     before = stdout.used
        ...     print("a line")
        a line
        >>> before, stdout.used
        (False, True)
    """
    with contextlib.ExitStack() as after:
        stream = PrintableStream(_destination(after))
        after.enter_context(contextlib.redirect_stdout(stream))
        yield stream


def _destination(after: contextlib.ExitStack) -> TextIO:
    """Where the text goes: a stream of its own for what is a file or a pipe, else what ``sys.stdout`` is."""
    stdout = sys.stdout
    if stdout is None:  # it was closed when Python started
        return after.enter_context(open(os.devnull, "w", encoding="utf-8", errors="backslashreplace"))
    if not _is_file(stdout):
        return stdout
    with contextlib.suppress(OSError):  # of what was printed before the command
        stdout.flush()
    raw = _Output(_duplicate(stdout.fileno()))
    buffer: Any = raw if stdout.write_through else io.BufferedWriter(raw)
    own = io.TextIOWrapper(
        buffer,
        encoding=stdout.encoding,
        errors=stdout.errors,
        line_buffering=stdout.line_buffering,
        write_through=stdout.write_through,
    )
    after.callback(_close, own)
    return own


def _is_file(stream: TextIO) -> TypeGuard[io.TextIOWrapper]:
    """Whether it writes to an open file, pipe or socket; a terminal is left to itself, as is what tests put there."""
    if not isinstance(stream, io.TextIOWrapper):
        return False
    try:
        return not stream.isatty() and os.fstat(stream.fileno()) is not None
    except (OSError, ValueError):  # it has no number, or is closed
        return False


def _duplicate(number: int) -> int:
    """Another number of an open file, above those of the standard streams, which may be closed."""
    found = os.dup(number)
    if found > 2:
        return found
    try:
        return _duplicate(number)
    finally:
        os.close(found)


def _close(stream: TextIO) -> None:
    with contextlib.suppress(OSError):  # told when it was flushed, or less than the error that ends the command
        stream.close()
