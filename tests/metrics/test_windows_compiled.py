"""Compiled sums under windows, in the metrics that use them, against OpenCV's filters to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics.engine import SourcePair, choose
from fusionbench.synth import kernel
from tests.metrics.scenes import floats, scene

needs_numba = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")


@needs_numba
@pytest.mark.parametrize("size", [(64, 66), (177, 290)])  # more than one band, more than one tile, odd sides
def test_compiled_code_gives_the_same_bits(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["viff", "mef_ssim", "qy", "qe", *["ms_ssim"] * (min(size) >= 176)]
    whole = [image[None] for image in scene(2, size)]
    flat = np.where(np.arange(size[1]) < 30, 7, whole[1]).astype(np.uint8)  # flat windows, copies, inverted windows
    found = []
    for choice in ("numpy", "numba"):
        monkeypatch.setenv(kernel.VARIABLE, choice)
        for fused, a, b in (whole, [flat, whole[1], 255 - flat], [x[None] for x in floats(*scene(5, size))]):
            found.append(SourcePair(a, b, choose(names)).score(fused))
    assert found[:3] == found[3:]
