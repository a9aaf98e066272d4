"""SD against NumPy, to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics.sd import sd
from tests.metrics.scenes import stacks


@pytest.mark.parametrize("fraction", [0.0, 0.37])
@pytest.mark.parametrize("ddof", [0, 1])
def test_against_numpy(fraction: float, ddof: int) -> None:
    images = stacks()[0] * 0.9 + fraction
    assert sd(images, ddof=ddof) == pytest.approx(images.std((1, 2), ddof=ddof), rel=1e-12)


def test_largest_and_flat() -> None:
    image = np.zeros((1, 6, 6), np.uint8)
    image[:, :3] = 255
    assert sd(image)[0] == 127.5
    assert sd(np.full((1, 7, 3), 0.1 + 100))[0] == 0


def test_saturating_arithmetic() -> None:
    """Differences below the mean are lost and squares stop at 255: 15.97 at most."""
    image = np.array([[[0, 10, 20, 250]]], np.uint8)  # mean 70; rounded differences 0 0 0 180 -> 255
    assert sd(image, arithmetic="uint8")[0] == pytest.approx(np.sqrt(255 / 4), rel=1e-15)


def test_sum_on_the_unit_scale_grows_with_the_image() -> None:
    image = stacks(1)[0]
    larger = np.tile(image, (1, 2, 2))
    once, fourfold = sd(image, pooling="sum/255"), sd(larger, pooling="sum/255")
    assert fourfold == pytest.approx(2 * once, rel=1e-12)
    assert once[0] == pytest.approx(np.sqrt(((image / 255 - (image / 255).mean()) ** 2).sum()), rel=1e-12)
