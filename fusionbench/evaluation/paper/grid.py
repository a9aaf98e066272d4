"""The figure of fused images: a grid of sources and methods, zoomed windows, differences and scores below them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.text import letters_of
from fusionbench.core.types import Metric
from fusionbench.core.vector_figures import (
    COLOURS,
    POINTS,
    WIDTHS,
    FigurePage,
    Kind,
    Typeface,
    typesetting,
)
from fusionbench.evaluation.paper.pictures import Picture, ShownPair
from fusionbench.evaluation.paper.zooms import Zoom
from fusionbench.metrics.symbols import symbol_of

if TYPE_CHECKING:
    from matplotlib.text import Text

Insets = Literal["below", "corner"]
Labels = Literal["below", "above", "none"]
_CORNER = 0.4  # of the width of an image that an inset in its corner takes
_LEADING = 1.25  # height of a line of text, in its font size
_DIFFERENCE_MAP = "inferno"


@dataclass(frozen=True)
class GridOptions:
    """How the grid looks.

    Attributes:
        width: of the figure in inches.
        points: font size of labels; scores are a little smaller.
        columns: images in a line; None has each pair in one line. ``transpose``: each pair in a column instead.
        labels: where the names of the methods stand; ``letters``: (a), (b), … before them; ``stems``: names of pairs.
        insets: zoomed windows in a strip below each image, or in its corners.
        difference: what fused images are subtracted from: ``a``, ``b`` or the title of a method; None for nothing.
        gap: inches between images.
        line: width in points of the boxes and frames of zooms.
    """

    width: float = WIDTHS["double"]
    points: float = 8.0
    typeface: Typeface = "serif"
    columns: int | None = None
    transpose: bool = False
    labels: Labels = "below"
    letters: bool = False
    stems: bool = False
    insets: Insets = "below"
    difference: str | None = None
    gap: float = 0.03
    line: float = 1.0
    dpi: float = 300.0

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 40:
            raise UsageError(f"--width {self.width:g}: give single, double or 1 to 40 inches")
        if not 4 <= self.points <= 24:
            raise UsageError(f"--font-size {self.points:g}: give 4 to 24 points")
        if self.columns is not None and (self.columns < 1 or self.transpose):
            raise UsageError("--per-line is the number of images in a line: give at least 1, and no --transpose")
        if self.difference == "":
            raise UsageError("--difference takes a, b or the title of a method")


@dataclass(frozen=True)
class _Cell:
    """An image and where it stands: ``width`` × ``height`` inches of the image itself at (x, y)."""

    pair: int
    place: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class DrawnGrid:
    """The file, and for each pair what white is in its differences, in grey levels; None without them."""

    content: bytes
    width: float
    height: float
    white: list[int | None] = field(default_factory=list)


def draw_grid(
    pairs: Sequence[ShownPair],
    zooms: Sequence[Sequence[Zoom]],
    kind: Kind,
    options: GridOptions,
    scores: Sequence[Metric] = (),
) -> DrawnGrid:
    """The figure as a file.

    Args:
        zooms: the windows of each pair, the same ones for all of its images.
        scores: the metrics whose values stand below fused images; best in bold where there are several.

    Raises:
        UsageError: a difference to a method that is not there, more zooms than corners, or a figure beyond any page.
    """
    if options.insets == "corner" and max(map(len, zooms), default=0) > 4:
        raise UsageError("--insets corner: an image has four corners; ask for fewer zooms, or --insets below")
    return _Grid(pairs, zooms, options, scores).draw(kind)


@dataclass
class _Grid:
    pairs: Sequence[ShownPair]
    zooms: Sequence[Sequence[Zoom]]
    options: GridOptions
    metrics: Sequence[Metric]
    left: float = 0.0
    top: float = 0.0
    bottom: float = 0.0
    names: list[Text] = field(default_factory=list)
    numbers: list[Text] = field(default_factory=list)

    def draw(self, kind: Kind) -> DrawnGrid:
        self.differences = [self._differences(pair) for pair in self.pairs]
        self.label_height = self.options.points * _LEADING / POINTS
        self.score_points = max(4.5, self.options.points - 1.5)
        self.score_height = self.score_points * _LEADING / POINTS
        cells = self._places()
        with typesetting(self.options.typeface, self.options.points):
            self.page = FigurePage(self.options.width, self.bottom, self.options.dpi)
            for cell in cells:
                self._draw_cell(cell)
            self._draw_names(cells)
            for texts in (self.names, self.numbers):
                _as_small_as_the_smallest(texts)
            white = [None if found is None else found[1] for found in self.differences]
            return DrawnGrid(self.page.save(kind), self.options.width, self.bottom, white)

    # Where everything stands

    def _places(self) -> list[_Cell]:
        count = len(self.pairs[0].pictures)
        strip = self.label_height * 1.1
        self.left = strip if (self.options.transpose and self.options.labels != "none") else 0.0
        if self.options.stems and not self.options.transpose:
            self.left = strip
        self.top = strip if self.options.stems and self.options.transpose else 0.0
        if self.options.transpose:
            return self._transposed(count)
        across = min(count, self.options.columns or count)
        width = (self.options.width - self.left - (across - 1) * self.options.gap) / across
        cells, y = [], self.top
        for number, pair in enumerate(self.pairs):
            height = width * pair.size[0] / pair.size[1]
            for begin in range(0, count, across):
                line = range(begin, min(begin + across, count))
                above, below = self._labelled(number, across < count)
                y += self.label_height if above else 0.0
                for place in line:
                    x = self.left + (place - begin) * (width + self.options.gap)
                    cells.append(_Cell(number, place, x, y, width, height))
                y += max(self._height(cell) for cell in cells[-len(line) :])
                y += (self.label_height if below else 0.0) + self.options.gap
        self.bottom = y - self.options.gap
        return cells

    def _transposed(self, count: int) -> list[_Cell]:
        """Pairs side by side, as high as each other."""
        shapes = [pair.size[1] / pair.size[0] for pair in self.pairs]
        room = self.options.width - self.left - (len(shapes) - 1) * self.options.gap
        height = room / sum(shapes)
        cells, y = [], self.top
        for place in range(count):
            x = self.left
            for number, shape in enumerate(shapes):
                cells.append(_Cell(number, place, x, y, shape * height, height))
                x += shape * height + self.options.gap
            y += max(self._height(cell) for cell in cells[-len(shapes) :]) + self.options.gap
        self.bottom = y - self.options.gap
        return cells

    def _labelled(self, number: int, wrapped: bool) -> tuple[bool, bool]:
        """Whether names stand above and below a line of this pair: once, or on every line where lines differ."""
        above = self.options.labels == "above" and (wrapped or number == 0)
        below = self.options.labels == "below" and (wrapped or number == len(self.pairs) - 1)
        return above, below

    def _strip(self, cell: _Cell) -> float:
        """Height of the zooms below an image, with the gap above them; windows side by side, equally high."""
        zooms = self.zooms[cell.pair]
        if not zooms or self.options.insets != "below":
            return 0.0
        room = cell.width - (len(zooms) - 1) * self.options.gap / 2
        return room / sum(zoom.width / zoom.height for zoom in zooms) + self.options.gap / 2

    def _height(self, cell: _Cell) -> float:
        """All of a cell but its name."""
        total = cell.height + self._strip(cell)
        if self.differences[cell.pair] is not None and (cell.place > 1 or not self.options.transpose):
            total += cell.height + self.options.gap / 2
        if self.pairs[cell.pair].pictures[cell.place].kind == "fused" or not self.options.transpose:
            total += len(self.metrics) * self.score_height
        return total

    # What is drawn

    def _draw_cell(self, cell: _Cell) -> None:
        pair, zooms = self.pairs[cell.pair], self.zooms[cell.pair]
        picture = pair.pictures[cell.place]
        axes = self.page.image(cell.x, cell.y, cell.width, cell.height, picture.pixels)
        for zoom, colour in zip(zooms, COLOURS, strict=False):
            self.page.frame(axes, (zoom.x, zoom.y, zoom.width, zoom.height), colour, self.options.line)
        if self.options.insets == "below":
            self._draw_strip(cell, picture, zooms)
        else:
            self._draw_corners(cell, picture, zooms, pair.size)
        y = cell.y + cell.height + self._strip(cell)
        if (found := self.differences[cell.pair]) is not None:
            y += self.options.gap / 2
            if picture.kind == "fused":
                self.page.image(cell.x, y, cell.width, cell.height, found[0][picture.title])
            elif cell.place == 0 and not self.options.transpose:
                self._draw_scale(cell, y, found[1])
            if picture.kind == "fused" or not self.options.transpose:
                y += cell.height
        for metric in self.metrics if picture.kind == "fused" else ():
            y += self.score_height
            self._draw_score(cell, y - 0.25 * self.score_height, pair, picture, metric)

    def _draw_strip(self, cell: _Cell, picture: Picture, zooms: Sequence[Zoom]) -> None:
        gap = self.options.gap / 2
        height, x, y = self._strip(cell) - gap, cell.x, cell.y + cell.height + gap
        for zoom, colour in zip(zooms, COLOURS, strict=False):
            width = height * zoom.width / zoom.height
            self._draw_inset(x, y, width, height, zoom.cut(picture.pixels), colour)
            x += width + gap

    def _draw_inset(self, x: float, y: float, width: float, height: float, pixels: np.ndarray, colour: str) -> None:
        self.page.image(x, y, width, height, pixels)
        self.page.border(x, y, width, height, colour, self.options.line)

    def _draw_corners(self, cell: _Cell, picture: Picture, zooms: Sequence[Zoom], size: tuple[int, int]) -> None:
        for zoom, colour, (right, low) in zip(zooms, COLOURS, free_corners(zooms, size), strict=False):
            width = _CORNER * cell.width
            height = width * zoom.height / zoom.width
            x = cell.x + (cell.width - width if right else 0.0)
            y = cell.y + (cell.height - height if low else 0.0)
            self._draw_inset(x, y, width, height, zoom.cut(picture.pixels), colour)

    def _draw_scale(self, cell: _Cell, y: float, white: int) -> None:
        """In the place of the first source: what is subtracted, and which difference is white."""
        middle, points = cell.x + cell.width / 2, self.score_points
        bar = min(0.08, cell.height / 6)
        at = y + cell.height / 2
        ramp = _in_colours(np.linspace(0, 255, 256).round().astype(np.uint8)[None])
        self.page.image(cell.x + 0.1 * cell.width, at, 0.8 * cell.width, bar, ramp)
        reference = self.options.difference or ""
        name = {"a": "|F − A|", "b": "|F − B|"}.get(reference, f"|F − {reference}|")
        self.page.text(middle, at - 0.05, name, points, room=cell.width)
        under = at + bar + self.score_height
        self.page.text(cell.x + 0.1 * cell.width, under, "0", points, across="left")
        self.page.text(cell.x + 0.9 * cell.width, under, str(white), points, across="right")

    def _draw_score(self, cell: _Cell, y: float, pair: ShownPair, picture: Picture, metric: Metric) -> None:
        value = picture.scores[metric.name]
        others = [one.scores[metric.name] for one in pair.fused if math.isfinite(one.scores[metric.name])]
        best = (max if metric.better == "higher" else min)(others, default=math.nan)
        number = f"{value:.{_places(others)}f}" if math.isfinite(value) else "n/a"
        bold, symbol = len(others) > 1 and value == best, symbol_of(metric.name).mathtext
        if bold and "$" in symbol:  # mathematics has a bold of its own
            number = f"$\\mathbf{{{number}}}$"
        text = f"{symbol}  {number}"
        middle = cell.x + cell.width / 2
        made = self.page.text(middle, y, text, self.score_points, room=cell.width, mathematics=True, bold=bold)
        self.numbers.append(made)

    def _draw_names(self, cells: Sequence[_Cell]) -> None:
        done: set[tuple[int, float]] = set()
        for cell in cells:
            title = self._title(cell.place)
            if self.options.transpose:
                if cell.pair == 0 and self.options.labels != "none":
                    self.names.append(self._turned(cell, title))
                if cell.place == 0 and self.options.stems:
                    name = self.pairs[cell.pair].stem
                    self.page.text(cell.x + cell.width / 2, 0.75 * self.top, name, self.options.points, room=cell.width)
                continue
            above, below = self._labelled(cell.pair, len({one.y for one in cells if one.pair == cell.pair}) > 1)
            middle, points = cell.x + cell.width / 2, self.options.points
            if above:
                y = cell.y - 0.3 * self.label_height
                self.names.append(self.page.text(middle, y, title, points, room=cell.width))
            if below:
                line = [self._height(one) for one in cells if one.pair == cell.pair and one.y == cell.y]
                y = cell.y + max(line) + 0.78 * self.label_height
                self.names.append(self.page.text(middle, y, title, points, room=cell.width))
            if self.options.stems and (cell.pair, cell.y) not in done and cell.x == self.left and cell.place == 0:
                done.add((cell.pair, cell.y))
                self._turned(cell, self.pairs[cell.pair].stem)

    def _turned(self, cell: _Cell, text: str) -> Text:
        """A name on the left of a cell, read from below."""
        middle = cell.y + cell.height / 2
        return self.page.text(0.8 * self.left, middle, text, self.options.points, room=cell.height, turned=True)

    def _title(self, place: int) -> str:
        title = self.pairs[0].pictures[place].title
        return f"({letters_of(place)}) {title}" if self.options.letters else title

    def _differences(self, pair: ShownPair) -> tuple[Mapping[str, np.ndarray], int] | None:
        """Absolute differences of luminance in colours by title, on one scale, and the difference that is white.

        White is the largest one but for a thousandth of the pixels of all methods, at least one grey level.
        """
        wanted = self.options.difference
        if wanted is None:
            return None
        known = {"a": pair.pictures[0], "b": pair.pictures[1], **{one.title: one for one in pair.fused}}
        if wanted not in known:
            raise unknown_name("image to subtract", wanted, known)
        levels = known[wanted].grey.astype(np.int32)
        found = {one.title: np.abs(one.grey.astype(np.int32) - levels) for one in pair.fused}
        counts = np.sum([np.bincount(one.ravel(), minlength=256) for one in found.values()], axis=0)
        white = max(1, int(np.searchsorted(np.cumsum(counts), 0.999 * counts.sum())))
        scaled = {title: np.minimum(255, one * 255 // white).astype(np.uint8) for title, one in found.items()}
        return {title: _in_colours(one) for title, one in scaled.items()}, white


def free_corners(zooms: Sequence[Zoom], size: tuple[int, int]) -> list[tuple[bool, bool]]:
    """A corner (right, low) of an image of (height, width) for each zoom: where insets hide least of the windows.

    Example:
        >>> from fusionbench.evaluation.paper.grid import free_corners
        >>> from fusionbench.evaluation.paper.zooms import Zoom
        >>> free_corners([Zoom(0, 60, 30, 30)], (100, 100))  # the window is low on the left
        [(True, True)]
    """
    free = [(False, True), (True, True), (False, False), (True, False)]
    found = []
    for zoom in zooms:
        width = _CORNER * size[1]
        height = width * zoom.height / zoom.width

        def hidden(corner: tuple[bool, bool], width: float = width, height: float = height) -> float:
            x, y = (size[1] - width if corner[0] else 0.0), (size[0] - height if corner[1] else 0.0)
            return sum(
                max(0.0, min(x + width, one.x + one.width) - max(x, one.x))
                * max(0.0, min(y + height, one.y + one.height) - max(y, one.y))
                for one in zooms
            )

        best = min(free, key=hidden)
        free.remove(best)
        found.append(best)
    return found


def _places(values: Sequence[float]) -> int:
    """Digits after the point that leave three digits of the largest value."""
    largest = max(map(abs, values), default=1.0)
    return min(4, max(0, 2 - math.floor(math.log10(largest)))) if largest > 0 else 2


def _as_small_as_the_smallest(texts: Sequence[Text]) -> None:
    """Texts of one kind in one size: that of the one which had to be made smallest to fit."""
    size = min((float(text.get_fontsize()) for text in texts), default=0.0)
    for text in texts:
        text.set_fontsize(size)


def _in_colours(values: np.ndarray) -> np.ndarray:
    """uint8 (h,w,3) of uint8 (h,w)."""
    from matplotlib import colormaps

    table = np.asarray(colormaps[_DIFFERENCE_MAP](np.arange(256), bytes=True))[:, :3]
    result: np.ndarray = table[values]
    return result


__all__ = ["DrawnGrid", "GridOptions", "draw_grid", "free_corners"]
