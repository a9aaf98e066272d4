"""Windows where methods differ most, against a search with variances written out."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.paper.zooms import Zoom, find_zooms

RNG = np.random.default_rng(5)


def score(images: list[np.ndarray], zoom: Zoom) -> float:
    """The variance between the methods of what is left of a window without each method's mean."""
    parts = np.stack([zoom.cut(image).astype(float) for image in images])
    return float((parts - parts.mean(axis=(1, 2), keepdims=True)).var(axis=0).mean())


def test_no_window_differs_more() -> None:
    images = [np.clip(RNG.normal(120, 40, (30, 44)), 0, 255).astype(np.uint8) for _ in range(3)]
    first, second = find_zooms(images, 2, 0.25)
    assert (first.width, first.height) == (11, 8)
    every = {(x, y): score(images, Zoom(x, y, 11, 8)) for y in range(30 - 8 + 1) for x in range(44 - 11 + 1)}
    assert every[first.x, first.y] == pytest.approx(max(every.values()))
    free = {at: value for at, value in every.items() if abs(at[0] - first.x) >= 11 or abs(at[1] - first.y) >= 8}
    assert every[second.x, second.y] == pytest.approx(max(free.values())), "and the second one does not overlap it"


def test_brightness_alone_is_no_difference_and_nothing_is_found() -> None:
    image = RNG.integers(0, 200, (30, 40), dtype=np.uint8)
    assert find_zooms([image, image + 40, image + 10], 2) == []
    other = image + 40
    other[20:24, 30:36] = RNG.integers(0, 256, (4, 6))
    (zoom,) = find_zooms([image, other], 1)
    assert zoom.x <= 30 and zoom.x + zoom.width >= 36 and zoom.y <= 20 and zoom.y + zoom.height >= 24


def test_large_images_are_searched_reduced_and_windows_are_inside() -> None:
    image = np.zeros((900, 1500), np.uint8)
    other = image.copy()
    other[880:900, 1480:1500] = RNG.integers(0, 256, (20, 20))
    (zoom,) = find_zooms([image, other], 1, 0.1)
    assert (zoom.width, zoom.height) == (150, 90)
    zoom.check((900, 1500), "it")
    assert zoom.x + 150 > 1480 and zoom.y + 90 > 880


def test_there_are_no_more_windows_than_room() -> None:
    images = [RNG.integers(0, 256, (20, 20), dtype=np.uint8) for _ in range(2)]
    assert 1 <= len(find_zooms(images, 7, 0.5)) <= 4


def test_the_largest_sums_stay_whole_numbers() -> None:
    black, white = np.zeros((640, 640), np.uint8), np.full((640, 640), 255, np.uint8)
    half = black.copy()
    half[::2] = 255
    images = [black, white, half] * 13
    (zoom,) = find_zooms(images, 1, 0.5)
    assert score(images, zoom) == pytest.approx(max(score(images, Zoom(0, y, 320, 320)) for y in (0, 1)))


def test_windows_by_hand() -> None:
    assert Zoom.parse("1, 2,30,40") == (None, Zoom(1, 2, 30, 40))
    assert Zoom.parse("a: b c:1,2,3,4") == ("a: b c", Zoom(1, 2, 3, 4))
    for text in ("1,2,3", "1,2,0,5", "-1,2,3,4", "1.5,2,3,4", "1,2,3,4,5", "", "9999999,0,5,5"):
        with pytest.raises(UsageError, match="--zoom"):
            Zoom.parse(text)
    Zoom(2, 3, 8, 7).check((10, 10), "x")
    for zoom in (Zoom(3, 3, 8, 7), Zoom(2, 4, 8, 7)):
        with pytest.raises(UsageError, match="not inside x"):
            zoom.check((10, 10), "x")
    for count, share, images in ((8, 0.2, 2), (1, 0.6, 2), (1, 0.2, 1)):
        with pytest.raises(UsageError):
            find_zooms([np.zeros((9, 9), np.uint8)] * images, count, share)
