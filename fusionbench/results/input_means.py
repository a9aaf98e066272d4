"""The mean over the numbers of inputs: one definition, for any number of views.

An image of a masked set with V views (1 to 64) is scored at every number of inputs N = 0..V. Its averages are

    name@mean      = (name@0 + name@1 + … + name@V) / (V + 1)
    name@avg_paper = w_0 · name@0 + w_1 · name@1 + … + w_V · name@V

where w_N is the share of the images to which the loader of the FusionVAE paper gives N inputs (:func:`paper_weights`).
Both are computed here, image by image, and stored as columns of the per-image table; comparisons, tables, pages and
gates read those columns. Columns are added in the order of N, elementwise, so that the value of an image depends
neither on the other images, nor on their order, nor on a linear algebra library.

``@mean`` was called ``@avg4``, after the four numbers of inputs of three views. Results, baselines and command lines
with that name are still read.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from fusionbench.core.errors import DataError

MEAN, PAPER_MEAN = "mean", "avg_paper"
AVERAGES = (MEAN, PAPER_MEAN)
FORMER_MEAN = "avg4"
MAX_VIEWS = 64  # as recipes allow
_COUNT = re.compile(r"0|[1-9][0-9]?")
_FEW = 4  # numbers of inputs that a sentence lists one by one
T = TypeVar("T")


# The averages


def mean_over_inputs(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Per-image scores at N = 0..V, V+1 columns (n,) -> their plain mean, float64 (n,)."""
    return _weighted(columns, None) / len(columns)


def paper_mean(columns: Sequence[np.ndarray], batch: int) -> np.ndarray:
    """Per-image scores at N = 0..V, V+1 columns (n,) -> their mean with the paper's weights, float64 (n,).

    ``batch``: images in a batch of the paper's loader.
    """
    return _weighted(columns, paper_weights(len(columns[0]), len(columns) - 1, batch))


def _weighted(columns: Sequence[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
    total = np.zeros(np.shape(columns[0]))
    for number, column in enumerate(columns):
        values = np.asarray(column, np.float64)
        total += values if weights is None else weights[number] * values
    return total


def paper_weights(images: int, views: int, batch: int) -> np.ndarray:
    """Share of ``images`` that the FusionVAE paper's loader gives N = 0..V inputs: (V+1,), sum 1.

    Batch i of its validation loader gets i mod (V+1) inputs (arXiv 2209.11277 has V = 3).
    """
    full, rest = divmod(images, batch)
    rounds, begun = divmod(full, views + 1)
    counts = [batch * (rounds + (count < begun)) for count in range(views + 1)]
    counts[begun] += rest  # the last batch, which may be smaller
    return np.array(counts, np.float64) / images


def averages(table: Mapping[str, np.ndarray], name: str, views: int, batch: int | None) -> dict[str, np.ndarray]:
    """The columns ``name@mean`` and, where ``batch`` is known, ``name@avg_paper`` of a per-image table.

    Args:
        table: columns (n,), among them ``name@0`` to ``name@V``; nothing else of it is read.
        views: V, 1 to 64.
        batch: images in a batch of the paper's loader.

    Raises:
        DataError: a column is missing, or V is out of range.
    """
    if not 1 <= views <= MAX_VIEWS:
        raise DataError(f"{name}: {views} views; the mean over inputs is defined for 1 to {MAX_VIEWS}")
    wanted = [f"{name}@{count}" for count in range(views + 1)]
    missing = [key for key in wanted if key not in table]
    if missing:
        raise DataError(f"{name}: no column {missing[0]}; the mean over inputs needs {wanted[0]} to {wanted[-1]}")
    columns = [table[key] for key in wanted]
    found = {f"{name}@{MEAN}": mean_over_inputs(columns)}
    if batch is not None and len(columns[0]):
        found[f"{name}@{PAPER_MEAN}"] = paper_mean(columns, batch)
    return found


# What a stored result says about its inputs


def views_in_params(params: Mapping[str, Any]) -> int | None:
    """V from the parameters of a protocol, whose ``inputs`` are 0..V; None where they do not say."""
    inputs = params.get("inputs")
    if not isinstance(inputs, list) or not 2 <= len(inputs) <= MAX_VIEWS + 1:
        return None
    return len(inputs) - 1 if inputs == list(range(len(inputs))) else None


def views_in(names: Iterable[str], name: str) -> int | None:
    """V from the columns ``name@0`` to ``name@V``; None where there are fewer than two, or a gap."""
    found = {key.partition("@")[2] for key in names if key.partition("@")[0] == name}
    counts = sorted(int(column) for column in found if is_count(column))
    return len(counts) - 1 if 2 <= len(counts) <= MAX_VIEWS + 1 and counts[-1] == len(counts) - 1 else None


def complete(table: dict[str, np.ndarray], keys: Iterable[str], params: Mapping[str, Any]) -> None:
    """Add the averages among score keys that a per-image table of an older version lacks, and check those it has.

    Args:
        table: per-image columns (n,), changed in place.
        keys: the result's score keys; only averages that are scores are added.
        params: the protocol's parameters; ``inputs`` and ``paper_batch`` are read.

    Raises:
        DataError: a stored average is not the one of the columns beside it.
    """
    wanted = set(keys)
    batch = params.get("paper_batch")
    batch = batch if type(batch) is int and batch >= 1 else None
    for name in sorted({key.partition("@")[0] for key in table}):
        views = views_in_params(params) or views_in(table, name)
        if views is None or any(f"{name}@{count}" not in table for count in range(views + 1)):
            continue
        for key, values in averages(table, name, views, batch).items():
            if key not in table:
                if key in wanted:
                    table[key] = values
            # Older versions summed in another order; anything beyond rounding is another definition.
            elif not np.allclose(table[key], values, rtol=1e-9, atol=1e-12, equal_nan=True):
                raise DataError(f"column {key} is not the average of {name}@0 to {name}@{views}; score again")


# Names and order of score keys


def is_count(column: str) -> bool:
    """Whether the part of a score key after the ``@`` is a number of inputs."""
    return _COUNT.fullmatch(column) is not None


def column_order(key: str) -> tuple[int, int, str]:
    """Sort key for score keys of one metric: numbers of inputs as numbers, the mean, the paper's mean, others."""
    column = key.partition("@")[2]
    if is_count(column):
        return 0, int(column), ""
    return (1 + AVERAGES.index(column) if column in AVERAGES else 3), 0, column


def current_key(key: str) -> str:
    """A score key, or a pattern of some, as it is called now."""
    return re.sub(rf"(?<=@){FORMER_MEAN}$", MEAN, key)


def current_keys(values: Mapping[str, T]) -> dict[str, T]:
    """A mapping by score key with every key as it is called now, in the same order.

    Raises:
        ValueError: a score is there under its former and its present name.
    """
    found = {current_key(key): value for key, value in values.items()}
    if len(found) < len(values):
        twice = next(key for key in values if current_key(key) != key and current_key(key) in values)
        raise ValueError(f"has both {twice} and {current_key(twice)}, which are two names of one score")
    return found


def matches(key: str, pattern: str) -> bool:
    """Whether a score key fits a pattern (``mse_min@*``), by its present or its former name."""
    former = re.sub(rf"(?<=@){MEAN}$", FORMER_MEAN, key)
    return fnmatch.fnmatchcase(key, pattern) or (former != key and fnmatch.fnmatchcase(former, pattern))


def renaming(patterns: Iterable[str]) -> str | None:
    """A note for scores that are requested by a former name; None where there are none."""
    old = list(dict.fromkeys(pattern for pattern in patterns if current_key(pattern) != pattern))
    if not old:
        return None
    now = ", ".join(f"{current_key(pattern)} instead of {pattern}" for pattern in old)
    return f"@{FORMER_MEAN} is now called @{MEAN}: write {now}"


def subsample(values: Sequence[T], most: int) -> list[T]:
    """At most ``most`` (2 or more) of ``values`` in their order, spread evenly, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[place * (len(values) - 1) // (most - 1)] for place in range(most)]


def inputs_text(views: int) -> str:
    """``0, 1, 2 and 3 inputs``, for many views ``0 to 12 inputs``."""
    if views + 1 > _FEW:
        return f"0 to {views} inputs"
    return ", ".join(map(str, range(views))) + f" and {views} input{'s' if views != 1 else ''}"
