"""``fusionbench study`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fusionbench.results.study_files import read_study
from tests.cli.runner import run


@pytest.fixture
def files(tmp_path: Path) -> list[object]:
    """Three methods' scores on eight images, and opinions that follow VIF."""
    rng = np.random.default_rng(0)
    lines, found = ["image,method,subject,score"], []
    for method in "ABC":
        vif, nabf = rng.uniform(0.3, 1, 8), rng.uniform(0, 0.2, 8)
        rows = [{"id": f"{i}", "vif": vif[i], "nabf": nabf[i], "not_available": {}} for i in range(8)]
        path = tmp_path / f"{method}.json"
        path.write_text(json.dumps({"dialect": "standard/1", "images": rows}))
        found.append(path)
        lines += [f"{i},{method},s{s},{5 * vif[i] + 0.01 * s}" for i in range(8) for s in range(2)]
    (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n")
    return [*found, "--opinions", tmp_path / "scores.csv"]


def test_a_table_a_file_and_json(capsys: pytest.CaptureFixture[str], files: list[object], tmp_path: Path) -> None:
    code, out, err = run(capsys, "study", *files, "-o", tmp_path / "study.json")
    assert code == 0 and "study.json" in err
    lines = out.splitlines()
    assert lines[0] == "48 opinions of 2 people on 8 images × 3 methods; + agrees"
    assert lines[2].split()[:3] == ["=", "vif", "+1.000"] and lines[3].split()[0] == "nabf"
    code, out, _ = run(capsys, "-q", "study", *files, "--json", "--metrics", "vif", "--fit", "logistic", "--title", "T")
    found = json.loads(out)
    assert code == 0 and found["title"] == "T" and found["fit"] == "logistic" and len(found["metrics"]) == 1
    assert read_study(tmp_path / "study.json").title == "scores"


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], files: list[object], tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("image,method,score\n0,A,nan\n")
    for arguments, words in (
        ([*files[:-1], bad], "no finite number"),
        ([*files, "--metrics", "qabf"], "no values of qabf"),
        ([*files, "--title", "a\nb"], "--title"),
        ([tmp_path / "none.json", *files], "none.json"),
    ):
        code, out, err = run(capsys, "-q", "study", *arguments)
        assert code == 2 and out == "" and words in err and len(err.strip().splitlines()) == 1
