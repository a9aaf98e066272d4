"""FMI_dct against FMI's plain loop over windows of the feature."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics import get_metric
from fusionbench.metrics.fmi_dct import fmi_dct
from tests.metrics.scenes import floats, scene, stacks
from tests.metrics.test_fmi import FEATURES, plainly


def test_against_a_plain_loop() -> None:
    images = floats(*scene(4, (20, 24)))
    expected = plainly(*(FEATURES["dct"](image) for image in images))
    assert fmi_dct(*(image[None] for image in images))[0] == pytest.approx(expected, rel=1e-11)


def test_copies_and_flat_images() -> None:
    _, a, b = stacks(1)
    flat = np.full_like(a, 9)
    assert fmi_dct(a, a, a)[0] == 1 == fmi_dct(flat, flat, flat)[0]
    assert 0.5 < fmi_dct(a, a, b)[0] < 1 and fmi_dct(flat, a, b)[0] < 0.1
    assert get_metric("fmi_dct", "linfeng").function(a, a, b).tolist() == fmi_dct(a, a, b).tolist()
