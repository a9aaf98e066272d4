"""Numbers of tables as text."""

from __future__ import annotations

import pytest

from fusionbench.results import number_texts as tables
from fusionbench.results.bootstrap import ScoreRow


@pytest.mark.parametrize(
    ("mean", "low", "high", "places"),
    [(0.123456, 0.12, 0.126, 4), (123.4, 120, 130, 1), (12.3, 11.9, 12.7, 2), (0.5, 0.5, 0.5, 3), (0.0, 0.0, 0.0, 1)],
)
def test_places_follow_the_interval(mean: float, low: float, high: float, places: int) -> None:
    assert tables.decimals(mean, low, high) == places


@pytest.mark.parametrize(
    ("half", "sd", "text"),
    [
        (0.03, 0.02, " ± 0.020"),
        (1.0, 0.003, " ± 0.0030"),
        (0.001, 0.5, " ± 0.5000"),
        (1.0, 0.0, " ± 0.0"),
        (1, None, ""),
    ],
)
def test_a_deviation_is_never_rounded_away(half: float, sd: float | None, text: str) -> None:
    row = ScoreRow(5.0, 5.0 - half, 5.0 + half, 1, 1, 1, True, 0.0, 0.0, 0.0, 2, sd)
    assert tables.spread_text(row) == text
