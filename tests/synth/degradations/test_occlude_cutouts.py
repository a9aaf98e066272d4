"""Cut-outs: where they lie, what they hide, their area, and families with objects of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.synth.degradations.draws import Draws, between
from fusionbench.synth.degradations.occlude_cutouts import COUNT, FIELDS, OccludeByCutOuts
from fusionbench.synth.degradations.run import degrade_by
from fusionbench.synth.degradations.silhouettes import SIDE, bank_of, drawn_bank
from fusionbench.synth.random import stream_key
from tests.synth.degradations.levels import at_level, textured

KEY = stream_key("occlude/2", "made", "all", 0)


def test_cut_outs_hide_their_share_and_nothing_else() -> None:
    clean = textured(20, 64, 80)
    made = at_level("occlude/2", clean, (40,))
    hidden = made.lost == 1
    assert np.array_equal(made.views[~hidden], clean[~hidden])
    assert 0.07 < hidden.mean() < 40 / 256  # less what overlaps or reaches outside
    assert not np.array_equal(hidden[:, 0], hidden[:, 1])


@pytest.mark.parametrize("size", [(90, 120), (1 << 14, 4), (3, 1 << 14), (350, 300)])
def test_every_pixel_is_that_of_the_turned_cut_out_in_real_numbers(size: tuple[int, int]) -> None:
    """Against sines and rotations of floating point: all but pixels on an outline, where rounding decides."""
    (height, width), share = size, 60
    views = np.zeros((6, 1, height, width), np.uint8)
    draws = Draws(KEY, np.arange(6), 0, views)
    found = degrade_by(OccludeByCutOuts(), (share,), views, (0,), draws)
    drawn = draws.parameters(FIELDS * COUNT, 0).reshape(-1, COUNT, FIELDS)
    bank = drawn_bank()
    y, x = np.mgrid[:height, :width]
    differ = 0.0
    for sample in range(6):
        expected = np.zeros((height, width), bool)
        for which, row, column, angle, flip, _, _ in drawn[sample]:
            cutout = bank[between(which, 0, len(bank) - 1)]
            side = SIDE * np.sqrt(share * height * width / 256 / COUNT / (cutout > 0).sum())
            turn = 2 * np.pi * between(angle, 0, 255) / 256
            dy, dx = y - between(row, 0, height - 1), x - between(column, 0, width - 1)
            dy, dx = (np.cos(turn) * dy + np.sin(turn) * dx), (np.cos(turn) * dx - np.sin(turn) * dy)
            dx = -dx if between(flip, 0, 1) else dx
            r, c = (np.floor(SIDE * (d / side + 0.5)).astype(int) for d in (dy, dx))
            inside = (r >= 0) & (r < SIDE) & (c >= 0) & (c < SIDE)
            expected |= inside & (cutout[r.clip(0, SIDE - 1), c.clip(0, SIDE - 1)] > 0)
        differ = max(differ, float((expected != (found.lost[sample, 0] == 1)).mean()))
    assert 0 < found.lost.mean() < 0.3 and differ < 0.01


def test_a_bank_of_ones_own_has_its_objects_and_a_name_of_its_own() -> None:
    disc = np.hypot(*(np.mgrid[:50, :70] - np.array([20, 30])[:, None, None])) < 15
    picture = np.where(disc, 200, 10).astype(np.uint8)
    bank = bank_of([picture, picture], [np.where(disc, 255, 0), np.where(disc, 255, 127)])
    assert np.array_equal(bank[0], bank[1]) and set(np.unique(bank)) == {0, 200}
    assert (bank[0] > 0).mean() == pytest.approx(disc.sum() / 29**2, abs=0.01)
    own = OccludeByCutOuts(bank)
    assert own.name.startswith("occlude/2+") and own.name != OccludeByCutOuts(bank[:1]).name
    assert OccludeByCutOuts().name == OccludeByCutOuts.name == "occlude/2"
    views = np.zeros((8, 2, 64, 64), np.uint8)
    made = degrade_by(own, (37,), views, (0, 1), Draws(KEY, np.arange(8), 0, views))
    assert all(len(np.unique(view)) <= 4 for view in made.views.reshape(16, 64, 64))  # one shade, so one grey a cut-out
    dot = np.zeros((1, SIDE, SIDE), np.uint8)
    dot[0, 3, 4] = 1  # the smallest that there is, as large as the picture many times over
    made = degrade_by(OccludeByCutOuts(dot), (154,), views, (0, 1), Draws(KEY, np.arange(8), 0, views))
    assert made.views.shape == views.shape
