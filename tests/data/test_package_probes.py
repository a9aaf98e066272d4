"""Packages that break: with an exception, by a signal, by leaving Python, by a wrong answer, in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.data.package_probes import try_packages


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules stand before the installed ones."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_package_at_work() -> None:
    outcomes = try_packages(["numpy", "h5py"])
    assert outcomes["numpy"].ok and outcomes["numpy"].text.count(".") == 2
    assert outcomes["h5py"].ok and outcomes["h5py"].facts["hdf5"]


def test_each_way_to_break_is_one_line_and_the_rest_is_tried(shadow: Path) -> None:
    (shadow / "click.py").write_text("raise OSError('no such library\\nat all')")
    (shadow / "jinja2.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    (shadow / "msgspec.py").write_text("import os, sys; sys.stderr.write('gone\\n'); sys.stderr.flush(); os._exit(7)")
    (shadow / "packaging").mkdir()
    (shadow / "packaging" / "__init__.py").write_text("print('fusionbench is good')")
    (shadow / "rich.py").write_text("raise SystemExit(3)")
    names = ["click", "jinja2", "msgspec", "packaging", "rich", "numpy"]
    outcomes = try_packages(names)
    assert list(outcomes) == names
    assert [name for name, outcome in outcomes.items() if outcome.ok] == ["numpy"]
    assert outcomes["click"].text == "no such library at all"
    assert outcomes["jinja2"].text == "is ended by SIGILL: it was built for another processor"
    assert outcomes["msgspec"].text == "ended Python with code 7: gone"
    assert "requirements" in outcomes["packaging"].text and str(shadow) in outcomes["packaging"].text
    assert outcomes["rich"].text == "3"


def test_a_wrong_answer_is_noticed(shadow: Path) -> None:
    (shadow / "pywt.py").write_text("def wavedec(*args, **kwargs): return []")
    assert "wrong answer" in try_packages(["pywavelets"])["pywavelets"].text


def test_a_package_that_hangs(shadow: Path) -> None:
    (shadow / "pywt.py").write_text("import time; time.sleep(600)")
    outcome = try_packages(["pywavelets"], seconds=2)["pywavelets"]
    assert (outcome.ok, outcome.text) == (False, "gives no answer within 2 s")
