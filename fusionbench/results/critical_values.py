"""How many standard errors an interval needs to hold for one mean, or for all differences of m models at once.

The factors are quantiles of studentised statistics: of the bootstrap, which knows how skewed the differences are and
how much they go together, where there are enough images, and of Student's t, by Bonferroni for many pairs, where not.
Westfall and Young, *Resampling-Based Multiple Testing*, 1993 (single-step max-t); Hall, *The Bootstrap and Edgeworth
Expansion*, 1992, section 3.6 (symmetric bootstrap-t); Hayter, *Annals of Statistics* 12 (1984) 61-75 (the studentised
range is conservative for unequal numbers of runs).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from fusionbench.results.resampling import LEVEL, RESAMPLES, image_weights

MIN_BOOTSTRAP = 5  # images: below, too many resamples hold one image only
FEW_IMAGES = 20  # below, resamples of that many pairs are too coarse to be the only bound
MAX_PAIRS = 5000  # pairs of models (100 models) that are resampled one by one; above, a bound
_MIN_RESAMPLES = 1000  # of the maximum: the tail probability of its quantile is then known to 0.7 %
_PRODUCTS = 1_000_000_000  # multiplications that the resamples of one score may cost
_SUBSET = 50  # models that say how far the bound has to be widened
_CELLS = 1 << 22  # numbers in a block
_SHRINK = 0.1  # a resample's variance is at least this part of the variance of all images
CONSTANT = 1e-12  # a standard deviation below this part of the values is rounding


@functools.lru_cache(maxsize=1024)
def t_factor(degrees: float, level: float = LEVEL, comparisons: int = 1) -> float:
    """Two-sided quantile of Student's t, of Bonferroni for several comparisons; infinite without a degree of freedom.

    Example:
        >>> from fusionbench.results.critical_values import t_factor
        >>> [round(t_factor(degrees), 2) for degrees in (0, 1, 4, 99)]
        [inf, 12.71, 2.78, 1.98]
    """
    from scipy.special import stdtrit  # scipy.stats has it, too, and takes ten times as long to import

    tail = (1 - level) / 2 / max(1, comparisons)
    return -float(stdtrit(degrees, tail)) if degrees > 0 else math.inf


@functools.lru_cache(maxsize=1024)
def range_factor(models: int, degrees: float, level: float = LEVEL) -> float:
    """Factor for all pairs of ``models`` at once, whose means have one pooled variance: studentised range / √2.

    Example:
        >>> from fusionbench.results.critical_values import range_factor
        >>> [round(range_factor(models, 99), 2) for models in (2, 5, 25)]
        [1.98, 2.78, 3.76]
    """
    from scipy import stats as distributions

    if models <= 2 or degrees <= 0:
        return t_factor(degrees, level)
    return float(distributions.studentized_range.ppf(level, models, degrees)) / math.sqrt(2)


def row_factors(values: np.ndarray, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Factor of the interval of each mean for itself: values float64 (m, n) to float64 (m,).

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.critical_values import row_factors
        >>> row_factors(np.arange(4.0)[None]).round(2).tolist()  # few images: Student's t
        [3.18]
    """
    models, images = values.shape
    least = t_factor(images - 1, level)
    if images < MIN_BOOTSTRAP:
        return np.full(models, least)
    found = np.empty(models)
    count = _affordable(resamples, models * images)
    for part in np.array_split(np.arange(models), max(1, math.ceil(models * count / (4 * _CELLS)))):
        scaled, known = _standardised(values[part].T, values[part])
        blocks = [_statistics(weights, scaled) for weights in image_weights(images, count, seed)]
        quantile = np.quantile(np.concatenate(blocks), level, axis=0, method="higher")
        found[part] = np.where(known, np.maximum(least, quantile), least)
    return found


def pair_factor(values: np.ndarray, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Factor of the intervals of all differences between m models at once: values float64 (m, n).

    With up to :data:`MAX_PAIRS` pairs the quantile, over the resamples, of the largest studentised difference; with
    fewer than :data:`FEW_IMAGES` images at least Bonferroni's. Above, Bonferroni's, which holds however the models go
    together, widened as far as the bootstrap exceeds it on a subset spread evenly over the ranks: skewed scores have no
    normal tails.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.critical_values import pair_factor
        >>> table = np.random.default_rng(0).normal(size=(5, 100))
        >>> 2.5 < pair_factor(table) < 3.1, pair_factor(table[:, :1])  # nothing follows from one image
        (True, inf)
    """
    models, images = values.shape
    pairs = models * (models - 1) // 2
    bound = t_factor(
        images - 1, level, pairs
    )  # every pair has a variance of its own, so the studentised range is short
    if images < MIN_BOOTSTRAP:
        return bound
    if pairs <= MAX_PAIRS:
        least = bound if images < FEW_IMAGES else t_factor(images - 1, level)
        return max(least, _largest(values, level, resamples, seed))
    order = np.argsort(values.mean(axis=1), kind="stable")
    subset = values[order[np.linspace(0, models - 1, _SUBSET).astype(int)]]
    normal = t_factor(images - 1, level, _SUBSET * (_SUBSET - 1) // 2)
    return bound * max(1.0, _largest(subset, level, resamples, seed) / normal)


def _largest(values: np.ndarray, level: float, resamples: int, seed: int) -> float:
    """Quantile of the largest studentised difference over all pairs."""
    models, images = values.shape
    count = _affordable(resamples, images * (models * (models - 1) // 2))
    largest = np.zeros(count)
    for block in _pair_blocks(values):
        start = 0
        for weights in image_weights(images, count, seed):
            part = largest[start : start + len(weights)]
            if block.shape[1]:
                np.maximum(part, _statistics(weights, block).max(axis=1), out=part)
            start += len(weights)
    return float(np.quantile(largest, level, method="higher"))


def _pair_blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Standardised differences (n, some pairs) of all pairs whose difference is not the same on every image."""
    models, images = values.shape
    first, second = np.triu_indices(models, 1)
    step = max(1, min(_CELLS // (2 * images), 2048))
    for start in range(0, len(first), step):
        i, j = first[start : start + step], second[start : start + step]
        block, known = _standardised((values[i] - values[j]).T, np.maximum(np.abs(values[i]), np.abs(values[j])))
        yield block[:, known]


def _standardised(columns: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns (n, k) with mean 0 and variance 1, and which of them vary by more than rounding."""
    centred = columns - columns.mean(axis=0)
    deviation = np.sqrt(np.mean(centred**2, axis=0))
    known = deviation > CONSTANT * np.abs(scale).max(axis=1)
    return centred / np.where(known, deviation, 1.0), known


def _statistics(weights: np.ndarray, standardised: np.ndarray) -> np.ndarray:
    """|t| of resampled means (resamples, k) of standardised columns (n, k)."""
    means = weights @ standardised
    # A resample of a difference that few images decide may hold none of them; its variance says nothing then.
    variances = np.maximum(weights @ standardised**2 - means**2, _SHRINK)
    result: np.ndarray = np.abs(means) * np.sqrt((len(standardised) - 1) / variances)
    return result


def _affordable(resamples: int, cost: int) -> int:
    """Resamples, fewer where each of them takes ``cost`` multiplications twice."""
    return min(resamples, max(_MIN_RESAMPLES, _PRODUCTS // max(1, 2 * cost)))
