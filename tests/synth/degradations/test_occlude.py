"""Occluders: area, what they hide, whole roots."""

from __future__ import annotations

import numpy as np

from fusionbench.synth.degradations.occlude import whole_root
from tests.synth.degradations.levels import at_level, textured

RNG = np.random.default_rng(7)


def test_occluders_are_ellipses_of_their_area_and_hide_what_is_behind() -> None:
    clean = textured(40, 64, 80)
    made = at_level("occlude/1", clean, (40,))
    hidden = made.lost == 1
    assert np.array_equal(made.views[~hidden], clean[~hidden])
    assert 0.07 < hidden.mean() < 40 / 256  # less what overlaps or reaches outside
    assert not np.array_equal(hidden[:, 0], hidden[:, 1])
    for view, mask in zip(made.views[:, 0], hidden[:, 0], strict=True):
        assert len(np.unique(view[mask])) <= 3
    squares = RNG.integers(0, 1 << 26, 200).astype(np.int64) ** 2
    assert np.array_equal(whole_root(squares), np.sqrt(squares).astype(int)) and np.array_equal(
        whole_root(squares[squares > 0] - 1), np.sqrt(squares[squares > 0]).astype(np.int64) - 1
    )
