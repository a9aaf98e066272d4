"""What several metrics say together: mean ranks with intervals, and how much the metrics agree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fusionbench.board.page_model import Benchmark, BoardRow, Cell, Column
from fusionbench.results import bootstrap as stats
from fusionbench.results.comparison import common_images

MAX_RESAMPLES = 2000  # of the mean rank: its interval is shown with two digits
MEAN_RANK = "mean-rank"  # key of its interval in a row
_NORMAL = 1.96  # half a 95 % interval in standard deviations
MIN_ROWS = 4  # a rank correlation of three rows is one of four numbers


@dataclass(frozen=True)
class Agreement:
    """Spearman's correlation of two metrics over ``rows`` rows, directions aligned: 1 where both rank alike."""

    value: float | None
    rows: int


def ranking_columns(benchmark: Benchmark) -> list[Column]:
    """The columns that rank, of the metrics that are shown at first."""
    return [column for group in benchmark.groups if not group.hidden for column in group.columns if column.rank_key]


def add_mean_ranks(benchmark: Benchmark, resamples: int) -> bool:
    """Give every ranked row with all metrics the mean of its ranks, and its 95 % interval; whether there are any.

    Each resample draws one set of images for all models and all metrics, so what an image does to two metrics at
    once stays together. Rows that lack a metric take no part, neither as a row nor as a rival.
    """
    return any(
        [_add_mean_ranks(benchmark.kind(kind), benchmark, resamples) for kind in ("ranked", "stretched", "predictions")]
    )


def _add_mean_ranks(rows: list[BoardRow], benchmark: Benchmark, resamples: int) -> bool:
    """The same among the rows of one kind."""
    # a metric that can score no image of the set (too small ones, say) ranks no model
    columns = [c for c in ranking_columns(benchmark) if any(row.cells[c.key].value is not None for row in rows)]
    rows = [row for row in rows if row.entry and all(c.key in row.entry.values for c in columns)]
    rows = [row for row in rows if all(row.cells[c.key].value is not None for c in columns)]
    if len(columns) < 2 or len(rows) < 2:
        return False
    # images that every metric can score, so that one resample of them serves all metrics
    mask = np.logical_and.reduce([common_images(_values(rows, column))[0] for column in columns])
    if not mask.any():
        return False
    drawn = np.zeros((len(columns), min(resamples, MAX_RESAMPLES), len(rows)), np.float32)
    seen = np.zeros(len(rows))
    training = np.random.default_rng(0).standard_normal(drawn.shape[1:])  # one luck of a row for all of its metrics
    for place, column in zip(drawn, columns, strict=True):
        values = [row[:, mask] for row in _values(rows, column)]
        means = stats.bootstrap_means(values, len(place))  # one seed: the same images for every metric
        means = means + training * _training_spread(rows, column)
        for start in range(0, len(means), 250):
            place[start : start + 250] = stats.ranks(means[start : start + 250], column.better)
        seen += stats.ranks(np.array([value.mean() for value in values]), column.better)
    low, high = stats.interval(drawn.sum(axis=0, dtype=float) / len(columns))
    may_lead = not_behind(drawn, seen)
    for row, mean, least, most, leads in zip(rows, seen / len(columns), low, high, may_lead, strict=True):
        row.may_lead = bool(leads) and int(mask.sum()) >= stats.MIN_RANKED
        note = f"mean rank over {len(columns)} metrics, 95 % interval; {len(rows)} rows have all of them"
        note += (
            "" if mask.all() else f"; from the {int(mask.sum()):,} of {len(mask):,} images that all metrics can score"
        )
        row.intervals[MEAN_RANK] = (float(least), float(most))
        row.mean_rank = Cell(f"{mean:.2f} ({least:.2f}–{most:.2f})", float(mean), note)
    return True


def _training_spread(rows: list[BoardRow], column: Column) -> np.ndarray:
    """Standard deviation (rows,) that gives a row's mean the interval that the table takes for another training.

    Towards the better side it is positive, so that a lucky training is lucky in all metrics at once: with that their
    mean moves most.
    """
    factors = (row.factors.get(column.key, (0.0, 0.0, 0.0))[1:] for row in rows)
    halves = [factor * math.sqrt(variance) if variance > 0 else 0.0 for factor, variance in factors]
    spread: np.ndarray = np.nan_to_num(np.array(halves), posinf=1e9) / _NORMAL
    return -spread if column.better == "lower" else spread


def not_behind(drawn: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Which rows are not separable from the best: ranks (metrics, resamples, rows), their sums as measured -> (rows,).

    The differences of all pairs hold at once at 95 %: the band is as wide as the largest of them, in units of its own
    spread, is in 95 % of the resamples, so that the choice of the best by the same images costs nothing. A sum of ranks
    varies with rows that change places far behind, too, so that the band alone says little of such rows: one that
    another row is ahead of in every metric and every resample is behind that, however wide the band is.
    """
    sums = drawn.sum(axis=0, dtype=float)
    spread = np.empty((len(seen), len(seen)))
    largest = np.zeros(len(sums))
    for i in range(len(seen)):
        gaps = sums - sums[:, i : i + 1]
        spread[i] = gaps.std(axis=0)
        away = np.abs(gaps - (seen - seen[i]))
        away = np.divide(away, spread[i], out=np.zeros_like(away), where=spread[i] > 0)
        largest = np.maximum(largest, away.max(axis=1))
    best = int(np.argmin(seen))
    result: np.ndarray = seen - seen[best] <= np.quantile(largest, stats.LEVEL) * spread[best]
    for row in np.flatnonzero(result):
        result[row] = not (drawn < drawn[..., row : row + 1]).all(axis=(0, 1)).any()
    return result


def _values(rows: list[BoardRow], column: Column) -> list[np.ndarray]:
    return [row.entry.values[column.key] for row in rows if row.entry is not None]


def agreement(benchmark: Benchmark) -> tuple[list[Column], list[list[Agreement]]]:
    """Spearman's correlation between every two metrics over the ranked rows of this board.

    +1: the two metrics order the rows alike; −1: what one calls best the other calls worst.
    """
    columns = ranking_columns(benchmark)
    rows = benchmark.kind("ranked")
    return columns, [[_spearman(rows, one, other) for other in columns] for one in columns]


def _spearman(rows: list[BoardRow], one: Column, other: Column) -> Agreement:
    pairs = [(row.cells[one.key].value, row.cells[other.key].value) for row in rows]
    known = np.array([pair for pair in pairs if None not in pair], np.float64).reshape(-1, 2)
    if len(known) < MIN_ROWS:
        return Agreement(None, len(known))
    placed = [_average_ranks(values) for values in known.T]
    if any(values.std() == 0 for values in placed):
        return Agreement(None, len(known))
    sign = 1.0 if one.better == other.better else -1.0
    return Agreement(sign * float(np.corrcoef(placed)[0, 1]), len(known))


def _average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of their places."""
    below = (values[:, None] > values).sum(axis=1)
    result: np.ndarray = below + ((values[:, None] == values).sum(axis=1) + 1) / 2
    return result
