"""``fusionbench.compare``: results, scores and folders of results side by side, from objects or from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.results import bootstrap as stats
from fusionbench.results.comparison import Comparison, compare_results
from fusionbench.results.result_set import ResultSet, StoredResult, read_results
from fusionbench.results.tiers import APART, Tiers


@runtime_checkable
class HasValues(Protocol):
    """What has per-image values: a :class:`fusionbench.results.schema.Result`, or the scores that ``score`` gives."""

    def stored(self, title: str | None = None) -> StoredResult:
        """As comparisons take it; ``title`` is what tables call it."""
        ...


Comparable: TypeAlias = "str | Path | HasValues | Sequence[Any] | Mapping[str, Any]"


def compare_methods(
    *results: Comparable,
    scores: str | Sequence[str] = (),
    level: float = stats.LEVEL,
    resamples: int = stats.RESAMPLES,
    seed: int = 0,
    tiers: Tiers = APART,
) -> Comparison:
    """Compare methods that were scored on the same images: means, paired intervals, ranks, ties with the best.

    Args:
        results: results of ``evaluate``; result files, or folders of them; lists of these; or a mapping of the names
            that tables show to results, or to the scores that :func:`fusionbench.score` gives.
        scores: which scores, as patterns (``"vif"``, ``"mse_min@*"``); by default those of the tables.
        level: of the intervals, which hold for all pairs of methods at once.
        resamples, seed: of the bootstrap.
        tiers: ``"together"`` ranks submitted predictions with rows that were scored from weights.

    Raises:
        UsageError: nothing to compare, no score fits, or values image by image that are not at hand.
        DataError: damaged files.
        NotComparableError: other images, another protocol, or other versions of metrics.

    Example:
        >>> import fusionbench as fb
        >>> a, b = fb.open_pairs("pairs-demo").pair(0)
        >>> methods = {"average": fb.fuse(a, b, "average"), "visible": b}
        >>> found = fb.compare({name: fb.score(image, a, b, ["sd", "sf"]) for name, image in methods.items()})
        >>> found
        Comparison(2 models on images 1 all, score/1: visible, average; by sd, sf; n=1)
        >>> [round(row.mean, 1) for row in found.scores["sd"]]
        [61.0, 71.2]
    """
    paths: list[str | Path] = []
    objects: list[StoredResult] = []
    for one in results:
        _gather(one, None, paths, objects)
    if not paths and not objects:
        raise UsageError("nothing to compare: give results, scores by name, or folders of results")
    read = read_results(paths) if paths else ResultSet()
    known = {(one.file, one.result.id) for one in read}
    more = [one for one in objects if (one.file, one.result.id) not in known]
    patterns = [scores] if isinstance(scores, str) else scores
    whole = ResultSet([*read, *more], read.set_aside)
    return compare_results(whole, scores=patterns, level=level, resamples=resamples, seed=seed, tiers=tiers)


compare = compare_methods  # its public name, ``fusionbench.compare``


def _gather(one: Any, title: str | None, paths: list[str | Path], objects: list[StoredResult]) -> None:
    """Sort what is given into paths to read and objects with their values."""
    if isinstance(one, str | Path):
        if title is not None:
            raise UsageError(f"{title}: {one}: files have titles of their own; give paths without names")
        paths.append(one)
    elif isinstance(one, HasValues):
        if title is None and not hasattr(one, "identity"):
            raise UsageError('scores have no name: compare({"my method": scores, "average": others})')
        objects.append(one.stored(title))
    elif isinstance(one, Mapping):
        for name, each in one.items():
            _gather(each, str(name), paths, objects)
    elif isinstance(one, list | tuple) or hasattr(one, "__next__"):
        for each in one:
            _gather(each, title, paths, objects)
    else:
        raise unknown_name("kind of result", type(one).__name__, ["Result", "Scores", "path", "list", "dict"])
