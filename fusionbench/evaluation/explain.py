"""Which definition gives a published number: every dialect, usual slip and treatment on the same images.

found = explain("ssim", "1.03", rows)       # rows: from fusionbench.evaluation.image_files.pair_files
found[0].dialect, found[0].value, found[0].agrees, found[0].chance

Whole rows of a table: :mod:`fusionbench.evaluation.explain_row`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fusionbench.core.image_ranges import Ranges
from fusionbench.evaluation.coincidence import LIKELY, PrintedNumber
from fusionbench.evaluation.definitions import Way, scored_metric, ways
from fusionbench.evaluation.image_files import Triple, fit_rows
from fusionbench.metrics.dialects import STANDARD


@dataclass(frozen=True)
class Candidate:
    """One way to a number.

    Attributes:
        metric, dialect: which definition.
        slip: what else was done to value or images ("" for nothing): halved, doubled, nats, JPEG, …
        value: mean over the images.
        difference: value minus the number asked about.
        agrees: whether it rounds to the number in the digits it was given with.
        note: what the dialect does differently.
        chance: where it agrees, the share of invented numbers like this one that it, or a definition at least as plain,
            would be found for (:mod:`fusionbench.evaluation.coincidence`).
    """

    metric: str
    dialect: str
    slip: str
    value: float
    difference: float
    agrees: bool
    note: str = ""
    chance: float | None = None

    @property
    def name(self) -> str:
        """Definition and slips in words."""
        return f"{self.metric} in {self.dialect}" + (f", {self.slip}" if self.slip else "")


def explain(
    metric: str, number: str | float, rows: Sequence[Triple], *, task: Any = None, ranges: Ranges | None = None
) -> list[Candidate]:
    """Every candidate for ``number`` as the mean of ``metric`` over ``rows``, nearest first.

    ``number`` as text keeps its digits: "0.54" agrees with 0.5352. Of candidates with one value the plainest is kept.

    ``ranges``: which values of the files are black and white (docs/images.md).

    Raises:
        UsageError: unknown metric, one that does not score fused images, or something that is no number.
        DataError: an image that cannot be read.
    """
    asked = PrintedNumber.parse(number)
    scored_metric(metric)
    ranges = fit_rows(ranges or Ranges(), rows)
    return candidates_of(asked, ways([metric], rows, ranges, task))


def candidates_of(asked: PrintedNumber, found: Sequence[Way]) -> list[Candidate]:
    """Ways to values as candidates for a number: nearest first, those that agree before all others."""
    # the chance of an agreeing candidate counts all values that take no more assumptions than it
    chances = {steps: asked.chance(way.value for way in found if way.steps <= steps) for steps in range(5)}
    ranked = sorted(found, key=lambda way: _rank(asked, way))
    return _distinct([_candidate(asked, way, chances[min(way.steps, 4)]) for way in ranked])


def verdict(asked: PrintedNumber, candidates: Sequence[Candidate], tried: int) -> str:
    """What the candidates say about a number, in a sentence.

    Example:
        >>> from fusionbench.evaluation.coincidence import PrintedNumber
        >>> from fusionbench.evaluation.explain import verdict
        >>> verdict(PrintedNumber.parse("77.7"), [], 40)
        'no known definition gives 77.7: 40 values were tried; the images, their order or the set may differ'
    """
    best = candidates[0] if candidates else None
    if best is None or not best.agrees or best.chance is None:
        return (
            f"no known definition gives {asked.text}: {tried} values were tried; the images, their order or the set "
            "may differ"
        )
    if best.chance <= LIKELY:
        return f"{best.name} gives {asked.text}; {share(best.chance, 'invented numbers')} would be matched as plainly"
    return (
        f"{asked.text} may be a coincidence: {share(best.chance, 'invented numbers')} like it are matched as plainly "
        "as by the first line; give more digits or a whole row"
    )


def share(chance: float, what: str = "") -> str:
    """A probability for people: percent, or one in how many; ``what`` it is a part of.

    Example:
        >>> from fusionbench.evaluation.explain import share
        >>> share(0.123, "rows"), share(0.012), share(4.02e-5, "rows"), share(2e-13)
        ('12 % of rows', '1.2 %', '1 in 25,000 rows', '1 in 5e+12')
    """
    if chance >= 0.001:
        return f"{100 * chance:.2g} %" + (f" of {what}" if what else "")
    rare = 1 / chance if chance > 0 else math.inf
    rounded = f"{float(f'{rare:.2g}'):,.0f}" if rare < 1e6 else f"{rare:.1g}"
    return f"1 in {rounded}" + (f" {what}" if what else "")


def _candidate(asked: PrintedNumber, way: Way, chance: float) -> Candidate:
    agrees = asked.agrees(way.value)
    return Candidate(
        way.metric,
        way.dialect,
        ", ".join(filter(None, (way.slip, way.variant, way.treatment))),
        way.value,
        way.value - asked.value,
        agrees,
        way.note,
        chance if agrees else None,
    )


def _rank(asked: PrintedNumber, way: Way) -> tuple[object, ...]:
    """Nearest first; among those that agree in the digits given, the plainest first."""
    difference = abs(way.value - asked.value)
    if asked.agrees(way.value):
        return (0, way.steps, way.dialect != STANDARD, difference)
    return (1, difference, way.steps, way.dialect != STANDARD)


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates of different values: what differs by less than 1e-9 relative is the same definition."""
    kept: list[Candidate] = []
    seen: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        # equal values lie in one bucket or in neighbours
        bucket = round(math.log(abs(candidate.value)) * 1e6) if abs(candidate.value) > 1e-9 else -(10**12)
        near = [other for place in (bucket - 1, bucket, bucket + 1) for other in seen.get(place, [])]
        if not any(math.isclose(candidate.value, other.value, rel_tol=1e-9, abs_tol=1e-12) for other in near):
            kept.append(candidate)
            seen.setdefault(bucket, []).append(candidate)
    return kept
