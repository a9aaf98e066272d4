"""How two data sets differ: in what they are, and sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
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
    """``facts``: what is said of both and differs; ``arrays``: what is stored in both and differs.

    A value of a recipe that is not written in it has its default, or None where it has none.
    """

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
    written = [_flat(d.manifest.recipe) for d in (a, b)]
    defaults = [_flat(_with_defaults(d.recipe)) for d in (a, b)]
    for name in sorted(written[0].keys() | written[1].keys()):
        values = [here.get(name, all_of_it.get(name)) for here, all_of_it in zip(written, defaults, strict=True)]
        if values[0] != values[1]:
            found.facts[f"recipe.{name}"] = values
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


def _with_defaults(value: Any) -> Any:
    """A recipe as plain values, with those that are not written in it; without tables and values that are None."""
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return {name: _with_defaults(field) for name, field in fields.items() if field is not None}
    if isinstance(value, dict):
        return {key: _with_defaults(inner) for key, inner in value.items()}
    return msgspec.to_builtins(value)


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
