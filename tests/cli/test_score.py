"""``fusionbench score`` as a user runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.runner import run
from tests.metrics.scenes import scene


@pytest.fixture
def places(tmp_path: Path) -> list[object]:
    for name in ("ir", "vi", "out"):
        (tmp_path / name).mkdir()
    for seed in range(2):
        for name, image in zip(("out", "ir", "vi"), scene(seed), strict=True):
            Image.fromarray(image).save(tmp_path / name / f"{seed}.png")
    return ["--a", tmp_path / "ir", "--b", tmp_path / "vi", "--fused", tmp_path / "out"]


def test_table(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    code, out, err = run(capsys, "score", *places, "--metrics", "en, vif", "--jobs", 1)
    lines = out.splitlines()
    assert code == 0 and lines[0] == "2 images, standard/1"
    assert lines[1].split() == ["en", "vif"] and lines[2].split() == ["[bits]", "[1]"]
    assert [line.split()[0] for line in lines[3:]] == ["0", "1", "mean", "±"]
    assert "scoring" in err


def test_json_and_csv_have_full_values(
    capsys: pytest.CaptureFixture[str], places: list[object], tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "values.csv"
    code, out, _ = run(capsys, "--quiet", "score", *places, "--dialect", "cddfuse", "--json", "--csv", target)
    found = json.loads(out)
    assert code == 0 and found["dialect"] == "cddfuse/1" and set(found) >= {"versions", "images", "mean"}
    rows = list(csv.DictReader(target.open()))
    for row, image in zip(rows, found["images"], strict=True):
        assert row["id"] == image["id"]
        assert all(float(row[name]) == image[name] for name in found["versions"])


def test_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    Image.fromarray(scene(0)[0]).save(Path(str(places[5])) / "9.jpg")
    code, out, err = run(capsys, "score", *places, "--metrics", "en")
    assert code == 0 and "9 (not in a, b)" in err and "warning" not in out
    code, _, err = run(capsys, "score", *places, "--metrics", "en", "--strict")
    assert code == 2 and "--strict" in err


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--metrics", "vff"], "Did you mean"),
        (["--dialect", "cdfuse"], "Did you mean 'cddfuse'"),
        (["--dialect", "cddfuse", "--metrics", "qp"], "has no 'qp'"),
        (["--jobs", "0"], "at least 1"),
        (["--metrics", ""], "No metric"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], places: list[object], extra: list[str], words: str
) -> None:
    code, out, err = run(capsys, "score", *places, *extra)
    assert code == 2 and out == "" and words in err and len(err.strip().splitlines()) == 1


def test_all_metrics_of_a_dialect(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    code, out, _ = run(capsys, "-q", "score", *places, "--metrics", "all", "--dialect", "rfn-nest", "--json")
    assert code == 0 and set(json.loads(out)["versions"]) == {"en", "mi", "nabf", "scd", "sd"}


def test_a_flat_result_prints_nan_and_no_mean(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    Image.fromarray(np.full((61, 74), 3, np.uint8)).save(Path(str(places[5])) / "1.png")
    code, out, _ = run(capsys, "-q", "score", *places, "--metrics", "cc")
    assert code == 0 and "nan" in out and "not finite" in out


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "score", "--help")
    assert code == 0 and "Example: fusionbench score" in out
