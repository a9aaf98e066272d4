"""Quantised blocks against SciPy's DCT and Pillow's tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import fft

from fusionbench.synth.degradations.block import quantised, steps
from tests.synth.degradations.levels import textured


@pytest.mark.parametrize(("quality", "share"), [(5, 0.97), (30, 0.9), (75, 0.85)])
def test_blocks_are_quantised_as_jpeg_does(quality: int, share: float) -> None:
    """Against SciPy's transform in floating point: nearly all pixels within a grey level.

    Coefficients have four bits below the point here: one near a tie can fall to the other side, a step apart, and the
    smaller the steps the more ties there are.
    """
    plane = textured(1, 40, 56)[0, :1]
    blocks = plane[0].reshape(5, 8, 7, 8).transpose(0, 2, 1, 3).astype(float) - 128
    step = steps(quality)
    coefficients = np.round(fft.dctn(blocks, axes=(2, 3), norm="ortho") / step) * step
    expected = np.clip(fft.idctn(coefficients, axes=(2, 3), norm="ortho") + 128, 0, 255)
    expected = expected.transpose(0, 2, 1, 3).reshape(40, 56)
    difference = np.abs(quantised(plane, quality)[0] - expected)
    assert np.mean(difference <= 0.75) > share and difference.max() <= 2 * step.max() / 8


def test_quantisation_tables_are_pillows() -> None:
    """Of the Independent JPEG Group's scale, which Pillow's encoder has."""
    import io

    from PIL import Image

    for quality in (5, 25, 50, 80, 95):
        stream = io.BytesIO()
        Image.new("L", (8, 8)).save(stream, "JPEG", quality=quality)
        table: Any = Image.open(stream)
        found = np.array(table.quantization[0]).reshape(8, 8)
        assert np.array_equal(found, steps(quality))
