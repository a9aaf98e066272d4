"""The stdout of a command has what the command prints; a reader may leave early, a disk be full, and it be closed."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from fusionbench.cli.console import PrintableStream, echo_marked
from fusionbench.cli.own_stdout import own_stdout
from tests.helpers.results import made_up

CALL = "from fusionbench.__main__ import main; main()"


def left(*words: object, both: bool = False) -> tuple[int, str]:
    """Exit code and stderr of a command whose stdout, or all that it prints, has no reader any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-c", CALL, *map(str, words)]
        errors = writer if both else subprocess.PIPE
        done = subprocess.run(command, stdout=writer, stderr=errors, text=True, timeout=120)
    finally:
        os.close(writer)
    return done.returncode, done.stderr or ""


@pytest.fixture
def judged(tmp_path: Path) -> tuple[Path, Path]:
    """Results that are worse than their baseline."""
    good, bad, baseline = tmp_path / "good", tmp_path / "bad", tmp_path / "baseline.json"
    made_up(good, "one")
    made_up(bad, "one", shift=0.05)
    words = ["-q", "gate", good, "-b", baseline, "--update-baseline"]
    subprocess.run([sys.executable, "-c", CALL, *map(str, words)], check=True, timeout=120)
    return bad, baseline


@pytest.mark.parametrize("words", [["list", "metrics"], ["--help"], ["gate", "--help"], ["describe", "en", "--json"]])
def test_a_reader_that_leaves_is_no_failure(words: list[str]) -> None:
    assert left(*words) == (0, "")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_verdict_is_the_exit_code_whoever_reads_it(judged: tuple[Path, Path], more: list[str]) -> None:
    candidate, baseline = judged
    code, err = left("gate", candidate, "--baseline", baseline, "--all", *more)
    assert code == 1 and err.startswith("fusionbench: ") and err.count("\n") == 1
    assert left("gate", candidate.with_name("good"), "--baseline", baseline, *more)[0] == 0


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_errors_keep_their_exit_code_where_nobody_reads_them(more: list[str]) -> None:
    code, err = left("describe", "vff", *more)
    assert code == 2 and err.startswith("fusionbench: Unknown name 'vff'") and err.count("\n") == 1
    assert left("describe", "vff", *more, both=True)[0] == 2
    assert left("gate", both=True)[0] == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk here")
@pytest.mark.parametrize("words", [["list", "metrics"], ["describe", "en", "--json"]])
def test_a_full_disk_is_told_once(words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-c", CALL, *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("fusionbench: stdout: No space left on device; check")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes it")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str) -> None:
    command = f'"$0" -c "$1" describe en --json {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable, CALL], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("{") == (">&-" not in closed.replace("2>&-", ""))


def test_a_stream_that_is_no_file_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    with own_stdout() as stream:
        echo_marked("a\x1bb")
        assert isinstance(sys.stdout, PrintableStream) and stream.raw is printed
    assert sys.stdout is printed and printed.getvalue() == "a\\u001bb\n"


def test_code_that_is_not_the_command_line_prints_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    ours: dict[str, Any] = {"__name__": "fusionbench.cli.some_verb"}
    exec(
        "import click, sys\ndef say(): print('one', flush=True); click.echo('two'); sys.stdout.writelines(['3'])", ours
    )
    with own_stdout() as stream:
        print("print")
        click.echo("click")
        sys.stdout.writelines(["lines\n"])
        assert not stream.used and not stream.isatty()
        assert sys.stdout.buffer is sys.stderr.buffer
        logging.StreamHandler(sys.stdout).emit(logging.makeLogRecord({"msg": "logged"}))
        ours["say"]()
        assert stream.used
    assert capsys.readouterr() == ("one\ntwo\n3", "print\nclick\nlines\nlogged\n")


TALKATIVE = """
import ctypes, os, subprocess, sys
from fusionbench.models.classical.pyramids import PairRow

print("loaded")

class Talks(PairRow):
    title = "mine"

    def combine(self, a, b):
        print("python")
        sys.__stdout__.write("kept stream\\n")
        sys.stdout.buffer.write(b"buffer\\n")
        os.write(1, b"number\\n")
        if sys.platform != "win32":
            ctypes.CDLL(None).puts(b"compiled")
        subprocess.run([sys.executable, "-c", "print('child')"], check=True)
        return a
"""
AROUND = """
import sys
from fusionbench.cli import main
print("before")
try: main(sys.argv[1:])
except SystemExit as left: assert not left.code
print("behind", flush=True)
"""


def test_what_a_method_prints_in_any_way_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(TALKATIVE)
    words = ["evaluate", "talks.py:Talks", "--data", "pairs-demo", "--limit", "1", "--device", "cpu", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", AROUND, *words], cwd=tmp_path, env=environment, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, document, behind = done.stdout.splitlines()
    assert (before, json.loads(document)["title"], behind) == ("before", "mine", "behind")
    said = {"loaded", "python", "kept stream", "buffer", "number", "child"}
    said |= {"compiled"} if sys.platform != "win32" else set()
    assert said <= set(done.stderr.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
def test_a_terminal_is_left_to_itself() -> None:
    """Nobody reads a document there; its width and its colours are asked from file 1."""
    screen, terminal = os.openpty()
    code = "import os, sys\nfrom fusionbench.cli.own_stdout import own_stdout\n"
    code += "with own_stdout() as stream: assert stream.raw is sys.__stdout__ and os.isatty(1)"
    try:
        done = subprocess.run([sys.executable, "-c", code], stdout=terminal, stderr=subprocess.PIPE, timeout=120)
        assert done.returncode == 0, done.stderr
    finally:
        os.close(screen)
        os.close(terminal)


SCRIPT = """
import sys
from fusionbench.cli.own_stdout import own_stdout
print("before", end=" ")
with own_stdout() as stream:
    exec("print('é', end=' ')", {"__name__": "fusionbench.cli.some_verb"})
    assert stream.raw.encoding == sys.__stdout__.encoding and stream.raw.fileno() > 2
print("behind")
"""


@pytest.mark.parametrize("flags", [[], ["-u"]])
def test_what_is_around_it_keeps_its_place(flags: list[str]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-16-le"}
    done = subprocess.run([sys.executable, *flags, "-c", SCRIPT], capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("utf-16-le").split() == ["before", "é", "behind"]
