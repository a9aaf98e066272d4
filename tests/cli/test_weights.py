"""``fusionbench weights``: what is listed, shown and imported, and one line with an exit code where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.models.pairs.seafusion import SeAFusion
from fusionbench.models.published_weights import networks_with_published_weights
from fusionbench.submissions import published_weights_import
from tests.cli.runner import run
from tests.helpers.published import ifcnn_state, zip_form
from tests.submissions.test_published_weights_import import here


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_weights_import, "run_limited", here)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "weights", "list")
    assert code == 0
    for name, record in networks_with_published_weights().items():
        (line,) = (line for line in out.splitlines() if line.startswith(f"{name} "))
        assert record.licence in line and record.homepage in line
    code, out, _ = run(capsys, "weights", "list", "--json")
    listed = {entry["network"]: entry for entry in json.loads(out)}
    assert code == 0 and set(listed) == set(networks_with_published_weights())
    assert listed["seafusion"]["files"] == [{"part": "weights", "sha256": SeAFusion.PUBLISHED.sha256[0]}]


def test_import_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    zip_form(ifcnn_state(), tmp_path / "mine.pth")
    code, out, err = run(capsys, "weights", "import", "ifcnn", "mine.pth")
    assert (code, out) == (0, "runs/published/ifcnn\n") and "not the release that was checked" in err
    code, out, _ = run(capsys, "weights", "show", "runs/published/ifcnn")
    assert code == 0 and "network: ifcnn" in out and "part weights, name mine.pth" in out and "parameters: 83587" in out
    code, out, _ = run(capsys, "weights", "import", "ifcnn", "mine.pth", "-o", "other", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["folder"] == "other" and facts["licence"] == "none stated"
    code, out, _ = run(capsys, "weights", "show", "seafusion", "--json")
    assert code == 0 and json.loads(out)["checked"] == SeAFusion.PUBLISHED.checked


def test_what_cannot_be_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zip_form(ifcnn_state(), tmp_path / "a.pth")
    (tmp_path / "text.pth").write_text("not found")
    for arguments, message in (
        (("seafusion", tmp_path / "a.pth"), "a.pth: not the published weights of SeAFusion"),
        (("ifcnn", tmp_path / "text.pth"), "text.pth: neither a file of torch nor safetensors"),
        (("ifcnn", tmp_path / "none.pth"), "none.pth: no such file of weights"),
        (("ifcnn", tmp_path), "a folder; name the file of weights in it"),
        (("dae-fuse", tmp_path / "a.pth"), "no published weights of dae-fuse are known"),
    ):
        code, out, err = run(capsys, "weights", "import", *arguments, "-o", tmp_path / "run")
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1, err
    code, _, err = run(capsys, "weights", "show", tmp_path)
    assert code == 2 and "run.json" in err
