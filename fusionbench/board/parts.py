"""The parts of a table from top to bottom: models with papers' rows in place, then trivial rows, then the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusionbench.board.order import mean_place, place_among
from fusionbench.board.page_model import Benchmark, BoardRow, Kind
from fusionbench.results.tiers import Tier

UNRANKED: dict[Kind, str] = {
    "cut": "Training cut short: not ranked",
    "replaced": "Replaced by a newer submission: not ranked",
    "published": "As published: not measured by us, not ranked",
}
TIERS: dict[Kind, Tier] = {"ranked": "weights", "stretched": "stretched", "predictions": "predictions"}


@dataclass(frozen=True)
class Part:
    """One body of the table; ``css`` is its class, ``base`` whether it has the trivial rows that stay below."""

    css: str
    heading: str
    rows: list[BoardRow]
    base: bool = False


def _mean_rank(row: BoardRow, benchmark: Benchmark) -> tuple[bool, float]:
    """The mean rank that the summary tells; behind it rows that lack a metric, by the ranks that they have."""
    known = None if row.mean_rank is None else row.mean_rank.value
    return (True, mean_place(row, benchmark.shown)) if known is None else (False, known)


def parts(benchmark: Benchmark, headings: Mapping[Tier, str]) -> list[Part]:
    """Every body of a benchmark's table that has rows."""
    found = []
    placed = [row for row in benchmark.kind("published") if row.part is not None]
    for kind, tier in TIERS.items():
        models = sorted(benchmark.models(kind), key=lambda row: _mean_rank(row, benchmark))
        here = list(models)
        published = [row for row in placed if row.part == kind]
        for row in sorted(published, key=lambda row: place_among(row, models, benchmark), reverse=True):
            here.insert(max(place_among(row, models, benchmark), 1), row)  # nothing unmeasured opens a table
        trivial = [row for row in benchmark.kind(kind) if row.family == "trivial"]
        line = [row for row in benchmark.kind("bound") if row.part == kind]
        if here:
            found.append(Part(kind, headings[tier], here))
        if trivial:
            ranked = "ranked with the models above, kept below them" if models else "no model is ranked here yet"
            found.append(Part(kind, f"Trivial rows, which do not fuse: {ranked}", [*trivial, *line], True))
    for kind, heading in UNRANKED.items():
        rows = [row for row in benchmark.kind(kind) if row not in placed]
        if rows:
            found.append(Part(kind, heading, rows))
    return found
