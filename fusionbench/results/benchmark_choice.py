"""Which benchmark is meant where results of several lie in one folder: a trial on two images is no reason to clean up.

Example:
    >>> import tempfile
    >>> from fusionbench import create_model
    >>> from fusionbench.core.types import ImageSpec
    >>> from fusionbench.evaluation.pair_sets import open_pairs
    >>> from fusionbench.evaluation.pairs import evaluate_pairs
    >>> from fusionbench.results.benchmark_choice import choose_benchmark, what_was_measured
    >>> from fusionbench.results.result_set import read_results
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for limit in (None, 2):
    ...         model = create_model("copy-a", ImageSpec(1, 256, 256, views=2))
    ...         _ = evaluate_pairs(model, open_pairs("pairs-demo", "all", None, limit=limit), out=folder, device="cpu")
    ...     found = read_results([folder])
    ...     chosen = choose_benchmark(found, ["n=3"])
    >>> len(found), len(chosen), len({what_was_measured(one.result) for one in found})
    (2, 1, 2)
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import msgspec

from fusionbench.core.errors import NotComparableError, UsageError, some, unknown_name
from fusionbench.core.io import digest
from fusionbench.core.text import counted, one_line
from fusionbench.results.entries import table_protocol
from fusionbench.results.result_set import ResultSet, StoredResult
from fusionbench.results.row_titles import first_differences
from fusionbench.results.schema import Result

_SHOWN = 6  # benchmarks that a message describes
_DIGITS = 8  # of a benchmark's digest, as a word for it


def what_was_measured(result: Result) -> str:
    """Key that results share when they belong in one table; a metric that a model lacks does not separate them.

    Stretched images of pairs are in the table of those that are not, and ranked by themselves.
    """
    protocol = table_protocol(result.identity.protocol)
    return digest([msgspec.to_builtins(result.identity.dataset), msgspec.to_builtins(protocol)])


@dataclass
class _Group:
    """Results of one benchmark: its key, the words that describe it, and what tells it from another of these words."""

    key: str
    members: list[StoredResult]
    words: list[str]
    more: str = ""

    @property
    def known(self) -> set[str]:
        """What may be said of it, in lower case."""
        protocol = self.members[0].result.identity.protocol.name
        return {word.casefold() for word in (*self.words, protocol, self.more, self.key[:_DIGITS]) if word}

    @property
    def text(self) -> str:
        """All words, and how many results there are; a single one by its file, which may be what is in the way."""
        count = len(self.members)
        number = counted(count, "result") + (f", {self.members[0].file}" if count == 1 else "")
        return one_line(" ".join(filter(None, [*self.words, self.more])) + f" ({number})")


def choose_benchmark(found: ResultSet, words: Sequence[str] = ()) -> ResultSet:
    """The results of one benchmark: one data set, split, number of images and protocol with its parameters.

    Args:
        found: what was read; numbers of papers stay, as they belong to none.
        words: what is true of the one that is meant, all of them: name, version or split of the data set, ``n=3``,
            a protocol with or without its version, or the first digits that a message gives.

    Raises:
        UsageError: a word that fits none, or words that do not go together.
        NotComparableError: results of several benchmarks fit; says what they are and how to choose.
    """
    groups = _groups([one for one in found if one.result.status != "published"])
    chosen = groups
    for word in words:
        if not any(word.casefold() in group.known for group in groups):
            raise unknown_name(
                "benchmark", word, {one for group in groups for one in (*group.words, group.more) if one}
            )
        chosen = [group for group in chosen if word.casefold() in group.known]
    if words and not chosen:
        raise UsageError(f"--only: no benchmark is all of {', '.join(words)}; there are: {_listed(groups)}")
    if len(chosen) > 1:
        fit = f" fit {' '.join(f'--only {word}' for word in words)}" if words else " here"
        raise NotComparableError(
            f"{len(chosen)} benchmarks{fit}, which differ in {', '.join(_differing(chosen))}: {_listed(chosen)}; "
            f"choose one, as with {_how_to_choose(chosen[0], groups)}"
        )
    if len(chosen) == len(groups):
        return found
    kept = {id(one) for group in chosen for one in group.members}
    members = [one for one in found if id(one) in kept or one.result.status == "published"]
    return ResultSet(members, found.set_aside)


def _groups(results: Sequence[StoredResult]) -> list[_Group]:
    """Benchmarks by the number of their results, the largest first."""
    found: dict[str, list[StoredResult]] = {}
    for one in results:
        found.setdefault(what_was_measured(one.result), []).append(one)
    groups = []
    for key, members in found.items():
        data, protocol = members[0].result.identity.dataset, members[0].result.identity.protocol
        words = [data.name, data.version, data.split, f"n={data.n}", f"{protocol.name}/{protocol.version}"]
        groups.append(_Group(key, members, words))
    count = Counter(tuple(group.words) for group in groups)
    for shared, number in count.items():
        same = [group for group in groups if tuple(group.words) == shared]
        if number > 1:
            for group, text in zip(same, _differences(same), strict=True):
                group.more = text
    return sorted(groups, key=lambda group: (-len(group.members), group.words, group.key))


def _differences(groups: Sequence[_Group]) -> list[str]:
    """What tells benchmarks apart whose words are the same: parameters of the protocol, else data or images."""
    facts = []
    for group in groups:
        data, protocol = group.members[0].result.identity.dataset, group.members[0].result.identity.protocol
        params = table_protocol(protocol).params
        named = {"seed": protocol.seed, **{key: params[key] for key in sorted(params)}}
        facts.append({**named, "data": data.id[:_DIGITS], "images": data.ids_sha256[:_DIGITS]})
    return first_differences(facts, [group.key[:_DIGITS] for group in groups])


def _differing(groups: Sequence[_Group]) -> list[str]:
    """Parts of the identity in which benchmarks differ; digests of the data only where nothing else differs."""
    found = []
    for part in ("dataset", "protocol"):
        made = []
        for group in groups:
            identity = group.members[0].result.identity
            made.append(
                msgspec.to_builtins(identity.dataset if part == "dataset" else table_protocol(identity.protocol))
            )
        found += [f"{part} {name}" for name in made[0] if any(one[name] != made[0][name] for one in made)]
    return [name for name in found if name not in ("dataset id", "dataset ids_sha256")] or found


def _listed(groups: Sequence[_Group]) -> str:
    return some([group.text for group in groups], "; ", _SHOWN)


def _how_to_choose(group: _Group, groups: Sequence[_Group]) -> str:
    """The fewest words that only this benchmark has, as options."""
    name, version, split, images, protocol = group.words
    words = [protocol, images, split, name, version]
    others = [other.known for other in groups if other is not group]
    for count in (1, 2, 3):
        for tried in combinations(words, count):
            if not any({word.casefold() for word in tried} <= known for known in others):
                return " ".join(f"--only {shlex.quote(word)}" for word in tried)
    return f"--only {group.key[:_DIGITS]}"
