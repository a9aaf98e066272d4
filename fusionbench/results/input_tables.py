"""Scores of masked sets by the number of inputs, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fusionbench.metrics import label_of
from fusionbench.results.input_means import MEAN, column_order, is_count, subsample
from fusionbench.results.schema import Result

if TYPE_CHECKING:
    from rich.table import Table

MAX_COUNTS = 6  # numbers of inputs that fit beside each other on a terminal, nats and bits in each


def by_inputs(results: Sequence[Result], metric: str) -> Table:
    """A rich table of one metric of masked sets: a row a model that has it, a column a number of inputs, their mean.

    Of many numbers of inputs ``MAX_COUNTS`` are shown, spread evenly from none to all; the mean is over all of them.
    Likelihoods show nats and, dimmed, bits per dimension; trivial rows are dimmed, runs cut short say so.

    Example:
        >>> import numpy as np
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.results.schema import summarise
        >>> from fusionbench.results.input_tables import by_inputs
        >>> pairs = open_pairs("pairs-demo", "all", None, limit=1)
        >>> model = create_model("copy-a", ImageSpec(1, 256, 256, views=2))
        >>> result = evaluate_pairs(model, pairs, out=None, device="cpu")
        >>> result.scores = {f"mse_min@{n}": summarise(np.full(3, 0.1), "lower", "1") for n in range(4)}
        >>> [column.header for column in by_inputs([result], "mse_min").columns]
        ['model', 'N = 0', 'N = 1', 'N = 2', 'N = 3', 'mean']
    """
    from rich.markup import escape
    from rich.table import Table

    results = [result for result in results if any(key.partition("@")[0] == metric for key in result.scores)]
    every = {key for result in results for key in result.scores}
    keys = sorted((key for key in every if key.partition("@")[0] == metric), key=column_order)
    counts = [column for key in keys if is_count(column := key.partition("@")[2])]
    columns = [*subsample(counts, MAX_COUNTS), MEAN]
    found = next((result.scores[key] for key in keys for result in results if key in result.scores), None)
    unit = "" if found is None or found.unit in ("", "1") else f" ({found.unit}"
    bits = any(key.startswith(f"{metric}_bpd@") for result in results for key in result.scores)
    unit += "" if not unit else ", bits/dim)" if bits else ")"
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", title_style="bold")
    table.title = f"{escape(label_of(metric) + unit)}, {found.better if found else 'lower'} is better"
    table.add_column("model", min_width=16, no_wrap=True)
    for column in columns:
        table.add_column("mean" if column == MEAN else f"N = {column}", justify="right", no_wrap=True, min_width=8)
    best = {column: _best(results, f"{metric}@{column}") for column in columns}
    for result in results:
        cells = []
        for column in columns:
            score, small = result.scores.get(f"{metric}@{column}"), result.scores.get(f"{metric}_bpd@{column}")
            if score is None or score.mean is None:
                cells.append("–")
                continue
            text = f"{score.mean:.1f}" if bits else f"{score.mean:.4f}"
            text = f"[bold green]{text}[/bold green]" if score.mean == best[column] and not result.cut else text
            if small is not None and small.mean is not None:
                text += f" [dim]{small.mean:.3f}[/dim]"
            cells.append(text)
        name = (result.title or result.identity.model.name) + (" (cut short)" if result.cut else "")
        table.add_row(escape(name), *cells, style="bright_black" if result.family == "trivial" else "")
    return table


def _best(results: Sequence[Result], key: str) -> float | None:
    """The best mean among the runs that were not cut short."""
    scores = [result.scores[key] for result in results if key in result.scores and not result.cut]
    means = [score.mean for score in scores if score.mean is not None]
    if not means:
        return None
    return min(means) if scores[0].better == "lower" else max(means)
