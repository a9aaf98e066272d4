"""AG against numpy.gradient, to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics.ag import ag
from tests.metrics.scenes import stacks


def test_against_numpy() -> None:
    for image in stacks()[0]:
        gy, gx = np.gradient(image.astype(float))
        strength = np.sqrt((gx**2 + gy**2) / 2)
        assert ag(image[None])[0] == pytest.approx(strength.mean(), rel=1e-12)
        height, width = image.shape
        inner = strength.sum() / ((height - 1) * (width - 1))
        assert ag(image[None], counts="inner")[0] == pytest.approx(inner, rel=1e-12)


def test_forward_differences_of_pixels_with_both_neighbours() -> None:
    for image in stacks()[0]:
        x = image.astype(float)
        right, down = np.diff(x, axis=1)[:-1], np.diff(x, axis=0)[:, :-1]
        expected = np.mean(np.hypot(right, down)) / np.sqrt(2)
        assert ag(image[None], differences="forward")[0] == pytest.approx(expected, rel=1e-12)


def test_a_ramp_has_its_slope() -> None:
    ramp = np.tile(np.arange(0, 60, 3, dtype=np.uint8), (8, 1))[None]
    assert ag(ramp)[0] == pytest.approx(3 / np.sqrt(2), rel=1e-15)
    assert ag(np.full((1, 2, 2), 9, np.uint8))[0] == 0
