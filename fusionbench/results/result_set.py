"""Results of one command: each file is opened and parsed once, and its per-image table when somebody asks for it.

Comparisons, gates and pages all need the same results. What takes paths takes a :class:`ResultSet` as well, so that a
command reads them once and hands them through. Means are computed again from the tables while they are read, and a
result that cannot be believed or read is set aside, with the reason, so that it stops nobody else's.

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

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.progress import say
from fusionbench.results.consistency import check_statements
from fusionbench.results.image_tables import read_table
from fusionbench.results.recomputed import recompute
from fusionbench.results.schema import Result, load

MAX_NAME = 300  # characters of a title, and of who submitted it
MAX_SAID = 20  # results set aside that are named one by one on stderr


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
class SetAside:
    """A file that takes no part, and why, on one line. ``dataset`` and ``model`` as far as file or folders tell them.

    Example:
        >>> from pathlib import Path
        >>> from fusionbench.results.result_set import SetAside
        >>> SetAside(Path("results/x/result.json"), "truncated").as_json()
        {'file': 'results/x/result.json', 'reason': 'truncated'}
    """

    file: Path
    reason: str
    dataset: str = ""
    model: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"

    def as_json(self) -> dict[str, Any]:
        """JSON-ready: file and reason."""
        return {"file": self.file.as_posix(), "reason": self.reason}


@dataclass(frozen=True)
class ResultSet:
    """Results in the order in which they were given, those of a folder by path; every file once.

    Attributes:
        set_aside: files that were found and take no part.
    """

    members: Sequence[StoredResult] = field(default_factory=tuple)
    set_aside: Sequence[SetAside] = field(default_factory=tuple)

    def __iter__(self) -> Iterator[StoredResult]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def measured(self) -> ResultSet:
        """Without numbers of papers, but for those that were given by themselves."""
        found = [one for one in self.members if one.named or one.result.status != "published"]
        return ResultSet(found, self.set_aside)

    @property
    def own(self) -> ResultSet:
        """Measured results without submissions of a model that was run here as well: those are their authors'."""

        def task(one: StoredResult) -> tuple[str, str, str, str]:
            identity = one.result.identity
            return identity.model.name, identity.dataset.name, identity.dataset.split, identity.protocol.name

        here = {task(one) for one in self.measured if one.result.origin.kind != "submission"}
        found = [one for one in self.measured if one.result.origin.kind != "submission" or task(one) not in here]
        return ResultSet(found, self.set_aside)

    def lost(self, dataset: str, model: str) -> SetAside | None:
        """A file set aside that is, or lies where, a result of this model on this data set."""
        return next((one for one in self.set_aside if (one.dataset, one.model) == (dataset, model)), None)


Results = str | Path | Sequence[str | Path] | ResultSet  # what a function that needs results takes


def read_results(paths: Results, *, strict: bool = False, stated: bool = False) -> ResultSet:
    """Read result files, and every ``result.json`` below folders, with their tables, and compute their means again.

    What is damaged is set aside and named on stderr; the others take part. A :class:`ResultSet` is returned as it is.

    Args:
        strict: refuse all when one is damaged.
        stated: results without a per-image table take part, whose scores are stated only. Otherwise those in folders
            are set aside, except for numbers of papers.

    Raises:
        UsageError: no results in a folder.
        DataError: no such file, every result is damaged, or ``strict`` and one is.
    """
    if isinstance(paths, ResultSet):
        return paths
    found: dict[Path, bool] = {}
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        files = sorted(path.glob("**/result.json")) if path.is_dir() else [path]
        if not files:
            raise UsageError(f"{path}: no result.json in this folder")
        if not path.is_dir() and not path.exists():
            raise DataError(f"{path}: no such result")
        for file in files:
            found[file] = found.get(file, False) or not path.is_dir()
    read = [_read(file, named, stated) for file, named in found.items()]
    members = [one for one in read if isinstance(one, StoredResult)]
    members, doubles = _once(members)
    aside = [one for one in read if isinstance(one, SetAside)] + doubles
    if aside and (strict or not members):
        raise refused(aside, len(found))
    tell(aside)
    return ResultSet(members, aside)


def refused(aside: Sequence[SetAside], total: int) -> DataError:
    """The error about results that are set aside where that is not wanted, or leaves none; a detail line for each."""
    if len(aside) == total == 1:
        return DataError(str(aside[0]))
    error = DataError(f"{len(aside)} of {total} results cannot be used: {aside[0]}")
    error.details = [str(one) for one in aside[1:MAX_SAID]]
    return error


def tell(aside: Sequence[SetAside]) -> None:
    """Name on stderr what was set aside, a line each."""
    for one in aside[:MAX_SAID]:
        say(f"set aside: {one}")
    if len(aside) > MAX_SAID:
        say(f"set aside: {len(aside) - MAX_SAID} more; --json lists all, --strict refuses them")


def _read(file: Path, named: bool, stated: bool) -> StoredResult | SetAside:
    parts = file.parts  # <root>/<dataset>/<model>/<id12>/result.json
    where = (parts[-4], parts[-3]) if len(parts) >= 4 else ("", "")
    try:
        if file.is_dir():
            return SetAside(file, "is a folder; a result is a file", *where)
        result = load(file)
        where = result.identity.dataset.name, result.identity.model.name
        one = StoredResult(file, result, named)
        for what, text in (("title", result.title), ("submitter", result.origin.submitter or "")):
            if len(text) > MAX_NAME:
                return SetAside(file, f"its {what} has {len(text):,} characters, {MAX_NAME} are the most", *where)
        if name := next((name for name, value in result.cost.items() if value and not math.isfinite(value)), None):
            return SetAside(file, f"cost {name} is not finite; score again", *where)
        check_statements(result)
        if result.status == "published":
            return one
        if result.per_image is not None:
            recompute(result, one.per_image)
        elif not stated and not named:
            return SetAside(file, "has no per-image values, which a paired comparison needs", *where)
        return one
    except DataError as error:
        return SetAside(file, _reason(file, str(error)), *where)
    except Exception as error:  # whatever is wrong with one file, the others have nothing to do with it
        return SetAside(file, _reason(file, f"cannot be read: {type(error).__name__}: {error}"), *where)


def _reason(file: Path, message: str) -> str:
    """A message about a file or its table on one line, without the folder that both lie in."""
    text = " ".join(message.split()).removeprefix(f"{file}: ").replace(f"{file.parent}/", "")
    return text if len(text) <= 500 else f"{text[:500]} …"


def _once(members: Sequence[StoredResult]) -> tuple[list[StoredResult], list[SetAside]]:
    """Results without copies of the same ``id`` in one submission, or by one author, whose numbers differ.

    The one that lies where its identity says is the one that is meant; else the first.
    """
    first: dict[tuple[str, str | None], StoredResult] = {}

    def row(one: StoredResult) -> tuple[str, str | None]:
        submission = one.result.submission
        return one.result.id, submission.id if submission is not None else one.result.origin.submitter

    for one in sorted(members, key=lambda one: one.file.parent.parts[-3:] != one.result.folder("").parts):
        first.setdefault(row(one), one)
    whole, doubles = [], []
    for one in members:
        other = first[row(one)]
        if (one.result.scores, one.result.per_image) == (other.result.scores, other.result.per_image):
            whole.append(one)
        else:
            identity, reason = one.result.identity, f"has the id of {other.file} and other numbers"
            doubles.append(SetAside(one.file, reason, identity.dataset.name, identity.model.name))
    return whole, doubles
