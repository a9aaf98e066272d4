"""Pages for print, measured in inches: images as they are, text as text; PDF, SVG or PNG by the name of the file.

The same content gives the same bytes on one installation: no date, no random names. Text in a PDF is text in embedded
TrueType fonts (type 42), which publishers ask for; images lie in it pixel by pixel.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.io import utf8
from fusionbench.core.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.text import Text

Kind = Literal["pdf", "svg", "png"]
Typeface = Literal["serif", "sans"]
TYPEFACES: tuple[Typeface, ...] = get_args(Typeface)
WIDTHS = {"single": 3.5, "double": 7.16}  # inches of a column and of the text of a two-column page (IEEE)
MAX_INCHES = 40.0
POINTS = 72.0  # in an inch
# Both come with matplotlib: letters as in Times for texts that are set in it, and a sans serif.
_FAMILIES = {"serif": ["STIXGeneral", "DejaVu Serif", "DejaVu Sans"], "sans": ["DejaVu Sans"]}
_MATHEMATICS = {"serif": "stix", "sans": "dejavusans"}
# Okabe and Ito's colours, which people with any colour vision tell apart, vivid ones first: boxes lie on images.
COLOURS = ("#D55E00", "#56B4E9", "#F0E442", "#009E73", "#CC79A7", "#E69F00", "#0072B2")
INK, SOFT, LINE = "#1c2026", "#6e757e", "#d6dae0"


def figure_kind(path: str | Path) -> Kind:
    """The kind of file that a name asks for.

    Raises:
        UsageError: another one.

    Example:
        >>> from fusionbench.core.vector_figures import figure_kind
        >>> figure_kind("figures/street.PDF")
        'pdf'
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in get_args(Kind):
        raise UsageError(f"{path}: figures are written as .pdf, .svg or .png; choose such a name")
    kind: Kind = suffix  # type: ignore[assignment]
    return kind


@contextmanager
def typesetting(typeface: Typeface, points: float) -> Iterator[None]:
    """Everything that decides how a figure looks, and nothing of the settings of who calls."""
    import matplotlib

    # a letter that no font has is drawn as a box; a line about each on stderr helps nobody
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(
                {
                    "font.family": _FAMILIES[typeface],
                    "mathtext.fontset": _MATHEMATICS[typeface],
                    "font.size": points,
                    "pdf.fonttype": 42,
                    "svg.fonttype": "none",
                    "svg.hashsalt": "fusionbench",
                    "image.composite_image": False,
                    "axes.linewidth": 0.6,
                    "text.color": INK,
                    "axes.edgecolor": SOFT,
                    "axes.labelcolor": INK,
                    "xtick.color": SOFT,
                    "ytick.color": SOFT,
                    "xtick.labelcolor": INK,
                    "ytick.labelcolor": INK,
                }
            )
            yield
    finally:
        fonts.setLevel(level)


class FigurePage:
    """A page of ``width`` × ``height`` inches on which everything has a place, from the upper left corner.

    Use it inside :func:`typesetting`.

    Raises:
        UsageError: a page that no paper has.
    """

    def __init__(self, width: float, height: float, dpi: float = 300) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        if not (0 < width <= MAX_INCHES and 0 < height <= MAX_INCHES):
            raise UsageError(
                f"a figure of {width:.1f} × {height:.1f} inches does not fit any page; show fewer pairs or methods"
            )
        self.width, self.height, self.dpi = width, height, dpi
        self.figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
        self._canvas = FigureCanvasAgg(self.figure)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes with their upper left corner at (x, y)."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def image(
        self, x: float, y: float, width: float, height: float, pixels: np.ndarray, *, smooth: bool = True
    ) -> Axes:
        """An image, uint8 (h,w) or (h,w,3); ``smooth``: with means of pixels where print has fewer than the image.

        Returns:
            Axes in its pixels, for boxes on it.
        """
        axes = self.axes(x, y, width, height)
        axes.set_axis_off()
        shown = self._reduced(pixels, width, height) if smooth else pixels
        axes.imshow(
            np.repeat(shown[..., None], 3, axis=2) if shown.ndim == 2 else shown,  # a map of greys rounds some down
            interpolation="none",
            aspect="auto",
            extent=(-0.5, pixels.shape[1] - 0.5, pixels.shape[0] - 0.5, -0.5),
        )
        return axes

    def _reduced(self, pixels: np.ndarray, width: float, height: float) -> np.ndarray:
        """At most ``dpi`` pixels an inch."""
        size = (max(1, round(width * self.dpi)), max(1, round(height * self.dpi)))
        if size[0] >= pixels.shape[1] or size[1] >= pixels.shape[0]:
            return pixels
        import cv2

        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))

    def frame(self, axes: Axes, box: tuple[float, float, float, float], colour: str, points: float) -> None:
        """A rectangle (x, y, w, h) in pixels of the image on ``axes``, drawn inside of its edge."""
        from matplotlib.patches import Rectangle

        x, y, w, h = box
        line = Rectangle((x - 0.5, y - 0.5), w, h, fill=False, edgecolor=colour, linewidth=points, joinstyle="miter")
        line.set_clip_on(False)
        axes.add_patch(line)

    def border(self, x: float, y: float, width: float, height: float, colour: str, points: float) -> None:
        """A rectangle in inches, its line inside of the box."""
        from matplotlib.patches import Rectangle

        half = points / POINTS / 2
        corner = ((x + half) / self.width, 1 - (y + height - half) / self.height)
        size = ((width - 2 * half) / self.width, (height - 2 * half) / self.height)
        self.figure.add_artist(
            Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=points, joinstyle="miter")
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        points: float,
        *,
        room: float | None = None,
        mathematics: bool = False,
        bold: bool = False,
        colour: str = INK,
        across: Literal["left", "center", "right"] = "center",
        along: Literal["top", "center", "bottom", "baseline"] = "baseline",
        turned: bool = False,
        smallest: float = 4.5,
    ) -> Text:
        """Text at (x, y), made smaller where it is wider than ``room`` inches, and then cut.

        Args:
            mathematics: whether ``$…$`` is mathematics; else a dollar is one.
        """
        style: dict[str, Any] = {"ha": across, "va": along, "color": colour, "fontweight": "bold" if bold else "normal"}
        if turned:
            style |= {"rotation": 90, "rotation_mode": "anchor"}
        made = self.figure.text(
            x / self.width, 1 - y / self.height, one_line(utf8(text)), fontsize=points, parse_math=mathematics, **style
        )
        while room is not None and (long := self._length(made, turned)) > room:
            size = float(made.get_fontsize())
            if size > smallest:
                made.set_fontsize(max(smallest, min(size * room / long * 0.99, size - 0.1)))
            elif len(text := made.get_text().removesuffix("…")) > 1 and not mathematics:
                made.set_text(text[:-1].rstrip() + "…")
            else:
                break
        return made

    @property
    def renderer(self) -> RendererBase:
        """What measures texts."""
        found: RendererBase = self._canvas.get_renderer()  # type: ignore[no-untyped-call]
        return found

    def _length(self, text: Text, turned: bool) -> float:
        box = text.get_window_extent(self.renderer)
        return float(box.height if turned else box.width) / self.dpi

    def save(self, kind: Kind) -> bytes:
        """The page as a file of that kind."""
        buffer = io.BytesIO()
        nothing: dict[str, Any] = {
            "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
            "svg": {"Date": None, "Creator": None},
            "png": {"Software": None},
        }[kind]
        self.figure.savefig(buffer, format=kind, dpi=self.dpi, metadata=nothing)
        return buffer.getvalue()
