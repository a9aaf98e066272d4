"""What a method makes of degraded pairs, scored against the clean ones: the values of one pair, and a result of all.

Each pair is fused once clean and once for every condition (a family of degradations at a severity). Three questions are
asked of what is made of a degraded pair: what does it say of the clean sources (ranked); how far is it from what the
method makes of the clean pair; and what would the field say, which knows the degraded sources alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusionbench.core.errors import DataError, SizesDiffer, UsageError
from fusionbench.core.types import Metric
from fusionbench.metrics import get_metric
from fusionbench.metrics.engine import SourcePair, choose
from fusionbench.metrics.undefined import NotAvailable, grouped, too_small, why_undefined
from fusionbench.results.robustness import (
    ALL,
    ALONE,
    CLEAN,
    FUSED_ALONE,
    OWN,
    ROBUSTNESS,
    SEEN,
    DamageCondition,
    seven_digits,
    summary_columns,
)
from fusionbench.results.schema import Result, summarise
from fusionbench.synth.degradations import DEGRADATIONS, degrade

if TYPE_CHECKING:
    from fusionbench.evaluation.pair_sets import PairSet

ROUNDING = 1 / 12  # the error of rounding to whole grey levels: two images that are closer are the same
_NO_SCALE = NotAvailable("undefined where the mean over the clean pairs is not above 0", "fused")


class ScoredPair(NamedTuple):
    """All values of one pair by their column, NaN where there is none; and why there is none, by column."""

    values: dict[str, float]
    missing: dict[str, NotAvailable]


@dataclass(frozen=True)
class PairConditions:
    """A pair with what a method makes of it.

    Attributes:
        name: of the pair.
        pair: the clean sources, uint8 (2, h, w).
        clean: what is made of them, uint8 (h, w).
        degraded: condition -> the degraded sources, and what is made of those.
    """

    name: str
    pair: np.ndarray
    clean: np.ndarray
    degraded: Mapping[DamageCondition, tuple[np.ndarray, np.ndarray]]


def degraded_pair(pairs: PairSet, index: int, condition: DamageCondition, seed: int = 0) -> np.ndarray:
    """The pair ``index`` of a set at a condition: uint8 (2, h, w), the same bits on every machine.

    What is drawn depends on the source's name, the split, the seed and the place of the pair in the split.

    Raises:
        DataError: a pair that cannot be read, or that is too small for the condition.

    Example:
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.robustness import degraded_pair
        >>> from fusionbench.results.robustness import DamageCondition
        >>> pairs = open_pairs("pairs-demo", "all")
        >>> made = degraded_pair(pairs, 0, DamageCondition("shift/1", 3))
        >>> made.shape, bool((made[1] == pairs.pair(0)[1]).all())  # view 1 stays where it is
        ((2, 256, 256), True)
    """
    about = {"dataset": pairs.source.name, "split": pairs.split, "seed": seed}
    views = pairs.pair(index)[None]
    try:
        made = degrade(views, condition.family, condition.severity, samples=np.array([index]), **about)  # type: ignore[arg-type]
    except UsageError as error:  # the picture has no room for what is done to it
        raise DataError(f"{pairs.stems[index]}: {error}") from error
    found: np.ndarray = made.views[0]
    return found


def score_conditions(made: PairConditions, metrics: Sequence[Metric], seen: Sequence[Metric]) -> ScoredPair:
    """All values of one pair by their column, NaN where there is none; and why there is none, by column.

    Columns are ``metric@clean`` and ``metric@family:severity`` against the clean sources, ``metric_seen@…`` against
    the degraded ones (for those in ``seen``), ``psnr_own@…`` and ``ssim_own@…`` against what is made of the clean pair,
    and of the fused image alone ``sf_alone@…`` and ``en_alone@…``.

    Raises:
        DataError: an image that cannot be scored, or of another size than its sources.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.robustness import PairConditions, score_conditions
        >>> from fusionbench.metrics.engine import choose
        >>> from fusionbench.results.robustness import DamageCondition
        >>> pair = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8)
        >>> worse = {DamageCondition("shift/1", 1): (np.roll(pair, 2, 1), np.roll(pair[0], 2, 0))}
        >>> values, _ = score_conditions(PairConditions("one", pair, pair[0], worse), *[choose(["qabf"])] * 2)
        >>> values["qabf@clean"] > values["qabf@shift/1:1"], values["qabf_seen@shift/1:1"] > values["qabf@shift/1:1"]
        (True, True)
    """
    shape = made.pair.shape[1:]
    for fused in (made.clean, *(fused for _, fused in made.degraded.values())):
        if fused.shape != shape:
            (h, w), (k, m) = fused.shape, shape
            raise SizesDiffer(f"{made.name}: the fused image has {h}×{w} pixels, its sources {k}×{m}")
    missing: dict[str, NotAvailable] = {}
    lacking = {metric.name: why for metric in metrics if (why := too_small(metric, *shape)) is not None}
    alone = choose(FUSED_ALONE)
    sources = SourcePair(
        made.pair[:1], made.pair[1:], [m for m in metrics if m.name not in lacking] + alone, copy=False
    )
    as_seen = (
        SourcePair(made.pair[:1], made.pair[1:], [m for m in seen if m.name not in lacking], copy=False)
        if seen
        else None
    )
    own = _OwnOutput(made.clean)
    values = _against(sources, made.clean, metrics, CLEAN, "", missing, lacking, made.pair)
    for condition, (degraded, fused) in made.degraded.items():
        column = str(condition)
        if np.array_equal(fused, made.clean):  # what the method does not look at is degraded
            for name in (*(metric.name for metric in metrics), *(f"{metric.name}{ALONE}" for metric in alone)):
                values[f"{name}@{column}"] = values[f"{name}@{CLEAN}"]
                if (why := missing.get(f"{name}@{CLEAN}")) is not None:
                    missing[f"{name}@{column}"] = why
        else:
            values |= _against(sources, fused, metrics, column, "", missing, lacking, made.pair)
        changed = [place for place in (0, 1) if not np.array_equal(degraded[place], made.pair[place])]
        found: dict[str, float] = {}
        if as_seen is not None and changed:
            given = SourcePair(degraded[:1], degraded[1:], as_seen.metrics, persistent=False, copy=False)
            if len(changed) == 1:  # what is known of the other one is known already
                given = as_seen.with_source(changed[0], degraded[changed[0]][None])
            found = _against(given, fused, seen, column, SEEN, {}, lacking, degraded)
        for metric in seen:
            key = f"{metric.name}{SEEN}@{column}"
            values[key] = found.get(key, values[f"{metric.name}@{column}"])
        values |= {f"psnr{OWN}@{column}": own.psnr(fused), f"ssim{OWN}@{column}": own.ssim(fused)}
    return ScoredPair(values, missing)


def _against(
    sources: SourcePair,
    fused: np.ndarray,
    metrics: Sequence[Metric],
    column: str,
    tail: str,
    missing: dict[str, NotAvailable],
    lacking: Mapping[str, NotAvailable],
    pair: np.ndarray,
) -> dict[str, float]:
    """Values by column of one fused image against ``sources``; why some are missing is added to ``missing``."""
    found = {name: float(value[0]) for name, value in sources.score(fused[None]).items()}
    values = {f"{name}{ALONE}@{column}": found[name] for name in FUSED_ALONE if not tail}
    for metric in metrics:
        value, key = found.get(metric.name, math.nan), f"{metric.name}{tail}@{column}"
        values[key] = value if math.isfinite(value) else math.nan
        if metric.name in lacking:
            missing[key] = lacking[metric.name]
        elif not math.isfinite(value):
            missing[key] = why_undefined(metric, value, (fused, *pair))
    return values


class _OwnOutput:
    """What a method makes of a clean pair, to compare others with: uint8 (h, w)."""

    def __init__(self, clean: np.ndarray) -> None:
        self.clean = clean
        self._small = too_small(get_metric("ssim_target"), *clean.shape) is not None

    def psnr(self, fused: np.ndarray) -> float:
        """In dB. An error below that of rounding counts as that: equal images have 58.9 dB, not infinity."""
        error = float(np.mean(np.square(fused.astype(np.float64) - self.clean)))
        return 10 * math.log10(255**2 / max(error, ROUNDING))

    def ssim(self, fused: np.ndarray) -> float:
        if self._small:
            return math.nan
        if np.array_equal(fused, self.clean):
            return 1.0
        return float(get_metric("ssim_target").function(fused[None], self.clean[None])[0])


def metric_versions(metrics: Sequence[str]) -> dict[str, str]:
    """Metric -> its version, for the identity of a result: those that rank, and those that stand beside them."""
    beside = [get_metric(name) for name in (*FUSED_ALONE, "psnr_target", "ssim_target")]
    return {metric.name: metric.version for metric in [*choose(metrics), *beside]} | {ROBUSTNESS: "1"}


def fill_robust_result(
    result: Result,
    pairs: PairSet,
    scored: Sequence[ScoredPair],
    metrics: Sequence[Metric],
    seen: Sequence[Metric],
    conditions: Sequence[DamageCondition],
) -> dict[str, list[float] | list[str]]:
    """Fill the scores of a result; its table per image, by column.

    Args:
        scored: of every pair, what :func:`score_conditions` gives.
    """
    names = [metric.name for metric in metrics]
    table = {key: seven_digits(np.array([values[key] for values, _ in scored])) for key in scored[0][0]}
    found = summary_columns(table, names, conditions)
    why = {
        key: grouped((stem, reasons.get(key)) for stem, (_, reasons) in zip(pairs.stems, scored, strict=True))
        for key in table
    }
    columns = [CLEAN, *map(str, conditions)]
    by_name = {metric.name: metric for metric in metrics}
    for key, values in found.items():
        name, _, column = key.partition("@")
        metric = by_name.get(name)
        mine = [name] if metric is not None else [column] if column in by_name else names
        missing = _joined([why[f"{each}@{one}"] for each in mine for one in columns])
        if not missing and not np.isfinite(values).all():
            missing = {_NO_SCALE: pairs.stems}
        result.scores[key] = summarise(values, "higher", "1" if metric is None else metric.unit, missing)
    for metric in metrics:
        for column in columns:
            key = f"{metric.name}@{column}"
            result.scores[key] = summarise(table[key], metric.better, metric.unit, why[key])
    units = {f"psnr{OWN}": "dB", f"ssim{OWN}": "1"} | {f"{metric.name}{SEEN}": metric.unit for metric in seen}
    units |= {f"{metric.name}{ALONE}": metric.unit for metric in choose(FUSED_ALONE)}
    for name, unit in units.items():
        values = seven_digits(np.mean([table[f"{name}@{one}"] for one in conditions], axis=0))
        if np.isfinite(values).all():  # else it stays in the table alone: a degraded source may be flat
            found[f"{name}@{ALL}"] = values
            result.scores[f"{name}@{ALL}"] = summarise(values, "higher", unit)
    return {"id": pairs.stems} | {key: values.tolist() for key, values in {**found, **table}.items()}


def _joined(reasons: Sequence[Mapping[NotAvailable, list[str]]]) -> dict[NotAvailable, list[str]]:
    """Why pairs have no value in any of several columns: each pair once."""
    found: dict[NotAvailable, list[str]] = {}
    named: set[str] = set()
    for one in reasons:
        for why, stems in one.items():
            fresh = [stem for stem in stems if stem not in named]
            named |= {*fresh}
            if fresh:
                found.setdefault(why, []).extend(fresh)
    return found


def family_title(family: str) -> str:
    """What a family is called on sheets and pages; its name where it is not installed here."""
    return DEGRADATIONS.get(family).title if family in DEGRADATIONS.names() else family
