"""Messages, and what an exception becomes on its way to the parent."""

from __future__ import annotations

import copyreg
import io
import pickle
import threading

import pytest

from fusionbench.core.worker_process import WorkerFault, _pickled, read_message, write_message


def test_messages_come_back_one_by_one() -> None:
    stream = io.BytesIO()
    for body in (b"", b"one", bytes(100_000)):
        write_message(stream, body)
    stream.seek(0)
    assert [read_message(stream) for _ in range(4)] == [b"", b"one", bytes(100_000), None]


@pytest.mark.parametrize("cut", [1, 8, 9, 12])
def test_a_message_that_is_cut_off_is_none(cut: int) -> None:
    stream = io.BytesIO()
    write_message(stream, b"12345")
    assert read_message(io.BytesIO(stream.getvalue()[:-cut])) is None


class Locked(Exception):
    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class Pair(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Locked(), "Locked: locked"),
        (Pair("one", "two"), "Pair: one and two"),
        (SystemExit(7), "SystemExit: 7"),
        (KeyError("x"), None),
    ],
)
def test_exceptions_arrive_as_themselves_or_in_words(
    error: BaseException, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Dask, where another test has imported it, teaches pickle all exceptions there are
    monkeypatch.delitem(copyreg.dispatch_table, type(error), raising=False)
    found = pickle.loads(_pickled(error))
    assert type(found) is (type(error) if words is None else WorkerFault)
    assert str(found) == (str(error) if words is None else words)


def test_an_exception_that_cannot_even_be_told() -> None:
    error = Mute()
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    assert str(pickle.loads(_pickled(error))) == "Mute: (without words)"
