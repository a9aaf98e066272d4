"""SF against NumPy's differences, to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics.sf import sf
from tests.metrics.scenes import stacks


@pytest.mark.parametrize("fraction", [0.0, 0.21])
def test_against_numpy(fraction: float) -> None:
    for image in stacks()[0] * 0.9 + fraction:
        rows, columns = np.diff(image, axis=1) ** 2, np.diff(image, axis=0) ** 2
        assert sf(image[None])[0] == pytest.approx(np.sqrt(rows.mean() + columns.mean()), rel=1e-12)
        by_pixels = np.sqrt((rows.sum() + columns.sum()) / image.size)
        assert sf(image[None], counts="pixels")[0] == pytest.approx(by_pixels, rel=1e-12)
        assert sf(image[None], scale=1 / 255)[0] == pytest.approx(sf(image[None])[0] / 255, rel=1e-12)


def test_chessboard_is_the_maximum() -> None:
    y, x = np.mgrid[:6, :5]
    board = (255 * ((x + y) % 2)).astype(np.uint8)[None]
    assert sf(board)[0] == pytest.approx(255 * np.sqrt(2), rel=1e-15)
    assert sf(np.full((1, 4, 4), 9, np.uint8))[0] == 0
