"""What copying reaches at most: for each image, and for each metric anew, the better of the two copied sources.

No method reaches it, since the choice is made for each metric by itself and with the score known. It is a line that a
row has to pass before its score says anything about fusion: below it, copying a source would have done as well.

Example:
    >>> import tempfile
    >>> from fusionbench import create_model
    >>> from fusionbench.core.types import ImageSpec
    >>> from fusionbench.evaluation.pair_sets import open_pairs
    >>> from fusionbench.evaluation.pairs import evaluate_pairs
    >>> from fusionbench.results.copy_bounds import Bound, copy_bounds
    >>> from fusionbench.results.entries import read_entries
    >>> pairs = open_pairs("pairs-demo", "all", None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("copy-a", "copy-b"):
    ...         _ = evaluate_pairs(create_model(name, ImageSpec(1, 256, 256, views=2)), pairs, out=folder, device="cpu")
    ...     entries = read_entries([folder])
    >>> bound = copy_bounds(entries, ["sf", "scd"])["weights"]
    >>> sorted(bound), bound["sf"].images, bool(bound["sf"].mean >= max(e.values["sf"].mean() for e in entries))
    (['sf'], 3, True)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.results import bootstrap as stats
from fusionbench.results.entries import Entry
from fusionbench.results.tiers import Tier

COPIES = ("copy-a", "copy-b")
BOUND_TITLE = "best copy, image by image"
BOUND_NOTE = "for each metric by itself and image by image, the better of the two copied sources"


@dataclass(frozen=True)
class Bound:
    """``mean`` over ``images`` of the better copy, and the direction of the score."""

    mean: float
    images: int
    better: stats.Better

    def passed_by(self, mean: float) -> bool:
        """Whether a mean is better than what copying reaches."""
        return mean < self.mean if self.better == "lower" else mean > self.mean


def copy_bounds(entries: Sequence[Entry], keys: Iterable[str]) -> dict[Tier, dict[str, Bound]]:
    """Tier -> score key -> bound, where both copies of this tier are among ``entries`` and have values.

    Copies are rows of our own models ``copy-a`` and ``copy-b``: a submission may have any name. A score that a copy has
    no mean for (SCD: the difference from its own source is flat) has no bound.
    """
    found: dict[Tier, dict[str, Entry]] = {}
    for entry in entries:
        first = entry.results[0]
        if entry.trivial and first.origin.kind == "run" and first.identity.model.name in COPIES and not entry.cut:
            found.setdefault(entry.tier, {}).setdefault(first.identity.model.name, entry)
    bounds: dict[Tier, dict[str, Bound]] = {}
    for tier, copies in found.items():
        if len(copies) == len(COPIES) and (made := _bounds([copies[name] for name in COPIES], keys)):
            bounds[tier] = made
    return bounds


def _bounds(copies: Sequence[Entry], keys: Iterable[str]) -> dict[str, Bound]:
    bounds = {}
    for key in keys:
        if not all(key in copy.values for copy in copies):
            continue
        better = copies[0].results[0].scores[key].better
        values = np.stack([copy.values[key].mean(axis=0) for copy in copies])
        values = values[:, np.isfinite(values).all(axis=0)]
        if values.size:
            best = values.min(axis=0) if better == "lower" else values.max(axis=0)
            bounds[key] = Bound(stats.mean(best), len(best), better)
    return bounds
