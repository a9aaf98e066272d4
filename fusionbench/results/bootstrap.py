"""Which differences between models are real: a paired bootstrap over images and training seeds.

Every model is measured on the same images, so every resample draws one set of images for all
of them: what is common to the models (hard images, easy images) cancels in differences and ranks.
Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapters 6, 13 and 16.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fusionbench.core.errors import MeasurementError, NotComparableError

RESAMPLES = 10_000
LEVEL = 0.95
SEEDS_NEEDED = 3  # fewer training runs say too little about the spread between runs to resample them
_CELLS = 1 << 22  # images × resamples that one block of the bootstrap holds
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class ScoreRow:
    """One model in a comparison of one score.

    Attributes:
        mean: over images and training runs.
        low, high: interval of the mean at the comparison's level.
        rank: 1 is best; equal means share a rank.
        rank_low, rank_high: interval of the rank.
        tied: not separable from the best model at the comparison's level (the best is tied with itself).
        difference, difference_low, difference_high: this model minus the best one, paired.
        runs: number of training runs.
        run_sd: standard deviation of the runs' means (n - 1), None for a single run.
    """

    mean: float
    low: float
    high: float
    rank: int
    rank_low: int
    rank_high: int
    tied: bool
    difference: float
    difference_low: float
    difference_high: float
    runs: int = 1
    run_sd: float | None = None


@dataclass(frozen=True)
class PairedDifference:
    """Paired difference of two models' means, ``second - first``, with its bootstrap interval.

    Example:
        >>> from fusionbench.results.bootstrap import PairedDifference
        >>> PairedDifference(mean=0.5, low=0.1, high=0.9).separable
        True
        >>> PairedDifference(mean=0.5, low=-0.1, high=1.1).separable
        False
    """

    mean: float
    low: float
    high: float

    @property
    def separable(self) -> bool:
        """Whether the interval excludes zero; an interval of zero length (all images agree) can, too."""
        return self.low > 0 or self.high < 0


def mean(values: ArrayLike) -> float:
    """Mean of per-image values (n,) or (runs, n), rounded once, so that their order does not matter.

    Results, comparisons, gates and pages use this one, and so show the same number to the last digit.

    Example:
        >>> from fusionbench.results.bootstrap import mean
        >>> mean([1e16, 1.0, -1e16, 1.0])  # a plain sum loses the small ones
        0.5
    """
    return math.fsum(np.ravel(values)) / np.size(values)


def check_table(table: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Per-image values of m models, each (n,) or (runs, n), as float64 (runs, n).

    Raises:
        NotComparableError: the models have different numbers of images.
        MeasurementError: no models, no images, or a value that is not finite.

    Example:
        >>> import numpy as np
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.results.bootstrap import check_table
        >>> [values.shape for values in check_table([np.zeros(4), np.zeros((3, 4))])]  # one run, three runs
        [(1, 4), (3, 4)]
        >>> try:
        ...     check_table([np.zeros(4), np.zeros(5)])
        ... except FusionbenchError as error:
        ...     print(error)
        the models have 4, 5 images; they must be the same
    """
    rows = [np.atleast_2d(np.asarray(values, np.float64)) for values in table]
    if not rows or rows[0].size == 0:
        raise MeasurementError("nothing to compare: no models or no images")
    if len({values.shape[1] for values in rows}) > 1:
        raise NotComparableError(
            f"the models have {', '.join(str(v.shape[1]) for v in rows)} images; they must be the same"
        )
    for number, values in enumerate(rows):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise MeasurementError(f"model {number + 1} of {len(rows)} has {bad} values that are not finite")
    return rows


def bootstrap_means(table: Sequence[np.ndarray], resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Means of m models over the same resampled images: float64 (resamples, m).

    Each entry of ``table`` is (n,) or (runs, n). With at least ``SEEDS_NEEDED`` runs of a model its runs are
    resampled too, independently of the other models' (run 1 of one model has nothing to do with run 1 of another);
    fewer runs are averaged.

    Raises:
        NotComparableError, MeasurementError: as :func:`check_table`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import bootstrap_means
        >>> first = np.array([1.0, 2.0, 6.0])
        >>> means = bootstrap_means([first, first + 1], resamples=1000)
        >>> means.shape, np.unique(means[:, 1] - means[:, 0]).round(4).tolist()  # the same images for both models
        ((1000, 2), [1.0, 1.0, 1.0, 1.0])
    """
    rows = check_table(table)
    images = rows[0].shape[1]
    stacked = np.concatenate(rows)  # (all runs, n)
    ends = np.cumsum([len(values) for values in rows])
    picks = np.random.Generator(np.random.Philox(key=seed))
    run_picks = np.random.Generator(np.random.Philox(key=[seed, 1]))
    result = np.empty((resamples, len(rows)))
    block = max(1, _CELLS // images)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = picks.integers(0, images, (size, images), dtype=np.int32)
        drawn += (np.arange(size, dtype=np.int32) * images)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images)
        means = counts.astype(np.float64) @ stacked.T / images  # (size, all runs)
        for model, end in enumerate(ends):
            runs = len(rows[model])
            mine = means[:, end - runs : end]
            if runs >= SEEDS_NEEDED:
                mine = np.take_along_axis(mine, run_picks.integers(0, runs, (size, runs)), axis=1)
            result[start : start + size, model] = mine.mean(axis=1)
    return result


def interval(samples: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of bootstrap samples (resamples, ...) over the first axis.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import interval
        >>> low, high = interval(np.arange(101.0))
        >>> round(float(low), 4), round(float(high), 4)
        (2.5, 97.5)
    """
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def ranks(means: np.ndarray, better: Better) -> np.ndarray:
    """Ranks of means (..., m): 1 + the number of strictly better models, so equal ones share the better rank.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import ranks
        >>> ranks(np.array([0.3, 0.1, 0.1]), "lower").tolist()
        [3, 1, 1]
    """
    loss = means if better == "lower" else -means
    # Comparing all pairs costs m² per row, which for the models of a board is less than sorting with ties.
    result: np.ndarray = 1 + np.sum(loss[..., None, :] < loss[..., :, None], axis=-1)
    return result


def rank_intervals(means: np.ndarray, better: Better, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Interval of each model's rank from bootstrap means (resamples, m); whole numbers that were observed.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import rank_intervals
        >>> means = np.array([[0.1, 0.2, 0.5], [0.2, 0.1, 0.5]])  # in two resamples two models swap ranks
        >>> low, high = rank_intervals(means, "lower")
        >>> low.tolist(), high.tolist()
        ([1, 1, 3], [2, 2, 3])
    """
    observed = np.concatenate([ranks(part, better) for part in np.array_split(means, -(-len(means) // 1000))])
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(observed, tails, axis=0, method="inverted_cdf")
    return low.astype(int), high.astype(int)


def compare(
    table: Sequence[np.ndarray], better: Better, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> list[ScoreRow]:
    """Rank m models on one score from their per-image values, each (n,) or (runs, n).

    Raises:
        NotComparableError, MeasurementError: as :func:`check_table`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import compare
        >>> errors = np.array([0.1, 0.4, 0.9, 0.2])
        >>> better, alike = errors - 0.05, errors + np.array([0.1, -0.1, 0.1, -0.1])
        >>> [(row.rank, row.tied) for row in compare([errors, better, alike], "lower")]
        [(2, False), (1, True), (2, True)]
        >>> [round(row.difference, 3) for row in compare([errors, better, alike], "lower")]
        [0.05, 0.0, 0.05]
    """
    rows = check_table(table)
    means = np.array([mean(values) for values in rows])
    boot = bootstrap_means(rows, resamples, seed)
    low, high = interval(boot, level)
    rank = ranks(means, better)
    rank_low, rank_high = rank_intervals(boot, better, level)
    best = int(np.argmin(rank))
    difference = means - means[best]
    difference_low, difference_high = interval(boot - boot[:, [best]], level)
    return [
        ScoreRow(
            mean=float(means[i]),
            low=float(low[i]),
            high=float(high[i]),
            rank=int(rank[i]),
            # the rank that was measured is always within its interval
            rank_low=min(int(rank_low[i]), int(rank[i])),
            rank_high=max(int(rank_high[i]), int(rank[i])),
            tied=bool(difference_low[i] <= 0 <= difference_high[i]),
            difference=float(difference[i]),
            difference_low=float(difference_low[i]),
            difference_high=float(difference_high[i]),
            runs=len(rows[i]),
            run_sd=run_sd([mean(values) for values in rows[i]]),
        )
        for i in range(len(rows))
    ]


def run_sd(means: Sequence[float]) -> float | None:
    """Standard deviation (n - 1) of the means of training runs, the ± of papers; None for fewer than two.

    Example:
        >>> from fusionbench.results.bootstrap import run_sd
        >>> round(run_sd([1.0, 1.2, 1.4]), 4), run_sd([1.0])
        (0.2, None)
    """
    return statistics.stdev(means) if len(means) > 1 else None


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> PairedDifference:
    """Mean of ``second - first`` over the same images, each (n,) or (runs, n), with its interval.

    Raises:
        NotComparableError, MeasurementError: as :func:`check_table`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import paired_difference
        >>> first = np.array([1.0, 5.0, 9.0, 13.0])  # images differ far more than models
        >>> difference = paired_difference(first, first + [0.5, 0.25, 0.5, 0.75])
        >>> difference.mean, difference.separable
        (0.5, True)
    """
    rows = check_table([first, second])
    boot = bootstrap_means(rows, resamples, seed)
    low, high = interval(boot[:, 1] - boot[:, 0], level)
    return PairedDifference(mean(rows[1]) - mean(rows[0]), float(low), float(high))
