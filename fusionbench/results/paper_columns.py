"""The columns of a table for a paper: scores by the names that people give them, in their order, and what rows cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.metrics.dialects import DIALECTS
from fusionbench.metrics.engine import TABLE
from fusionbench.metrics.symbols import Symbol, symbol_of
from fusionbench.results.bootstrap import Better
from fusionbench.results.comparison import SECONDARY, Entry, metric_order
from fusionbench.results.input_means import MEAN, PAPER_MEAN, is_count, matches
from fusionbench.results.tracks import UNNAMED

COSTS = {  # name -> field of a result's cost, head, factor
    "params": ("parameters", "Params (M)", 1e-6),
    "time": ("ms_per_image", "Time (ms)", 1.0),
    "memory": ("peak_mib", "Memory (MiB)", 1.0),
    "hours": ("train_hours", "Training (h)", 1.0),
}
_COST_NAMES = {"parameters": "params", "ms_per_image": "time", "peak_mib": "memory", "train_hours": "hours"}
_UNITS_IN_HEADS = ("nats", "bits/dim")  # a likelihood says nothing without them; other metrics have one usual unit
_WORDS = {MEAN: "mean", PAPER_MEAN: "paper's mean"}


@dataclass(frozen=True)
class PaperColumn:
    """A column.

    Attributes:
        key: the score's key; for what rows cost a name of :data:`COSTS`.
        better: None for what rows cost, which takes no marks.
        column: what stands behind the ``@``: a dialect, a number of inputs, an average, or nothing.
    """

    key: str
    kind: Literal["score", "cost"]
    symbol: Symbol
    better: Better | None
    unit: str
    column: str = ""

    @property
    def metric(self) -> str:
        return self.key.partition("@")[0]

    @property
    def dialect(self) -> str:
        """Whose definition it is, "" for the standard one and where there are no dialects."""
        return self.column if self.column in (*DIALECTS, UNNAMED) else ""

    @property
    def under(self) -> str:
        """What the second line of the head says: the number of inputs, or the average over them."""
        if is_count(self.column):
            return f"N = {self.column}"
        return "" if self.dialect else _WORDS.get(self.column, self.column)

    @property
    def unit_shown(self) -> str:
        return self.unit if self.unit in _UNITS_IN_HEADS else ""


def choose_columns(wanted: Sequence[str], entries: Sequence[Entry]) -> list[PaperColumn]:
    """The columns in the order of ``wanted``; without names those that a comparison shows, in the field's order.

    A name is a metric's key, its label or its symbol, in any case (``EN``, ``Qabf``, ``Q^{AB/F}``); with ``@`` the
    column (``VIF@cddfuse``, ``nll_bpd@2``), or a pattern (``mse_min@*``); or what rows cost: ``params``, ``time``,
    ``memory``, ``hours``. Of a metric without ``@`` it is the standard definition, or the mean over inputs.

    Raises:
        UsageError: a name that fits nothing, or a column twice.
    """
    kinds = {key: score for entry in entries for one in entry.results for key, score in one.scores.items()}
    every = sorted(kinds, key=metric_order)
    names = [name.strip() for name in wanted if name.strip()]
    keys = [key for name in names for key in _fitting(name, every)] if names else _usual(every)
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise UsageError(f"--metrics names {twice} twice; name each column once")
    if not keys:
        raise UsageError("these results have no score that tables show; name columns with --metrics")
    return [_column(key, kinds[key].better, kinds[key].unit) if key in kinds else _cost(key) for key in keys]


def _column(key: str, better: Better, unit: str) -> PaperColumn:
    metric, _, column = key.partition("@")
    return PaperColumn(key, "score", symbol_of(metric), better, unit, column)


def _cost(name: str) -> PaperColumn:
    head = COSTS[name][1]
    return PaperColumn(name, "cost", Symbol(head, head), None, "")


def _usual(every: Sequence[str]) -> list[str]:
    """What is shown unasked: the field's eight columns first, one column a metric, no unit twice."""
    metrics = {key.partition("@")[0] for key in every}
    found = [
        key
        for key in every
        if key.partition("@")[2] in ("", MEAN) and SECONDARY.get(key.partition("@")[0]) not in metrics
    ]
    place = {name: number for number, name in enumerate(TABLE)}
    return sorted(found, key=lambda key: place.get(key, len(place)))


def _plain(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.casefold())


def _fitting(name: str, every: Sequence[str]) -> list[str]:
    """The keys that a name means.

    Raises:
        UsageError: none.
    """
    if any(letter in name for letter in "*?["):
        found = [key for key in every if matches(key, name)]
        if not found:
            raise UsageError(f"no score fits the pattern {name!r}; there are: {', '.join(every)}")
        return found
    asked, _, column = name.partition("@")
    metrics = dict.fromkeys(key.partition("@")[0] for key in every)
    metric = metric_named(asked, metrics)
    if metric is None:
        cost = _COST_NAMES.get(asked.casefold(), asked.casefold())
        if cost in COSTS and not column:
            return [cost]
        raise unknown_name("metric of these results", asked.casefold(), [*metrics, *COSTS])
    keys = {key.partition("@")[2]: key for key in every if key.partition("@")[0] == metric}
    wanted = [column.casefold().removeprefix("n=").strip()] if column else ["", MEAN]
    found = [keys[one] for one in wanted if one in keys][:1]
    if not found:
        raise unknown_name(f"column of {metric}", column, filter(None, keys))
    return found


def metric_named(asked: str, metrics: Iterable[str]) -> str | None:
    """The metric with this key; else the first with this label or symbol; None where there is none.

    Example:
        >>> from fusionbench.results.paper_columns import metric_named
        >>> metric_named("Q^{AB/F}", ["sd", "qabf"]), metric_named("SD", ["sd"]), metric_named("speed", ["sd"])
        ('qabf', 'sd', None)
    """
    wanted = _plain(asked)
    names = list(metrics)
    by_key: Mapping[str, str] = {_plain(metric): metric for metric in names}
    if wanted in by_key:
        return by_key[wanted]
    for metric in names:
        symbol = symbol_of(metric)
        if wanted in (_plain(symbol.label), _plain(symbol.base + symbol.lower + symbol.upper)):
            return metric
    return None
