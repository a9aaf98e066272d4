"""Resampled images and training runs, the same for all models, and what is read from them.

Every model is measured on the same images, so every resample draws one set of images for all
of them: what is common to the models (hard images, easy images) cancels in differences and ranks.
Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapters 6, 13 and 16.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fusionbench.core.errors import MeasurementError, NotComparableError

RESAMPLES = 10_000
LEVEL = 0.95
SEEDS_NEEDED = 3  # fewer training runs say too little about the spread between runs to resample them
_CELLS = 1 << 22  # images × resamples that one block of the bootstrap holds
_FEW = 64  # models up to which comparing all pairs is faster than sorting
Better = Literal["higher", "lower"]


def mean(values: ArrayLike) -> float:
    """Mean of per-image values (n,) or (runs, n), rounded once, so that their order does not matter.

    Results, comparisons, gates and pages use this one, and so show the same number to the last digit.

    Example:
        >>> from fusionbench.results.resampling import mean
        >>> mean([1e16, 1.0, -1e16, 1.0])  # a plain sum loses the small ones
        0.5
    """
    return math.fsum(np.ravel(values)) / np.size(values)


def run_sd(means: Sequence[float]) -> float | None:
    """Standard deviation (n - 1) of the means of training runs, the ± of papers; None for fewer than two.

    Example:
        >>> from fusionbench.results.resampling import run_sd
        >>> round(run_sd([1.0, 1.2, 1.4]), 4), run_sd([1.0])
        (0.2, None)
    """
    return statistics.stdev(means) if len(means) > 1 else None


def check_table(table: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Per-image values of m models, each (n,) or (runs, n), as float64 (runs, n).

    Raises:
        NotComparableError: the models have different numbers of images.
        MeasurementError: no models, no images, or a value that is not finite.

    Example:
        >>> import numpy as np
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.results.resampling import check_table
        >>> [values.shape for values in check_table([np.zeros(4), np.zeros((3, 4))])]  # one run, three runs
        [(1, 4), (3, 4)]
        >>> try:
        ...     check_table([np.zeros(4), np.zeros(5)])
        ... except FusionbenchError as error:
        ...     print(error)
        the models have 4, 5 images; they must be the same
    """
    rows = [np.atleast_2d(np.asarray(values, np.float64)) for values in table]
    if not rows or any(values.size == 0 for values in rows):
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


def image_weights(images: int, resamples: int, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each image is drawn, over ``images``: blocks float64 (some resamples, images), each line sums to 1.

    Example:
        >>> from fusionbench.results.resampling import image_weights
        >>> (block,) = image_weights(4, 3)
        >>> block.shape, block.sum(axis=1).tolist()
        ((3, 4), [1.0, 1.0, 1.0])
    """
    picks = np.random.Generator(np.random.Philox(key=seed))
    block = max(1, _CELLS // images)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = picks.integers(0, images, (size, images), dtype=np.int32).astype(np.int64)
        drawn += (np.arange(size) * images)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images) / images


def bootstrap_means(table: Sequence[np.ndarray], resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Means of m models over the same resampled images: float64 (resamples, m).

    Each entry of ``table`` is (n,) or (runs, n). With at least ``SEEDS_NEEDED`` runs of a model its runs are
    resampled too, independently of the other models' (run 1 of one model has nothing to do with run 1 of another);
    fewer runs are averaged.

    Raises:
        NotComparableError, MeasurementError: as :func:`check_table`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.resampling import bootstrap_means
        >>> first = np.array([1.0, 2.0, 6.0])
        >>> means = bootstrap_means([first, first + 1], resamples=1000)
        >>> means.shape, np.unique((means[:, 1] - means[:, 0]).round(4)).tolist()  # the same images for both models
        ((1000, 2), [1.0])
    """
    rows = check_table(table)
    stacked = np.concatenate(rows)  # (all runs, n)
    ends = np.cumsum([len(values) for values in rows])
    run_picks = np.random.Generator(np.random.Philox(key=[seed, 1]))
    result = np.empty((resamples, len(rows)))
    start = 0
    for weights in image_weights(rows[0].shape[1], resamples, seed):
        size = len(weights)
        means = weights @ stacked.T  # (size, all runs)
        for model, end in enumerate(ends):
            runs = len(rows[model])
            mine = means[:, end - runs : end]
            if runs >= SEEDS_NEEDED:
                mine = np.take_along_axis(mine, run_picks.integers(0, runs, (size, runs)), axis=1)
            result[start : start + size, model] = mine.mean(axis=1)
        start += size
    return result


def interval(samples: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of bootstrap samples (resamples, ...) over the first axis.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.resampling import interval
        >>> low, high = interval(np.arange(101.0))
        >>> round(float(low), 4), round(float(high), 4)
        (2.5, 97.5)
    """
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def ranks(means: np.ndarray, better: Better) -> np.ndarray:
    """Ranks of means (..., m): 1 + the number of strictly better models, so equal ones share the better rank.

    Memory grows with the size of ``means`` and not with m².

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.resampling import ranks
        >>> ranks(np.array([0.3, 0.1, 0.1]), "lower").tolist()
        [3, 1, 1]
    """
    loss = np.asarray(means if better == "lower" else -np.asarray(means))
    if loss.shape[-1] <= _FEW and loss.size * loss.shape[-1] <= _CELLS:
        few: np.ndarray = 1 + np.sum(loss[..., None, :] < loss[..., :, None], axis=-1)
        return few
    order = np.argsort(loss, axis=-1, kind="stable")
    placed = np.take_along_axis(loss, order, axis=-1)
    first = np.ones(placed.shape, bool)
    first[..., 1:] = placed[..., 1:] > placed[..., :-1]
    place = np.maximum.accumulate(np.where(first, np.arange(1, loss.shape[-1] + 1), 1), axis=-1)
    result = np.empty(loss.shape, np.int64)
    np.put_along_axis(result, order, place, axis=-1)
    return result


def rank_intervals(means: np.ndarray, better: Better, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Interval of each model's rank from bootstrap means (resamples, m); whole numbers that were observed.

    Each interval is for its model alone: with many models some of them miss. The rank sets of
    :func:`fusionbench.results.bootstrap.compare` hold for all models at once.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.resampling import rank_intervals
        >>> means = np.array([[0.1, 0.2, 0.5], [0.2, 0.1, 0.5]])  # in two resamples two models swap ranks
        >>> low, high = rank_intervals(means, "lower")
        >>> low.tolist(), high.tolist()
        ([1, 1, 3], [2, 2, 3])
    """
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(ranks(means, better), tails, axis=0, method="inverted_cdf")
    return low.astype(int), high.astype(int)
