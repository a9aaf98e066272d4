"""Rain: how many streaks, and of one slant."""

from __future__ import annotations

from tests.synth.degradations.levels import at_level, flat


def test_rain_has_streaks_of_one_slant() -> None:
    made = at_level("rain/1", flat(0, 6, 96), (300, 16, 255, 0)).views[:, 1]
    shares = (made > 0).mean(axis=(1, 2))
    assert shares.min() > 0.02 and shares.max() < 0.08  # 300/65536 · 12 pixels, less what crosses
    for view in made:
        inside = view > 0
        linked = (inside[1:, 1:-1] & (inside[:-1, :-2] | inside[:-1, 1:-1] | inside[:-1, 2:])).sum()
        assert linked > 0.75 * inside.sum()  # each pixel has one above it, but the first of a streak
