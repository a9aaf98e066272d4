"""Plots for print: every line and point is drawn at its value, names hide neither points nor names."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.core.vector_figures import typesetting
from fusionbench.evaluation.paper import plots
from fusionbench.evaluation.paper.plots import Curve, PlotOptions, plot_cost, plot_curves
from fusionbench.results.paper_cost import CostPoint

SVG = "{http://www.w3.org/2000/svg}"


def texts(content: bytes) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(content).iter(f"{SVG}text")]


def curves() -> list[tuple[str, list[Curve]]]:
    x = np.arange(1.0, 5)
    return [("loss", [Curve("A_b", x, x * 2), Curve("A_b", x, x + 1), Curve("$Ours$", x, 9 - x)])]


def test_a_line_each_and_one_entry_a_title() -> None:
    content = plot_curves(curves(), "Step", "svg")
    assert content == plot_curves(curves(), "Step", "svg")
    shown = texts(content)
    assert [shown.count(text) for text in ("A_b", "$Ours$", "Step", "loss")] == [1, 1, 1, 1]
    colours = re.findall(r"stroke: (#[0-9a-f]{6})", content.decode())
    assert [colours.count(colour.lower()) for colour in plots.LINES[:2]] == [3, 2], "two lines and one, and the legend"


def test_values_are_where_the_axes_say() -> None:
    with typesetting("serif", 8):
        page, (axes,) = plots._plots(1, PlotOptions())
        axes.plot([0, 10], [0, 1])
        page.save("png")
        box = axes.get_position()
    assert 0 < box.x0 < box.x1 < 1 and 0 < box.y0 < box.y1 < 1


def points(count: int) -> list[CostPoint]:
    return [
        CostPoint(f"row number {i}", 1 + i * 0.001, i * 0.001, i - 1.0, i + 1.0, i == 0, i == 1) for i in range(count)
    ]


def test_names_stand_beside_points_or_numbers_do() -> None:
    few = [CostPoint("cheap & <b>", 0.0, 1.0, 0.5, 1.5, True), CostPoint("dear_$x$", 900.0, 3.0, None, None, True)]
    shown = texts(plot_cost(few, "Time (ms)", "$Q^{AB/F}$", "svg"))
    assert {"cheap & <b>", "dear_$x$", "Time (ms)", "0"} <= set(shown)
    crowded = texts(plot_cost(points(25), "Time (ms)", "VIF", "svg", PlotOptions(width=3.5)))
    assert sum(text.startswith("row number") for text in crowded) == 25, "in a key"
    assert all(crowded.count(str(number)) >= 2 for number in range(3, 26)), "beside its point, and in the key"


def test_names_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(1)
    some = [CostPoint(f"name {i}", *rng.uniform(1, 100, 2).tolist(), None, None) for i in range(9)]
    with typesetting("serif", 8):
        page, axes = plots._cost_axes(some, "x", "y", PlotOptions(width=7.16), None)
        assert plots._name_points(page, axes, some, [point.title for point in some], 6.5)
        boxes = [text.get_window_extent(page.renderer) for text in axes.texts if text.get_text()]
    assert len(boxes) == 9
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="no row has both"):
        plot_cost([], "x", "y", "png")
    with pytest.raises(UsageError, match="no curves"):
        plot_curves([("loss", [])], "Step", "png")
    with pytest.raises(UsageError, match="--log"):
        plot_curves([("loss", [Curve("a", np.arange(3.0), np.arange(3.0))])], "Step", "png", log=True)
    with pytest.raises(UsageError, match="no room"):
        plot_curves(curves() * 9, "Step", "png", PlotOptions(width=3.5))
