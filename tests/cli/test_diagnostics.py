"""The doctor's findings, healthy and sick."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fusionbench.cli import diagnostics as doctor
from fusionbench.data.package_probes import PROBES, ProbeOutcome
from fusionbench.models import MODELS
from fusionbench.synth import kernel
from fusionbench.training.gradient_check import GradientCase, Verdict
from tests.cli.runner import run


def test_a_healthy_installation(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run(capsys, "doctor", "--quick", "--json")
    report = json.loads(out)
    assert report["ok"] == (code == 0)
    failed = {finding["check"] for finding in report["findings"] if finding["status"] == "fail"}
    assert failed <= {"torchvision"}, "what the tests run in works, but for a torchvision that is not ours to choose"
    checks = {finding["check"] for finding in report["findings"]}
    assert checks >= {"python", "packages", "torch", "device", "torchvision", "hdf5", "folder", "encoding", "files"}
    assert checks >= {"processor", "threads", "memory", "imports", "temporary", "kernel"}
    assert "gradients" not in checks
    found = [doctor.Finding(**finding) for finding in report["findings"]]  # as text, without looking again
    monkeypatch.setattr(doctor, "examine", lambda without=(): found if list(without) == ["gradients"] else [])
    text = run(capsys, "doctor", "--quick")[1]
    assert "ok   torch " in text and "gradients" not in text


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


def test_the_kernel_that_makes_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_state", kernel._State())
    monkeypatch.setenv(kernel.VARIABLE, "numpy")
    assert [(found.status, found.detail) for found in doctor.check_kernel()] == [
        ("ok", "views are made by NumPy (FUSIONBENCH_KERNEL=numpy)")
    ]
    monkeypatch.setenv(kernel.VARIABLE, "fortran")
    (found,) = doctor.check_kernel()
    assert found.status == "fail" and found.remedy == "set it to auto, numpy or numba"
    monkeypatch.delenv(kernel.VARIABLE)
    monkeypatch.setattr(kernel, "installed", lambda: True)
    monkeypatch.setattr(kernel, "_import", lambda wait: 1 / 0)
    (found,) = doctor.check_kernel()
    assert found.status == "warn" and "ZeroDivisionError" in found.detail and "fusionbench[fast]" in found.remedy
    monkeypatch.setattr(kernel, "installed", lambda: False)
    assert [(found.status, "extra `fast`" in found.detail) for found in doctor.check_kernel()] == [("ok", True)]


def test_a_failure_is_exit_3(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda without=(): [doctor.Finding("disk", "fail", "full", "empty it")])
    code, out, err = run(capsys, "doctor")
    assert code == 3 and "FAIL disk" in out and "→ empty it" in out and "1 of 1 checks failed: disk" in err


def test_every_required_package_is_tried() -> None:
    required = {Requirement(text).name.lower() for text in doctor._required() or []}
    assert required and required <= PROBES.keys(), "a new requirement needs a call in package_probes.py"


BROKEN = {
    "torch.py": "raise OSError('libtorch_cpu.so: cannot open shared object file')",
    "cv2.py": "",  # what is left of it when one of two OpenCV packages is removed has no attributes
    "h5py.py": "raise ImportError('a symbol is undefined\\nand a second line')",
    "sklearn.py": "import os; os.abort()",
}


def test_broken_packages_are_a_line_each(tmp_path: Path) -> None:
    """The whole verb on an installation with four broken packages: four lines with a remedy, and no traceback."""
    for name, text in BROKEN.items():
        (tmp_path / name).write_text(text)
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    command = [sys.executable, "-m", "fusionbench", "doctor", "--json"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    report = json.loads(done.stdout)
    failed = [finding for finding in report["findings"] if finding["status"] == "fail"]
    assert report["ok"] is False and all(finding["remedy"] for finding in failed)
    details = {finding["check"]: finding["detail"] for finding in failed if finding["check"] != "imports"}
    assert "libtorch_cpu.so" in details["torch"] and "a symbol is undefined and a second line" in details["hdf5"]
    imports = "\n".join(finding["detail"] for finding in failed if finding["check"] == "imports")
    assert "opencv-python-headless is installed and cannot be used: module 'cv2' has no attribute" in imports
    assert "one of two OpenCV packages" in imports and "scikit-learn" in imports and "SIGABRT" in imports
    (good,) = [
        found["detail"] for found in report["findings"] if found["check"] == "imports" and found["status"] == "ok"
    ]
    assert {"numpy", "pillow", "scipy"} <= set(good.removeprefix("imported and tried: ").split(", "))


def test_two_releases_of_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"opencv-python": "4.10.0.84", "opencv-python-headless": "5.0.0.93"}
    monkeypatch.setattr(doctor, "_version", installed.get)
    (finding,) = doctor.check_opencv()
    assert finding.status == "warn" and "opencv-python and opencv-python-headless" in finding.detail
    assert "pip uninstall opencv-python opencv-python-headless" in finding.remedy
    del installed["opencv-python-headless"]
    assert not list(doctor.check_opencv())
    missing, _ = doctor.check_packages(["opencv-python-headless>=4.8"])
    assert missing.status == "fail" and "pip uninstall opencv-python`" in missing.remedy
    (gone, _) = doctor.check_imports({"opencv-python-headless": ProbeOutcome(False, "No module named 'cv2'")})
    assert gone.status == "fail" and "one of two OpenCV packages" in gone.detail


def test_a_package_that_fails_for_lack_of_another_sends_people_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", {"numpy": "2.0"}.get)
    outcomes = {
        "lightning-fabric": ProbeOutcome(False, "No module named 'torch'"),
        "rich": ProbeOutcome(False, "No module named 'pygments'"),
    }
    fabric, rich, _ = doctor.check_imports(outcomes)
    assert fabric.remedy == "torch comes first" and "--force-reinstall" in rich.remedy
    lost = ProbeOutcome(False, "libcublas.so not found")  # torch's own trouble, which whatever imports it has, too
    fabric, torch, _ = doctor.check_imports({"lightning-fabric": lost, "torch": lost})
    assert fabric.remedy == "torch comes first" and "pytorch.org" in torch.remedy


def test_devices_of_torch() -> None:
    facts = {"version": "2.13.0", "threads": 2, "capability": "AVX2", "cuda": "13.0", "devices": [["H100", 80 << 30]]}
    torch, device, imports = doctor.check_imports({"torch": ProbeOutcome(True, "2.13.0", facts)})
    assert torch.detail == "2.13.0, 2 threads, kernels for AVX2"
    assert (device.check, device.detail) == ("device", "cuda:0 H100, 80 GiB")
    assert imports.status == "ok"


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(folder: Path) -> Iterator[doctor.Finding]:
        yield doctor.Finding("first", "ok", "found before")
        raise OSError("unreadable")

    monkeypatch.setattr(doctor, "CHECKS", {"mine": check, "encoding": lambda folder: doctor.check_encoding()})
    first, broken, encoding = doctor.examine()
    assert first.status == "ok" and encoding.check == "encoding"
    assert (broken.check, broken.status) == ("mine", "fail") and "OSError: unreadable" in broken.detail


def test_every_model_that_learns_takes_a_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verb has every such model checked, on one core, on two and on all; the check itself is tested below."""
    asked: list[GradientCase] = []

    def verdicts(cases: list[GradientCase]) -> Iterator[Verdict]:
        asked.extend(cases)
        return iter([Verdict(case, layer="head.weight", error=1e-6) for case in cases])

    monkeypatch.setattr("fusionbench.training.gradient_check.gradient_verdicts", verdicts)
    monkeypatch.setattr(doctor, "CHECKS", {"gradients": doctor.CHECKS["gradients"]})
    monkeypatch.setattr(doctor, "usable_cores", lambda: 4)
    code, out, _ = run(capsys, "doctor", "--json")
    (finding,) = json.loads(out)["findings"]
    learning = {name for name in MODELS.names() if hasattr(MODELS.get(name), "loss")}
    assert {(case.model, case.threads) for case in asked} == {(name, count) for name in learning for count in (1, 2, 4)}
    assert code == 0 and f"{len(asked)} of {len(asked)} training steps agree with float64" in finding["detail"]


def test_gradients_are_checked_and_a_crash_is_named(tmp_path: Path) -> None:
    model = tmp_path / "crash.py"
    model.write_text(
        "import os, signal, torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, spec):\n"
        "        super().__init__()\n"
        "        self.scale = torch.nn.Parameter(torch.ones(()))\n"
        "    def parameter_groups(self):\n"
        "        return {'main': list(self.parameters())}\n"
        "    def loss(self, batch, group, step):\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    crash, fcn = GradientCase(f"{model}:Net"), GradientCase("fcn", "tiny")
    bad, good = doctor.check_gradients([crash, fcn])
    assert (bad.check, bad.status, good.status) == ("gradients", "fail", "ok")
    assert "Net on 1 thread: the training step crashed (SIGSEGV)" in bad.detail and "ONEDNN_MAX_CPU_ISA" in bad.remedy
    assert "1 of 2 training steps agree with float64" in good.detail
