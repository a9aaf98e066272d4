"""What the code of a plugin does to end a command is never its exit code: 3, one line, and the other rows are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.cli.new import scaffold
from fusionbench.core import plugin_files
from tests.cli.runner import run

OWN = """
import sys
from fusionbench.models.classical.pyramids import PairRow

class {name}(PairRow):
    title = "mine"

    def combine(self, a, b):
        {body}
"""
COMMON = ["--data", "pairs-demo", "--limit", 1, "--device", "cpu", "--json"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(plugin_files.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def method(name: str, body: str) -> str:
    """The file of a method that does ``body`` where it fuses."""
    Path(f"{name.lower()}.py").write_text(OWN.format(name=name, body=body))
    return f"{name.lower()}.py:{name}"


@pytest.mark.parametrize("code", ["", "0", "1", "'no licence'"])
def test_sys_exit_in_a_method_is_no_success_and_no_regression(
    code: str, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    own = method("Exits", f"sys.exit({code})")
    status, out, err = run(capsys, "evaluate", own, *COMMON)
    error = json.loads(out)["error"]
    assert status == 3 and (error["type"], error["exit_code"]) == ("InternalError", 3)
    place = f"exits.py, line 9, in combine, ended the work with sys.exit({code or None})"
    assert place in error["message"] and err.splitlines()[-1] == f"fusionbench: {error['message']}"
    assert "Traceback" not in err


def test_sys_exit_in_one_of_several_methods_stops_no_other(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    own = method("Exits", "sys.exit(0)")
    status, out, _ = run(capsys, "evaluate", own, "average", *COMMON)
    result, error = map(json.loads, out.splitlines())
    assert status == 3 and result["title"] == "average of the sources"
    (line,) = error["error"]["details"]
    assert line.startswith("exits: ") and line.endswith("in combine, ended the work with sys.exit(0)")


def test_sys_exit_in_a_metric(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    from fusionbench.core.images import encode_png
    from tests.metrics.scenes import scene

    text = scaffold("metric", "leaves")["leaves.py"]
    (here / "leaves.py").write_text(text.replace("    return ", "    raise SystemExit(0)\n    return "))
    for name, image in zip(("fused", "a", "b"), scene(1), strict=True):
        (here / f"{name}.png").write_bytes(encode_png(image))
    images = ["--a", "a.png", "--b", "b.png", "--fused", "fused.png"]
    status, out, err = run(capsys, "score", *images, "--metrics", "en,leaves.py:METRIC", "--json", "-o", "x.csv")
    assert status == 3 and json.loads(out)["error"]["message"].startswith("fused: "), err
    assert "ended the work with sys.exit(0)" in err and not (here / "x.csv").exists()
    status, out, err = run(capsys, "check", "leaves.py", "--json")
    reasons = {row["check"]: row["reason"] for row in json.loads(out)["checks"]}
    assert status == 1 and reasons["values_repeat"] == "SystemExit: 0", err


def test_clicks_own_exits_stay(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--help")[0] == run(capsys, "--version")[0] == run(capsys, "gate", "--help")[0] == 0
    assert run(capsys, "gate")[0] == 2


@pytest.mark.parametrize(
    "error", ["BrokenPipeError(32, 'mine')", "OSError('lost')", "EOFError", "OSError(104, 'reset')"]
)
def test_errors_that_pass_for_those_of_stdout_or_of_a_keyboard(
    error: str, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    """click ends the process for a broken pipe and for the end of a file, and one without a name is not of a path."""
    own = method("Raises", f"raise {error}")
    status, out, err = run(capsys, "evaluate", own, *COMMON)
    said = json.loads(out)["error"]
    assert status == 3 and (said["type"], said["exit_code"]) == ("InternalError", 3)
    assert f"in combine\n    raise {error}\n" in err and "check the path" not in err
    [reason] = said["details"]
    assert reason.partition(":")[0] in (error.partition("(")[0], "ConnectionResetError") and reason not in (err, "")


def test_a_full_disk_is_the_users(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing to an open file names no file."""
    own = method("Full", "raise OSError(28, 'No space left on device')")
    status, out, err = run(capsys, "evaluate", own, *COMMON)
    assert status == 2 and json.loads(out)["error"]["type"] == "DataError"
    assert err.splitlines()[-1].startswith("fusionbench: No space left on device; check the path")
