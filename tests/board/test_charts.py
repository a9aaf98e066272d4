"""Charts: what is drawn lies where its numbers say, nothing in a name becomes markup, names do not hide each other."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionbench.board.charts import (
    BOTTOM,
    EDGE,
    HEIGHT,
    LEFT,
    MOST_NAMES,
    WIDTH,
    Axis,
    Point,
    Series,
    chart,
    round_numbers,
    short,
)
from tests.helpers.svg import circles

HOSTILE = "\"><script>alert('x')</script>"


def test_points_lie_where_their_numbers_say() -> None:
    points = [Point(1, 10), Point(10, 30), Point(100, 20)]
    (x1, y1), (x2, y2), (x3, y3) = circles(chart("t", [Series("s", points)], x="x", y="y", log=True))
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.11), "decades are equally wide"
    assert y1 > y3 > y2 and y1 - y3 == pytest.approx(y3 - y2, abs=0.11), "up is more"


def test_names_are_text() -> None:
    svg = chart(HOSTILE, [Series(HOSTILE, [Point(1, 1, name=HOSTILE, href=HOSTILE)])], x=HOSTILE, y=HOSTILE)
    assert "<script" not in svg and ET.fromstring(svg).get("aria-label") == HOSTILE


def test_what_cannot_be_drawn_is_left_out() -> None:
    assert chart("t", [Series("s", [Point(0, 1)])], x="x", y="y", log=True) == ""
    assert len(circles(chart("t", [Series("s", [Point(1, float("nan")), Point(2, 3)])], x="x", y="y"))) == 1


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_round_numbers(low: float, span: float) -> None:
    found = round_numbers(low, low + span)
    assert 0 < len(found) <= 7 or low + span == low
    assert all(low - 1e-6 * abs(low) - 1e-9 <= v <= low + span + 1e-6 * abs(low + span) + 1e-9 for v in found)


def test_short_numbers() -> None:
    assert [short(v) for v in (0.0312, 12.5, 9999, 12345, 6.4e6, 2e9)] == [
        "0.0312",
        "12.5",
        "9999",
        "12.3k",
        "6.4M",
        "2G",
    ]


def test_an_axis_by_hand() -> None:
    linear = Axis(10, 20, 100, 300)
    assert [linear.at(value) for value in (10, 12.5, 20)] == ["100.0", "150.0", "300.0"]
    up = Axis(0, 4, 280, 0)
    assert [up.at(value) for value in (0, 1, 4)] == ["280.0", "210.0", "0.0"], "the end may be before the beginning"
    log = Axis(1, 100, 0, 200, log=True)
    assert log.at(10) == "100.0" and log.at(math.sqrt(10)) == "50.0"
    assert Axis(3, 3, 0, 100).at(3) == "50.0", "a range of nothing has its value in the middle"


def test_all_points_and_intervals_lie_inside_the_frame() -> None:
    points = [Point(x, y, y - 1, y + 1) for x, y in ((1, -5), (7, 12), (3, 0))]
    svg = chart("t", [Series("s", points)], x="x", y="y")
    assert all(LEFT < x < WIDTH - EDGE and EDGE < y < HEIGHT - BOTTOM for x, y in circles(svg))
    spans = re.findall(r'<path d="M([\d.]+) ([\d.]+)V([\d.]+)"/>', svg)
    assert len(spans) == 3
    for (x, low, high), (cx, cy) in zip(spans, circles(svg), strict=True):
        assert float(x) == cx and EDGE < float(high) < cy < float(low) < HEIGHT - BOTTOM
        assert float(low) - cy == pytest.approx(cy - float(high), abs=0.21), (
            "the point is in the middle of its interval"
        )


def test_series_are_told_apart_by_a_legend() -> None:
    one, two = Series("mine", [Point(1, 1), Point(2, 2)]), Series("theirs", [Point(1, 2)], "paper")
    assert "<ul" not in chart("t", [one], x="x", y="y"), "one series needs no legend"
    svg = chart("t", [one, two, Series("empty", [])], x="x", y="y")
    assert re.findall(r"</i>([a-z]+)</li>", svg) == ["mine", "theirs"], "what has no point is not in the legend"
    assert svg.count("<polyline") == 1 and svg.count("<g class=") == 2
    assert "<polyline" not in chart("t", [Series("s", one.points, joined=False)], x="x", y="y")


def test_points_that_are_links_say_where_they_lead() -> None:
    svg = chart(
        "t", [Series("s", [Point(12345, 0.5, name="CVAE", href="models/cvae.html"), Point(1, 1)])], x="x", y="y"
    )
    root = ET.fromstring(svg)
    (link,) = root.iter("a")
    assert link.get("href") == "models/cvae.html" and link.get("aria-label") == "CVAE: 12.3k, 0.5"
    assert [title.text for title in root.iter("title")] == ["CVAE: 12.3k, 0.5", "s: 1, 1"]


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """Where names stand, at the width that the layout counts with."""
    found = []
    for text in ET.fromstring(svg).iter("text"):
        if text.get("class") == "tick name":
            width, x, y = 5.8 * len(text.text or ""), float(text.get("x", "")), float(text.get("y", "")) - 3.5
            left = {"start": x, "end": x - width, "middle": x - width / 2}[text.get("text-anchor", "")]
            found.append((left, y - 5, left + width, y + 5))
    return found


def test_names_hide_neither_points_nor_each_other() -> None:
    points = [Point(x, x % 3, name=f"model {x}") for x in range(MOST_NAMES // 2)]
    svg = chart("t", [Series("s", points)], x="x", y="y")
    places = boxes(svg)
    assert len(places) == len(points), "there is room for all of them"
    for n, a in enumerate(places):
        assert a[0] > LEFT and a[2] < WIDTH and a[1] > 0 and a[3] < HEIGHT - BOTTOM
        assert all(b[2] < a[0] or a[2] < b[0] or b[3] < a[1] or a[3] < b[1] for b in places[:n])
        assert not any(a[0] < x < a[2] and a[1] < y < a[3] for x, y in circles(svg))
    same = [Point(1, 1, name="a long name of a model") for _ in range(MOST_NAMES)]
    assert 0 < len(boxes(chart("t", [Series("s", same)], x="x", y="y"))) < MOST_NAMES, "what has no room is left out"
    many = [Point(x, x % 3, name=f"model {x}") for x in range(MOST_NAMES + 1)]
    assert boxes(chart("t", [Series("s", many)], x="x", y="y")) == []


def test_ticks_that_are_given_are_the_ticks() -> None:
    svg = chart("t", [Series("s", [Point(0, 1), Point(3, 2)])], x="N", y="y", ticks=[0, 1, 2, 3])
    below = [text.text for text in ET.fromstring(svg).iter("text") if text.get("text-anchor") == "middle"]
    assert below[:4] == ["0", "1", "2", "3"]
    decades = chart("t", [Series("s", [Point(1, 1), Point(5000, 2)])], x="K", y="y", log=True)
    below = [text.text for text in ET.fromstring(decades).iter("text") if text.get("text-anchor") == "middle"]
    assert below[:4] == ["1", "10", "100", "1000"]
