"""``fusionbench evaluate`` with methods by name, classes in files and runs, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.core import plugin_files
from fusionbench.evaluation import pair_rows
from tests.cli.runner import run

OWN = """
from fusionbench.models.classical.pyramids import PairRow

class Brighter(PairRow):
    title = "the brighter one"

    def combine(self, a, b):
        return a.maximum(b)
"""


def test_methods_by_name_and_in_a_file_are_scored_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(plugin_files.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)
    words = ["evaluate", "average", "own.py:Brighter", "--data", "pairs-demo", "--limit", 2, "--device", "cpu"]
    code, stdout, stderr = run(capsys, *words)
    assert code == 0
    folders = [Path(line) for line in stdout.splitlines()]
    assert [folder.parent.name for folder in folders] == ["average", "brighter"]
    assert all((folder / "result.json").is_file() for folder in folders)
    assert "the brighter one" in stderr and "qabf ↑" in stderr  # the scores, as talk
    code, stdout, stderr = run(capsys, *words, "--quiet")
    assert (code, [Path(line) for line in stdout.splitlines()], stderr) == (0, folders, "")
    code, stdout, _ = run(capsys, *words, "--json")
    assert [json.loads(line)["folder"] for line in stdout.splitlines()] == [str(folder) for folder in folders]


def test_a_row_is_called_as_one_likes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "average", "--data", "pairs-demo", "--limit", 2, "--out", tmp_path, "--device", "cpu"]
    code, stdout, stderr = run(capsys, *words, "--title", "Mine, small")
    assert code == 0 and "Mine, small" in stderr
    assert json.loads(Path(stdout.strip(), "result.json").read_text())["title"] == "Mine, small"


def test_one_that_fails_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(plugin_files.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN.replace("a.maximum(b)", "a.reshape(3, 5)"))
    common = ["--data", "pairs-demo", "--limit", 2, "--device", "cpu"]
    code, stdout, stderr = run(capsys, "evaluate", "own.py:Brighter", "average", "copy-a", *common)
    assert code == 3
    assert [Path(line).parent.name for line in stdout.splitlines()] == ["average", "copy-a"]
    assert "1 method could not be scored" in stderr and "brighter: RuntimeError: shape" in stderr
    assert "score it alone for its traceback" in stderr
    assert "qabf ↑" in stderr and "Traceback" not in stderr
    code, stdout, _ = run(capsys, "evaluate", "own.py:Brighter", "average", *common, "--json")
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert code == 3 and lines[0]["title"] == "average of the sources" and "error" in lines[1]
    code, stdout, _ = run(capsys, "evaluate", "own.py:Brighter", *common)
    assert code == 3 and stdout == ""


def test_slices_of_time_come_to_the_same_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pair_rows, "AT_ONCE", 1)
    common = ["--data", "pairs-demo", "--limit", 2, "--device", "cpu"]
    words = ["evaluate", "average", "copy-a", *common, "--out", tmp_path / "parts", "--stop-after", "0.000001s"]
    code, stdout, stderr = run(capsys, *words)
    assert (code, stdout) == (75, "")
    assert "the time is over, and 2 methods are not scored; the same command goes on:" in stderr
    assert (
        "average: average of the sources on pairs-demo: 1 of 2 done\n" in stderr
        and "  copy-a: not begun\n" in stderr
        and "Traceback" not in stderr
    )
    codes = [code]
    while code == 75:
        code, stdout, _ = run(capsys, *words)
        codes.append(code)
        assert len(codes) < 9
    assert codes[-1] == 0 and len(codes) == 4  # two calls for each method, of which the last begins nothing
    code, whole, _ = run(capsys, "evaluate", "average", "copy-a", *common, "--out", tmp_path / "whole")
    assert code == 0
    for one, other in zip(stdout.splitlines(), whole.splitlines(), strict=True):
        assert Path(one, "per_image.npz").name == Path(other, "per_image.npz").name
        scores = [json.loads(Path(folder, "result.json").read_text())["scores"] for folder in (one, other)]
        assert scores[0] == scores[1]
    code, _, stderr = run(capsys, "evaluate", "average", *common, "--stop-after", "soon")
    assert code == 2 and "Time 'soon' is not understood" in stderr


def test_a_preset_is_the_row_of_a_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one identity: the second command finds the result of the first."""
    common = ["--limit", 2, "--out", tmp_path, "--device", "cpu"]
    code, of_suite, _ = run(capsys, "run", "pairs-demo", "--models", "gradient-domain", *common, "--no-sheets")
    assert code == 0
    places = of_suite.splitlines()
    made = {place: json.loads(Path(place, "result.json").read_text())["identity"]["model"] for place in places}
    folder, model = next((place, model) for place, model in made.items() if model["name"] == "gradient-domain")
    given = [word for key, value in model["params"].items() for word in ("--set", f"{key}={json.dumps(value)}")]
    code, stdout, _ = run(capsys, "evaluate", "gradient-domain", *given, "--data", "pairs-demo", *common)
    assert (code, stdout) == (0, f"{folder}\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["averge"], "Did you mean 'average'"),
        (["average", "seafusion"], "seafusion learns: train it first"),
        (["average", "--preset", "natural"], "preset of average 'natural'"),
        (["average", "copy-a", "--title", "Mine"], "--title 'Mine': give the one method"),
        (["average", "--title", " "], "--title ' '"),
        (["average", "--set", "levels"], "--set 'levels': write KEY=VALUE"),
        (["average", "--set", "levels=4"], "parameter of average 'levels'"),
        (["average", "--scheduler", "tcp://127.0.0.1:1"], "a cluster scores runs"),
        (["own.py"], "own.py"),
        ([""], "method or run folder ''"),
    ],
)
def test_nothing_is_scored_where_a_word_is_wrong(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = run(capsys, "evaluate", *words, "--data", "pairs-demo", "--limit", 2, "--device", "cpu")
    assert (code, stdout) == (2, "") and told in stderr
    assert not Path("results").exists()
    assert len(stderr.splitlines()) == 1, stderr
