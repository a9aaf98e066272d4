"""Q_SF against a plain loop over the pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusionbench.metrics.qsf import qsf
from tests.metrics.scenes import floats, scene, stacks

STEPS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 1 / math.sqrt(2)), (1, -1, 1 / math.sqrt(2)))


def frequency(*images: np.ndarray) -> float:
    """Of one image, or of the larger differences of several."""
    height, width = images[0].shape
    total = 0.0
    for y, x in np.ndindex(height, width):
        for down, right, weight in STEPS:
            if y + down < height and 0 <= x + right < width:
                total += weight * max(abs(image[y + down, x + right] - image[y, x]) for image in images) ** 2
    return math.sqrt(total / (height * width))


def test_against_a_plain_loop() -> None:
    images = [image[:25, :22] for image in floats(*scene(2))]
    fused, a, b = (image[None] for image in images)
    reference = frequency(images[1], images[2])
    expected = (frequency(images[0]) - reference) / reference
    assert qsf(fused, a, b, signed=True)[0] == pytest.approx(expected, rel=1e-12)
    assert qsf(fused, a, b)[0] == pytest.approx(abs(expected), rel=1e-12)


def test_lost_detail_and_noise_have_signs() -> None:
    _, a, b = stacks(1)
    flat = np.full_like(a, 100)
    noise = np.random.default_rng(3).integers(0, 256, a.shape, np.uint8)
    assert qsf(flat, a, b, signed=True)[0] == -1 and qsf(noise, a, b, signed=True)[0] > 1
    assert qsf(a, a, a)[0] == 0
    assert math.isnan(qsf(flat, flat, flat)[0]) and math.isinf(qsf(a, flat, flat)[0])
