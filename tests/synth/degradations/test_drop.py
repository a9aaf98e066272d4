"""Dropped rows: which, black or frozen."""

from __future__ import annotations

import numpy as np

from tests.synth.degradations.levels import at_level, textured


def test_a_dropped_view_is_black_or_frozen_where_it_is_lost() -> None:
    clean = textured(60, 40, 24) // 2 + 20
    made = at_level("drop/1", clean, (64,))
    kinds = set()
    for index in range(60):
        harmed = [view for view in (0, 1) if made.lost[index, view].any()]
        assert len(harmed) == 1
        view = harmed[0]
        rows = np.flatnonzero(made.lost[index, view].all(axis=1))
        assert len(rows) == 10 and np.array_equal(rows, np.arange(rows[0], rows[0] + 10))
        rest = np.setdiff1d(np.arange(40), rows)
        assert np.array_equal(made.views[index, view, rest], clean[index, view, rest])
        assert np.array_equal(made.views[index, 1 - view], clean[index, 1 - view])
        last = clean[index, view, 29 if rows[0] == 30 else 10]
        black = not made.views[index, view, rows].any()
        assert black or (made.views[index, view, rows] == last).all()
        kinds.add((view, int(rows[0]), black))
    assert len(kinds) == 8
