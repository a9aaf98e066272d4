"""Which differences between models are real: simultaneous paired intervals over images and training runs.

The intervals of all pairwise differences of a score hold together with probability ``level``. So do the rank sets that
follow from them, and with at least this probability no model is called worse than the best that is not.
Mogstad, Romano, Shaikh and Wilhelm, *Review of Economic Studies* 91 (2024) 476-518 (rank sets);
Hsu, *Multiple Comparisons*, 1996, chapter 4 (comparisons with the best).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.results.critical_values import CONSTANT, pair_factor, row_factors
from fusionbench.results.resampling import (
    LEVEL,
    RESAMPLES,
    SEEDS_NEEDED,
    Better,
    bootstrap_means,
    check_table,
    interval,
    mean,
    rank_intervals,
    ranks,
    run_sd,
)
from fusionbench.results.variance import SeedVariance, seed_variance

__all__ = [
    "LEVEL",
    "MIN_RANKED",
    "RESAMPLES",
    "SEEDS_NEEDED",
    "Better",
    "PairedDifference",
    "Ranking",
    "ScoreRow",
    "bootstrap_means",
    "check_table",
    "compare",
    "interval",
    "mean",
    "mean_interval",
    "paired_difference",
    "rank_intervals",
    "rank_models",
    "ranks",
    "run_sd",
]

MIN_RANKED = (
    6  # images: all signs agree by chance in 2 of 2^5 cases, more than 5 %; no test without assumptions can tell
)
TIE = 1e-9  # means that differ by less than this part of them are equal: summation order and rounding reach 1e-12
POWER = 0.8  # at which the images that a difference needs are counted
_POWER_FACTOR = 0.8416212335729143  # standard normal quantile of POWER
_MOST_IMAGES = 10**9  # more are not worth a number
_CELLS = 1 << 23  # pairs in a block


@dataclass(frozen=True)
class ScoreRow:
    """One model in a comparison of one score.

    Attributes:
        mean: over images and training runs.
        low, high: interval of the mean at the comparison's level, for this model alone; infinite with one image.
        rank: 1 is best; equal means share a rank.
        rank_low, rank_high: set of the ranks that the model may have; the sets of all models hold at once.
        tied: not separable from the best model at the comparison's level (the best is tied with itself).
        difference, difference_low, difference_high: this model minus the best one, paired; the intervals of all pairs
            of models hold at once.
        runs: number of training runs.
        run_sd: standard deviation of the runs' means (n - 1), None for a single run.
        ranked: whether there are enough images for ranks; without, all models are tied.
        needed_images: number of images with which this difference to the best would be found with a power of 0.8; None
            where it is found already, where there is none, or where more images alone do not help.
        note: what a reader has to know about the interval or the rank; empty where there is nothing.
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
    ranked: bool = True
    needed_images: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Ranking:
    """A comparison of m models on one score, and what gives the interval of any difference between two of them.

    Half the interval of a difference is √(images_factor² · s² / n + seeds_factor² · (v + v')), s the standard deviation
    of the per-image differences of n images, v and v' the entries of ``seed_variances``.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import Ranking, rank_models
        >>> found = rank_models([np.arange(9.0), np.arange(9.0)[::-1]], "lower")
        >>> isinstance(found, Ranking), found.seeds_factor, found.seed_variances  # nothing was trained
        (True, 0.0, [0.0, 0.0])
    """

    rows: list[ScoreRow]
    images_factor: float
    seeds_factor: float
    seed_variances: list[float]


@dataclass(frozen=True)
class PairedDifference:
    """Paired difference of two models' means, ``second - first``, with its interval.

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


def compare(
    table: Sequence[np.ndarray],
    better: Better,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
    trained: Sequence[bool] | None = None,
) -> list[ScoreRow]:
    """Rank m models on one score from their per-image values, each (n,) or (runs, n).

    ``trained``: which models have weights that another training would change; by default those with several runs.

    Raises:
        NotComparableError, MeasurementError: as :func:`fusionbench.results.resampling.check_table`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import compare
        >>> errors = np.array([0.1, 0.4, 0.9, 0.2, 0.5, 0.3, 0.6, 0.2])
        >>> better, alike = errors - 0.05, errors + np.array([0.1, -0.1] * 4)
        >>> [(row.rank, row.tied) for row in compare([errors, better, alike], "lower")]
        [(2, False), (1, True), (2, True)]
        >>> [round(row.difference, 3) for row in compare([errors, better, alike], "lower")]
        [0.05, 0.0, 0.05]
    """
    return rank_models(table, better, resamples=resamples, level=level, seed=seed, trained=trained).rows


def rank_models(
    table: Sequence[np.ndarray],
    better: Better,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
    trained: Sequence[bool] | None = None,
) -> Ranking:
    """The same as :func:`compare`, with the factors of the intervals.

    Raises:
        NotComparableError, MeasurementError: as :func:`fusionbench.results.resampling.check_table`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import rank_models
        >>> table = np.random.default_rng(0).normal(size=(2, 100)) + [[0], [1]]
        >>> found = rank_models(list(table), "lower")
        >>> half = found.images_factor * np.std(table[1] - table[0], ddof=1) / 10
        >>> row = found.rows[1]
        >>> bool(np.isclose(row.difference_high - row.difference, half))
        True
    """
    rows = check_table(table)
    images = rows[0].shape[1]
    means = np.array([mean(values) for values in rows])
    values = np.stack([values.mean(axis=0) for values in rows])  # (m, n)
    seeds = seed_variance(rows, [False] * len(rows) if trained is None else trained)
    factors = (pair_factor(values, level, resamples, seed), seeds.pair_factor(level))
    loss = means if better == "lower" else -means
    # equal means share a rank, those that differ by rounding only too
    rank = 1 + np.searchsorted(np.sort(loss), loss - TIE * np.abs(loss), side="left")
    best = int(np.argmin(loss))
    low, high = _row_intervals(values, means, seeds, level, resamples, seed)
    difference = means - means[best]
    image_part, seed_part = _parts(values, seeds, slice(best, best + 1), slice(None))
    half = _half(image_part[0], seed_part[0], factors)
    half[best] = 0.0
    ranked = images >= MIN_RANKED
    rounding = TIE * np.maximum(np.abs(means), np.abs(means[best]))  # no number of images separates that
    if ranked:
        separable = np.abs(difference) > np.maximum(half, rounding)
        better_ones, no_better = _separated(values, means, loss, seeds, factors)
        rank_low, rank_high = 1 + better_ones, 1 + len(rows) - no_better
    else:
        separable = np.zeros(len(rows), bool)
        rank_low, rank_high = np.ones(len(rows), int), np.full(len(rows), len(rows))
    found = [
        ScoreRow(
            mean=float(means[i]),
            low=float(low[i]),
            high=float(high[i]),
            rank=int(rank[i]),
            rank_low=min(int(rank_low[i]), int(rank[i])),
            rank_high=max(int(rank_high[i]), int(rank[i])),
            tied=not separable[i],
            difference=float(difference[i]),
            difference_low=float(difference[i] - half[i]),
            difference_high=float(difference[i] + half[i]),
            runs=len(rows[i]),
            run_sd=run_sd([mean(run) for run in rows[i]]),
            ranked=ranked,
            needed_images=None
            if separable[i] or abs(difference[i]) <= rounding[i]
            else _needed(difference[i], image_part[0, i] * images, seed_part[0, i], factors, images),
            note=_note(images, bool(seeds.alone[i]), seeds),
        )
        for i in range(len(rows))
    ]
    return Ranking(found, *factors, [float(variance) for variance in seeds.of_mean])


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> PairedDifference:
    """Mean of ``second - first`` over the same images, each (n,) or (runs, n), with its interval.

    The interval is infinite with one image, and as wide as Student's t has it with few. Means that differ by rounding
    only are not separable.

    Raises:
        NotComparableError, MeasurementError: as :func:`fusionbench.results.resampling.check_table`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import paired_difference
        >>> first = np.array([1.0, 5.0, 9.0, 13.0])  # images differ far more than models
        >>> difference = paired_difference(first, first + [0.5, 0.25, 0.5, 0.75])
        >>> difference.mean, difference.separable
        (0.5, True)
    """
    rows = check_table([first, second])
    values = np.stack([values.mean(axis=0) for values in rows])
    seeds = seed_variance(rows, [False, False])
    image_part, seed_part = _parts(values, seeds, slice(0, 1), slice(1, 2))
    factors = (pair_factor(values, level, resamples, seed), seeds.pair_factor(level))
    means = [mean(values) for values in rows]
    difference = means[1] - means[0]
    half = float(_half(image_part, seed_part, factors)[0, 0])
    if abs(difference) <= TIE * max(map(abs, means)):
        half = max(half, abs(difference))
    return PairedDifference(difference, difference - half, difference + half)


def mean_interval(values: np.ndarray, *, trained: bool = False) -> tuple[float, float] | None:
    """The 95 % interval of a mean over images (n,) or training runs and images (runs, n), as tables show it.

    It is that of :func:`compare` for this model alone: studentised bootstrap, at least as wide as Student's t. None
    with one image, for which there is none.

    Raises:
        MeasurementError: as :func:`fusionbench.results.resampling.check_table`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import mean_interval
        >>> low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
        >>> round(low, 3), round(high, 3), mean_interval(np.array([1.0]))
        (-0.484, 4.484, None)
    """
    (row,) = compare([values], "higher", trained=[trained])
    return (row.low, row.high) if math.isfinite(row.low) and math.isfinite(row.high) else None


def _row_intervals(
    values: np.ndarray, means: np.ndarray, seeds: SeedVariance, level: float, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of each mean for itself. A model that was trained once has that of this training alone."""
    images = values.shape[1]
    if images == 1:
        return np.full(len(means), -math.inf), np.full(len(means), math.inf)
    image_part = values.var(axis=1, ddof=1) / images
    seed_part = np.where(seeds.alone, 0.0, seeds.of_mean)
    half = np.sqrt(
        row_factors(values, level, resamples, seed) ** 2 * image_part + seeds.row_factor(level) ** 2 * seed_part
    )
    return means - half, means + half


def _parts(values: np.ndarray, seeds: SeedVariance, rows: slice, others: slice) -> tuple[np.ndarray, np.ndarray]:
    """Variances of the differences of some rows and others, from images and from training, (rows, others) each."""
    images = values.shape[1]
    seed_part = seeds.of_mean[rows, None] + seeds.of_mean[None, others]
    if images == 1:
        return np.zeros(seed_part.shape), seed_part
    first, second = values[rows], values[others]
    if len(first) * len(second) * images <= 4 * _CELLS:
        gaps = first[:, None, :] - second[None, :, :]
        image_part = gaps.var(axis=2, ddof=1)
        scale = np.maximum(np.abs(first).max(axis=1)[:, None], np.abs(second).max(axis=1)[None, :])
        image_part[image_part <= (CONSTANT * scale) ** 2] = 0.0
        return image_part / images, seed_part
    # Many models: from products, whose rounding is kept from looking like agreement.
    first, second = (part - part.mean(axis=1, keepdims=True) for part in (first, second))
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :]
    image_part = np.maximum(squares - 2 * first @ second.T, CONSTANT * squares)
    return image_part / (images * (images - 1)), seed_part


def _half(image_part: np.ndarray, seed_part: np.ndarray, factors: tuple[float, float]) -> np.ndarray:
    if math.isinf(factors[0]):  # one image
        return np.full(image_part.shape, math.inf)
    result: np.ndarray = np.sqrt(factors[0] ** 2 * image_part + factors[1] ** 2 * seed_part)
    return result


def _separated(
    values: np.ndarray, means: np.ndarray, loss: np.ndarray, seeds: SeedVariance, factors: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """For each model how many are better by more than their interval; how many, itself included, worse or the same."""
    models = len(means)
    better, no_better = np.zeros(models, int), np.zeros(models, int)
    centred = values - values.mean(axis=0)  # what images do to all models leaves less to round
    step = max(1, _CELLS // models)
    for start in range(0, models, step):
        some = slice(start, start + step)
        half = _half(*_parts(centred, seeds, some, slice(None)), factors)
        tie = TIE * np.maximum(np.abs(means[some, None]), np.abs(means[None]))
        gap = loss[some, None] - loss[None]
        same = (half <= tie) & (np.abs(gap) <= tie)
        same[np.arange(len(same)), start + np.arange(len(same))] = True  # training runs do not part a model from itself
        half = np.maximum(half, tie)
        better[some] = (gap > half).sum(axis=1)
        no_better[some] = ((-gap > half) | same).sum(axis=1)
    return better, no_better


def _needed(
    difference: float, variance: float, seed_part: float, factors: tuple[float, float], images: int
) -> int | None:
    """Images for this difference to be found with power 0.8: normal approximation, the same factors."""
    if math.isinf(factors[0]):
        return None
    left = difference**2 - (factors[1] + _POWER_FACTOR) ** 2 * seed_part
    needed = (factors[0] + _POWER_FACTOR) ** 2 * variance / left if left > 0 else math.inf
    return max(images + 1, MIN_RANKED, math.ceil(needed)) if needed <= _MOST_IMAGES else None


def _note(images: int, alone: bool, seeds: SeedVariance) -> str:
    notes = []
    if images < MIN_RANKED:
        count = "1 image" if images == 1 else f"{images} images"
        notes.append(f"{count}, fewer than the {MIN_RANKED} that a rank needs")
    if alone:
        text = "trained once: the interval holds for this training alone"
        if seeds.pooled is not None:
            text += ", differences count the spread between runs of the other rows"
        notes.append(text)
    return "; ".join(notes)
