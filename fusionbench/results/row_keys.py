"""Whose row a result is: which results are one row of a table, and which take no part because others replace them.

A row is a submission. Training seeds of submissions are gathered only inside one declared group of one submitter; own
runs are gathered by model, as nobody else writes them, and never with a submission. A name decides nothing: anybody can
give a model any name.

Example:
    >>> from fusionbench import create_model
    >>> from fusionbench.core.types import ImageSpec
    >>> from fusionbench.evaluation.pairs import evaluate_pairs
    >>> from fusionbench.evaluation.pair_sets import open_pairs
    >>> from fusionbench.results.row_keys import owner_of, row_key, same_model, seed_of
    >>> from fusionbench.results.schema import Origin, SubmittedRow
    >>> pairs = open_pairs("pairs-demo", "all", None, limit=1)
    >>> model = create_model("copy-a", ImageSpec(channels=1, height=256, width=256, views=2))
    >>> ours, theirs = (evaluate_pairs(model, pairs, out=None, device="cpu") for _ in range(2))
    >>> same_model(ours) == same_model(theirs), row_key(ours) == row_key(theirs)
    (True, True)
    >>> theirs.origin = Origin(kind="submission", submitter="Ada", submission=SubmittedRow(id="a" * 64))
    >>> owner_of(ours), owner_of(theirs), seed_of(theirs), row_key(ours) == row_key(theirs)
    (None, 'Ada', None, False)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from fusionbench.core.errors import NotComparableError, some
from fusionbench.core.io import digest
from fusionbench.results.result_set import StoredResult
from fusionbench.results.schema import Result


@dataclass
class GatheredRow:
    """Results that are one row of a table.

    Attributes:
        members: one result for every training seed.
        replaced: results of earlier submissions that a member replaces; they take no rank.
        remarks: what a reader has to know about how they were gathered, a line each.
    """

    members: list[StoredResult]
    replaced: list[StoredResult] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def same_model(result: Result) -> str:
    """Key that results share when they differ only in the training seed and what came of it: weights or predictions.

    Imported weights have no known seed: other weights are another model.
    """
    identity, training = msgspec.to_builtins(result.identity), result.identity.training
    if training is None or not training.unknown:
        identity["model"].pop("weights_sha256")
    if result.status == "scored":
        identity["model"]["params"].pop("predictions_sha256", None)
    if identity["training"]:
        identity["training"].pop("seed")
    return digest(identity)


def owner_of(result: Result) -> str | None:
    """Who submitted a result; None for own runs and papers, and where nobody is named."""
    return result.origin.submitter if result.origin.kind == "submission" else None


def seed_of(result: Result) -> int | None:
    """The training seed, as a run recorded it or an author declares it."""
    if result.identity.training is not None:
        return result.identity.training.seed
    return None if result.submission is None else result.submission.seed


def row_key(result: Result) -> tuple[str, ...]:
    """Key that results share when they may be one row.

    A group counts for one submitter, and a submitter whom the maintainer confirmed is another one than somebody who
    only gives that name.
    """
    submission = result.submission
    if submission is None:  # what was scored for somebody before submissions had ids belongs to no group
        own = result.origin.kind != "submission"
        return ("run", result.status, same_model(result)) if own else ("result", result.id)
    if submission.group is None:
        return "submission", submission.id
    who = result.origin.submitter or ""
    return "group", who, str(submission.confirmed), submission.group, result.status, same_model(result)


def gather_rows(results: Iterable[StoredResult]) -> list[GatheredRow]:
    """Results of one table as rows, in the order in which they were given; the same file twice counts once.

    Inside a group a seed, or the weights, that stand twice make no second training run: those results are rows of their
    own, and the row says so.

    Raises:
        NotComparableError: one submission, or the same weights of two owners, in two results; names the files.

    Example:
        >>> from fusionbench.results.row_keys import gather_rows
        >>> gather_rows([])
        []
    """
    found = _once(results)
    submitted: dict[str, StoredResult] = {}
    for one in found:
        if (submission := one.result.submission) is not None:
            other = submitted.setdefault(submission.id, one)
            if other is not one:
                raise NotComparableError(
                    f"{one.file} and {other.file} are both of submission {submission.id[:12]}; remove one of them"
                )
    replaced, remarks = _replaced(found, submitted)
    groups: dict[tuple[str, ...], list[StoredResult]] = {}
    for one in found:
        if one.result.id not in replaced:
            groups.setdefault(row_key(one.result), []).append(one)
    rows = [row for key, members in groups.items() for row in _split(key, members)]
    live = {member.result.submission.id: row for row in rows for member in row.members if member.result.submission}
    for one in found:
        if (submission := one.result.submission) is None:
            continue
        if one.result.id in replaced:
            newest = _newest(one.result.id, replaced)
            if newest is not None and newest.result.submission is not None:
                row = live[newest.result.submission.id]
                row.replaced.append(one)
        elif one.result.id in remarks:
            live[submission.id].remarks.append(remarks[one.result.id])
    return rows


def _once(results: Iterable[StoredResult]) -> list[StoredResult]:
    seen: dict[str, StoredResult] = {}
    for one in results:
        other = seen.setdefault(one.result.id, one)
        if other is one:
            continue
        ours, theirs = one.result, other.result
        if (ours.origin.kind, ours.origin.submitter, ours.submission) != (
            theirs.origin.kind,
            theirs.origin.submitter,
            theirs.submission,
        ):
            raise NotComparableError(
                f"{one.file} and {other.file} are the same weights or images ({ours.id[:12]}) from two sides; "
                "remove the one that is a copy"
            )
    return list(seen.values())


def _replaced(
    found: Iterable[StoredResult], submitted: dict[str, StoredResult]
) -> tuple[dict[str, StoredResult], dict[str, str]]:
    """Id of a result -> the one that replaces it; id of a result -> why what it says to replace stays."""
    replaced: dict[str, StoredResult] = {}
    remarks: dict[str, str] = {}
    for one in found:
        submission = one.result.submission
        if submission is None or submission.replaces is None:
            continue
        target = submitted.get(submission.replaces)
        if target is None or target is one:
            continue
        theirs = target.result.submission
        assert theirs is not None
        # a name alone replaces nothing of somebody whom the maintainer confirmed
        if one.result.origin.submitter == target.result.origin.submitter and submission.confirmed >= theirs.confirmed:
            replaced[target.result.id] = one
        else:
            remarks[one.result.id] = (
                f"says that it replaces submission {theirs.id[:12]}, which is not the same submitter's; both are shown"
            )
    circle = [id_ for id_ in replaced if _newest(id_, replaced) is None]  # only edited files replace each other
    for id_ in circle:
        del replaced[id_]
    return replaced, remarks


def _newest(result_id: str, replaced: Mapping[str, StoredResult]) -> StoredResult | None:
    """The last of those that replace a result one after the other; None where there is no end."""
    one = replaced[result_id]
    for _ in range(len(replaced)):
        if one.result.id not in replaced:
            return one
        one = replaced[one.result.id]
    return None


def _split(key: tuple[str, ...], members: list[StoredResult]) -> list[GatheredRow]:
    """A group of submissions without what stands twice in it; all others as they are."""
    if key[0] != "group" or len(members) == 1:
        return [GatheredRow(members)]
    seeds = Counter(seed_of(one.result) for one in members)
    weights = Counter(_content(one.result) for one in members)
    apart = [
        one
        for one in members
        if seed_of(one.result) is None or seeds[seed_of(one.result)] > 1 or weights[_content(one.result)] > 1
    ]
    names = [str(one.result.submission.id[:12]) for one in apart if one.result.submission]
    remark = (
        f"group {key[3]}: a seed, or the weights, of submissions {some(names)} stand twice or are not said; each is a "
        "row of its own"
    )
    rest = [one for one in members if one not in apart]
    return ([GatheredRow(rest)] if rest else []) + [GatheredRow([one], remarks=[remark]) for one in apart]


def _content(result: Result) -> str:
    """Digest of what was scored: weights or predictions."""
    model = result.identity.model
    return str(model.weights_sha256 or model.params.get("predictions_sha256") or result.id)
