"""Scores of one fused image and its pair, and a result filled with those of all pairs.

Metrics in ``standard/1`` have keys without a column and are ranked; in the dialect ``cddfuse`` they have the keys
``metric@cddfuse`` and stand beside published rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.metrics.engine import TABLE, available, choose
from fusionbench.metrics.facts import fact_lines, facts
from fusionbench.metrics.undefined import NotAvailable, grouped, measure
from fusionbench.results.clipping import COLUMN, clipped_mean, clipped_remark, clipped_share
from fusionbench.results.full_range import full_range_columns, full_range_of, spans_full_range
from fusionbench.results.schema import Result, summarise

if TYPE_CHECKING:
    from fusionbench.evaluation.pair_sets import PairSet

METRICS = (*TABLE, "cc")
DIALECT = "cddfuse"


class ScoredImage(NamedTuple):
    """What :func:`score_pair` gives of one fused image.

    Attributes:
        values: every score of the protocol by its key, NaN where there is none, and the clipped share.
        missing: why there is none, by key.
        facts: what :func:`fusionbench.metrics.facts.facts` finds.
        full: whether it reaches from black to white.
        source_full: whether a source does.
    """

    values: dict[str, float]
    missing: dict[str, NotAvailable]
    facts: list[str]
    full: bool
    source_full: bool


def records() -> dict[str, Any]:
    """Score key -> metric record.

    Example:
        >>> from fusionbench.evaluation.pair_scores import records
        >>> records()["mi"].unit, records()["mi@cddfuse"].unit
        ('bits', 'nats')
    """
    found = {metric.name: metric for metric in choose(METRICS)}
    return found | {f"{m.name}@{DIALECT}": m for m in choose(available(DIALECT, METRICS), DIALECT)}


def score_pair(fused: np.ndarray, pair: np.ndarray, name: str) -> ScoredImage:
    """The scores of one fused uint8 (h, w) with its pair (2, h, w).

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.pair_scores import score_pair
        >>> pair = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8)
        >>> found = score_pair(pair[0], pair, "one")
        >>> round(found.values["sd"], 1) == round(float(pair[0].std()), 1), found.facts, found.missing["scd"].cause
        (True, ['copy 0'], 'fused')
    """
    values: dict[str, float] = {}
    missing: dict[str, NotAvailable] = {}
    for dialect, tail in (("standard/1", ""), (DIALECT, f"@{DIALECT}")):
        metrics = choose(available(dialect, METRICS), dialect)
        try:
            found, why = measure(fused, pair[0], pair[1], metrics, name)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        values |= {f"{metric}{tail}": value for metric, value in found.items()}
        missing |= {f"{metric}{tail}": reason for metric, reason in why.items()}
    values[COLUMN] = clipped_share(fused, [*pair])  # after the metrics, which refuse other sizes
    spans = spans_full_range(fused), any(spans_full_range(view) for view in pair)
    return ScoredImage(values, missing, facts(fused, [*pair]), *spans)


def fill_result(result: Result, pairs: PairSet, scored: Sequence[ScoredImage]) -> dict[str, Any]:
    """Fill the scores of one result and what is remarkable about its images; its table per image, by column.

    Args:
        scored: of every pair, what :func:`score_pair` gives.

    Example:
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pair_scores import fill_result, score_pair
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> pairs = open_pairs("pairs-demo", "all", None)
        >>> result = evaluate_pairs(create_model("copy-a", ImageSpec(1, 256, 256, 2)), pairs, out=None, device="cpu")
        >>> scored = [score_pair(pair[1], pair, stem) for stem, pair in zip(pairs.stems, pairs)]
        >>> table = fill_result(result, pairs, scored)
        >>> len(table["sd"]), result.full_range.stretched
        (3, False)
    """
    rows, reasons = [one.values for one in scored], [one.missing for one in scored]
    for key, metric in records().items():
        missing_here = grouped((stem, why.get(key)) for stem, why in zip(pairs.stems, reasons, strict=True))
        column = np.array([row[key] for row in rows], np.float64)
        result.scores[key] = summarise(column, metric.better, metric.unit, missing_here)
    flags = full_range_columns([(one.full, one.source_full) for one in scored])
    counts = full_range_of({name: np.array(column) for name, column in flags.items()})
    assert counts is not None
    result.full_range = counts
    lines = fact_lines(
        zip(pairs.stems, (one.facts for one in scored), strict=True), len(pairs), ("source a", "source b")
    )
    if counts.stretched and result.identity.protocol.params.get("stretch") is not True:
        lines.append(f"stretched image by image: {counts.text}; ranked among stretched rows")
    if remark := clipped_remark(clipped_mean({COLUMN: np.array([row[COLUMN] for row in rows])})):
        lines.append(remark)
    if lines:
        result.provenance["remarks"] = lines
    return {"id": pairs.stems} | {key: [row[key] for row in rows] for key in rows[0]} | flags
