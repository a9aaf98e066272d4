"""Pages for print: text stays text in embedded fonts, nothing depends on the clock, and texts fit their room."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
import zlib

import matplotlib
import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.core.vector_figures import FigurePage, figure_kind, typesetting

SVG = "{http://www.w3.org/2000/svg}"
PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def page(text: str = "50% of a_b & $x$") -> FigurePage:
    made = FigurePage(2, 1)
    axes = made.image(0.1, 0.1, 0.8, 0.6, PIXELS)
    made.frame(axes, (1, 1, 3, 2), "#D55E00", 1)
    made.border(1.1, 0.1, 0.5, 0.5, "#56B4E9", 1)
    made.text(1, 0.95, text, 8)
    return made


def test_a_pdf_has_embedded_truetype_fonts_and_no_date() -> None:
    with typesetting("serif", 8):
        first, second = page().save("pdf"), page().save("pdf")
    assert first == second and b"CreationDate" not in first and b"Producer" not in first
    assert b"/FontFile2" in first and b"/Type3" not in first and b"/Type42" not in first
    streams = re.findall(rb"stream\n(.*?)\nendstream", first, re.DOTALL)
    images = [zlib.decompress(one) for one in streams if one[:1] == b"x"]
    assert any(PIXELS.tobytes() in one or one[:48] == PIXELS.tobytes() for one in images) or b"/Image" in first


def test_an_svg_has_its_texts_as_text() -> None:
    with typesetting("sans", 8):
        first, second = page("a_b & <i>\x1b[31m").save("svg"), page("a_b & <i>\x1b[31m").save("svg")
    assert first == second and b"dc:date" not in first
    root = ET.fromstring(first)
    assert [text.text for text in root.iter(f"{SVG}text")] == ["a_b & <i>\\u001b[31m"]
    assert len(list(root.iter(f"{SVG}image"))) == 1


def test_settings_of_who_calls_change_nothing_and_come_back() -> None:
    with typesetting("serif", 8):
        plain = page().save("png")
    with matplotlib.rc_context({"font.size": 30, "pdf.fonttype": 3, "lines.linewidth": 9}):
        with typesetting("serif", 8):
            assert page().save("png") == plain
        assert matplotlib.rcParams["font.size"] == 30 and matplotlib.rcParams["pdf.fonttype"] == 3


def test_things_stand_where_they_were_put() -> None:
    with typesetting("serif", 8):
        made = FigurePage(2, 1, dpi=100)
        made.image(0.5, 0.25, 0.8, 0.6, np.zeros((6, 8), np.uint8))
        buffer = made.save("png")
    import cv2

    pixels = cv2.imdecode(np.frombuffer(buffer, np.uint8), cv2.IMREAD_GRAYSCALE)
    dark = np.argwhere(pixels < 128)
    assert pixels.shape == (100, 200)
    assert dark.min(0).tolist() == [25, 50] and dark.max(0).tolist() == [84, 129]


def test_a_text_fits_its_room_by_its_size_and_then_by_its_end() -> None:
    with typesetting("serif", 8):
        made = FigurePage(4, 1)
        free = made.text(1, 0.5, "joint sparse representation", 8)
        smaller = made.text(1, 0.5, "joint sparse representation", 8, room=0.9)
        cut = made.text(1, 0.5, "joint sparse representation", 8, room=0.3)
        turned = made.text(1, 0.5, "joint sparse representation", 8, room=0.9, turned=True)
        for text, room, tall in ((smaller, 0.9, False), (cut, 0.3, False), (turned, 0.9, True)):
            box = text.get_window_extent(made.renderer)
            assert (box.height if tall else box.width) / made.dpi <= room
    assert free.get_fontsize() == 8 > smaller.get_fontsize() >= cut.get_fontsize() >= 4.5
    assert smaller.get_text() == free.get_text() and cut.get_text().endswith("…")


def test_large_images_have_as_many_pixels_as_print_shows() -> None:
    with typesetting("serif", 8):
        made = FigurePage(2, 1, dpi=100)
        large = np.repeat(np.repeat(PIXELS, 50, 0), 50, 1)
        axes = made.image(0, 0, 0.8, 0.6, large)
    (shown,) = axes.get_images()
    assert shown.get_array().shape == (60, 80, 3)
    assert np.abs(np.asarray(shown.get_array())[5::10, 5::10, 0].astype(int) - PIXELS).max() <= 1
    assert shown.get_extent() == [-0.5, 399.5, 299.5, -0.5], "boxes are in pixels of the image as it was"


def test_what_is_refused() -> None:
    assert [figure_kind(f"a.{suffix}") for suffix in ("pdf", "SVG", "png")] == ["pdf", "svg", "png"]
    for name in ("a.jpg", "a", "pdf"):
        with pytest.raises(UsageError, match="choose such a name"):
            figure_kind(name)
    for size in ((0, 1), (3, 41), (float("nan"), 1)):
        with pytest.raises(UsageError, match="does not fit any page"):
            FigurePage(*size)
