"""Oracles: drawn objects whose mask is known, with gaps that Canny leaves open."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fusionbench.synth import CannyCut
from fusionbench.synth.cutout_gate import NEIGHBOURS, THE_SOURCES, CutoutWay, GatedCut
from fusionbench.synth.cutouts import iou

GATE = GatedCut(CannyCut(20, 60, 5))


def whole() -> np.ndarray:
    image = np.zeros((100, 100), np.uint8)
    cv2.circle(image, (50, 50), 30, 180, -1)
    return image


def open_outline(gap: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright ring on black with a gap of some pixels, so that the outside reaches in; and the disc that it is of."""
    ring, disc = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    cv2.circle(ring, (50, 50), 30, 200, 2)
    ring[50 - gap // 2 : 50 + gap - gap // 2, 60:] = 0
    cv2.circle(disc, (50, 50), 31, 255, -1)
    return ring, disc


def of(area: int, score: int = 900, way: int = 0, good: bool = True) -> CutoutWay:
    return CutoutWay(way, area, score, good)


def test_a_good_cut_out_is_the_one_of_version_1() -> None:
    image = whole()
    for truth in (None, np.where(image > 0, 255, 0).astype(np.uint8)):
        first = GATE.candidates(image, truth)[0]
        assert (first.way, first.good) == (0, True)
        mask = GATE.mask(image, truth, first.way)
        assert np.array_equal(mask, GATE.cut.mask(image)) and first.area == np.count_nonzero(mask)


def test_a_fragment_is_replaced_by_the_mask_of_the_source() -> None:
    ring, disc = open_outline(20)
    fragment = GATE.cut.mask(ring)
    assert iou(fragment, disc) < 0.4
    (found,) = GATE.candidates(ring, disc)
    assert (found.way, found.good) == (THE_SOURCES, True)
    assert found.score == int(1000 * iou(fragment, disc))
    assert np.array_equal(GATE.mask(ring, disc, found.way), disc) and found.area == np.count_nonzero(disc)
    lenient = replace(GATE, agreement=found.score)
    assert lenient.candidates(ring, disc)[0].way == 0
    assert replace(GATE, agreement=found.score + 1).candidates(ring, disc)[0].way == THE_SOURCES


def test_without_a_mask_a_wider_closing_is_tried() -> None:
    ring, disc = open_outline(9)
    found = GATE.candidates(ring, None)
    assert [one.good for one in found][:1] == [False] and any(one.good for one in found)
    best = next(one for one in found if one.good)
    mask = GATE.mask(ring, None, best.way)
    assert best.way > 0 and iou(mask, disc) > 0.85 and best.area == np.count_nonzero(mask)
    # nothing closes a wide gap: it is dropped, and the reason says so
    ((chosen, reason),) = GATE.choose([GATE.candidates(open_outline(30)[0], None)], None)
    assert chosen is None and "outline is open" in reason


def test_the_share_of_the_hull_is_counted_in_pixels() -> None:
    """A rectangle and a corner: the hull of the edges against OpenCV's filled polygon of the same points."""
    image = np.zeros((60, 80), np.uint8)
    image[10:50, 10:30] = image[40:50, 10:70] = 150
    edges = GATE.cut.edges(image)
    hull = cv2.fillConvexPoly(np.zeros_like(image), cv2.convexHull(cv2.findNonZero(edges)), 255)
    first = GATE.candidates(image, None)[0]
    assert first.score == pytest.approx(1000 * first.area / np.count_nonzero(hull), abs=15)
    assert 600 < first.score < 750


def test_nothing_to_cut() -> None:
    flat = np.full((40, 40), 90, np.uint8)
    assert GATE.candidates(flat, None) == [] == GATE.candidates(flat, np.zeros_like(flat))
    assert GATE.choose([[]], None) == [(None, "nothing can be cut out of it")]


def test_areas_are_held_against_the_neighbours_on_the_turntable() -> None:
    """Twelve turns whose area changes slowly, so much that the median of all turns would drop some; one is torn."""
    areas = [1000, 900, 800, 700, 600, 550, 500, 550, 600, 700, 800, 900]
    turns = [[of(area)] for area in areas]
    assert all(one is not None for one, _ in GATE.choose(turns, None))
    turns[6] = [of(300)]
    chosen = GATE.choose(turns, None)
    assert [i for i, (one, _) in enumerate(chosen) if one is None] == [6]
    assert chosen[6][1] == "its area is 300 pixels, that of its neighbours about 600"
    turns[6] = [of(300), of(520, way=1)]  # a wider closing fits
    assert GATE.choose(turns, None)[6][0] == of(520, way=1)


def test_the_turntable_goes_round_and_objects_do_not_mix() -> None:
    large, small = [[of(1000)]] * 8, [[of(100)]] * 8
    mixed = [each for pair in zip(large, small, strict=True) for each in pair]
    labels = np.array([1, 2] * 8)
    assert all(one is not None for one, _ in GATE.choose(mixed, labels))
    mixed[0] = [of(100)]  # the first turn of the large object: its neighbours are the last turns, too
    assert [i for i, (one, _) in enumerate(GATE.choose(mixed, labels)) if one is None] == [0]


def test_bad_neighbours_do_not_count() -> None:
    turns = [[of(200, good=False)] if i % 2 else [of(1000)] for i in range(12)]
    chosen = GATE.choose(turns, None)
    assert [one is not None for one, _ in chosen] == [i % 2 == 0 for i in range(12)]
    # with too few good ones near by, all of the object are asked; with too few at all, none
    assert NEIGHBOURS == 3
    far = [[of(1000)]] + [[of(1, good=False)]] * 8 + [[of(1000)]] * 3 + [[of(1, good=False)]] * 8 + [[of(200)]]
    assert GATE.choose(far, None)[-1][0] is None
    assert GATE.choose([[of(1000)], [of(10)], [of(500)]], None)[1][0] == of(10)
