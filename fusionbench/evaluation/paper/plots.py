"""Plots of a paper: learning curves of runs, and quality against what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.io import utf8
from fusionbench.core.text import one_line
from fusionbench.core.vector_figures import INK, LINE, POINTS, SOFT, WIDTHS, FigurePage, Kind, Typeface, typesetting
from fusionbench.results.paper_cost import CostPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours for lines on white, without the yellow that white swallows.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
_DECADE = 8.0  # costs that lie closer together than this factor are on a linear axis
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


def plot_curves(
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
                label = one_line(utf8(curve.group)) if curve.group not in told else None
                told.add(curve.group)
                axes.plot(curve.x, curve.y, dashes, color=colour, linewidth=0.9, label=label)
            if log:
                axes.set_yscale("log")
            axes.set_xlabel(across, parse_math=False)
            axes.set_ylabel(one_line(name), parse_math=False)
        if len(groups) > 1:
            _legend(places[-1])
        return page.save(kind)


def plot_cost(
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
    points = sorted(points, key=lambda point: (point.x, -point.y, point.title))
    with typesetting(options.typeface, options.points):
        page, axes = _cost_axes(points, across, up, options, None)
        if not _name_points(page, axes, points, [point.title for point in points], options.points - 1.5):
            key = _Key([point.title for point in points], options)
            page, axes = _cost_axes(points, across, up, options, key)
            _name_points(page, axes, points, key.numbers, options.points - 1.5)
            key.draw(page)
        return page.save(kind)


@dataclass(frozen=True)
class _Key:
    """A list of numbered names on the right of a plot, for points that leave no room for their names."""

    names: Sequence[str]
    options: PlotOptions

    @property
    def numbers(self) -> list[str]:
        return [str(number + 1) for number in range(len(self.names))]

    @property
    def line(self) -> float:
        """Height of a line."""
        return (self.options.points - 1.5) * 1.3 / POINTS

    @property
    def width(self) -> float:
        """As the longest name needs, but at most two fifths of the figure."""
        letters = max(map(len, self.names)) + 4
        return min(0.4 * self.options.width, letters * 0.52 * (self.options.points - 1.5) / POINTS)

    @property
    def height(self) -> float:
        return (len(self.names) + 1) * self.line

    def draw(self, page: FigurePage) -> None:
        """On the right of the page, from its upper edge."""
        size, left = self.options.points - 1.5, page.width - self.width
        for place, (number, name) in enumerate(zip(self.numbers, self.names, strict=True)):
            y, room = (place + 1) * self.line, 2 * size / POINTS
            page.text(left + 0.75 * room, y, number, size, across="right", colour=SOFT)
            page.text(left + room, y, name, size, across="left", room=self.width - room)


def _cost_axes(
    points: Sequence[CostPoint], across: str, up: str, options: PlotOptions, key: _Key | None
) -> tuple[FigurePage, Axes]:
    """A page with everything but the names of the points."""
    page, (axes,) = _plots(1, options, key)
    positive = [point.x for point in points if point.x > 0]
    free = bool(positive) and len(positive) < len(points)
    if free:
        axes.set_xscale("symlog", linthresh=min(positive) / 3, linscale=0.4)  # with a place for what costs nothing
    elif positive and max(positive) > _DECADE * min(positive):
        axes.set_xscale("log")
    for point in points:
        colour = SOFT if point.trivial else LINES[0]
        if point.low is not None and point.high is not None:
            axes.plot([point.x, point.x], [point.low, point.high], color=colour, linewidth=0.6, zorder=2)
        face = colour if point.best else "white"
        axes.plot([point.x], [point.y], "o", markersize=4, color=colour, markerfacecolor=face, zorder=3)
    best = [point for point in points if point.best]
    axes.plot([p.x for p in best], [p.y for p in best], "--", color=LINE, linewidth=0.8, zorder=1)
    axes.margins(0.08, 0.08)
    if free:
        axes.set_xlim(left=-min(positive) / 8)
    if axes.get_xscale() != "linear":
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter("")
    axes.set_xlabel(across, parse_math=False)
    axes.set_ylabel(up)
    return page, axes


def _plots(count: int, options: PlotOptions, key: _Key | None = None) -> tuple[FigurePage, list[Axes]]:
    """Axes side by side with room for their labels, and for a key on the right of all."""
    em = options.points / POINTS
    left, below, above, right = 4.4 * em, 3.4 * em, 0.6 * em, 0.9 * em
    each = (options.width - (0.0 if key is None else key.width + em)) / count
    height = options.height or max(1.2, options.width / count * 2 / 3)
    height = height if key is None else max(height, key.height)
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


def _name_points(page: FigurePage, axes: Axes, points: Sequence[CostPoint], names: Sequence[str], size: float) -> bool:
    """Names beside their points, where they hide neither a point nor another name, else farther away with a line.

    Returns:
        Whether all of them have such a place.
    """
    from matplotlib.transforms import Bbox

    renderer, scale, complete = page.renderer, page.dpi / POINTS, True
    axes.get_xlim(), axes.get_ylim()  # the limits are found when somebody asks for them
    at = [axes.transData.transform((point.x, point.y)) for point in points]
    taken = [Bbox.from_extents(x - 2.5 * scale, y - 2.5 * scale, x + 2.5 * scale, y + 2.5 * scale) for x, y in at]
    frame = axes.get_window_extent(renderer)
    for i in sorted(range(len(points)), key=lambda i: (not points[i].best, i)):
        style: dict[str, Any] = {"fontsize": size, "color": SOFT if points[i].trivial else INK, "parse_math": False}
        where = points[i].x, points[i].y
        made = axes.annotate(one_line(utf8(names[i])), where, xytext=(4, 0), textcoords="offset points", **style)
        for dx, dy, across, along in _AROUND:
            made.set_position((dx, dy))
            made.set(ha=across, va=along)
            box = made.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 4 * scale
            inside = inside and frame.y0 <= box.y0 and box.y1 <= frame.y1 + 4 * scale
            if inside and not any(box.overlaps(one) for one in taken):
                break
        else:
            complete = False
        taken.append(made.get_window_extent(renderer))
        if math.hypot(*made.get_position()) > 8:
            line = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2}
            axes.annotate("", where, xytext=made.get_position(), textcoords="offset points", arrowprops=line)
    return complete


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
