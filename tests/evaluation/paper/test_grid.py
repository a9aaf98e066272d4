"""The grid of fused images, read back from the PNG that it is drawn to: what stands where, and in which colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.paper.grid import GridOptions, draw_grid, free_corners
from fusionbench.evaluation.paper.pictures import Picture, ShownPair, score_named
from fusionbench.evaluation.paper.zooms import Zoom

DPI = 100
VERMILION = (0xD5, 0x5E, 0x00)


def pair(
    stem: str = "one", size: tuple[int, int] = (50, 100), levels: tuple[int, ...] = (40, 90, 140, 200)
) -> ShownPair:
    """Both sources and two methods, each of one grey level."""
    pictures = []
    for number, level in enumerate(levels):
        grey = np.full(size, level, np.uint8)
        title, kind = (("A", "B")[number], "source") if number < 2 else (f"M{number - 1}", "fused")
        pictures.append(Picture(title, kind, grey, grey, {"en": float(number)} if number > 1 else {}))  # type: ignore[arg-type]
    return ShownPair(stem, pictures)


def drawn(
    pairs: list[ShownPair], zooms: list[list[Zoom]] | None = None, scores: tuple = (), **options: object
) -> np.ndarray:
    """RGB pixels of the figure, 4 inches wide."""
    look = GridOptions(**{"width": 4.0, "dpi": DPI, "gap": 0.0, "labels": "none"} | options)  # type: ignore[arg-type]
    found = draw_grid(pairs, zooms or [[] for _ in pairs], "png", look, scores)
    pixels = cv2.imdecode(np.frombuffer(found.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[:2] == (round(found.height * DPI), 400)
    return pixels[..., ::-1]


def test_a_line_a_pair_and_every_image_in_its_place() -> None:
    pixels = drawn([pair(), pair("two", (100, 100), (10, 20, 30, 50))])
    assert pixels.shape == (150, 400, 3)
    assert [pixels[25, 50 + 100 * place, 0] for place in range(4)] == [40, 90, 140, 200]
    assert [pixels[100, 50 + 100 * place, 1] for place in range(4)] == [10, 20, 30, 50]


def test_several_lines_a_pair() -> None:
    pixels = drawn([pair()], columns=2)
    assert [[int(pixels[50 + 100 * y, 100 + 200 * x, 0]) for x in range(2)] for y in range(2)] == [[40, 90], [140, 200]]


def test_transposed_pairs_are_equally_high_columns() -> None:
    pixels = drawn([pair(), pair("two", (50, 50), (10, 20, 30, 50))], transpose=True)
    height = round(400 / 3)
    assert abs(pixels.shape[0] - 4 * height) <= 2, "shapes of 2:1 and 1:1 share the width 2:1"
    assert [pixels[height // 2 + height * place, 130, 0] for place in range(4)] == [40, 90, 140, 200]
    assert [pixels[height // 2 + height * place, 330, 0] for place in range(4)] == [10, 20, 30, 50]


def test_windows_are_framed_and_shown_below_every_image() -> None:
    one = pair()
    marked = [
        Picture(p.title, p.kind, np.where(np.indices(p.grey.shape)[1] >= 60, 255, p.grey).astype(np.uint8), p.grey)
        for p in one.pictures
    ]
    pixels = drawn([ShownPair("one", marked)], [[Zoom(50, 10, 20, 10)]], line=2.0)
    assert pixels.shape[0] == 100
    for place, level in enumerate((40, 90, 140, 200)):
        strip = pixels[50:, 100 * place : 100 * place + 100, 0].astype(int)
        assert strip[25, 20] == level and strip[25, 80] == 255, "half of the window is behind the edge"
        top = pixels[10, 100 * place + 52 : 100 * place + 68]
        assert np.abs(top.astype(int) - VERMILION).max() <= 60
        assert np.abs(pixels[51, 100 * place + 10 : 100 * place + 90].astype(int) - VERMILION).max() <= 60


def test_windows_in_a_corner_leave_themselves_free() -> None:
    zoom = Zoom(0, 40, 20, 10)  # low on the left
    assert free_corners([zoom], (50, 100)) == [(True, True)]
    pixels = drawn([pair()], [[zoom]], insets="corner")
    assert pixels.shape[0] == 50
    assert np.abs(pixels[49, 65:95].astype(int) - VERMILION).max() <= 90, "an inset of two fifths, framed"
    four = [Zoom(0, 0, 5, 5), Zoom(90, 0, 5, 5), Zoom(0, 44, 5, 5), Zoom(90, 44, 5, 5)]
    assert len(set(free_corners(four, (50, 100)))) == 4
    with pytest.raises(UsageError, match="four corners"):
        drawn([pair()], [[*four, Zoom(40, 20, 5, 5)]], insets="corner")


def test_differences_are_on_one_scale() -> None:
    look = GridOptions(width=4.0, dpi=DPI, gap=0.0, labels="none", difference="a")
    found = draw_grid([pair()], [[]], "png", look)
    assert found.white == [160], "200 − 40"
    pixels = drawn([pair()], difference="a")
    assert pixels.shape[0] == 100
    from matplotlib import colormaps

    table = np.asarray(colormaps["inferno"](np.arange(256), bytes=True))[:, :3]
    assert np.array_equal(pixels[75, 250], table[100 * 255 // 160]) and np.array_equal(pixels[75, 350], table[255])
    against = drawn([pair()], difference="M1")
    assert np.array_equal(against[75, 250], table[0]) and np.array_equal(against[75, 350], table[255])
    with pytest.raises(UsageError, match="Unknown image to subtract 'M9'"):
        drawn([pair()], difference="M9")


def texts(scores: tuple = (), **options: object) -> list[str]:
    import xml.etree.ElementTree as ET

    content = draw_grid([pair("st_1"), pair("two")], [[], []], "svg", GridOptions(**options), scores).content  # type: ignore[arg-type]
    return ["".join(one.itertext()) for one in ET.fromstring(content).iter("{http://www.w3.org/2000/svg}text")]


def test_names_and_scores() -> None:
    assert texts() == ["A", "B", "M1", "M2"], "names once, below the last pair"
    assert texts(labels="none", stems=True) == ["st_1", "two"]
    assert texts(columns=2, letters=True, labels="above") == ["(a) A", "(b) B", "(c) M1", "(d) M2"] * 2
    assert sorted(texts(transpose=True, stems=True)) == ["A", "B", "M1", "M2", "st_1", "two"]
    assert texts((score_named("EN"),), labels="none") == ["EN  2.00", "EN  3.00"] * 2


def test_what_is_refused() -> None:
    for options in ({"width": 0.5}, {"width": 41}, {"points": 3}, {"columns": 0}, {"columns": 2, "transpose": True}):
        with pytest.raises(UsageError):
            GridOptions(**options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="does not fit any page"):
        drawn([pair(size=(5000, 100))])
