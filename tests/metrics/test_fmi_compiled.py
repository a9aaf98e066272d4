"""Compiled loops of FMI against NumPy's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics import get_metric
from fusionbench.synth import kernel
from tests.metrics.scenes import floats, scene

needs_numba = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")
# among them sizes that leave lanes and blocks over, and an odd width, whose spectrum has no last bin of its own
SIZES = [(64, 66), (73, 89), (130, 47)]


@needs_numba
@pytest.mark.parametrize("name", ["fmi", "fmi_dct", "fmi_wavelet", "fmi_edge"])
def test_compiled_code_gives_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [image[None] for image in scene(2, SIZES[0])]
    flat = np.where(np.arange(66) < 30, 7, whole[1]).astype(np.uint8)  # flat windows, copies and inverted windows
    inputs = [whole, [flat, whole[1], 255 - flat], *([x[None] for x in floats(*scene(5, size))] for size in SIZES[1:])]
    found = []
    for choice in ("numpy", "numba"):
        monkeypatch.setenv(kernel.VARIABLE, choice)
        found.append([get_metric(name).function(*images)[0] for images in inputs])
    assert found[0] == found[1]
    assert np.isfinite(found[0]).all()
