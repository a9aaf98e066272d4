"""The code for tensors is tested on the CPU, where whole views are otherwise handed to NumPy's."""

from __future__ import annotations

import pytest

from fusionbench.synth import arrays


@pytest.fixture(autouse=True)
def tensors_stay_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "cpu_tensors_by_numpy", False)
