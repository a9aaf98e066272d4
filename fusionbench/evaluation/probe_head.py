"""The head of the downstream probe: a ridge regression on hidden units, tested on scenes that it was not trained on.

For every class one regression of 1 (the pixel shows the class) and 0, in closed form:

    w = (Σ h hᵀ / n + λ diag(Σ h hᵀ / n))⁻¹ Σ h y / n

The sums are whole numbers below 2^53 and so exact. The solution is the only thing here that rounds; it is kept to 18
binary digits of its largest weight, and scores of pixels are whole numbers again.

Average precision is the area below precision over recall as a step function, equal scores at once; intersection over
union is that of the best threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.sources.frame_names import GUARD, are_near

RIDGE = 1e-5
_DIGITS = 18  # of weights
TRAIN_STEP = 2  # every second of a frame's pixels is trained on, all are tested


@dataclass(frozen=True)
class Folds:
    """Which frames are tested together, and which train for them.

    Attributes:
        of: fold of every frame.
        trains: fold -> its training frames: those of no tested scene, and near no tested frame.
    """

    of: np.ndarray
    trains: list[list[int]]

    @classmethod
    def by_scene(cls, stems: Sequence[str], scenes: Sequence[str], count: int) -> Folds:
        """Scenes in turn to ``count`` folds, at most as many as there are scenes.

        A frame that is near a tested one by its name (:func:`fusionbench.sources.frame_names.are_near`) is left out of
        the training for that fold.

        Example:
            >>> from fusionbench.evaluation.probe_head import Folds
            >>> stems = ["08", "09", "10", "99"]
            >>> folds = Folds.by_scene(stems, ["one", "one", "two", "three"], 2)
            >>> folds.of.tolist(), folds.trains  # 08 and 09 are in another scene than 10, and too near to it
            ([0, 0, 1, 0], [[], [3]])
        """
        names = list(dict.fromkeys(scenes))
        count = min(count, len(names))
        of = np.array([names.index(scene) % count for scene in scenes])
        trains = []
        for fold in range(count):
            tested = [stem for stem, place in zip(stems, of, strict=True) if place == fold]
            trains.append([i for i, stem in enumerate(stems) if of[i] != fold and not _near_any(stem, tested)])
        return cls(of, trains)


def _near_any(stem: str, others: Sequence[str]) -> bool:
    return any(are_near(stem, other, GUARD) for other in others)


def solve_ridge(products: np.ndarray, targets: np.ndarray, count: int) -> np.ndarray:
    """Weights (units, classes), whole numbers in float64, of Σ h hᵀ (units, units) and Σ h y (units, classes).

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.probe_head import solve_ridge
        >>> hidden = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])  # y = h/4
        >>> weights = solve_ridge(hidden.T @ hidden, hidden.T @ np.array([[0.0], [0.5], [1.0]]), 3)
        >>> abs(float(weights[1, 0] / weights[0, 0])) < 0.001  # no constant
        True
    """
    from scipy.linalg import cho_factor, cho_solve

    system, wanted = products / count, targets / count
    diagonal = system.diagonal()
    system[np.diag_indices_from(system)] = diagonal * (1 + RIDGE) + 1e-9  # a unit that is never on has no diagonal
    weights = cho_solve(cho_factor(system, check_finite=False), wanted, check_finite=False)
    for column in weights.T:
        most = float(np.abs(column).max())
        exponent = _DIGITS - math.frexp(most)[1] if most > 0 else 0
        column[:] = np.rint(np.ldexp(column, exponent))
    found: np.ndarray = weights
    return found


def precision_and_overlap(scores: np.ndarray, shown: np.ndarray) -> tuple[float, float]:
    """Average precision, and intersection over union at the best threshold, of scores (n,) and truth, bool (n,).

    NaN where nothing is shown.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.probe_head import precision_and_overlap
        >>> found = precision_and_overlap(np.array([4, 3, 2, 1]), np.array([True, False, True, False]))
        >>> [round(value, 4) for value in found]
        [0.8333, 0.6667]
        >>> precision_and_overlap(np.zeros(4), np.array([True, False, False, False]))  # chance is the share of pixels
        (0.25, 0.25)
    """
    positives = int(np.count_nonzero(shown))
    if not positives:
        return math.nan, math.nan
    order = np.argsort(-scores, kind="stable")
    ranked, ordered = shown[order], scores[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    hits = np.cumsum(ranked)[last]
    taken = np.flatnonzero(last) + 1
    gained = np.diff(hits, prepend=0)
    precision = math.fsum((hits / taken * gained).tolist()) / positives
    return precision, float((hits / (taken + positives - hits)).max())


def score_frames(hidden: Callable[[int], np.ndarray], truth: Sequence[np.ndarray], folds: Folds) -> list[np.ndarray]:
    """Scores of every frame's pixels by the head that was trained on the other folds: (pixels, classes) each.

    Args:
        hidden: frame -> its hidden units, (pixels, units), whole numbers; asked for twice.
        truth: of every frame, bool (pixels, classes).
    """
    sums: list[tuple[np.ndarray, np.ndarray, int]] = []
    for frame, shown in enumerate(truth):
        units = hidden(frame)[::TRAIN_STEP]
        sums.append((units.T @ units, units.T @ shown[::TRAIN_STEP].astype(np.float64), len(units)))
    heads = []
    for frames in folds.trains:
        parts = [sums[frame] for frame in frames]
        products, targets = np.sum([part[0] for part in parts], axis=0), np.sum([part[1] for part in parts], axis=0)
        heads.append(solve_ridge(products, targets, sum(part[2] for part in parts)))
    return [hidden(frame) @ heads[folds.of[frame]] for frame in range(len(truth))]
