"""Small charts as SVG in the page: lines with intervals, and points that are links. No script, no style attributes.

Every chart has a title and a description for screen readers; numbers are in a table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 460, 280, 62, 46, 14
MOST_NAMES = 12  # more names than these would hide each other; every point tells its name when it is pointed at
LETTER = 5.8  # width of a letter of a name, about; names are kept apart by it
COLOURS = 8  # classes c0 … c7 of the style sheet


@dataclass(frozen=True)
class Point:
    """``low``, ``high``: an interval of y. ``href`` makes the point a link; ``name`` is its text."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    name: str = ""
    href: str = ""


@dataclass(frozen=True)
class Series:
    """``kind``: ``c0`` … ``c7``, ``grey`` (trivial) or ``paper`` (published)."""

    label: str
    points: Sequence[Point]
    kind: str = "c0"
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """A range of numbers on ``begin`` … ``end`` of the chart."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def at(self, value: float) -> str:
        """Where a value lies, as text with one place."""
        low, high, value = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return f"{self.begin + share * (self.end - self.begin):.1f}"


def chart(
    title: str,
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    log: bool = False,
    ticks: Sequence[float] | None = None,
) -> Markup:
    """SVG of all series. ``log``: a logarithmic x axis; ``ticks`` of x, else round numbers.

    Nothing to draw gives an empty text. Points with a value that is not finite, or not positive on a logarithmic
    axis, are left out.
    """
    drawn = [(one, [p for p in one.points if _drawable(p, log)]) for one in series]
    drawn = [(one, points) for one, points in drawn if points]
    if not drawn:
        return Markup("")
    every = [point for _, points in drawn for point in points]
    ys = [v for p in every for v in (p.y, p.low, p.high) if v is not None]
    room = 0.06 * (max(ys) - min(ys)) or 0.05 * abs(ys[0]) or 1.0
    xs = [p.x for p in every]
    lowest, highest = min(xs), max(xs)
    if lowest == highest:
        lowest, highest = (lowest / 2, highest * 2) if log else (lowest - 1, highest + 1)
    across = Axis(lowest, highest, LEFT + 12, WIDTH - EDGE - 8, log)
    up = Axis(min(ys) - room, max(ys) + room, HEIGHT - BOTTOM, EDGE)
    names = ", ".join(one.label for one, _ in drawn)
    parts = [
        Markup('<svg class="chart" viewBox="0 0 {} {}" role="group" aria-label="{}">').format(WIDTH, HEIGHT, title),
        Markup("<desc>{} against {}: {}</desc>").format(y, x, names),
        Markup('<path class="axis" d="M{0} {1}V{2}H{3}"/>').format(LEFT, EDGE, HEIGHT - BOTTOM, WIDTH - EDGE),
    ]
    for value in round_numbers(up.low, up.high):
        parts.append(_text(LEFT - 6, float(up.at(value)) + 3.5, "tick", "end", short(value)))
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(LEFT, up.at(value), WIDTH - EDGE))
    if ticks is None:
        ticks = _decades(lowest, highest) if log else round_numbers(lowest, highest)
    for value in ticks:
        parts.append(_text(float(across.at(value)), HEIGHT - BOTTOM + 15, "tick", "middle", short(value)))
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 10, "label", "middle", x))
    middle = (HEIGHT - BOTTOM + EDGE) / 2
    turned = Markup('<text class="label" text-anchor="middle" x="13" y="{0}" transform="rotate(-90 13 {0})">{1}</text>')
    parts.append(turned.format(f"{middle:.0f}", y))
    for one, points in drawn:
        parts.append(_series(one, points, across, up))
    if len(every) <= MOST_NAMES:
        parts += _names(every, across, up)
    parts.append(Markup("</svg>"))
    legend = Markup("").join(
        Markup('<li><i class="swatch {}" aria-hidden="true"></i>{}</li>').format(one.kind, one.label)
        for one, _ in drawn
    )
    return Markup("").join(parts) + (Markup('<ul class="legend">{}</ul>').format(legend) if len(drawn) > 1 else "")


def _drawable(point: Point, log: bool) -> bool:
    known = [v for v in (point.x, point.y, point.low, point.high) if v is not None]
    return all(math.isfinite(v) for v in known) and (point.x > 0 or not log)


def _series(one: Series, points: Sequence[Point], across: Axis, up: Axis) -> Markup:
    parts = [Markup('<g class="{}">').format(one.kind)]
    if one.joined and len(points) > 1:
        line = " ".join(f"{across.at(p.x)},{up.at(p.y)}" for p in points)
        parts.append(Markup('<polyline points="{}"/>').format(line))
    for p in points:
        if p.low is not None and p.high is not None:
            parts.append(Markup('<path d="M{} {}V{}"/>').format(across.at(p.x), up.at(p.low), up.at(p.high)))
        spoken = f"{p.name or one.label}: {short(p.x)}, {p.y:.4g}"
        mark = Markup('<circle cx="{}" cy="{}" r="4"><title>{}</title></circle>')
        circle = mark.format(across.at(p.x), up.at(p.y), spoken)
        link = Markup('<a href="{}" aria-label="{}">{}</a>').format(p.href, spoken, circle) if p.href else circle
        parts.append(link)
    return Markup("").join([*parts, Markup("</g>")])


def _names(points: Sequence[Point], across: Axis, up: Axis) -> list[Markup]:
    """Names beside their points, each where it hides neither a point nor another name; one without room is left out."""
    places = [(float(across.at(p.x)), float(up.at(p.y))) for p in points]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    parts = []
    for (x, y), name in zip(places, (p.name for p in points), strict=True):
        if not name:
            continue
        width = LETTER * len(name)
        for left, middle, anchor in (
            (x + 8, y, "start"),
            (x - 8 - width, y, "end"),
            (x - width / 2, y - 11, "middle"),
            (x - width / 2, y + 11, "middle"),
            (x + 6, y - 9, "start"),
            (x + 6, y + 9, "start"),
            (x - 6 - width, y - 9, "end"),
            (x - 6 - width, y + 9, "end"),
        ):
            box = (left, middle - 5, left + width, middle + 5)
            free = all(box[2] < t[0] or t[2] < box[0] or box[3] < t[1] or t[3] < box[1] for t in taken)
            if free and left > LEFT and box[2] < WIDTH and box[1] > 0 and box[3] < HEIGHT - BOTTOM:
                taken.append(box)
                at = {"start": left, "end": box[2], "middle": left + width / 2}[anchor]
                parts.append(_text(at, middle + 3.5, "tick name", anchor, name))
                break
    return parts


def _text(x: float, y: float, kind: str, anchor: str, text: str) -> Markup:
    made = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>')
    return made.format(kind, f"{x:.1f}", f"{y:.1f}", anchor, text)


def round_numbers(low: float, high: float, wanted: int = 4) -> list[float]:
    """About ``wanted`` multiples of 1, 2 or 5 times a power of ten within low … high."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= wanted + 1)
    return [round(n * step, 12) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten within low … high, or round numbers where there are fewer than two."""
    found = [10.0**n for n in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    return found if len(found) > 1 else round_numbers(low, high)


def short(value: float) -> str:
    """A number of at most four digits: 12.5, 3.2k, 6.4M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:.4g}"
