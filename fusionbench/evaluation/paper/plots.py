"""Plots of a paper: learning curves of runs, and quality against what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.vector_figures import INK, LINE, POINTS, SOFT, WIDTHS, FigurePage, Kind, Typeface, typesetting
from fusionbench.results.paper_cost import CostPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours for lines on white, without the yellow that white swallows.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class PlotOptions:
    """How a plot looks. ``height`` in inches; None is two thirds of the width of one plot."""

    width: float = WIDTHS["single"]
    height: float | None = None
    points: float = 8.0
    typeface: Typeface = "serif"
    dpi: float = 300.0


@dataclass(frozen=True)
class Curve:
    """A line: ``group`` has one colour and one entry of the legend."""

    group: str
    x: np.ndarray
    y: np.ndarray


def draw_curves(
    panels: Sequence[tuple[str, Sequence[Curve]]],
    across: str,
    kind: Kind,
    options: PlotOptions | None = None,
    *,
    log: bool = False,
) -> bytes:
    """A plot for each panel (what its values are called, and its lines), side by side, with one legend.

    Args:
        across: what is on the horizontal axis.
        log: the vertical axes in powers of ten.

    Raises:
        UsageError: nothing to draw, or values that a logarithm does not have.
    """
    options = options or PlotOptions()
    if not panels or not all(curves for _, curves in panels):
        raise UsageError("there are no curves to draw")
    if log and any((curve.y <= 0).any() for _, curves in panels for curve in curves):
        raise UsageError("--log: there are values of 0 or less; leave it out")
    groups = list(dict.fromkeys(curve.group for _, curves in panels for curve in curves))
    style = {
        group: (LINES[place % len(LINES)], _DASHES[place // len(LINES) % len(_DASHES)])
        for place, group in enumerate(groups)
    }
    with typesetting(options.typeface, options.points):
        page, places = _plots(len(panels), options)
        for axes, (name, curves) in zip(places, panels, strict=True):
            told: set[str] = set()
            for curve in curves:
                colour, dashes = style[curve.group]
                label = curve.group if curve.group not in told else None
                told.add(curve.group)
                axes.plot(curve.x, curve.y, dashes, color=colour, linewidth=0.9, label=label)
            if log:
                axes.set_yscale("log")
            axes.set_xlabel(across, parse_math=False)
            axes.set_ylabel(name, parse_math=False)
        if len(groups) > 1:
            _legend(places[-1])
        return page.save(kind)


def draw_cost(
    points: Sequence[CostPoint], across: str, up: str, kind: Kind, options: PlotOptions | None = None
) -> bytes:
    """Scores against costs: a point a row with its interval, a line through those that nothing beats for less.

    Args:
        across, up: what is on the axes; ``up`` is mathematics of matplotlib.

    Raises:
        UsageError: no points.
    """
    options = options or PlotOptions()
    if not points:
        raise UsageError("no row has both the score and the cost: there is nothing to draw")
    with typesetting(options.typeface, options.points):
        page, (axes,) = _plots(1, options)
        positive = [point.x for point in points if point.x > 0]
        if len(positive) < len(points) and positive:
            axes.set_xscale("symlog", linthresh=min(positive) / 3, linscale=0.4)  # with a place for what costs nothing
        elif positive:
            axes.set_xscale("log")
        for point in points:
            colour = SOFT if point.trivial else LINES[0]
            if point.low is not None and point.high is not None:
                axes.plot([point.x, point.x], [point.low, point.high], color=colour, linewidth=0.6, zorder=2)
            face = colour if point.best else "white"
            axes.plot([point.x], [point.y], "o", markersize=4, color=colour, markerfacecolor=face, zorder=3)
        best = sorted((point for point in points if point.best), key=lambda point: point.x)
        axes.plot([p.x for p in best], [p.y for p in best], "--", color=LINE, linewidth=0.8, zorder=1)
        axes.margins(0.12, 0.1)
        if any(point.x == 0 for point in points):
            axes.set_xlim(left=-(min(positive, default=1.0)) / 8)
        axes.set_xlabel(across, parse_math=False)
        axes.set_ylabel(up)
        _name_points(page, axes, points, options.points - 1.5)
        return page.save(kind)


def _plots(count: int, options: PlotOptions) -> tuple[FigurePage, list[Axes]]:
    """Axes side by side with room for their labels."""
    em = options.points / POINTS
    left, below, above, right = 4.4 * em, 3.4 * em, 0.6 * em, 0.9 * em
    each = options.width / count
    height = options.height or max(1.2, each * 2 / 3)
    if each - left - right < 0.4 or height - below - above < 0.3:
        raise UsageError(f"{options.width:g} × {height:g} inches leave no room for {count} plots; ask for more")
    page = FigurePage(options.width, height, options.dpi)
    places = []
    for number in range(count):
        axes = page.axes(number * each + left, above, each - left - right, height - below - above)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=options.points - 1, width=0.5, length=2.5, pad=2)
        axes.grid(True, color=LINE, linewidth=0.4)
        axes.set_axisbelow(True)
        places.append(axes)
    return page, places


def _legend(axes: Axes) -> None:
    legend = axes.legend(frameon=False, fontsize="small", handlelength=1.6, labelspacing=0.25, borderaxespad=0.2)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _name_points(page: FigurePage, axes: Axes, points: Sequence[CostPoint], size: float) -> None:
    """Names beside their points, where they hide neither a point nor another name; else farther away, with a line."""
    from matplotlib.transforms import Bbox

    renderer = page.renderer
    at = [axes.transData.transform((point.x, point.y)) for point in points]
    scale = page.dpi / POINTS
    taken = [Bbox.from_extents(x - 2.5 * scale, y - 2.5 * scale, x + 2.5 * scale, y + 2.5 * scale) for x, y in at]
    frame = Bbox.from_extents(0, 0, page.width * page.dpi, page.height * page.dpi)
    order = sorted(range(len(points)), key=lambda i: (not points[i].best, i))
    for i in order:
        made = axes.annotate(
            points[i].title,
            (points[i].x, points[i].y),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=size,
            color=SOFT if points[i].trivial else INK,
            parse_math=False,
        )
        for dx, dy, across, along in _AROUND:
            made.set_position((dx, dy))
            made.set_horizontalalignment(across)
            made.set_verticalalignment(along)
            box = made.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(one) for one in taken):
                break
        taken.append(made.get_window_extent(renderer))
        if math.hypot(*made.get_position()) > 8:
            axes.annotate(
                "",
                (points[i].x, points[i].y),
                xytext=made.get_position(),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2},
            )


def _around() -> list[tuple[float, float, Any, Any]]:
    """Offsets in points and alignments to try: right, left, above and below, then farther away."""
    found: list[tuple[float, float, Any, Any]] = [
        (4, 0, "left", "center"),
        (-4, 0, "right", "center"),
        (0, 4, "center", "bottom"),
        (0, -4, "center", "top"),
        (3, 3, "left", "bottom"),
        (3, -3, "left", "top"),
        (-3, 3, "right", "bottom"),
        (-3, -3, "right", "top"),
    ]
    for distance in (12, 20, 30, 42):
        for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1)):
            across = {1: "left", -1: "right", 0: "center"}[x]
            found.append((0.7 * distance * x, distance * y, across, {1: "bottom", -1: "top"}[y]))
    return found


_AROUND = _around()
