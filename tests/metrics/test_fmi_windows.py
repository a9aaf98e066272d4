"""What 3×3 windows share, against the plain loop of the tests of FMI, window by window."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics._fmi_windows import BLOCK, information, shared_information
from tests.metrics.test_fmi import window


def test_every_window_against_the_plain_loop() -> None:
    rng = np.random.default_rng(0)
    # many equal cells, cells of 0, flat windows and ties between both distributions; then fractions
    images = [rng.integers(0, 3, (2, 9, 30)).astype(float), rng.random((2, 9, 30)) ** 8 * 255]
    for f, s in images:
        found = information(f, [s])[0].reshape(7, 28)
        for y, x in np.ndindex(found.shape):
            expected = window(f[y : y + 3, x : x + 3], s[y : y + 3, x : x + 3])
            assert found[y, x] == pytest.approx(expected, rel=1e-9, abs=1e-12), (y, x)


def test_blocks_change_nothing() -> None:
    rng = np.random.default_rng(1)
    f, a, b = rng.integers(0, 256, (3, 2 * BLOCK // 400 + 5, 402)).astype(np.uint8)
    found = shared_information(None, f, [a, b])
    assert found.shape == (2, len(f) - 2, 400)
    for value, source in zip(found, (a, b), strict=True):
        assert np.array_equal(value.ravel(), information(f.astype(float), [source.astype(float)])[0])
