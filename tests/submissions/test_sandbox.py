"""The child process of a check has limits, and what went wrong in it comes back in one line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError
from fusionbench.submissions.sandbox import run_limited


def forever() -> None:
    """In the child of a test."""
    while True:
        time.sleep(0.1)


def network() -> None:
    """In the child: say whether a way out is left."""
    import socket

    names = [name for _, name in socket.if_nameindex()]
    raise DataError(f"interfaces {names}, environment {sorted(os.environ)}")


def write(path: str, *words: str) -> None:
    """In the child: write down what it was given, and where it runs."""
    Path(path).write_text(" ".join([*words, os.getcwd(), str(os.environ.get("FUSIONBENCH_SECRET"))]))


def hungry() -> None:
    """In the child: ask for more memory than there may be."""
    bytearray(1 << 50)


def verbose() -> None:
    """In the child: fail in an unexpected way, with a message of several lines."""
    raise KeyError("first\nsecond")


def damaged() -> None:
    """In the child: a crash that Python cannot catch."""
    os.abort()


def endless_file(path: str) -> None:
    """In the child: claim a file that is larger than the limit."""
    with open(path, "wb") as stream:
        os.truncate(stream.fileno(), 1 << 40)


def test_the_child_is_limited() -> None:
    done = run_limited("tests.submissions.test_sandbox:forever", [], seconds=3)
    assert not done.ok and "longer than 3 s" in done.message
    done = run_limited("tests.submissions.test_sandbox:network", [], seconds=120)
    if not done.network:  # where the system lets a process leave its network, only the loopback is left
        assert "interfaces ['lo']" in done.message
    assert "FUSIONBENCH_DATA" not in done.message and "TOKEN" not in done.message


def test_the_arguments_arrive_and_nothing_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_SECRET", "token")
    done = run_limited("tests.submissions.test_sandbox:write", [str(tmp_path / "out"), "a b", ""], seconds=120)
    assert done.ok and done.message == ""
    assert (tmp_path / "out").read_text() == f"a b  {Path('/').resolve()} None"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("hungry", "needs more memory than is allowed"),
        ("verbose", "KeyError: 'first\\nsecond'"),
        ("damaged", "was stopped by signal 6"),
        ("missing", "AttributeError: module"),
    ],
)
def test_a_failure_is_one_line(function: str, message: str) -> None:
    done = run_limited(f"tests.submissions.test_sandbox:{function}", [], seconds=120)
    assert not done.ok and done.message.startswith(message) and "\n" not in done.message


def test_files_are_limited(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    done = run_limited("tests.submissions.test_sandbox:endless_file", [str(tmp_path / "big")], seconds=120)
    assert not done.ok and (tmp_path / "big").stat().st_size == 0
