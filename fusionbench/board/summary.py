"""Who wins a benchmark, by how much, how surely: what a page says before its table, worked out before any HTML.

There is no overall score. Who is ahead is said by the mean of the ranks over all metrics alike, with the rows that
cannot be told apart from the best; and metric by metric, where rows whose sets of ranks have a 1 may be first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.board.page_model import Benchmark, BoardRow, Column, ColumnGroup, Kind
from fusionbench.results import bootstrap as stats

NAMED = 3  # rows that a sentence lists before it counts the others
RANKED: tuple[Kind, ...] = ("ranked", "stretched", "predictions")


@dataclass(frozen=True)
class Margin:
    """How much better a row is than another: positive where it is better, with the interval of the table.

    Texts have the difference as it is measured: a lower error is a negative one.
    """

    mean: float
    low: float
    high: float
    places: int
    better: stats.Better

    @property
    def sure(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    @property
    def text(self) -> str:
        return _signed(self._measured(self.mean), self.places)

    @property
    def limits(self) -> str:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return "no interval"
        low, high = sorted((self._measured(self.low), self._measured(self.high)))
        return f"{_signed(low, self.places)} to {_signed(high, self.places)}"

    def _measured(self, value: float) -> float:
        return value if self.better == "higher" else -value


def _signed(value: float, places: int) -> str:
    return f"{value:+.{places}f}".replace("-", "−")


@dataclass(frozen=True)
class MetricVerdict:
    """What one metric says.

    Attributes:
        contenders: the rows that may be first, the best mean first; one alone is first for sure.
        model: the best row that is no trivial one, ``trivial`` the best trivial one; ``margin``: of the two.
        bound: what copying reaches, as text; ``beyond``: whether the best model is better than that.
    """

    group: ColumnGroup
    contenders: list[BoardRow]
    model: BoardRow | None
    trivial: BoardRow | None
    margin: Margin | None
    bound: str
    beyond: bool | None

    @property
    def sure(self) -> bool:
        return len(self.contenders) == 1

    @property
    def named(self) -> str:
        return listed(self.contenders)

    @property
    def unit(self) -> str:
        return "" if self.group.unit in ("", "1") else f" {self.group.unit}"


@dataclass(frozen=True)
class Summary:
    """What is said about the rows of one kind.

    Attributes:
        ahead: rows whose mean rank is not separable from the best one, that one first, and those that may be first in
            every metric; of a single metric, those that may be first. None where there is nothing to rank.
        rows, models: how many are ranked, and of these no trivial ones.
        leader: the best row by mean rank that is not trivial, ``margins``: metric by metric, to the best trivial row of
            each.
    """

    kind: Kind
    images: int
    enough: bool
    rows: int
    models: int
    ahead: list[BoardRow]
    verdicts: list[MetricVerdict]
    leader: BoardRow | None
    margins: list[tuple[ColumnGroup, Margin, BoardRow]]

    @property
    def decided(self) -> list[MetricVerdict]:
        return [one for one in self.verdicts if one.sure]

    @property
    def open(self) -> list[MetricVerdict]:
        return [one for one in self.verdicts if len(one.contenders) > 1]

    @property
    def against_trivial(self) -> list[tuple[str, list[tuple[ColumnGroup, Margin, BoardRow]]]]:
        """The leader's margins by what is known of them, in words; without those that have no metric."""
        kinds: dict[str, list[tuple[ColumnGroup, Margin, BoardRow]]] = {
            "better, for sure": [one for one in self.margins if one[1].low > 0],
            "not decided": [one for one in self.margins if not one[1].sure],
            "worse, for sure": [one for one in self.margins if one[1].high < 0],
        }
        return [(words, found) for words, found in kinds.items() if found]

    @property
    def headline(self) -> str:
        """One line for lists of benchmarks."""
        if not self.models:
            return "no model is ranked yet"
        if not self.enough:
            return f"not decided: {self.images} images are too few for ranks"
        if self.rows == 1:
            return f"only {listed(self.ahead)} is ranked"
        if not self.ahead:
            return "not decided: no two rows have all metrics"
        if len(self.ahead) == 1:
            return f"{called(self.ahead[0])} is ahead, for sure"
        return f"not decided between {listed(self.ahead)}"


def called(row: BoardRow) -> str:
    """A row's title, and that it is trivial."""
    return f"{row.title} (trivial)" if row.family == "trivial" else row.title


def listed(rows: Sequence[BoardRow], most: int = NAMED) -> str:
    """Titles as a sentence has them: A, B, C and 4 more."""
    counts = Counter(map(called, rows))  # variants of a model may have one title
    names = [f"{name} ({count} rows)" if count > 1 else name for name, count in counts.items()]
    if len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} more"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def summaries(benchmark: Benchmark) -> list[Summary]:
    """What is said about each kind of ranked rows, that with models first. At least one."""
    found = [_summary(benchmark, kind) for kind in RANKED if benchmark.kind(kind)]
    return sorted(found, key=lambda one: not one.models) or [_summary(benchmark, "ranked")]


def _summary(benchmark: Benchmark, kind: Kind) -> Summary:
    rows = benchmark.kind(kind)
    verdicts = [verdict for group in benchmark.shown if (verdict := _verdict(benchmark, rows, group)) is not None]
    images = max((len(row.entry.ids) for row in rows if row.entry is not None and row.entry.values), default=0)
    # what no metric tells from the first is not told from it by all together: they may be one metric four times
    leading = [row for row in rows if row.may_lead or (row.mean_rank and all(row in v.contenders for v in verdicts))]
    ahead = sorted(leading, key=_mean_rank)
    if not ahead and len(verdicts) == 1:
        ahead = verdicts[0].contenders
    models = [row for row in rows if row.family != "trivial"]  # rows are in order of their ranks
    placed = sorted((row for row in models if row.mean_rank and row.mean_rank.value), key=_mean_rank)
    leader = next(iter(placed or models), None)  # not of ``ahead``: a row may be in it for its ranks vary most
    margins = []
    for verdict in verdicts:
        margin = leader and verdict.trivial and _margin(leader, verdict.trivial, verdict.group.ranking)
        if margin and verdict.trivial:
            margins.append((verdict.group, margin, verdict.trivial))
    enough = any(row.rank_sets for row in rows)
    if not ahead and len(rows) == 1:
        ahead = rows
    return Summary(kind, images, enough, len(rows), len(benchmark.models(kind)), ahead, verdicts, leader, margins)


def _mean_rank(row: BoardRow) -> float:
    return row.mean_rank.value if row.mean_rank and row.mean_rank.value else 0.0


def _verdict(benchmark: Benchmark, rows: Sequence[BoardRow], group: ColumnGroup) -> MetricVerdict | None:
    """None where no row has a value."""
    column = group.ranking
    sign = 1 if column.better == "lower" else -1
    known = [(sign * value, n) for n, row in enumerate(rows) if (value := row.cells[column.key].value) is not None]
    in_order = [rows[n] for _, n in sorted(known)]
    if not in_order:
        return None
    first = [row for row in in_order if group.metric in row.rank_sets and _may_be_first(row, group)]
    model = next((row for row in in_order if row.family != "trivial"), None)
    trivial = next((row for row in in_order if row.family == "trivial"), None)
    margin = _margin(model, trivial, column) if model and trivial else None
    line = next((row for row in benchmark.kind("bound") if row.part == rows[0].kind), None)
    bound = line.cells[column.key] if line else None
    mine = model.cells[column.key].value if model else None
    beyond = None
    if bound is not None and bound.value is not None and mine is not None:
        beyond = mine < bound.value if column.better == "lower" else mine > bound.value
    return MetricVerdict(group, first, model, trivial, margin, bound.text if bound else "", beyond)


def _may_be_first(row: BoardRow, group: ColumnGroup) -> bool:
    """Whether its set of ranks has a 1, or it cannot be told apart from the best mean."""
    return row.rank_sets[group.metric][0] == 1 or row.ranks[group.metric].tied


def _margin(row: BoardRow, other: BoardRow, column: Column) -> Margin | None:
    """How much better ``row`` is than ``other``, image by image, with the interval that holds for all pairs at once."""
    if row.entry is None or other.entry is None or row.cells[column.key].value is None:
        return None
    mine, theirs = (one.entry.values[column.key].mean(axis=0) for one in (row, other) if one.entry is not None)
    gaps = (theirs - mine) if column.better == "lower" else (mine - theirs)
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return None
    images, seeds, variance = row.factors.get(column.key, (math.inf, 0.0, 0.0))
    half = math.inf
    if len(gaps) >= stats.MIN_RANKED and math.isfinite(images):
        spread = float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
        seed_part = seeds * math.sqrt(variance + other.factors.get(column.key, (0.0, 0.0, 0.0))[2]) if seeds else 0.0
        half = math.hypot(images * spread, seed_part)
    mean = float(gaps.mean())
    places = len(row.cells[column.key].text.partition(" ")[0].partition(".")[2])
    return Margin(mean, mean - half, mean + half, places, column.better)
