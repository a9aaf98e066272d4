"""Labelled frames: scenes in order, limits by scene, truth by class, colour in whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.core.colour import colour_difference
from fusionbench.core.errors import UsageError
from fusionbench.evaluation.labelled_set import _chroma, open_labelled


def test_a_limit_counts_scenes() -> None:
    whole, few = open_labelled("probe-demo", None, None), open_labelled("probe-demo", "all", None, limit=2)
    assert (len(whole), len(few)) == (24, 6) and few.scene_names == whole.scene_names[:2]
    assert few.stems == whole.stems[:6] and few.scenes[2] != few.scenes[3]
    assert (few.identity.n, whole.identity.n) == (2, 8) and few.identity.id == whole.identity.id


def test_truth_is_where_the_map_says_so() -> None:
    data = open_labelled("probe-demo", None, None)
    label = data.source.label_map("all", 5)
    found = data.truth(5, ("person", "car"), 2)
    assert np.array_equal(found[:, 0].reshape(32, 32), (label == 2)[::2, ::2])
    assert np.array_equal(found[:, 1].reshape(32, 32), (label == 1)[::2, ::2])
    with pytest.raises(UsageError, match="Unknown class"):
        data.truth(5, ("cat",), 2)


def test_chroma_is_that_of_jpeg() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    rgb[0, :2] = (0, 0, 255), (255, 0, 0)
    expected = 128 + 255 * colour_difference(rgb / 255.0)
    assert np.abs(_chroma(rgb) - expected).max() < 0.51
    assert (_chroma(np.repeat(rgb[..., :1], 3, axis=2)) == 128).all()
