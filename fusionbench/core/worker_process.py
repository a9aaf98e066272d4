"""What a worker process runs: tasks from its standard input, one after the other.

:mod:`fusionbench.core.workers` starts it.

Messages in both directions are a length (8 bytes, little endian) and a pickle. A worker's standard output and error go
to its log, its input is empty, and answers use a separate descriptor, so that nothing that a task prints can be
taken for an answer. The end of the standard input asks a worker to stop: it comes too when the parent is killed, on
every system, so that no worker outlives the program.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import BinaryIO

from fusionbench.core.allocator import keep_freed_memory
from fusionbench.core.interrupts import silence

LENGTH = struct.Struct("<Q")
_AGAIN = 2.0  # seconds until a task that was interrupted, and may have swallowed it, is interrupted again
STOP_SECONDS = 120.0  # for a task that is asked to stop: the step of training in hand, and saving its state


class WorkerFaultError(Exception):
    """An exception or a result of a worker that cannot be sent to its parent, described in text."""


WorkerFault = WorkerFaultError  # the name of the first release, which is the same class


def read_message(stream: BinaryIO) -> bytes | None:
    """The next message; None at the end of the stream, also where it ends amid a message."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    body = stream.read(size)
    return body if len(body) == size else None


def write_message(stream: BinaryIO, body: bytes) -> None:
    """Write one message and flush."""
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


def serve_worker(token: str) -> None:
    """Serve until the standard input ends. ``token`` goes ahead of the answers, after whatever was printed before.

    The process leaves without Python's own shutdown: nothing of it is needed, and native libraries can hang in it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the parent was started with it ignored
    sys.unraisablehook = silence(sys.unraisablehook)
    requests, answers = _take_over_streams()
    keep_freed_memory()
    code = 0
    try:
        answers.write(token.encode())
        answers.flush()
        _be_killed_first()
        _serve(requests, answers)
    except KeyboardInterrupt:
        code = 130
    except OSError:  # the parent is gone
        code = 1
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _take_over_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes of the parent for ourselves; whatever is printed goes to the log, which is standard error."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable(2)
    return requests, answers


def _be_killed_first() -> None:
    """Ask Linux to take a worker when memory runs out, and not the process that can report it."""
    with contextlib.suppress(OSError, ValueError):
        path = Path("/proc/self/oom_score_adj")
        path.write_text(str(max(500, int(path.read_text()))))


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    tasks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(requests, tasks, busy), daemon=True).start()
    while (message := tasks.get()) is not None:
        log, payload = pickle.loads(message)
        if log is not None:
            _log_to(log)
        answer = _run(payload)
        busy.clear()
        write_message(answers, answer)


def _listen(requests: BinaryIO, tasks: queue.SimpleQueue[bytes | None], busy: threading.Event) -> None:
    """Take messages; at the end of the stream interrupt the task in hand, as Ctrl-C would."""
    while (message := read_message(requests)) is not None:
        busy.set()
        tasks.put(message)
    tasks.put(None)
    deadline = time.monotonic() + STOP_SECONDS
    while busy.is_set() and time.monotonic() < deadline:
        _interrupt_main_thread()
        time.sleep(_AGAIN)
    if busy.is_set():
        os._exit(130)  # the parent may not be there any more to end us


def _interrupt_main_thread() -> None:
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, signal.SIGINT)  # a real one, which also wakes from sleeping
    else:
        import _thread

        _thread.interrupt_main()


def _log_to(path: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(handle, 1)
    os.dup2(handle, 2)  # faulthandler writes here
    os.close(handle)


def _run(payload: bytes) -> bytes:
    """The pickled answer: whether it went well, the pickled result or exception, and the latter's traceback."""
    try:
        function, arguments = pickle.loads(payload)
        return pickle.dumps((True, pickle.dumps(function(*arguments), pickle.HIGHEST_PROTOCOL), ""))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a task does not end its worker
        text = "".join(traceback.format_exception(error))
        print(text, file=sys.stderr, flush=True)
        return pickle.dumps((False, _pickled(error), text))


def _pickled(error: BaseException) -> bytes:
    """An exception that the parent can load again."""
    if isinstance(error, Exception):
        with contextlib.suppress(Exception):
            body = pickle.dumps(error)
            if type(pickle.loads(body)) is type(error):
                return body
    try:
        said = str(error)
    except Exception:
        said = "(without words)"
    return pickle.dumps(WorkerFaultError(f"{type(error).__name__}: {said}"))
