"""``canny-cut/2``: the cut-outs of ``canny-cut/1`` with a gate: each is kept, repaired or dropped.

Canny's edges of a dark object on black are not closed, and what is left of it after filling is a fragment. A cut-out is
therefore held against the source's mask of the object where there is one, and must agree with it; else that mask is
taken. Without one, a cut-out must fill most of the convex hull of all edges, if need be after a wider closing. In both
cases its area must be like that of its neighbours on the turntable, or it is dropped.

Everything is counted in whole pixels and thousandths, so that no machine decides otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import SupportsInt

import numpy as np

from fusionbench.synth.cutouts import CannyCut

ID = "canny-cut/2"
THE_SOURCES = -1  # the way of a cut-out that is the source's mask; others are the number of a closing
WIDER = 4  # pixels by which each further closing square is wider
CLOSINGS = 4
NEIGHBOURS = 3  # on either side
ENOUGH = 3  # neighbours whose median area says something


@dataclass(frozen=True)
class CutoutWay:
    """One way to cut an image: ``area`` in pixels, ``score`` in thousandths, and whether the score is good enough."""

    way: int
    area: int
    score: int
    good: bool


@dataclass(frozen=True)
class GatedCut:
    """A cut, and what it must reach in thousandths.

    Attributes:
        agreement: intersection over union with the source's mask.
        closed: share of the convex hull of all edges, where the source has no mask.
        spread: largest ratio of an area to the median of its neighbours, and of that to the area.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.cutouts import CannyCut
        >>> from fusionbench.synth.cutout_gate import GatedCut
        >>> image = np.zeros((32, 32), np.uint8)
        >>> image[8:24, 8:24] = 200
        >>> gate = GatedCut(CannyCut(low=50, high=100, close=3))
        >>> [(one.way, one.good) for one in gate.candidates(image, image)]  # agrees with the source's mask
        [(0, True)]
        >>> image[8:24, 16:24] = 2  # half of the object is too dark for an edge
        >>> [(one.way, one.good) for one in gate.candidates(image, np.where(image, 255, 0))]
        [(-1, True)]
    """

    cut: CannyCut
    agreement: int = 800
    closed: int = 600
    spread: int = 1500

    def mask(self, image: np.ndarray, truth: np.ndarray | None, way: int) -> np.ndarray:
        """The mask that a candidate stands for, uint8 (H, W) of 0 and 255, of uint8 ``image`` (H, W)."""
        if way == THE_SOURCES:
            if truth is None:
                raise ValueError("there is no mask of the source")
            return np.where(truth > 0, 255, 0).astype(np.uint8)
        return replace(self.cut, close=self.cut.close + WIDER * way).mask(image)

    def candidates(self, image: np.ndarray, truth: np.ndarray | None) -> list[CutoutWay]:
        """Ways to cut uint8 ``image`` (H, W), the best first; ``truth`` is the source's mask, (H, W), if it has one.

        None where nothing can be cut. The score is the intersection over union of Canny's cut with ``truth``; without
        it, the share of the convex hull of the edges.
        """
        first = self.mask(image, truth, 0)
        if truth is not None:
            score = _thousandths(
                np.count_nonzero((first > 0) & (truth > 0)), np.count_nonzero((first > 0) | (truth > 0))
            )
            way = 0 if score >= self.agreement else THE_SOURCES
            area = int(np.count_nonzero(first if way == 0 else truth))
            return [CutoutWay(way, area, score, True)] if area else []
        hull = _area_of_hull(self.cut.edges(image))
        found = []
        for way in range(CLOSINGS):
            area = int(np.count_nonzero(self.mask(image, None, way) if way else first))
            if area:
                score = _thousandths(area, hull)
                found.append(CutoutWay(way, area, min(score, 1000), score >= self.closed))
        return found

    def choose(
        self, candidates: Sequence[Sequence[CutoutWay]], labels: np.ndarray | None
    ) -> list[tuple[CutoutWay | None, str]]:
        """For each image its candidate, or None and why it is dropped.

        Args:
            candidates: of images in the order of the turntable.
            labels: the object of each image, (n,); None: all are of one.
        """
        good = [[one for one in each if one.good] for each in candidates]
        areas = np.array([each[0].area if each else 0 for each in good], np.int64)
        chosen: list[tuple[CutoutWay | None, str]] = []
        groups = np.zeros(len(good), np.int64) if labels is None else np.asarray(labels)
        for number, each in enumerate(good):
            if not candidates[number]:
                chosen.append((None, "nothing can be cut out of it"))
                continue
            if not each:
                best = max(one.score for one in candidates[number])
                chosen.append(
                    (None, f"its outline is open: the cut-out fills {best / 10:g} % of the hull of its edges")
                )
                continue
            usual = _usual_area(areas, np.flatnonzero(groups == groups[number]), number)
            fits = [one for one in each if usual is None or self._alike(one.area, usual)]
            if fits:
                chosen.append((fits[0], ""))
            else:
                chosen.append((None, f"its area is {each[0].area} pixels, that of its neighbours about {usual}"))
        return chosen

    def _alike(self, area: int, usual: int) -> bool:
        return 1000 * area <= self.spread * usual and 1000 * usual <= self.spread * area


def _usual_area(areas: np.ndarray, turns: np.ndarray, number: int) -> int | None:
    """Median area of the good cut-outs next to ``number`` among the ``turns`` of its object; of all, if too few."""
    place, count = int(np.searchsorted(turns, number)), len(turns)
    steps = [step for step in range(-NEIGHBOURS, NEIGHBOURS + 1) if step]
    near = {int(turns[(place + step) % count]) for step in steps} - {number}
    for some in (sorted(near), [turn for turn in turns.tolist() if turn != number]):
        found = np.sort(areas[some])
        found = found[found > 0]
        if len(found) >= ENOUGH:
            return int(found[len(found) // 2])
    return None


def _thousandths(part: SupportsInt, whole: SupportsInt) -> int:
    return 1000 * int(part) // int(whole) if whole else 0


def _area_of_hull(edges: np.ndarray) -> int:
    """Pixels of the convex hull of all edges of uint8 (H, W)."""
    import cv2

    points = cv2.findNonZero(edges)
    if points is None:
        return 0
    hull = cv2.convexHull(points)[:, 0].astype(np.int64)
    x, y = hull[:, 0], hull[:, 1]
    twice = abs(int(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))
    steps = np.gcd(np.abs(np.roll(x, -1) - x), np.abs(np.roll(y, -1) - y)).sum()
    return (twice + int(steps)) // 2 + 1  # Pick's theorem: lattice points inside and on the outline
