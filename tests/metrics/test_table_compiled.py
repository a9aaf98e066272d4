"""Compiled formulas of VIF, SSIM and Qabf against NumPy's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics.engine import SourcePair, choose
from fusionbench.synth import kernel
from tests.metrics.scenes import floats, scene

needs_numba = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")
NAMES = ["vif", "ssim", "qabf"]


@needs_numba
@pytest.mark.parametrize(
    ("dialect", "size"),
    [
        ("standard/1", (64, 66)),
        ("standard/1", (177, 290)),  # more than one band, more than one tile, odd sides
        ("cddfuse", (64, 66)),
        ("ivif-zoo", (50, 43)),  # padding, windows off the centre
    ],
)
def test_compiled_code_gives_the_same_bits(
    dialect: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [image[None] for image in scene(2, size)]
    flat = np.where(np.arange(size[1]) < 30, 7, whole[1]).astype(np.uint8)  # flat windows, copies, inverted windows
    inputs = [whole, [flat, whole[1], 255 - flat], [x[None] for x in floats(*scene(5, size))]]
    metrics = [metric for metric in choose(["all"], dialect) if metric.name in NAMES]
    assert len(metrics) == len(NAMES)
    found = []
    for choice in ("numpy", "numba"):
        monkeypatch.setenv(kernel.VARIABLE, choice)
        found.append([SourcePair(a, b, metrics).score(fused) for fused, a, b in inputs])
    assert found[0] == found[1]


@needs_numba
def test_a_process_may_change_between_two_images_of_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cached of the sources serves either code."""
    fused, a, b = (image[None] for image in scene(4, (64, 66)))
    values = []
    for first, then in (("numpy", "numba"), ("numba", "numpy")):
        pair = SourcePair(a, b, NAMES)
        monkeypatch.setenv(kernel.VARIABLE, first)
        pair.score(fused)
        monkeypatch.setenv(kernel.VARIABLE, then)
        values.append(pair.score(fused // 2 + 9))
    assert values[0] == values[1]
