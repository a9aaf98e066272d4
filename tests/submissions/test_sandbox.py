"""The child process of a check has limits, and what went wrong in it comes back in one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, MeasurementError
from fusionbench.submissions import isolation, sandbox
from fusionbench.submissions.sandbox import limits_of_this_system, run_limited

ROOT = Path(__file__).parents[2]
HERE = "tests.submissions.test_sandbox"


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


def greedy(count: str) -> None:
    """In the child: use memory that no limit of address space forbids, page by page."""
    kept = []
    for _ in range(int(count)):
        kept.append(b"x" * (32 << 20))
        time.sleep(0.1)


def look(path: str) -> None:
    """In the child: read a file and say what is in it."""
    raise DataError(Path(path).read_text())


def leave(path: str) -> None:
    """In the child: write somewhere."""
    Path(path).write_text("was here")


def daemon(path: str) -> None:
    """In the child: start a process that detaches itself in every way there is, then end."""
    script = "import os, time\nif os.fork():\n os._exit(0)\nos.setsid()\nif os.fork():\n os._exit(0)\n"
    script += f"open({path!r}, 'w').write(str(os.getpid()))\nwhile True:\n time.sleep(0.1)\n"
    script += f" open({path + '.alive'!r}, 'a').write('x')\n"
    subprocess.Popen([sys.executable, "-c", script], start_new_session=True).wait()
    while not Path(path).exists() or not Path(path + ".alive").exists():
        time.sleep(0.05)


def bomb() -> None:
    """In the child: start processes without end."""
    while True:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


@pytest.fixture(params=["bubblewrap", "landlock", "none"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to keep a process apart that works here."""
    wanted: str = request.param
    if wanted == "bubblewrap" and isolation.bubblewrap() is None:
        pytest.skip("bubblewrap does not work here")
    if wanted != "bubblewrap":
        monkeypatch.setattr(isolation, "bubblewrap", lambda: None)
        if wanted == "none":
            real = sandbox._supervised

            def bare(order: sandbox.Order, environment: dict[str, str]) -> sandbox.Ended:
                at = order.command.index("fusionbench.submissions.sandbox")
                script = (
                    "import sys; sys.modules['landlock'] = None; from fusionbench.submissions import sandbox as s; "
                )
                order.command[at - 1 : at + 1] = ["-c", script + "s._main()"]
                return real(order, environment)

            monkeypatch.setattr(sandbox, "_supervised", bare)
        elif run_limited("os:getcwd", [], seconds=120).isolation != "landlock":
            pytest.skip("Landlock does not work here")
    return wanted


def test_which_isolation_there_was_is_said(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox._tell.cache_clear()
    done = run_limited("os:getcwd", [], seconds=120)
    assert done.ok and done.isolation == kind and done.facts["isolation"] == kind
    assert ("which files are read and written" in done.unlimited) == (kind == "none")
    assert ("network" in done.unlimited) == done.network
    told = capsys.readouterr().err
    assert all(name in told for name in done.unlimited) and told.count("\n") == bool(done.unlimited)


def test_nothing_but_what_was_given_is_read_and_written(kind: str, tmp_path: Path) -> None:
    for name in ("given", "other", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "given" / "a").write_text("readable")
    (tmp_path / "other" / "secret").write_text("secret")
    places = {"readable": [tmp_path / "given"], "writable": [tmp_path / "out"]}
    done = run_limited(f"{HERE}:look", [str(tmp_path / "given" / "a")], seconds=120, **places)
    assert done.message == "readable"
    assert run_limited(f"{HERE}:leave", [str(tmp_path / "out" / "a")], seconds=120, **places).ok
    assert (tmp_path / "out" / "a").read_text() == "was here"
    looked = run_limited(f"{HERE}:look", [str(tmp_path / "other" / "secret")], seconds=120, **places)
    if kind == "none":
        assert looked.message == "secret" and "which files are read and written" in looked.unlimited
        return
    assert "secret" not in looked.message.partition(":")[0] and "Error" in looked.message
    for place in (tmp_path / "given" / "b", tmp_path / "other" / "b", Path("/etc/fusionbench-was-here"), ROOT / "was"):
        done = run_limited(f"{HERE}:leave", [str(place)], seconds=120, **places)
        assert not done.ok and not place.exists(), done
    done = run_limited(f"{HERE}:look", ["/etc/shadow"], seconds=120, **places)
    assert "FileNotFoundError" in done.message or "PermissionError" in done.message


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_no_process_outlives_the_child(kind: str, tmp_path: Path) -> None:
    done = run_limited(f"{HERE}:daemon", [str(tmp_path / "pid")], seconds=120, writable=[tmp_path])
    assert done.ok, done.message
    alive = tmp_path / "pid.alive"
    before = alive.stat().st_size
    time.sleep(1)
    assert before > 0 and alive.stat().st_size == before, "the daemon is gone"


def test_memory_is_limited(kind: str) -> None:
    done = run_limited(f"{HERE}:greedy", ["64"], seconds=120, memory=256 << 20)
    assert done.message == "needs more memory than is allowed"
    done = run_limited(f"{HERE}:greedy", ["2"], seconds=120, memory=512 << 20)
    assert done.ok and done.peak < 512 << 20


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_the_number_of_processes_is_limited(kind: str) -> None:
    assert run_limited(f"{HERE}:bomb", [], seconds=120).message == "starts too many processes"


def test_a_process_that_cannot_start_is_not_the_submissions_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [sys.executable, "-c", "raise SystemExit('no namespaces')"]
    monkeypatch.setattr(isolation, "bubblewrap", lambda: "bwrap")
    monkeypatch.setattr(isolation, "bubblewrap_command", lambda *arguments: broken)
    with pytest.raises(MeasurementError, match="could not be started: no namespaces"):
        run_limited("os:getcwd", [], seconds=60)


def test_the_limits_of_this_system_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox._tried.cache_clear()
    kind, unlimited = limits_of_this_system()
    done = run_limited("os:getcwd", [], seconds=60)
    assert (kind, unlimited) == (done.isolation, done.unlimited)
    monkeypatch.setattr(sandbox, "run_limited", None)
    assert limits_of_this_system() == (kind, unlimited)


def test_what_a_process_says_is_cut(tmp_path: Path) -> None:
    done = run_limited(f"{HERE}:noisy", [], seconds=120)
    assert done.message == "the end"


def noisy() -> None:
    """In the child: a flood on stderr, with lines that look like ours."""
    for _ in range(100_000):
        print("not limited: nothing at all, network: none", file=sys.stderr)
    raise DataError("the end")


def test_the_child_is_limited() -> None:
    done = run_limited("tests.submissions.test_sandbox:forever", [], seconds=3)
    assert not done.ok and "longer than 3 s" in done.message
    done = run_limited("tests.submissions.test_sandbox:network", [], seconds=120)
    if not done.network:  # where the system lets a process leave its network, only the loopback is left
        assert "interfaces ['lo']" in done.message
    assert "FUSIONBENCH_DATA" not in done.message and "TOKEN" not in done.message


def test_the_arguments_arrive_and_nothing_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_SECRET", "token")
    function = "tests.submissions.test_sandbox:write"
    done = run_limited(function, [str(tmp_path / "out"), "a b", ""], seconds=120, writable=[tmp_path])
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
    function = "tests.submissions.test_sandbox:endless_file"
    done = run_limited(function, [str(tmp_path / "big")], seconds=120, writable=[tmp_path])
    assert not done.ok and (tmp_path / "big").stat().st_size == 0
