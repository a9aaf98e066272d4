"""Mean average precision of detections at an overlap of one half (mAP@50), and the part of each image in it.

Detections of an image, best first and at most 100, take the free box of their class with the largest overlap of at
least one half. Precision over recall is made to fall and read at 101 recalls, as COCO does. One value an image comes
from the jackknife: n · mAP − (n − 1) · mAP without that image, moved by one constant so that their mean is the mAP
itself. Their spread is that of the mAP, so that intervals and paired differences over images hold for it.

Source: T.-Y. Lin et al.: Microsoft COCO, ECCV 2014, and its evaluator; B. Efron, C. Stein: The jackknife estimate of
variance, Annals of Statistics 9, 1981.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.sources.boxes import Boxes

OVERLAP, MOST = 0.5, 100
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Detections:
    """What a detector says of one image: ``boxes`` and their ``scores``, float64 (n,)."""

    boxes: Boxes
    scores: np.ndarray


@dataclass(frozen=True)
class _Matched:
    """Detections of one class in all images: scores (n,), whether each hit a box, its image; boxes of every image."""

    scores: np.ndarray
    hits: np.ndarray
    images: np.ndarray
    counts: np.ndarray


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (n, m) of corners (n, 4) and (m, 4).

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.detection_scores import overlaps
        >>> overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
        [[0.333, 0.0]]
    """
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = [(corners[:, 2:] - corners[:, :2]).prod(1) for corners in (a, b)]
    found: np.ndarray = common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-12)
    return found


def mean_precision(found: Sequence[Detections], truth: Sequence[Boxes], classes: int) -> dict[str, np.ndarray]:
    """Values of images (n,) by ``"map50"`` and, for each class, ``"ap50@PLACE"``; a class without any box has NaN.

    The mean of each is the average precision over all images, see above; for ``map50`` the mean of the classes'.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.detection_scores import Detections, mean_precision
        >>> from fusionbench.sources.boxes import Boxes
        >>> box = Boxes(np.array([[0.0, 0, 9, 9]]), np.array([0]))
        >>> nothing = Boxes(np.zeros((0, 4)), np.zeros(0, int))
        >>> found = [Detections(box, np.array([0.9])), Detections(nothing, np.zeros(0))]
        >>> values = mean_precision(found, [box, box], 1)["map50"]
        >>> round(float(values.mean()), 3), values.shape  # half of the boxes: recalls from 0 to 0.5
        (0.505, (2,))
    """
    columns = {f"ap50@{place}": _by_image(_match(found, truth, place)) for place in range(classes)}
    known = [values for values in columns.values() if np.isfinite(values).all()]
    return {"map50": np.mean(known, axis=0) if known else np.full(len(truth), math.nan), **columns}


def _match(found: Sequence[Detections], truth: Sequence[Boxes], place: int) -> _Matched:
    scores, hits, images, counts = [], [], [], []
    for image, (said, boxes) in enumerate(zip(found, truth, strict=True)):
        order = np.argsort(-said.scores, kind="stable")[:MOST]
        order = order[said.boxes.classes[order] == place]
        wanted = boxes.corners[boxes.classes == place]
        common = overlaps(said.boxes.corners[order], wanted)
        free = np.ones(len(wanted), bool)
        for line, one in zip(common, order, strict=True):
            best = int(np.argmax(np.where(free, line, -1.0))) if free.any() else -1
            hit = best >= 0 and line[best] >= OVERLAP
            if hit:
                free[best] = False
            scores.append(said.scores[one])
            hits.append(hit)
            images.append(image)
        counts.append(len(wanted))
    order = np.argsort(-np.array(scores, np.float64), kind="stable")
    return _Matched(
        np.array(scores, np.float64)[order],
        np.array(hits, bool)[order],
        np.array(images, np.int64)[order],
        np.array(counts, np.int64),
    )


def _precision(hits: np.ndarray, boxes: int) -> float:
    """Average precision of detections in the order of their scores; of no box it is nothing."""
    if boxes == 0:
        return math.nan
    good = np.cumsum(hits)
    falling = np.maximum.accumulate((good / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(good / boxes, _RECALLS)
    return float(np.append(falling, 0.0)[np.minimum(places, len(hits))].mean())


def _by_image(matched: _Matched) -> np.ndarray:
    """The jackknife's values of images; of a class that one image alone shows, that image has no part less than all."""
    whole, n = _precision(matched.hits, int(matched.counts.sum())), len(matched.counts)
    if math.isnan(whole) or n == 1:
        return np.full(n, whole)
    values = np.full(n, whole)
    for image in range(n):
        left = int(matched.counts.sum() - matched.counts[image])
        if left and (matched.counts[image] or (matched.images == image).any()):
            values[image] = n * whole - (n - 1) * _precision(matched.hits[matched.images != image], left)
    moved: np.ndarray = values - values.mean() + whole
    return moved
