"""Compiled filters, covariances and sums of wavelet VIF against NumPy's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics import _steerable as steerable
from fusionbench.synth import kernel

needs_numba = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")


@needs_numba
@pytest.mark.parametrize("shape", [(9, 9), (10, 17), (103, 70)])
def test_compiled_code_gives_the_same_bits(shape: tuple[int, int]) -> None:
    loops = kernel.import_compiled("fusionbench.metrics._wavelet_compiled")
    rng = np.random.default_rng(0)
    x, weights = rng.random(shape) * 255, rng.random((5, 5))
    x[:4, :5] = 9.3
    found = []
    for each in (None, loops):
        values = [steerable.low_pass(each, x, weights[:size, :size], step) for size in (3, 5) for step in (1, 2)]
        values += [*steerable.band_passes(each, x, weights[:4, :3]), steerable.block_covariance(each, x)]
        rows, columns = ((side - 9) // 3 + 1 for side in shape)
        values += [steerable.box_sums(each, x, y, size, 0, (rows, columns)) for y in (None, x) for size in (3, 5, 9)]
        found.append(values)
    assert all(np.array_equal(*pair) for pair in zip(*found, strict=True))
