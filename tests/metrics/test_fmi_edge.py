"""FMI_edge against FMI's plain loop over windows of the feature."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics import get_metric
from fusionbench.metrics.fmi_edge import fmi_edge
from tests.metrics.scenes import scene, stacks
from tests.metrics.test_fmi import plainly
from tests.metrics.test_fmi_features import edges_by_loop


def test_against_plain_loops() -> None:
    images = [image[-20:, -24:] for image in scene(4)]
    expected = plainly(*(edges_by_loop(image.astype(float)) for image in images))
    assert fmi_edge(*(image[None] for image in images))[0] == pytest.approx(expected, rel=1e-11)


def test_a_constant_image_beats_the_average() -> None:
    """The exploit of the record: windows without an edge count as kept."""
    _, a, b = stacks(1)
    average = ((a.astype(int) + b) // 2).astype(np.uint8)
    assert fmi_edge(np.full_like(a, 9), a, b)[0] > fmi_edge(average, a, b)[0]
    assert fmi_edge(a, a, a)[0] == 1 == fmi_edge(a // 2 * 2, a // 2, a // 2)[0]
    assert get_metric("fmi_edge", "linfeng").function(a, a, b).tolist() == fmi_edge(a, a, b).tolist()
