"""Predictions that are the targets: found by how little of a target they leave unexplained.

Anybody can make the targets of masked views, so predictions can be copies of them. A copy may be shifted by a pixel,
inverted, blurred, compressed, rounded or noisy; correlation sees through all of these. What a model cannot know decides
how close is too close:

* without inputs it knows no target at all: coming closer than other targets of the split are is knowing it;
* with N inputs even the best pixel of all of them leaves something open: explaining nearly all of that is knowing it.

``docs/rounds.md`` has the measured distances of models and of copies.

Example:
    >>> import numpy as np
    >>> from fusionbench.submissions.target_copies import TargetCopies
    >>> rng = np.random.default_rng(0)
    >>> targets, views = rng.integers(0, 256, (12, 16, 16), np.uint8), rng.integers(0, 256, (12, 1, 16, 16), np.uint8)
    >>> honest, copies = TargetCopies(targets, views, 12), TargetCopies(targets, views, 12)
    >>> for index in range(12):
    ...     honest.add(index, rng.integers(0, 256, (2, 3, 16, 16), np.uint8))
    ...     copies.add(index, np.broadcast_to(255 - targets[index], (2, 1, 16, 16)))
    >>> honest.found(), copies.found()
    ({}, {0: (12, 12), 1: (12, 12)})
"""

from __future__ import annotations

from typing import Any

import numpy as np

MAX_IMAGES = 64  # that are looked at, spread over the split
MAX_OTHERS = 512  # targets that the nearest other one is looked for among
MIN_COPIES, SHARE = 2, 0.25  # so many of the images looked at, and such a share of them, refuse a submission
UNEXPLAINED = 0.1  # of a target's variance: a copy leaves no more
OF_OTHERS = 0.5  # of what the nearest other target leaves
OF_VIEWS = 0.05  # of what the best pixel of all given views leaves
_SHIFTS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
_LEAST_SIDE = 5  # pixels: smaller images have no inside


def unexplained(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Share of the variance of each reference that each image leaves unexplained, 1 - r² with Pearson's r: (k, m).

    0 for a copy of any contrast and brightness, an inverted one too; 1 where one of the two is flat.

    Args:
        images, references: (k, ...) and (m, ...) with as many values each.

    Example:
        >>> import numpy as np
        >>> from fusionbench.submissions.target_copies import unexplained
        >>> one = np.array([[0.0, 1.0, 2.0, 5.0]])
        >>> unexplained(np.concatenate([9 - 2 * one, one * 0]), one).round(3).tolist()
        [[0.0], [1.0]]
    """
    product = _centred(images) @ _centred(references).T
    result: np.ndarray = np.clip(1 - product * product, 0, 1)
    return result


def _centred(images: np.ndarray) -> np.ndarray:
    """(k, P) without mean and of length 1; 0 for flat ones."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    result: np.ndarray = np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-9)
    return result


class TargetCopies:
    """Counts the images of a submission that are their targets, for every number of inputs.

    Args:
        targets: uint8 (n, H, W[, C]) of the split, as an array or a memory map.
        views: uint8 (n, V, H, W[, C]).
        images: number of images of the submission, the first of the split.
    """

    def __init__(self, targets: Any, views: Any, images: int) -> None:
        self._targets, self._views = targets, views
        self.chosen = frozenset(np.linspace(0, images - 1, min(images, MAX_IMAGES)).astype(int).tolist())
        places = np.unique(np.linspace(0, len(targets) - 1, min(len(targets), MAX_OTHERS)).astype(int))
        self._places, self._others = places, _centred(np.asarray(targets[places]))
        self._copies = np.zeros(views.shape[1] + 1, int)
        self._looked = 0

    def add(self, index: int, samples: np.ndarray) -> None:
        """Look at the samples uint8 (V+1, K, H, W[, C]) of one image, if it is one of ``chosen``."""
        if index not in self.chosen:
            return
        target, views = np.asarray(self._targets[index]), np.asarray(self._views[index])
        height, width = target.shape[:2]
        own = _centred(target[None])
        if min(height, width) < _LEAST_SIDE or not own.any():
            return
        self._looked += 1
        closeness = (self._others @ own[0]) ** 2
        closeness[self._places == index] = 0
        limit = min(UNEXPLAINED, OF_OTHERS * float(np.clip(1 - closeness.max(initial=0.0), 0, 1)))
        shifted = [target[1 + y : height - 1 + y, 1 + x : width - 1 + x] for y, x in _SHIFTS]
        references = _centred(np.stack(shifted))
        distance = np.abs(views.astype(np.int16) - target)
        for inputs, drawn in enumerate(samples):
            allowed = limit
            if inputs:
                best = np.take_along_axis(views[:inputs], distance[:inputs].argmin(axis=0)[None], axis=0)
                allowed = min(limit, OF_VIEWS * float(unexplained(best, target[None])[0, 0]))
            product = _centred(drawn[:, 1 : height - 1, 1 : width - 1]) @ references.T
            self._copies[inputs] += bool(1 - float((product * product).max()) < allowed)

    def found(self) -> dict[int, tuple[int, int]]:
        """Number of inputs -> images that are their targets, of how many; those that refuse a submission."""
        least = max(MIN_COPIES, SHARE * self._looked)
        return {inputs: (int(n), self._looked) for inputs, n in enumerate(self._copies) if n >= least}
