"""The doctor's findings, healthy and sick."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from fusionbench import doctor
from tests.cli.runner import run


def test_a_healthy_installation(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "doctor", "--json")
    report = json.loads(out)
    assert report["ok"] == (code == 0)
    failed = {finding["check"] for finding in report["findings"] if finding["status"] == "fail"}
    assert failed <= {"torchvision"}, "what the tests run in works, but for a torchvision that is not ours to choose"
    checks = {finding["check"] for finding in report["findings"]}
    assert checks >= {"python", "packages", "torch", "device", "torchvision", "hdf5", "folder", "encoding", "files"}
    text = run(capsys, "doctor")[1]
    assert "ok   torch " in text


def test_missing_and_old_packages() -> None:
    found = list(doctor.check_packages(["numpy>=1", "no-such-package>=3", "click>=99", 'nothing; extra == "dev"']))
    assert [(finding.status, finding.detail.split()[0]) for finding in found] == [
        ("fail", "no-such-package"),
        ("fail", "click"),
        ("ok", "numpy"),
    ]
    assert "pip install 'click>=99'" in found[1].remedy


def test_a_torchvision_built_for_another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    (finding,) = doctor.check_torchvision(load)
    assert finding.status == "fail" and "another build of torch" in finding.detail
    assert "pip uninstall torchvision" in finding.remedy


def test_no_torchvision_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert [finding.status for finding in doctor.check_torchvision()] == ["ok"]


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.status for finding in doctor.check_folder(tmp_path)] == ["ok"]
    assert [finding.status for finding in doctor.check_folder(tmp_path / "missing")] == ["fail"]
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    assert [finding.status for finding in doctor.check_folder(tmp_path)] == ["warn"]


def test_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "getfilesystemencoding", lambda: "ascii")
    (finding,) = doctor.check_encoding()
    assert finding.status == "warn" and "PYTHONUTF8" in finding.remedy


def test_a_failure_is_exit_3(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("disk", "fail", "full", "empty it")])
    code, out, err = run(capsys, "doctor")
    assert code == 3 and "FAIL disk" in out and "→ empty it" in out and "1 of 1 checks failed: disk" in err
