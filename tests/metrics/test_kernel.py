"""Compiled loops give NumPy's bits, are loaded when they are worth it, and are not used where they are wrong."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.metrics import _fmi_windows, _phase_congruency, _piella, _windows
from fusionbench.metrics._kernel import WORTH, Loops
from fusionbench.synth import kernel

MODULES = [
    *(import_module(f"fusionbench.metrics.{name}") for name in ("vif", "ssim", "qabf", "qy", "nabf", "qcb", "qg")),
    *(import_module(f"fusionbench.metrics.{name}") for name in ("mef_ssim", "viff", "qsf", "vif_wavelet", "qp")),
    *(_fmi_windows, _phase_congruency, _piella, _windows),
]
PREFIXES = {"_phase_congruency": "qp", "_windows": "window", "_fmi_windows": "fmi", "vif_wavelet": "wavelet"}
needs_numba = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")


@needs_numba
@pytest.mark.parametrize("place", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_wrong_code_is_not_used(place: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check at loading notices each function that does nothing."""
    loops: Loops = place.LOOPS
    module = kernel.import_compiled(loops._name)
    empty = np.empty

    def without_memory(*shape: Any, **kind: Any) -> np.ndarray:
        found = empty(*shape, **kind)  # which may have right values from before
        found.fill(0)
        return found

    monkeypatch.setattr(np, "empty", without_memory)
    assert loops._agrees(module)
    name = place.__name__.rpartition(".")[2]
    prefix = PREFIXES.get(name, name.strip("_")) + "_"
    functions = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    names = [name for name in functions if name.startswith(prefix)]
    assert names
    for broken in names:

        def nothing(*_: object, broken: str = broken) -> object:
            return (0, 0) if broken == "qp_middle" else False

        right = loops._agrees(SimpleNamespace(**{**functions, broken: nothing}))  # type: ignore[arg-type]
        # a middle that is not found is looked for by sorting everything: slower, and right
        assert right == (broken == "qp_middle"), broken


def test_little_work_is_not_worth_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kernel.VARIABLE, raising=False)
    monkeypatch.setattr(kernel, "installed", lambda: True)
    asked: list[str] = []

    def load(name: str, wait: bool) -> object:
        asked.append(name)
        return kernel

    monkeypatch.setattr(kernel, "import_compiled", load)
    loops = Loops("some metric", "some.module", lambda module: True)
    assert loops.compiled(WORTH) is None and not asked
    assert loops.compiled(0.1) is kernel and loops.compiled(0.1) is kernel and asked == ["some.module"]
    monkeypatch.setenv(kernel.VARIABLE, "numpy")
    assert loops.compiled(1) is None


def test_other_values_are_one_note(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(kernel.VARIABLE, raising=False)
    monkeypatch.setattr(kernel, "installed", lambda: True)
    monkeypatch.setattr(kernel, "import_compiled", lambda name, wait: kernel)
    loops = Loops("some metric", "some.module", lambda module: False)
    assert loops.compiled(9) is None and loops.compiled(9) is None
    said = "note: numba cannot be used, NumPy computes some metric more slowly (RuntimeError: the compiled code gives"
    assert capsys.readouterr().err.count(said) == 1
    monkeypatch.setenv(kernel.VARIABLE, "numba")
    with pytest.raises(UsageError, match="numba: RuntimeError: the compiled code gives other values here; run `pip"):
        loops.compiled(1)


def test_without_numba_there_is_no_note(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(kernel.VARIABLE, raising=False)
    monkeypatch.setattr(kernel, "installed", lambda: False)
    loops = Loops("some metric", "some.module", lambda module: True)
    assert loops.compiled(9) is None and not capsys.readouterr().err
