"""Scores drawn with matplotlib, for notebooks: images as dots, scores by the number of inputs, comparisons.

Every function returns the axes, an array of one for each score, so that a caller can change what it likes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.text import one_line
from fusionbench.results.bootstrap import mean_interval

if TYPE_CHECKING:
    from fusionbench.results.comparison import Comparison

ARROWS = {"higher": "↑", "lower": "↓"}
_BLUE, _GREY, _DOTS = "#1f6f8b", "#8a8f98", "#9cc3cf"


def axes_for(count: int, width: float, height: float, ax: Any = None, rows: int = 1) -> np.ndarray:
    """Axes of a new figure, or the given ones.

    Args:
        count: how many; in ``rows`` rows.
        width, height: of one of them, in inches.
        ax: axes, or a sequence of them, to draw on instead.

    Raises:
        UsageError: too few axes.
    """
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, object)).ravel()
        if len(given) < count:
            raise UsageError(f"{count} scores are drawn on axes of their own, and there are {len(given)}: name fewer")
        return given[:count]
    import matplotlib.pyplot as plt

    columns = -(-count // rows)
    _, found = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained"
    )
    flat: np.ndarray = found.ravel()
    for unused in flat[count:]:
        unused.set_axis_off()
    return flat[:count]


def plain(text: str) -> str:
    """Text that matplotlib draws as it is: no mathematics, no control characters."""
    return one_line(text).replace("$", r"\$")


def plot_dots(values: Mapping[str, np.ndarray], better: Mapping[str, str], ax: Any = None) -> np.ndarray:
    """The values of every image as dots, with their mean and its 95 % interval.

    Args:
        values: head -> values (n,), NaN where an image has none.
        better: head -> ``higher`` or ``lower``.
    """
    found = axes_for(len(values), 1.3, 2.8, ax)
    for axes, (head, column) in zip(found, values.items(), strict=True):
        finite = np.asarray(column, np.float64)[np.isfinite(column)]
        spread = np.linspace(-0.18, 0.18, len(finite)) if len(finite) > 1 else np.zeros(len(finite))
        axes.plot(spread, finite, "o", color=_DOTS, markersize=4, markeredgewidth=0)
        if len(finite):
            mean = math.fsum(finite) / len(finite)
            low, high = (mean_interval(finite) if len(finite) > 1 else None) or (mean, mean)
            axes.errorbar([0], [mean], [[mean - low], [high - mean]], fmt="o", color=_BLUE, capsize=4)
        axes.set_xlim(-0.5, 0.5)
        axes.set_xticks([])
        axes.set_title(f"{plain(head)} {ARROWS.get(better[head], '')}", fontsize=10)
        tidy(axes)
    return found


def plot_by_inputs(
    values: Mapping[str, Mapping[int, np.ndarray]], heads: Mapping[str, str], ax: Any = None
) -> np.ndarray:
    """Means with 95 % intervals against the number of inputs.

    Args:
        values: score -> number of inputs -> values (n,).
        heads: score -> what stands on its axis.
    """
    found = axes_for(len(values), 3.2, 2.6, ax)
    for axes, (name, columns) in zip(found, values.items(), strict=True):
        counts, means = sorted(columns), []
        for count in counts:
            column = np.asarray(columns[count], np.float64)
            mean = math.fsum(column) / len(column)
            low, high = (mean_interval(column) if len(column) > 1 else None) or (mean, mean)
            means.append((mean, mean - low, high - mean))
        middle, down, up = np.array(means).T
        axes.errorbar(counts, middle, [down, up], fmt="o-", color=_BLUE, capsize=4)
        axes.set_xticks(counts)
        axes.set_xlabel("inputs")
        axes.set_ylabel(plain(heads[name]))
        tidy(axes)
    return found


def plot_ranked(comparison: Comparison, scores: Sequence[str], ax: Any = None) -> np.ndarray:
    """Means with their intervals, a line for each model; filled where a model is not separable from the best."""
    from fusionbench.results.tables import label, order

    places = order(comparison)[::-1]
    found = axes_for(len(scores), 3.0, 0.9 + 0.32 * len(places), ax)
    for number, (axes, key) in enumerate(zip(found, scores, strict=True)):
        for line, place in enumerate(places):
            row, entry = comparison.scores[key][place], comparison.entries[place]
            if row is None:
                continue
            colour = _GREY if entry.trivial else _BLUE
            best = row.tied and row.ranked and not entry.cut
            ends = [[row.mean - row.low], [row.high - row.mean]]
            bars = ends if np.isfinite(ends).all() else None
            axes.errorbar([row.mean], [line], xerr=bars, fmt="o", color=colour, capsize=3, mfc=colour if best else "w")
        axes.set_ylim(-0.6, len(places) - 0.4)
        names = [plain(label(comparison.entries[place])) for place in places] if number == 0 else []
        axes.set_yticks(range(len(names)), names, fontsize=9)
        unit = comparison.unit[key]
        axes.set_xlabel(
            plain(f"{key} {ARROWS[comparison.better[key]]}" + (f" ({unit})" if unit not in ("", "1") else ""))
        )
        tidy(axes)
    return found


def tidy(axes: Any) -> None:
    """Axes without a frame, with small numbers."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
