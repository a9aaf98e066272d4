"""``check FILE.py:NAME``: each kind by its own checks, and which object of a file is meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.cli.new import scaffold
from tests.cli.runner import run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_checks_find_what_is_wrong(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    text = scaffold("metric", "wrong")["wrong.py"]
    (here / "wrong.py").write_text(text.replace("axis=(1, 2))", ")"))  # one number of all images
    code, out, err = run(capsys, "check", "wrong.py", "--json")
    verdicts = {row["check"]: row["verdict"] for row in json.loads(out)["checks"]}
    assert code == 1 and verdicts["one_number_an_image"] == "fails" and verdicts["card_is_complete"] == "passes"
    assert err.startswith("fusionbench: wrong.py: ")
    (here / "wrong.py").write_text(text.replace('exploits="', 'exploits="" and "'))
    assert "card_is_complete" in run(capsys, "check", "wrong.py:METRIC")[2]
    source = scaffold("source", "bare")["bare.py"].replace('citation = "the owner of the images"', 'citation = ""')
    (here / "bare.py").write_text(source)
    assert "source_has_its_texts" in run(capsys, "check", "bare.py:Bare")[2]
    protocol = scaffold("protocol", "odd")["odd.py"].replace("limit=options.limit", "limit=None")
    (here / "odd.py").write_text(protocol)
    assert "a_limit_scores_the_first_images" in run(capsys, "check", "odd.py:PROTOCOL")[2]


def test_what_to_check_has_to_be_clear(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "none.py").write_text("x = 1")
    assert "has no model, metric, source or protocol" in run(capsys, "check", "none.py")[2]
    both = scaffold("metric", "doubled")["doubled.py"] + "\n\nOTHER = METRIC\n"
    (here / "both.py").write_text(both)
    assert "name what to check, such as both.py:METRIC or both.py:OTHER" in run(capsys, "check", "both.py")[2]
