"""What takes no part in a board though its file is whole: papers that cannot be shown, and what is not comparable.

One result that measured something else must not keep everybody else's pages from being built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.results.published import paper_of
from fusionbench.results.result_set import SetAside, StoredResult
from fusionbench.results.schema import Result


def with_papers(results: Iterable[StoredResult], aside: list[SetAside]) -> list[StoredResult]:
    """Results without the published ones whose paper cannot be shown.

    Args:
        aside: takes the others, with the reason.
    """
    found = []
    for one in results:
        try:
            if one.result.status == "published":
                paper_of(one.result)
            found.append(one)
        except DataError as error:
            aside.append(_set_aside(one, str(error)))
    return found


def _set_aside(one: StoredResult, reason: str) -> SetAside:
    return SetAside(one.file, reason, one.result.identity.dataset.name, one.result.identity.model.name)


def comparable(members: list[StoredResult], aside: list[SetAside]) -> list[StoredResult]:
    """The results of one data set and protocol that measured the same images with the same metrics as most of them.

    Of what stands in two results, the same weights of two owners or one submission, one stays: the maintainers' own, a
    confirmed submitter's, or the first by path.

    Args:
        aside: takes the others, with the reason.
    """
    return _same_metrics(_same_images(_once(members, aside), aside), aside)


def _once(members: list[StoredResult], aside: list[SetAside]) -> list[StoredResult]:
    """Without what :func:`fusionbench.results.row_keys.gather_rows` refuses."""

    def trust(one: StoredResult) -> tuple[bool, bool, str]:
        submission = one.result.submission
        return one.result.origin.kind == "submission", submission is None or not submission.confirmed, str(one.file)

    first: dict[str, StoredResult] = {}  # by the result's id, and by that of its submission
    lost = set()
    for one in sorted(members, key=trust):
        result, submission = one.result, one.result.submission
        other = first.get(f"result {result.id}")
        mine = None if submission is None else first.get(f"submission {submission.id}")
        if other is not None and _owner(other.result) != _owner(result):
            lost.add(one.file)
            aside.append(_set_aside(one, f"has the weights or images of {other.file}, which is from another side"))
        elif mine is not None and mine.result.id != result.id:
            assert submission is not None
            lost.add(one.file)
            aside.append(_set_aside(one, f"is of submission {submission.id[:12]}, and so is {mine.file}"))
        else:
            first.setdefault(f"result {result.id}", one)
            if submission is not None:
                first.setdefault(f"submission {submission.id}", one)
    return [one for one in members if one.file not in lost]


def _owner(result: Result) -> tuple[object, ...]:
    return result.origin.kind, result.origin.submitter, result.submission


def _same_images(members: list[StoredResult], aside: list[SetAside]) -> list[StoredResult]:
    """Without those whose table is about other images than most tables; without a table nothing can be said."""
    groups: list[tuple[np.ndarray, list[StoredResult]]] = []  # by the images that were scored
    for one in members:
        if one.result.per_image is None:
            continue
        ids = np.sort(one.per_image["id"])
        same = next((group for known, group in groups if np.array_equal(known, ids)), None)
        if same is None:
            groups.append((ids, [one]))
        else:
            same.append(one)
    if not groups:
        return members
    most, kept = max(groups, key=lambda group: len(group[1]))
    lost = set()
    for ids, group in groups:
        if group is not kept:
            reason = (
                f"was scored on {len(ids)} images, {len(np.intersect1d(most, ids))} of the {len(most)} of the others"
            )
            aside += [_set_aside(one, f"{reason}; means over different images cannot be compared") for one in group]
            lost |= {one.file for one in group}
    return [one for one in members if one.file not in lost]


def _same_metrics(members: list[StoredResult], aside: list[SetAside]) -> list[StoredResult]:
    """Without those whose metrics have another version, direction or unit than with most; what has a table decides."""
    counts: dict[str, Counter[str]] = {}
    for one in [one for one in members if one.result.per_image is not None] or members:
        for what, value in _facts(one.result).items():
            counts.setdefault(what, Counter())[value] += 1
    usual = {what: found.most_common(1)[0][0] for what, found in counts.items()}
    found = []
    for one in members:
        for what, value in _facts(one.result).items():
            if usual.setdefault(what, value) != value:
                aside.append(_set_aside(one, f"{what} is {value} here, {usual[what]} in the others; score it again"))
                break
        else:
            found.append(one)
    return found


def _facts(result: Result) -> dict[str, str]:
    """What has to be the same in all results that share a column."""
    facts = {f"the version of {metric}": version for metric, version in result.identity.metrics.items()}
    for key, score in result.scores.items():
        facts |= {f"the better direction of {key}": score.better, f"the unit of {key}": repr(score.unit)}
        if key.partition("@")[0].endswith("_bpd"):
            facts[f"the number of values that {key} is over"] = repr(score.extra.get("dims"))[:40]
    return facts
