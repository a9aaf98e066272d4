"""Q_E against explicit windows of the images and of SciPy's edge images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import prewitt

from fusionbench.metrics import get_metric
from fusionbench.metrics.qe import qe
from tests.metrics.scenes import stacks
from tests.metrics.test_piella import rough
from tests.metrics.test_qw import weighted


def edges(image: np.ndarray, mode: str) -> np.ndarray:
    return np.hypot(*(prewitt(image.astype(float), axis, mode=mode) for axis in (0, 1)))


def test_against_explicit_windows() -> None:
    images = rough(4)
    stacked = [image[None] for image in images]
    of_edges = weighted(*(edges(image, "nearest") for image in images), "universal")
    assert qe(*stacked)[0] == pytest.approx(of_edges * weighted(*images, "universal"), rel=1e-9)
    repaired = weighted(*(edges(image, "constant") for image in images), "ssim") ** 2
    assert qe(*stacked, index="ssim", border="zero", factors="edges")[0] == pytest.approx(repaired, rel=1e-9)
    assert get_metric("qe", "mefb").function(*stacked)[0] ** 2 == pytest.approx(repaired, rel=1e-9)


def test_an_inverted_image() -> None:
    """Its edges are those of the image, so that one factor is about 1 and the other below 0."""
    _, a, _ = rough(1)
    value = qe((255 - a)[None], a[None], a[None])[0]
    assert -1 <= value < -0.5
    flat = np.full((1, 20, 20), 5, np.uint8)
    assert np.isnan(qe(stacks(1, (20, 20))[0], flat, flat)[0])
