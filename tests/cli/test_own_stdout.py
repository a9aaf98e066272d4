"""The stdout of a command: a reader may leave early, a disk may be full, and it may be closed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench.cli.console import PrintableStream
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
        print("a\x1bb")
        assert isinstance(sys.stdout, PrintableStream) and stream.raw is printed
    assert sys.stdout is printed and printed.getvalue() == "a\\u001bb\n"


SCRIPT = """
import sys
from fusionbench.cli.own_stdout import own_stdout
print("before", end=" ")
with own_stdout() as stream:
    print("é", end=" ")
    assert stream.raw.encoding == sys.__stdout__.encoding and stream.raw.fileno() > 2
print("behind")
"""


@pytest.mark.parametrize("flags", [[], ["-u"]])
def test_what_is_around_it_keeps_its_place(flags: list[str]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-16-le"}
    done = subprocess.run([sys.executable, *flags, "-c", SCRIPT], capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("utf-16-le").split() == ["before", "é", "behind"]
