"""The stdout of a command: what the command line prints and nothing else, to a reader who may leave early.

:func:`own_stdout` is around every verb. Methods, metrics and the libraries that they call may print: a line of theirs
would stand in the middle of a JSON document. Python's code is told from ours by its module; what compiled code and
child processes write, by giving them stderr for what the system calls stdout (file 1).

Whoever read a pipe and has left (``| head -1``) makes no command fail: what is left is not written, and the exit code
is that of the work, such as the verdict of ``gate``. click and rich would each end the process with 1, which means a
regression here.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, TextIO, TypeGuard

from fusionbench.cli.console import PrintableStream

# of a pipe or a socket without a reader; Windows says EINVAL
_NO_READER = (errno.EPIPE, errno.ESHUTDOWN, *([errno.EINVAL] if sys.platform == "win32" else []))


class OwnStdout(PrintableStream):
    """A stream whose text goes to ``raw`` where the command line prints, itself or through click, else to stderr.

    So do its attributes: ``buffer``, ``fileno`` and ``isatty`` are those of stderr for all other code.
    """

    def write(self, text: str) -> int:
        if _is_ours(sys._getframe(1)):
            return super().write(text)
        with contextlib.suppress(BrokenPipeError):
            _talk().write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw if _is_ours(sys._getframe(1)) else _talk(), name)


def _is_ours(frame: FrameType | None) -> bool:
    """Whether code of the command line is the first that is neither click's nor this module's."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name != __name__ and name.partition(".")[0] != "click":
            return name == "fusionbench.cli" or name.startswith("fusionbench.cli.")
        frame = frame.f_back
    return False


def _talk() -> TextIO:
    return io.StringIO() if sys.stderr is None else sys.stderr  # it may be closed


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
def own_stdout() -> Iterator[OwnStdout]:
    """What modules of the command line print in this block goes to stdout; what others print goes to stderr.

    Raises:
        OSError: with ``stdout`` as its file name: it cannot be written, for another reason than that nobody reads it.

    Example:
        >>> from fusionbench.cli.own_stdout import own_stdout
        >>> with own_stdout() as stdout:
        ...     print("this is not the command line: a line on stderr")
        >>> stdout.used
        False
    """
    with contextlib.ExitStack() as after:
        stream = OwnStdout(_destination(after))
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
    if stdout.fileno() == 1 and _is_open(2):
        _flush_compiled()
        os.dup2(2, 1)
        after.callback(_give_back, stdout, raw.number)
    return own


def _give_back(stdout: TextIO, number: int) -> None:
    """Let file 1 be stdout again, behind what others have left in buffers for it."""
    _flush_compiled()
    with contextlib.suppress(OSError, ValueError):
        stdout.flush()
    os.dup2(number, 1)


def _flush_compiled() -> None:
    """Empty the buffers of C, which a process with NumPy may have something in."""
    if "numpy" not in sys.modules:  # the imports of a help take longer than all the rest
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
        library.fflush(None)


def _is_open(number: int) -> bool:
    try:
        return os.fstat(number) is not None
    except OSError:
        return False


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
