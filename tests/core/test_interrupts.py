"""Ctrl-C is not lost in other people's code, and nothing is printed of it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from fusionbench.core.interrupts import (
    check_interrupt,
    deferred_signals,
    end_children_on_terminate,
    no_interrupt,
    one_interrupt,
)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    old, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run with it ignored
    yield
    signal.signal(signal.SIGINT, old)
    sys.unraisablehook = hook


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_it_ends_the_body_and_is_ignored_then() -> None:
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        press()
        pytest.fail("not interrupted")
    press()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_where_nothing_is_pressed_everything_is_as_it_was() -> None:
    hook = sys.unraisablehook
    with one_interrupt():
        check_interrupt()
    with pytest.raises(ValueError, match="x"), one_interrupt():
        raise ValueError("x")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and sys.unraisablehook is hook
    check_interrupt()


def test_what_was_swallowed_is_raised_where_work_begins() -> None:
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        with contextlib.suppress(BaseException):
            press()
        check_interrupt()
        pytest.fail("not interrupted")


def test_what_was_swallowed_is_raised_at_the_end() -> None:
    with pytest.raises(KeyboardInterrupt), one_interrupt(), contextlib.suppress(BaseException):
        press()


def test_what_became_of_it_in_an_import_does_not_matter() -> None:
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        try:
            press()
        except KeyboardInterrupt as error:
            raise ImportError("numpy.core.multiarray failed to import") from error


CALLBACK = """
import signal
from fusionbench.core.interrupts import check_interrupt, one_interrupt
class Thing:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with one_interrupt():
        Thing()
        print("goes on")
        check_interrupt()
        print("too far")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_finaliser_prints_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", CALLBACK], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("goes on\ninterrupted\n", "")


def test_a_handler_of_somebody_else_is_left_alone() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    with one_interrupt():
        press()
    assert heard == [signal.SIGINT]


def test_it_waits_for_the_end_of_a_body_that_defers_it() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), no_interrupt(defer=True):
        press()
        done.append(1)
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_is_ignored_where_it_must_not_come() -> None:
    with no_interrupt():
        press()


def test_other_threads_do_without() -> None:
    problems: list[BaseException] = []

    def body() -> None:
        try:
            with one_interrupt(), no_interrupt(defer=True):
                pass
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert problems == []


STAND_IN = """
import subprocess, sys, threading
from fusionbench.core.interrupts import end_children_on_terminate

end_children_on_terminate()
wait = "import time; print(%d, flush=True); time.sleep(600)"
again = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); time.sleep(600)"
for command in (wait % 1, again):
    subprocess.Popen([sys.executable, "-c", command, wait % 2], start_new_session=True)
threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is not sent there")
def test_terminate_ends_what_was_started_so_that_the_pipe_is_closed() -> None:
    """Stand-ins for compilers hold the pipe: a child in a session of its own, and a child of a child."""
    process = subprocess.Popen([sys.executable, "-c", STAND_IN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert sorted(process.stdout.readline() for _ in range(2)) == ["1\n", "2\n"]
    process.terminate()
    rest, _ = process.communicate(timeout=120)  # without the guard it would wait for their end
    assert (rest, process.returncode) == ("", -signal.SIGTERM)


def test_another_handler_of_terminate_stays() -> None:
    old = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_children_on_terminate()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        thread = threading.Thread(target=end_children_on_terminate)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        end_children_on_terminate()
        assert callable(signal.getsignal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, old)


def test_signals_that_wait_for_a_good_place() -> None:
    names = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(name) for name in names]
    for name in names:
        with deferred_signals() as stopped:
            assert not stopped()
            signal.raise_signal(name)
            assert stopped()
        assert [signal.getsignal(one) for one in names] == before
    seen: list[bool] = []

    def elsewhere() -> None:
        with deferred_signals() as stopped:  # only the main thread hears signals
            seen.append(stopped())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False]
