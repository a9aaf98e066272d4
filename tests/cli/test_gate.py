"""``fusionbench gate``: exit codes, reports beside the table, and the baseline that it writes."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fusionbench.evaluation import calibrate
from fusionbench.results.gate import baseline_of, read_baseline, write_baseline
from tests.cli.runner import run
from tests.helpers.results import made_up


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    path = tmp_path / "baselines" / "b.json"
    write_baseline(path, baseline_of([candidate(tmp_path / "base")]))
    return path


def candidate(root: Path, shift: float = 0.0) -> Path:
    made_up(root, "cvae", shift=shift)
    made_up(root, "mean-image", family="trivial", metrics={"mse_min": "1"})
    return root


def test_command_line(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = candidate(tmp_path / "good")
    bad = candidate(tmp_path / "bad", shift=0.05)

    code, out, err = run(capsys, "gate", good, "-b", baseline)
    assert code == 0 and out.strip().endswith("15 scores: 15 ok") and err == ""
    files = ("--junit", tmp_path / "gate.xml", "--summary", tmp_path / "gate.md")
    code, out, err = run(capsys, "gate", bad, "-b", baseline, *files)
    assert code == 1 and "WORSE" in out and "10 of 15 scores regressed" in err
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("15", "10", "0")
    assert len(root.findall(".//failure")) == 10 and len(root.findall(".//testcase")) == 15
    text = (tmp_path / "gate.md").read_text()
    assert text.startswith("### ❌ Regression") and text.count("| WORSE |") == 10 and "5 unchanged" in text
    report = json.loads(run(capsys, "gate", bad, "-b", baseline, "--json")[1])
    assert report["exit_code"] == 1 and len(report["cases"]) == 15
    assert run(capsys, "gate", bad, "-b", tmp_path / "none.json")[0] == 2
    assert run(capsys, "gate", bad, "-b", baseline, "--calibrate", 3)[0] == 2
    before = baseline.read_bytes()
    code, _, err = run(capsys, "gate", bad, "-b", baseline, "--update-baseline")
    assert code == 1 and baseline.read_bytes() == before and "add --accept-regression" in err
    assert sum("accepts regressed: cvae" in line for line in err.splitlines()) == 10
    assert run(capsys, "gate", bad, "-b", baseline, "--update-baseline", "--accept-regression")[0] == 0
    assert baseline.read_bytes() != before and run(capsys, "gate", bad, "-b", baseline)[0] == 0


def test_the_exit_code_is_that_of_the_worst_verdict(
    tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(tmp_path / "missing", "cvae")
    code, _, err = run(capsys, "gate", tmp_path / "missing", "-b", baseline)
    assert code == 3 and "5 of 15 scores not measured: mean-image" in err
    other = tmp_path / "other"
    made_up(other, "cvae", dataset={"id": "0" * 64})
    code, _, err = run(capsys, "gate", other, "-b", baseline)
    assert code == 4 and "dataset id" in err and err.count("\n") == 1


def test_what_is_fine_is_shown_on_request(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = candidate(tmp_path / "good")
    short, long = (run(capsys, "gate", good, "-b", baseline, *more)[1] for more in ((), ("--all",)))
    assert "mse_min@2" not in short and long.count("mse_min@2") == 2


def test_the_summary_of_a_job_grows(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "summary.md").write_text("# Before\n")
    for _ in range(2):
        assert (
            run(capsys, "gate", candidate(tmp_path / "good"), "-b", baseline, "--summary", tmp_path / "summary.md")[0]
            == 0
        )
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("# Before\n") and text.count("### ✅ No regression") == 2


def test_a_first_baseline_needs_none_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, path = candidate(tmp_path / "good"), tmp_path / "new" / "b.json"
    code, out, err = run(capsys, "gate", good, "-b", path, "--update-baseline")
    assert (code, out) == (0, "") and err == f"{path}: written; review the diff and commit it\n"
    assert read_baseline(path) == baseline_of([good])
    assert run(capsys, "gate", tmp_path, "-b", tmp_path / "x.json")[0] == 2
    (tmp_path / "empty").mkdir()
    code, _, err = run(capsys, "gate", tmp_path / "empty", "-b", path)
    assert code == 2 and "no result.json in this folder" in err


def test_calibration_comes_before_the_results_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The seeds that it adds have to be in the baseline."""
    results, path, asked = tmp_path / "results", tmp_path / "b.json", []

    def complete_seeds(*arguments: object) -> None:
        asked.append(arguments)
        for seed in range(3):
            made_up(results, "cvae", seed=seed, shift=0.01 * seed)

    monkeypatch.setattr(calibrate, "complete_seeds", complete_seeds)
    made_up(results, "cvae")
    given = ("--update-baseline", "--calibrate", 3, "--data", tmp_path / "data", "--runs", tmp_path / "runs")
    assert run(capsys, "gate", results, "-b", path, *given)[0] == 0
    assert asked == [(results, tmp_path / "runs", tmp_path / "data", 3, "auto")]
    assert {score.runs for score in read_baseline(path).entries[0].scores.values()} == {3}


def test_an_update_drops_no_model_silently(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = baseline.read_bytes()
    results = tmp_path / "one"
    made_up(results, "cvae")
    code, _, err = run(capsys, "gate", results, "-b", baseline, "--update-baseline", "--accept-regression")
    assert code == 1 and baseline.read_bytes() == before
    assert "drops mean-image on fusiondigits test with its 5 scores" in err and "--drop mean-image" in err
    code, _, err = run(capsys, "gate", results, "-b", baseline, "--update-baseline", "--drop", "mean-image")
    assert code == 0 and "dropped: mean-image" in err
    assert [entry.model for entry in read_baseline(baseline).entries] == ["cvae"]
    assert run(capsys, "gate", results, "-b", baseline, "--drop", "cvae")[0] == 2, "without --update-baseline"


def test_an_unchanged_update_writes_the_same_bytes(
    tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = baseline.read_bytes(), baseline.stat().st_mtime_ns
    code, _, err = run(capsys, "gate", candidate(tmp_path / "good"), "-b", baseline, "--update-baseline")
    assert code == 0 and err.endswith(f"{baseline}: unchanged\n")
    assert before == (baseline.read_bytes(), baseline.stat().st_mtime_ns)


def test_the_error_rate_is_chosen_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(3):
        made_up(tmp_path / "r", "cvae", seed=seed, shift=0.01 * seed)
    words = ("gate", tmp_path / "r", "-b", tmp_path / "b.json")
    code, _, err = run(capsys, *words, "--update-baseline", "--alpha", 0.01)
    assert code == 0 and "3 seeds, error rate 1 % over 10 scores" in err and "nine times in ten" in err
    assert run(capsys, *words, "--update-baseline")[0] == 0 and read_baseline(tmp_path / "b.json").alpha == 0.01
    code, out, _ = run(capsys, *words)
    assert code == 0 and "false alarms: at most 1 % of unchanged candidates, over 10 scores" in out
    report = json.loads(run(capsys, *words, "--json")[1])
    assert (report["alpha"], report["compared"]) == (0.01, 10) and report["cases"][0]["detectable"] > 0
    assert run(capsys, *words, "--update-baseline", "--alpha", 2)[0] == 2
    assert run(capsys, *words, "--alpha", 0.01)[0] == 2, "without --update-baseline"


def test_own_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, base = tmp_path / "scores.csv", tmp_path / "b.json"
    path.write_text("id,loss,acc\n" + "".join(f"{n},{0.5 + n / 100},{0.9 - n / 100}\n" for n in range(9)))
    code, _, err = run(capsys, "gate", path, "-b", base, "--update-baseline")
    assert code == 2 and "--better lower:loss" in err and len(err.splitlines()) == 1
    given = ("--better", "lower:loss,higher:acc", "--tolerance", "loss:0.01")
    assert run(capsys, "gate", path, "-b", base, "--update-baseline", *given)[0] == 0
    written = base.read_bytes()
    assert run(capsys, "gate", path, "-b", base, "--update-baseline")[0] == 0
    assert base.read_bytes() == written, "directions and tolerances are those of the baseline"
    assert run(capsys, "gate", path, "-b", base)[0] == 0
    worse = tmp_path / "worse.csv"
    worse.write_text("id,loss,acc\n" + "".join(f"{n},{0.6 + n / 100},{0.9 - n / 100}\n" for n in range(9)))
    code, out, err = run(capsys, "gate", worse, "-b", base)
    assert code == 1 and "1 of 2 scores regressed: model on scores all, loss" in err and "WORSE" in out
    worse.write_text("id,loss,acc\n0,nan,1\n")
    code, _, err = run(capsys, "gate", worse, "-b", base)
    assert code == 3 and len(err.splitlines()) == 1
    worse.write_text("id,loss,acc\n0,0.5,0.9\n")
    assert run(capsys, "gate", worse, "-b", base)[0] == 4
    worse.write_text("id,loss,acc\n0,0.5\n")
    assert run(capsys, "gate", worse, "-b", base)[0] == 2
    assert run(capsys, "gate", path, "-b", base, "--update-baseline", "--calibrate", 3, "--data", tmp_path)[0] == 2
