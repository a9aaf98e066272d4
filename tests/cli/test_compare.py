"""``fusionbench compare``: forms, exit codes, streams."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.results import bootstrap as stats
from tests.cli.runner import run
from tests.helpers.results import made_up


def test_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path, "a")
    made_up(tmp_path, "b", shift=0.2)
    code, out, err = run(capsys, "compare", tmp_path)
    assert code == 0 and out.splitlines()[0].startswith("model") and "40 images of fusiondigits" in err
    data = json.loads(run(capsys, "compare", tmp_path, "--json", "--resamples", 200)[1])
    assert [row["name"] for row in data["rows"]] == ["a", "b"] and data["resamples"] == 200
    assert run(capsys, "compare", tmp_path, "--markdown")[1].startswith("| model |")
    assert run(capsys, "compare", tmp_path, "--csv")[1].startswith("model,title,")
    assert "\\toprule" in run(capsys, "compare", tmp_path, "--latex")[1]


def test_not_comparable_is_exit_4_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = made_up(tmp_path, "a")
    second = made_up(tmp_path, "b", dataset={"split": "valid"})
    code, out, err = run(capsys, "compare", first, second)
    assert (code, out) == (4, "") and err.count("\n") == 1 and "dataset split" in err


def test_nothing_there_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "compare", tmp_path / "x.json")
    assert (code, out) == (2, "") and "no such result" in err
    assert run(capsys, "compare")[0] == 2


def test_the_former_name_of_the_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path, "a")
    made_up(tmp_path, "b", shift=0.2)
    arguments = ("compare", tmp_path, "--score", "nll_bpd@avg4", "--score", "mse_min@avg4", "--json")
    code, out, err = run(capsys, *arguments)
    assert code == 0 and list(json.loads(out)["better"]) == ["nll_bpd@mean", "mse_min@mean"]
    assert err.splitlines() == [
        "@avg4 is now called @mean: write nll_bpd@mean instead of nll_bpd@avg4, mse_min@mean instead of mse_min@avg4"
    ]
    assert run(capsys, *[str(word).replace("avg4", "mean") for word in arguments]) == (0, out, "")


def test_the_help_names_the_defaults_that_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They stand in the help as text, so that the help needs no NumPy."""
    text = " ".join(run(capsys, "compare", "--help")[1].split())
    made_up(tmp_path, "a")
    made_up(tmp_path, "b")
    data = json.loads(run(capsys, "compare", tmp_path, "--json")[1])
    assert (data["level"], data["resamples"]) == (stats.LEVEL, stats.RESAMPLES)
    assert f"[default: ({stats.LEVEL}); " in text and f"[default: ({stats.RESAMPLES}); " in text


def test_a_trial_in_the_folder_is_named_and_another_benchmark_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(tmp_path, "a")
    made_up(tmp_path, "b", shift=0.2)
    trial = made_up(tmp_path, "a", ids=range(2))
    code, out, err = run(capsys, "compare", tmp_path)
    assert (code, out) == (4, "") and err.count("\n") == 1
    assert "2 benchmarks here" in err and str(trial) in err and err.strip().endswith("--only n=40")
    code, out, err = run(capsys, "compare", tmp_path, "--only", "n=40", "--json")
    data = json.loads(out)
    assert code == 0 and data["images"] == 40 and [row["name"] for row in data["rows"]] == ["a", "b"]
    assert run(capsys, "compare", tmp_path, "--only", "n=3")[0] == 2
