"""The embedded tiles are those of the pictures, and no tile is in both splits."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from fusionbench.core.errors import UsageError
from fusionbench.sources.scenes import SIDE, ScenesDemo


def test_tiles_are_cut_row_by_row() -> None:
    source = ScenesDemo()
    test = source.read("test", np.arange(source.length("test")))
    assert test.shape == (18, SIDE, SIDE, 3) and source.length("train") == 32
    assert np.array_equal(test[4], data.chelsea()[SIDE : 2 * SIDE, SIDE : 2 * SIDE])
    assert np.array_equal(test[6 + 7], data.coffee()[SIDE : 2 * SIDE, 3 * SIDE : 4 * SIDE])
    grey = source.read("train", np.array([16 + 5]))[0]
    assert np.array_equal(grey, np.repeat(data.camera()[SIDE : 2 * SIDE, SIDE : 2 * SIDE, None], 3, 2))
    train = source.read("train", np.arange(32))
    assert len({tile.tobytes() for tile in (*train, *test)}) == 50
    with pytest.raises(UsageError, match="split of scenes-demo"):
        source.length("all")
