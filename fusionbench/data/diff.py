"""How two data sets differ: in what they are, and sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fusionbench.data.dataset import Dataset

MAX_SAMPLES = 1000  # named one by one
MAX_WORST = 16
_BLOCK = 1024


@dataclass
class ArrayDifference:
    """Differing samples of one array: their number, the first of them, the largest difference and the mean of all.

    ``worst`` has up to 16 samples that differ most, the worst first: number and mean difference of its values.
    """

    split: str
    array: str
    n: int
    differing: int
    samples: list[int]
    largest: int
    mean: float
    worst: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class DatasetDiff:
    """``facts``: what is said of both and differs; ``arrays``: what is stored in both and differs."""

    facts: dict[str, list[Any]] = field(default_factory=dict)
    arrays: list[ArrayDifference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether the stored data are the same."""
        return not self.arrays and "splits" not in self.facts

    def as_json(self) -> dict[str, Any]:
        return {"same": self.same, **asdict(self)}


def compare_datasets(a: Dataset, b: Dataset) -> DatasetDiff:
    """Compare two data sets; shards with equal digests are not read.

    Raises:
        DataError: a shard that cannot be read.
    """
    found = DatasetDiff()
    facts = ("name", "version", "id")
    for key in facts:
        if getattr(a, key) != getattr(b, key):
            found.facts[key] = [getattr(a, key), getattr(b, key)]
    recipes = [_flat(d.manifest.recipe) for d in (a, b)]
    for name in sorted(recipes[0].keys() | recipes[1].keys()):
        if recipes[0].get(name) != recipes[1].get(name):
            found.facts[f"recipe.{name}"] = [recipe.get(name) for recipe in recipes]
    shapes = [{split: _layout(d, split) for split in d.splits} for d in (a, b)]
    if shapes[0] != shapes[1]:
        found.facts["splits"] = shapes
    for split in a.splits:
        if split not in b.splits or a.split(split).shards == b.split(split).shards:
            continue
        for array in sorted(shapes[0][split].keys() & shapes[1][split].keys()):
            difference = _compare(a, b, split, array)
            if difference is not None and difference.differing:
                found.arrays.append(difference)
    return found


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{path}.{key}".lstrip(".")).items()}
    return {path: str(value)}


def _layout(dataset: Dataset, split: str) -> dict[str, str]:
    columns = dataset.arrays(split).columns
    return {name: f"{column.dtype} {column.shape}" for name, column in columns.items()}


def _compare(a: Dataset, b: Dataset, split: str, array: str) -> ArrayDifference | None:
    one, two = a.arrays(split).columns[array], b.arrays(split).columns[array]
    if one.shape[1:] != two.shape[1:]:
        return None
    n = min(len(one), len(two))
    differing: list[int] = []
    worst: list[tuple[float, int]] = []
    count, largest, total, values = 0, 0, 0, 0
    for at in range(0, n, _BLOCK):
        part = slice(at, min(n, at + _BLOCK))
        wrong = []
        for first, gap in _gaps(one[part], two[part]):
            wrong += (np.flatnonzero(gap.any(axis=1)) + first).tolist()
            largest, total, values = max(largest, int(gap.max(initial=0))), total + int(gap.sum()), values + gap.size
            means = gap.mean(axis=1) if gap.shape[1] else np.zeros(len(gap))
            most = np.argsort(-means, kind="stable")[:MAX_WORST].tolist()
            # the mean, negative, before the number: of equal ones the first sample
            worst += [(-float(means[row]), at + first + row) for row in most if means[row]]
        worst = sorted(worst)[:MAX_WORST]
        count += len(wrong)
        differing += [at + sample for sample in wrong[: MAX_SAMPLES - len(differing)]]
    most_of_all = [(sample, -mean) for mean, sample in worst]
    return ArrayDifference(split, array, n, count, differing, largest, total / max(values, 1), most_of_all)


def _gaps(one: Any, two: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Absolute differences of a block, a row a sample, and the number of the first row.

    Images of different sizes come one by one; of two that do not have the same size every pixel counts as 255 off.
    """
    if not isinstance(one, list):
        yield 0, np.abs(one.astype(np.int64) - two.astype(np.int64)).reshape(len(one), -1)
        return
    for number, (a, b) in enumerate(zip(one, two, strict=True)):
        gap = np.abs(a.astype(np.int64) - b) if a.shape == b.shape else np.full(a.shape, 255)
        yield number, gap.reshape(1, -1)
