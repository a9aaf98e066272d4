"""Points of scores against costs; which ones nothing beats, against a search over all pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.results.paper_cost import cost_plot
from fusionbench.results.schema import load, save
from tests.helpers.results import saved

BASE = np.linspace(0.0, 1.0, 8)


def rows(root: Path, better: str) -> dict[str, tuple[int, float]]:
    """Costs and means of twelve rows, some of one cost."""
    found = {}
    for number, (cost, level) in enumerate(np.random.default_rng(4).integers(0, 6, (12, 2)).tolist()):
        name = f"row-{number}"
        made = load(saved(root, name, {"en": BASE + level}, better=better, seed=number))  # type: ignore[arg-type]
        made.cost = {"parameters": cost * 1_000_000}
        save(made, root)
        found[name] = (cost, 0.5 + level)
    return found


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_filled_points_are_those_that_nothing_beats(tmp_path: Path, better: str) -> None:
    expected = rows(tmp_path, better)
    plot = cost_plot(tmp_path, "EN", "params", resamples=200)
    sign = 1 if better == "higher" else -1
    for point in plot.points:
        x, y = expected[point.title]
        assert (point.x, point.y) == pytest.approx((x, y)) and point.low < y < point.high  # type: ignore[operator]
        beaten = any(a <= x and sign * b >= sign * y and (a < x or sign * b > sign * y) for a, b in expected.values())
        assert point.best == (not beaten)
    assert not plot.left_out and plot.note == "" and len(plot.points) == 12


def test_rows_without_a_cost_or_a_score_are_named(tmp_path: Path) -> None:
    saved(tmp_path, "no-cost", {"en": BASE, "vif": BASE})
    made = load(saved(tmp_path, "no-score", {"vif": BASE}))
    made.cost = {"parameters": 5}
    save(made, tmp_path)
    plot = cost_plot(tmp_path, "EN", resamples=200)
    assert plot.points == [] and set(plot.left_out) == {"no-cost", "no-score"}
    for metric, against, words in (("params", "time", "one score"), ("EN", "money", "--against")):
        with pytest.raises(UsageError, match=words):
            cost_plot(tmp_path, metric, against, resamples=200)
    with pytest.raises(UsageError, match="stretched"):
        cost_plot(tmp_path, "EN", stretched=True)
