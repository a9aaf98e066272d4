"""When a move of a mean is more than noise: prediction intervals from few seeds, one error rate for all scores.

A score of a trained model moves from one training seed to the next. From ``s`` runs of the baseline with standard
deviation ``sd``, the mean of ``r`` new runs of an unchanged model lies within ``t · sd · √(1/s + 1/r)`` of the
baseline's mean, where ``t`` is a quantile of Student's t with ``s - 1`` degrees of freedom: few seeds know ``sd``
badly, and the factor grows accordingly. With many scores, each is judged at a stricter level, so that the chosen error
rate holds for at least one false alarm among all of them (Holm, step-down), whatever their correlation.

Hahn, *Factors for calculating two-sided prediction intervals for samples from a normal distribution*, Journal of the
American Statistical Association 64, 1969. Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian
Journal of Statistics 6, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

ALPHA = 0.05  # rate of outcomes with a false alarm, over all scores of a baseline
ALPHAS = (0.0001, 0.5)  # what may be chosen
POWER = 0.9  # a detectable change is found with this probability


def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t with ``freedom`` (at least 1) degrees of freedom.

    Example:
        >>> from fusionbench.results.gate_statistics import t_quantile
        >>> [round(t_quantile(0.975, freedom), 3) for freedom in (2, 4, 9)]  # as in printed tables
        [4.303, 2.776, 2.262]
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def t_upper_tail(t: float, freedom: int) -> float:
    """Probability that Student's t with ``freedom`` degrees of freedom exceeds ``t``, which may be infinite.

    Example:
        >>> from fusionbench.results.gate_statistics import t_upper_tail
        >>> round(t_upper_tail(4.303, 2), 4), t_upper_tail(float("inf"), 2), t_upper_tail(float("-inf"), 2)
        (0.025, 0.0, 1.0)
    """
    from scipy.special import stdtr

    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    return float(stdtr(freedom, -t))


def prediction_error(sd: float, runs: int, new_runs: int) -> float:
    """Standard error of the difference of the means of ``new_runs`` and ``runs`` runs: ``sd · √(1/runs + 1/new_runs)``.

    Example:
        >>> from fusionbench.results.gate_statistics import prediction_error
        >>> prediction_error(2.0, runs=4, new_runs=4) == 2.0 * 0.5**0.5
        True
    """
    return sd * math.sqrt(1 / runs + 1 / new_runs)


def mean_is_positive(differences: np.ndarray) -> float:
    """One-sided p value of ``differences`` (n,), n at least 2, against a mean of zero or less: Student's t.

    Differences without any spread decide by their sign alone.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.gate_statistics import mean_is_positive
        >>> round(mean_is_positive(np.array([1.0, 2.0, 3.0])), 4)  # t = 3.464 with 2 degrees of freedom
        0.0371
        >>> mean_is_positive(np.full(3, 0.5)), mean_is_positive(np.zeros(3))
        (0.0, 1.0)
    """
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if spread == 0:
        return 0.0 if mean > 0 else 1.0
    return t_upper_tail(mean / (spread / math.sqrt(len(differences))), len(differences) - 1)


def holm_levels(p: Sequence[float], alpha: float) -> list[float]:
    """The level at which each of several hypotheses is judged, so that ``alpha`` holds for all of them together.

    The smallest p value is held against ``alpha / k``, the next against ``alpha / (k - 1)``, and so on until one is
    above its level; that one and all others share the level. A hypothesis is rejected where its p value is at most its
    level.

    Example:
        >>> from fusionbench.results.gate_statistics import holm_levels
        >>> [round(level, 4) for level in holm_levels([0.2, 0.001, 0.5, 0.9], 0.05)]  # one is found, three are left
        [0.0167, 0.0125, 0.0167, 0.0167]
    """
    order = sorted(range(len(p)), key=lambda place: p[place])
    levels = [0.0] * len(p)
    for rank, place in enumerate(order):
        level = alpha / (len(p) - rank)
        if p[place] > level:
            for other in order[rank:]:
                levels[other] = level
            break
        levels[place] = level
    return levels


def noise_tolerance(sd: float, runs: int, new_runs: int, level: float) -> float:
    """How far the mean of ``new_runs`` runs may move from that of ``runs`` runs at a one-sided ``level``.

    ``sd`` is that of the ``runs`` (at least 2) means of the baseline alone: a change that makes training unstable does
    not widen its own tolerance.

    Example:
        >>> from fusionbench.results.gate_statistics import noise_tolerance
        >>> for runs in (3, 5, 10):  # 40 scores, 5 %, in standard deviations of a run
        ...     print(runs, round(noise_tolerance(1.0, runs, 1, 0.05 / 40), 2))
        3 23.05
        5 7.4
        10 4.35
    """
    return t_quantile(1 - level, runs - 1) * prediction_error(sd, runs, new_runs)


def detectable_change(tolerance: float, sd: float, runs: int, new_runs: int) -> float:
    """The change of a mean that exceeds ``tolerance`` with probability :data:`POWER`, over seeds of both sides.

    A change as large as the tolerance is found half the time. ``sd`` is an estimate, so the margin is a quantile of t.

    Example:
        >>> from fusionbench.results.gate_statistics import detectable_change
        >>> round(detectable_change(4.35, 1.0, runs=10, new_runs=1), 2)
        5.8
    """
    return tolerance + t_quantile(POWER, runs - 1) * prediction_error(sd, runs, new_runs)
