"""Results of one command: each file is opened and parsed once, and its per-image table when somebody asks for it.

Comparisons, gates and pages all need the same results. What takes paths takes a :class:`ResultSet` as well, so that a
command reads them once and hands them through.

Example:
    >>> import tempfile
    >>> from fusionbench import create_model
    >>> from fusionbench.core.types import ImageSpec
    >>> from fusionbench.evaluation.pairs import evaluate_pairs
    >>> from fusionbench.evaluation.pair_sets import open_pairs
    >>> from fusionbench.results.comparison import compare_results
    >>> from fusionbench.results.gate import baseline_of
    >>> from fusionbench.results.result_set import read_results
    >>> pairs = open_pairs("pairs-demo", "all", None, limit=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("copy-a", "copy-b"):
    ...         model = create_model(name, ImageSpec(1, 256, 256, views=2))
    ...         _ = evaluate_pairs(model, pairs, out=folder, device="cpu")
    ...     found = read_results([folder])
    ...     print(len(found), len(compare_results(found).entries), len(baseline_of(found).entries))
    2 2 2
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.results.image_tables import read_table
from fusionbench.results.schema import Result, load


@dataclass(frozen=True)
class StoredResult:
    """A result and the ``result.json`` that it was read from.

    Attributes:
        named: given by itself, and not found in a folder.
    """

    file: Path
    result: Result
    named: bool = False

    @property
    def folder(self) -> Path:
        """Where the result lies."""
        return self.file.parent

    @cached_property
    def per_image(self) -> dict[str, np.ndarray]:
        """Column -> float64 (n,), and ``id`` as int64 or str; read at the first use. Not to be changed.

        Raises:
            DataError: as :func:`fusionbench.results.schema.load_per_image`.
        """
        return read_table(self.result, self.file)


@dataclass(frozen=True)
class ResultSet:
    """Results in the order in which they were given, those of a folder by path; every file once."""

    members: Sequence[StoredResult] = field(default_factory=tuple)

    def __iter__(self) -> Iterator[StoredResult]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def measured(self) -> ResultSet:
        """Without numbers of papers, but for those that were given by themselves."""
        return ResultSet([one for one in self.members if one.named or one.result.status != "published"])


Results = str | Path | Sequence[str | Path] | ResultSet  # what a function that needs results takes


def read_results(paths: Results) -> ResultSet:
    """Read result files, and every ``result.json`` below folders. A :class:`ResultSet` is returned as it is.

    Raises:
        UsageError: no results in a folder.
        DataError: no such file, or a damaged result.
    """
    if isinstance(paths, ResultSet):
        return paths
    found: dict[Path, bool] = {}
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        files = sorted(path.glob("**/result.json")) if path.is_dir() else [path]
        if not files:
            raise UsageError(f"{path}: no result.json in this folder")
        for file in files:
            found[file] = found.get(file, False) or not path.is_dir()
    return ResultSet([StoredResult(file, load(file), named) for file, named in found.items()])
