"""``fusionbench paper`` as people call it: files, JSON on stdout, one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.runner import run
from tests.evaluation.fusing.scenes import folders
from tests.evaluation.paper.test_learning_curves import log
from tests.helpers.latex import check
from tests.helpers.results import made_up, saved

BASE = np.linspace(1.0, 2.0, 12)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name, shift in (("one", 0.0), ("two", 1.0)):
        saved(tmp_path / "results", name, {"en": BASE + shift, "qabf": BASE - shift})
    return tmp_path / "results"


def test_table(capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path) -> None:
    names = ["--metrics", "Qabf,EN", "--rows", "two,one=A_b", "--digits", "1,EN=3", "--resamples", 200]
    code, out, err = run(capsys, "paper", "table", results, *names)
    assert code == 0 and "trained once" in err
    assert check(out)[1][0] == "two" and "\\textbf{2.500}" in out and "A\\_b" in out
    for suffix in ("tex", "md", "csv"):
        code, out, _ = run(capsys, "-q", "paper", "table", results, *names, "-o", tmp_path / f"t.{suffix}", "--json")
        told = json.loads(out)
        assert code == 0 and told["file"] == str(tmp_path / f"t.{suffix}")
        assert [column["key"] for column in told["columns"]] == ["qabf", "en"]
        assert told["rows"][0]["cells"]["en"] | {"value": 0} == {
            "text": "2.500",
            "value": 0,
            "spread": "",
            "place": "best",
            "tied": False,
        }
    assert (tmp_path / "t.csv").read_text().startswith("method,kind,part,qabf,qabf mark,en,en mark,notes\n")
    options = ["--two-columns", "--label", "tab:x", "--trivial", "without", "--spread", "interval"]
    code, out, err = run(
        capsys, "paper", "table", results, "--rows", "one=" + "long " * 12, *options, "-o", tmp_path / "t.tex"
    )
    text = (tmp_path / "t.tex").read_text()
    assert code == 0 and "\\label{tab:x}" in text and "table*" in text and "in wide" not in err
    code, _, err = run(capsys, "paper", "table", results, "--rows", "one=日本" + "long " * 12, "-o", tmp_path / "t.tex")
    assert "about" in err and "in wide" in err and "--two-columns" in err and "no letters 日本" in err


def test_figure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ir, vis = folders(tmp_path)
    words = ["paper", "figure", "--a", ir, "--b", vis, "--methods", "average,Ours=copy-b", "--device", "cpu"]
    code, out, err = run(capsys, *words, "-o", tmp_path / "f.pdf")
    assert code == 0 and out == f"{tmp_path}/f.pdf\n" and "windows: largest variance" in err
    first = (tmp_path / "f.pdf").read_bytes()
    run(capsys, *words, "-o", tmp_path / "f.pdf")
    assert (tmp_path / "f.pdf").read_bytes() == first
    look = [
        "--pairs",
        "one,two",
        "--zoom",
        "0,0,5,4",
        "--difference",
        "Ours",
        "--metrics",
        "EN,SD",
        "--names",
        "IR,Vis",
    ]
    look += ["--per-line", 2, "--labels", "above", "--letters", "--stems", "--width", "single", "--font", "sans"]
    code, out, _ = run(capsys, "-q", *words, *look, "-o", tmp_path / "f.svg", "--json")
    told = json.loads(out)
    assert code == 0 and [pair["zooms"] for pair in told["pairs"]] == [[[0, 0, 5, 4]]] * 2
    text = (tmp_path / "f.svg").read_text()
    assert "(a) IR" in text and "(d) Ours" in text and told["width"] == 3.5


def test_curves_and_cost(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run_folder = log(tmp_path / "a", [3.0, 2.0, 1.0])
    code, out, _ = run(capsys, "-q", "paper", "curves", run_folder, "-o", tmp_path / "c.svg", "--log", "--json")
    assert code == 0 and json.loads(out)["panels"] == [{"value": "loss", "curves": [["Net", 3]]}]
    made_up(tmp_path / "results", "net")
    made_up(tmp_path / "results", "mean-image", family="trivial", shift=1)
    where = [tmp_path / "results", "-o", tmp_path / "d.pdf", "--metric", "mse_min", "--resamples", 200]
    code, out, _ = run(capsys, "-q", "paper", "cost", *where, "--json")
    points = json.loads(out)["points"]
    assert code == 0 and sorted(point["x"] for point in points) == [0.0, 0.012345]
    code, _, err = run(capsys, "-q", "paper", "cost", *where, "--against", "time")
    assert code == 2 and "no row has both" in err


def test_samples(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "-q", "paper", "samples", tmp_path, "--data", tmp_path, "-o", tmp_path / "s.pdf")
    assert code == 2 and err.count("\n") == 1
    code, _, err = run(capsys, "-q", "paper", "samples", "x", "--data", "x", "-o", tmp_path / "s.pdf", "--ids", "1,-2")
    assert code == 2 and "--ids '1,-2'" in err


def test_nothing_of_a_result_or_a_run_is_replaced(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    (table,) = results.glob("*/one/*/images.csv")
    before = table.read_bytes()
    code, _, err = run(capsys, "-q", "paper", "table", results, "-o", table)
    assert code == 2 and "result.json" in err and table.read_bytes() == before
    log(tmp_path / "a", [1.0])
    (tmp_path / "a" / "run.json").write_text("{}")
    code, _, err = run(capsys, "-q", "paper", "curves", f"N={tmp_path}/a", "-o", tmp_path / "a" / "c.png")
    assert code == 2 and "run.json" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--digits", "x"], "--digits 'x'"),
        (["--digits", "11"], "--digits '11'"),
        (["--label", "a}b"], "--label"),
        (["-o", "t.docx"], "choose such a name"),
        (["--metrics", "vff"], "Unknown metric"),
        (["--rows", "nobody"], "Unknown row"),
    ],
)
def test_mistakes_in_tables_are_one_line(
    capsys: pytest.CaptureFixture[str], results: Path, options: list[str], words: str
) -> None:
    code, out, err = run(capsys, "-q", "paper", "table", results, *options)
    assert code == 2 and out == "" and words in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "f.jpg"], "choose such a name"),
        (["-o", "f.png", "--width", "nan"], "--width"),
        (["-o", "f.png", "--names", "one"], "--names"),
        (["-o", "f.png", "--zoom", "1"], "--zoom"),
        (["-o", "f.png", "--pairs", "x"], "Unknown pair"),
        (["-o", "f.png", "--split", "x"], "Unknown"),
    ],
)
def test_mistakes_in_figures_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "-q", "paper", "figure", "--data", "pairs-demo", "--methods", "average", *options)
    assert code == 2 and out == "" and words.lower() in err.lower() and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
