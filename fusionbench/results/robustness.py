"""Scores under degraded sources: how their columns are called, and by how much each family lowers a row's scores.

A column ``qabf@shift/1:3`` is a metric at one condition, a family of degradations at a severity; ``qabf@clean`` the
same of sources as they are. What a row keeps of a metric at a condition is the quotient of two means over the pairs,
degraded over clean, as MultiCorrupt's resistance ability is (Beemelmanns, Zhang, Geller, Eckstein, IV 2024). So that
quotients have intervals and can be compared pair by pair, each pair has a contribution (:func:`kept_share`) whose mean
is the quotient, and whose spread is that of the delta method.

Example:
    >>> import numpy as np
    >>> from fusionbench.results.robustness import DamageCondition, kept_share
    >>> str(DamageCondition("shift/1", 3)), DamageCondition.of("shift/1:3").severity, DamageCondition.of("clean")
    ('shift/1:3', 3, None)
    >>> clean, degraded = np.array([0.5, 0.7]), np.array([0.2, 0.4])
    >>> bool(np.isclose(kept_share(degraded, clean).mean(), degraded.mean() / clean.mean()))
    True
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.results import bootstrap as stats

PROTOCOL = "pairs-robust"
ROBUSTNESS, CLEAN, ALL = "robustness", "clean", "all"
# Behind a metric: against the degraded sources; against the method's own clean output; of the fused image alone. Such
# columns are in the table per image, their means over all conditions are scores, and nobody is ranked by them.
SEEN, OWN, ALONE = "_seen", "_own", "_alone"
FUSED_ALONE = ("sf", "en")  # of tables of the field, which look at no source
_CONDITION = re.compile(r"([a-z0-9][a-z0-9+._-]{0,63}/[0-9]{1,3}):([1-5])")


@dataclass(frozen=True, order=True)
class DamageCondition:
    """A family of degradations at a severity, 1 to 5."""

    family: str
    severity: int

    def __str__(self) -> str:
        return f"{self.family}:{self.severity}"

    @property
    def folder(self) -> str:
        """What a folder of images at this condition is called: ``shift-1-severity-3``."""
        return f"{self.family.replace('/', '-')}-severity-{self.severity}"

    @classmethod
    def of(cls, column: str) -> DamageCondition | None:
        """The condition that a column is about; None where it is about none."""
        found = _CONDITION.fullmatch(column)
        return None if found is None else cls(found[1], int(found[2]))


def conditions_in(params: Mapping[str, object]) -> list[DamageCondition]:
    """Every condition of a protocol with these parameters, family by family; what is none is passed over.

    Example:
        >>> from fusionbench.results.robustness import conditions_in
        >>> [str(one) for one in conditions_in({"families": ["shift/1"], "severities": [1, 5]})]
        ['shift/1:1', 'shift/1:5']
    """
    families, severities = params.get("families"), params.get("severities")
    if not isinstance(families, list | tuple) or not isinstance(severities, list | tuple):
        return []
    made = (DamageCondition.of(f"{family}:{severity}") for family in families for severity in severities)
    return [condition for condition in made if condition is not None]


def kept_share(degraded: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Contributions of pairs, (n,), to the quotient mean(degraded)/mean(clean), which is their mean.

    Pair i contributes ``q + (degraded_i − q·clean_i)/mean(clean)``, q the quotient: the influence of the pair, so that
    the variance of the mean is that of the delta method. Pairs without one of both values, and all where the clean mean
    is not above 0, are NaN.
    """
    found = np.full(len(clean), np.nan)
    known = np.isfinite(degraded) & np.isfinite(clean)
    if not known.any() or (base := stats.mean(clean[known])) <= 0:
        return found
    quotient = stats.mean(degraded[known]) / base
    found[known] = quotient + (degraded[known] - quotient * clean[known]) / base
    return found


def seven_digits(values: np.ndarray) -> np.ndarray:
    """Values with seven digits each, as tables of this protocol hold them: they have hundreds of columns."""
    return np.array([float(f"{value:.7g}") for value in np.asarray(values, np.float64).tolist()])


def summary_columns(
    table: Mapping[str, np.ndarray], metrics: Sequence[str], conditions: Sequence[DamageCondition]
) -> dict[str, np.ndarray]:
    """Columns that follow from those of all conditions, float64 (n,):

    ``metric`` the plain mean of a metric over all conditions; ``robustness@metric``, ``robustness@family`` and
    ``robustness`` the mean of what is kept, over a metric's conditions, a family's severities and metrics, and all.

    Args:
        table: columns ``metric@clean`` and ``metric@family:severity`` of every metric.
    """
    kept = {
        (metric, one): kept_share(table[f"{metric}@{one}"], table[f"{metric}@{CLEAN}"])
        for metric in metrics
        for one in conditions
    }

    def mean_of(chosen: Sequence[np.ndarray]) -> np.ndarray:
        return seven_digits(np.sum(chosen, axis=0) / len(chosen))

    found = {m: mean_of([table[f"{m}@{one}"] for one in conditions]) for m in metrics}
    found[ROBUSTNESS] = mean_of(list(kept.values()))
    for metric in metrics:
        found[f"{ROBUSTNESS}@{metric}"] = mean_of([kept[metric, one] for one in conditions])
    for family in dict.fromkeys(one.family for one in conditions):
        mine = [share for (_, one), share in kept.items() if one.family == family]
        found[f"{ROBUSTNESS}@{family}"] = mean_of(mine)
    return found


@dataclass(frozen=True)
class FamilyDrop:
    """By how much a family lowers a row's scores: 1 − what is kept, mean over metrics and severities.

    Attributes:
        low, high: interval; those of all families of the row hold at once. Infinite with one pair.
    """

    family: str
    drop: float
    low: float
    high: float


def family_drops(values: Mapping[str, np.ndarray], level: float = stats.LEVEL) -> list[FamilyDrop]:
    """Mean relative drop by family of one row, with simultaneous intervals, in the order given.

    Args:
        values: score key -> (n,) or (runs, n); those called ``robustness@family`` are read.

    The intervals are those of all differences between the families and no drop at all
    (:func:`fusionbench.results.bootstrap.rank_models`), so that two families of a row may be compared by them as well.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.robustness import family_drops
        >>> kept = np.random.default_rng(0).normal(0.6, 0.1, 50)
        >>> [drop] = family_drops({"robustness@shift/1": kept, "robustness@qabf": kept})
        >>> drop.family, 0.37 < drop.drop < 0.43, 0 < drop.low < drop.drop < drop.high
        ('shift/1', True, True)
    """
    names = [
        key.partition("@")[2]
        for key in values
        if key.startswith(f"{ROBUSTNESS}@") and DamageCondition.of(f"{key.partition('@')[2]}:1") is not None
    ]
    if not names:
        return []
    drops = 1 - np.stack([np.atleast_2d(values[f"{ROBUSTNESS}@{name}"]).mean(axis=0) for name in names])
    known = np.isfinite(drops).all(axis=0)
    drops = drops[:, known]
    if not drops.shape[1]:
        return []
    images = drops.shape[1]
    factor = stats.rank_models([np.zeros(images), *drops], "lower", level=level).images_factor
    found = []
    for name, values_of_it in zip(names, drops, strict=True):
        mean = stats.mean(values_of_it)
        half = factor * float(values_of_it.std(ddof=1)) / images**0.5 if images > 1 else float("inf")
        found.append(FamilyDrop(name, mean, mean - half, mean + half))
    return found
