"""``fusionbench explain`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.runner import run
from tests.metrics.scenes import scene


@pytest.fixture
def places(tmp_path: Path) -> list[object]:
    arguments: list[object] = []
    for option, image in zip(("--fused", "--a", "--b"), scene(), strict=True):
        path = tmp_path / f"{option[2:]}.png"
        Image.fromarray(image).save(path)
        arguments += [option, path]
    return arguments


def test_a_dialect_is_found_and_named(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    _, out, _ = run(capsys, "-q", "score", *places, "--metrics", "mi", "--dialect", "cddfuse", "--json")
    number = f"{json.loads(out)['images'][0]['mi']:.4f}"
    code, out, _ = run(capsys, "-q", "explain", "mi", number, *places)
    assert code == 0 and out.startswith("= ") and "cddfuse/1" in out.splitlines()[0] and "natural" in out
    code, out, _ = run(capsys, "-q", "explain", "mi", number, *places, "--json")
    found = json.loads(out)
    assert found["number"] == number and found["candidates"][0]["agrees"]


def test_nothing_fits(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    code, out, err = run(capsys, "explain", "en", "77.7", *places, "--top", 2)
    assert code == 0 and len(out.splitlines()) == 2 and "no known definition gives 77.7" in err


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    for arguments, words in ((["vff", "1"], "Did you mean"), (["vif", "x"], "not a number")):
        code, out, err = run(capsys, "-q", "explain", *arguments, *places)
        assert code == 2 and out == "" and words in err and len(err.strip().splitlines()) == 1


def test_a_row(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    columns = ("en", "sd", "mi", "ssim")
    _, out, _ = run(capsys, "-q", "score", *places, "--metrics", ",".join(columns), "--dialect", "cddfuse", "--json")
    values = [f"{json.loads(out)['images'][0][name]:.3f}" for name in columns]
    row = ",".join(f"{name}={value}" for name, value in zip(columns, values, strict=True))
    code, out, _ = run(capsys, "-q", "explain", row, *places)
    assert code == 0 and out.startswith("cddfuse/1 (CDDFuse evaluator (Python))") and "all 4 numbers" in out
    assert out.count("= ") >= 4
    code, out, _ = run(capsys, "-q", "explain", *values, "--columns", ",".join(columns), *places, "--json")
    found = json.loads(out)
    assert found["joint"][0]["dialect"] == "cddfuse/1" and found["joint"][0]["chance"] < 1e-5
    assert [column["metric"] for column in found["columns"]] == list(columns) and "all 4 numbers" in found["verdict"]
    for arguments, words in (
        (["1", "2", "3"], "3 numbers for 8 columns"),
        (["en", "7", "--columns", "en"], "--columns"),
        (["en=1,zz=2"], "Unknown metric"),
    ):
        code, out, err = run(capsys, "-q", "explain", *arguments, *places)
        assert code == 2 and out == "" and words in err and len(err.strip().splitlines()) == 1
