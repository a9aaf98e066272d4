"""Progress goes to stderr, in the form that fits, or not at all."""

from __future__ import annotations

import io
import sys

import pytest

from fusionbench.core import progress


def test_lines_where_stderr_is_a_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 11.0, 12.0, 13.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("work", 4, "steps") as task:
        for loss in (0.5, 0.4, 0.3, 0.2):
            task.advance(note=f"loss {loss}")
    captured = capsys.readouterr()
    # a line every ten seconds and one at the end
    assert captured.out == "" and captured.err == "work: 2/4 steps, loss 0.4\nwork: 4/4 steps, loss 0.2\n"


@pytest.mark.parametrize(
    ("done", "seconds", "told"),
    [
        (0, 600, ", about 40 min left"),  # 1 of 5 in ten minutes
        (3, 600, ", about 10 min left"),  # what an earlier call did says nothing about the pace
        (0, 10, ""),  # 40 s
        (0, 15.5, ", about 1 min left"),
        (0, 7200, ", about 8 h left"),
    ],
)
def test_lines_say_how_long_the_rest_will_take(
    done: int, seconds: float, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([50.0, 50.0 + seconds])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("score", 5, "pairs", done) as task:
        task.advance()
    assert capsys.readouterr().err == f"score: {done + 1}/5 pairs{told}\n"


def test_nothing_is_left_where_no_end_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 600.0, 1200.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("read", None, "files") as task:
        task.advance(0)
        task.advance()
    assert capsys.readouterr().err == "read: 0 files\nread: 1 files\n"


def test_a_total_that_turns_out_to_be_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress.progress("work", 4000, "steps") as task:
        task.set_total(2)
        task.advance()
        task.advance()
    assert capsys.readouterr().err == "work: 2/2 steps\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.progress("work", 4000, "steps") as task:
        task.set_total(2)
        task.advance(2)
    assert "2/2" in capsys.readouterr().err


def test_a_resumed_job_counts_on(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("work", 4, "steps", done=3) as task:
        task.advance()
    assert capsys.readouterr().err == "work: 4/4 steps\n"


def test_silence_ends_with_its_block(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), progress.silenced(), progress.progress("work", 1) as task:
        progress.say("hidden")
        task.advance()
        raise KeyError
    progress.say("shown")
    assert capsys.readouterr().err == "shown\n"


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress("work", 10, "steps") as task:
        task.advance(10, "loss 0.1")
    assert "work" in terminal.getvalue() and "10/10" in terminal.getvalue() and capsys.readouterr().out == ""


def test_silence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "QUIET", True)
    progress.say("nothing")
    with progress.progress("work", 1) as task:
        task.advance()
        task.set_total(2)
    assert capsys.readouterr() == ("", "")


def test_talk_that_nobody_reads_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unread(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Unread())
    progress.say("a line")
