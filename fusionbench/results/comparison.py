"""Results side by side: may they be compared, and what does the comparison say.

Scores of different data sets, splits, protocols or metric versions never share a column.
Published rows have no per-image values and runs that were cut short measure something
else than their model, so neither takes a rank.

Example:
    >>> import tempfile
    >>> from fusionbench import create_model
    >>> from fusionbench.results.comparison import compare_entries, compare_results, read_entries
    >>> from fusionbench.results.comparison import require_comparable, same_model, title_of
    >>> from fusionbench.core.types import ImageSpec
    >>> from fusionbench.evaluation.pairs import evaluate_pairs
    >>> from fusionbench.evaluation.pair_sets import open_pairs
    >>> pairs = open_pairs("pairs-demo", "all", None)
    >>> models = [create_model(name, ImageSpec(1, 256, 256, views=2)) for name in ("copy-a", "copy-b")]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = [evaluate_pairs(model, pairs, out=folder, device="cpu") for model in models]
    ...     entries = read_entries([folder])
    ...     comparison = compare_results([folder], scores=["sf"])
    >>> require_comparable(results)  # silent: the same pairs, protocol and versions of metrics
    >>> [title_of(result) for result in results], same_model(results[0]) == same_model(results[1])
    (['copy of source A', 'copy of source B'], False)
    >>> [(entry.title, entry.values["sf"].shape) for entry in entries]  # three images of one run each
    [('copy of source A', (1, 3)), ('copy of source B', (1, 3))]
    >>> [row.rank for row in comparison.scores["sf"]], comparison.better, comparison.images
    ([2, 1], {'sf': 'higher'}, 3)
    >>> compare_entries(entries, scores=["sf"]).scores == comparison.scores  # without reading them again
    True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.results import bootstrap as stats
from fusionbench.results.copy_bounds import Bound, copy_bounds
from fusionbench.results.entries import Entry, read_entries, require_comparable, title_of
from fusionbench.results.image_tables import per_image
from fusionbench.results.input_means import MEAN, column_order, matches
from fusionbench.results.result_set import Results
from fusionbench.results.row_keys import same_model
from fusionbench.results.schema import Score
from fusionbench.results.shown import ShownComparison
from fusionbench.results.tiers import APART, Tier, Tiers, ranked_groups

__all__ = [  # with the names that lie in entries and row_keys now
    "SECONDARY",
    "Comparison",
    "Entry",
    "common_images",
    "compare_entries",
    "compare_results",
    "metric_order",
    "per_image",
    "read_entries",
    "require_comparable",
    "same_model",
    "title_of",
]

# Scores that say the same as another one in another unit, or a bound of it: tables show them on request.
SECONDARY = {"nll": "nll_bpd", "elbo": "nll_bpd", "elbo_bpd": "nll_bpd"}


def metric_order(key: str) -> tuple[bool, str, tuple[int, int, str]]:
    """Sort key for score keys: the likelihood first, as in the papers, secondary scores last, otherwise by name.

    Columns of a metric are in the order of :func:`fusionbench.results.input_means.column_order`.

    Example:
        >>> from fusionbench.results.comparison import metric_order
        >>> sorted(["nll@1", "mse_min@1", "nll_bpd@1"], key=metric_order)
        ['nll_bpd@1', 'nll@1', 'mse_min@1']
    """
    metric = key.partition("@")[0]
    return not metric.startswith("nll"), SECONDARY.get(metric, "") + metric, column_order(key)


@dataclass(frozen=True, repr=False)
class Comparison(ShownComparison):
    """``entries`` in the order given; ``scores``: key -> one :class:`stats.ScoreRow` per entry, or None.

    ``counted``: key -> number of images that the ranks are from; ``not_ranked``: key -> place of an entry -> why it has
    no row though its metric was asked for. ``tiers``: whether submitted predictions are ranked apart from rows that
    were scored from weights (:mod:`fusionbench.results.tiers`). ``bounds``: tier -> key -> what copying reaches
    (:mod:`fusionbench.results.copy_bounds`).
    """

    entries: list[Entry]
    scores: dict[str, list[stats.ScoreRow | None]]
    better: dict[str, stats.Better]
    unit: dict[str, str]
    images: int
    dataset: str
    protocol: str
    level: float
    resamples: int
    counted: dict[str, int] = field(default_factory=dict)
    not_ranked: dict[str, dict[int, str]] = field(default_factory=dict)
    tiers: Tiers = APART
    bounds: dict[Tier, dict[str, Bound]] = field(default_factory=dict)


def common_images(values: Sequence[np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """Which images rows are compared on, and for each row why it cannot be ("" where it can).

    An image counts when any row has a value for it; where a metric cannot score an image for its size or its sources,
    no row has one. A row that lacks a value that another one has is not comparable: else a method could leave out the
    images on which it does badly.

    Args:
        values: (runs, n) or (n,) of every row, NaN where there is no value.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.comparison import common_images
        >>> mask, why = common_images([np.array([1.0, 2.0, np.nan]), np.array([3.0, np.nan, np.nan])])
        >>> mask.tolist(), why[0] == ""
        ([True, True, False], True)
        >>> why[1]
        'has a value for only 1 of the 2 images that other rows have values for'
    """
    whole = [np.isfinite(np.atleast_2d(row)).all(axis=0) for row in values]
    mask = np.logical_or.reduce(whole) if whole else np.zeros(0, bool)
    count = int(mask.sum())
    text = f"of the {count} images that other rows have values for"
    return mask, [
        "" if count and (has >= mask).all() else f"has a value for only {int(has.sum())} {text}" for has in whole
    ]


def compare_results(
    paths: Results,
    *,
    scores: Sequence[str] = (),
    resamples: int = stats.RESAMPLES,
    level: float = stats.LEVEL,
    seed: int = 0,
    tiers: Tiers = APART,
) -> Comparison:
    """Compare results (files, or folders of them) score by score.

    ``scores``: patterns of score keys such as ``mse_min@*``; by default the averages over the numbers of inputs
    (``@mean``) and every key without a column, in the usual unit. The former name ``@avg4`` is understood.
    ``tiers``: "together" ranks submitted predictions in one table with rows that were scored from weights.

    Raises:
        UsageError, DataError, NotComparableError: as :func:`read_entries`; no score fits the patterns.
    """
    return compare_entries(read_entries(paths), scores=scores, resamples=resamples, level=level, seed=seed, tiers=tiers)


def compare_entries(
    entries: list[Entry],
    *,
    scores: Sequence[str] = (),
    resamples: int = stats.RESAMPLES,
    level: float = stats.LEVEL,
    seed: int = 0,
    tiers: Tiers = APART,
) -> Comparison:
    """The same as :func:`compare_results`, of entries that were read already.

    Raises:
        UsageError: no score fits the patterns.
    """
    every = sorted({key for entry in entries for key in (*entry.values, *entry.lacking)}, key=_by_column)
    if scores:
        keys = list(dict.fromkeys(key for pattern in scores for key in every if matches(key, pattern)))
    else:
        metrics = {key.partition("@")[0] for key in every}
        keys = [
            key
            for key in sorted(every, key=metric_order)
            if key.partition("@")[2] in ("", MEAN) and SECONDARY.get(key.partition("@")[0]) not in metrics
        ]
    if not keys:
        raise UsageError(f"no score fits {', '.join(scores) or 'the default'}; there are: {', '.join(every) or 'none'}")
    table: dict[str, list[stats.ScoreRow | None]] = {}
    counted: dict[str, int] = {}
    not_ranked: dict[str, dict[int, str]] = {}
    for key in keys:
        why = {i: entry.lacking[key] for i, entry in enumerate(entries) if key in entry.lacking}
        better = _score(entries, key).better
        table[key] = [None] * len(entries)
        having = [i for i, entry in enumerate(entries) if key in entry.values]
        # Cut runs are compared among themselves: they get means and intervals here; their ranks are not shown.
        for members, cut in [(tier_group, cut) for tier_group in ranked_groups(tiers) for cut in (False, True)]:
            group = [i for i in having if entries[i].tier in members and entries[i].cut == cut]
            mask, reasons = common_images([entries[i].values[key] for i in group])
            why |= {i: reason for i, reason in zip(group, reasons, strict=True) if reason}
            group = [i for i in group if i not in why]
            counted[key] = max(counted.get(key, 0), int(mask.sum()))
            if group:
                made = [entries[i].values[key][:, mask] for i in group]
                trained = [is_trained(entries[i]) for i in group]
                rows = stats.compare(made, better, resamples=resamples, level=level, seed=seed, trained=trained)
                for i, row in zip(group, rows, strict=True):
                    table[key][i] = row
        not_ranked[key] = why
    identity = entries[0].results[0].identity
    return Comparison(
        entries=entries,
        scores=table,
        better={key: _score(entries, key).better for key in keys},
        unit={key: _score(entries, key).unit for key in keys},
        images=identity.dataset.n,
        dataset=f"{identity.dataset.name} {identity.dataset.version} {identity.dataset.split}",
        protocol=f"{identity.protocol.name} {identity.protocol.version}",
        level=level,
        resamples=resamples,
        counted=counted,
        not_ranked=not_ranked,
        tiers=tiers,
        bounds=copy_bounds(entries, keys),
    )


def is_trained(entry: Entry) -> bool:
    """Whether another training seed would change the numbers of a row: its results say how they were trained.

    Example:
        >>> from fusionbench.results.comparison import Entry, is_trained
        >>> is_trained(Entry([]))
        False
    """
    return any(result.identity.training is not None for result in entry.results)


def _by_column(key: str) -> tuple[str, tuple[int, int, str]]:
    """Sort key for score keys: metrics by name, their columns in order."""
    return key.partition("@")[0], column_order(key)


def _score(entries: Sequence[Entry], key: str) -> Score:
    """A score that says direction and unit of a key, which are the same in all results that have it."""
    return next(result.scores[key] for entry in entries for result in entry.results if key in result.scores)
