"""FMI_wavelet against FMI's plain loop over windows of the feature."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics import get_metric
from fusionbench.metrics._fmi_features import wavelet_bands
from fusionbench.metrics.fmi import fmi
from fusionbench.metrics.fmi_wavelet import fmi_wavelet
from tests.metrics.scenes import floats, scene, stacks


def test_it_is_fmi_of_the_bands() -> None:
    """The bands, tested on their own, stretched to grey values by one line for all three images."""
    bands = [wavelet_bands(image) for image in floats(*scene(4, (20, 24)))]
    low, high = min(band.min() for band in bands), max(band.max() for band in bands)
    as_images = [(band - low) / (high - low) * 255 for band in bands]
    expected = fmi(*(np.clip(band, 0, 255)[None] for band in as_images))[0]
    assert fmi_wavelet(*(image[None] for image in scene(4, (20, 24))))[0] == pytest.approx(expected, rel=1e-7)


def test_copies_and_flat_images() -> None:
    _, a, b = stacks(1, (24, 24))
    flat = np.full_like(a, 9)
    assert fmi_wavelet(a, a, a)[0] == 1 == fmi_wavelet(flat, flat, flat)[0]
    assert 0.5 < fmi_wavelet(a, a, b)[0] < 1 and fmi_wavelet(flat, a, b)[0] < 0.1
    assert get_metric("fmi_wavelet", "linfeng").function(a, a, b).tolist() == fmi_wavelet(a, a, b).tolist()
