"""Compiled windows of Q_S, Q_W, Q_C and Q_Y where tiles end, against NumPy's to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics._piella import BOX
from fusionbench.metrics.engine import SourcePair, choose
from fusionbench.synth import kernel
from tests.metrics.scenes import scene

needs_numba = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")


@needs_numba
@pytest.mark.parametrize("columns", [1, 63, 64, 65])  # of windows
def test_compiled_code_gives_the_same_bits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fused, a, b = (image[None] for image in scene(1, (20, columns + BOX - 1)))
    found = []
    for choice in ("numpy", "numba"):
        monkeypatch.setenv(kernel.VARIABLE, choice)
        for scale in (1, 1.7):  # whole grey levels and fractions
            images = [image if scale == 1 else image / scale for image in (fused, a, b)]
            found.append(SourcePair(images[1], images[2], choose(["qs", "qw", "qc", "qe", "qy"])).score(images[0]))
    assert found[:2] == found[2:]
    assert all(np.isfinite(value).all() for values in found for value in values.values())
