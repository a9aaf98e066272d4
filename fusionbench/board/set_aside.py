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

    Args:
        aside: takes the others, with the reason.
    """
    groups: list[tuple[np.ndarray, list[StoredResult]]] = []  # by the images that were scored
    stated = []
    for one in members:
        if one.result.per_image is None:
            stated.append(one)
            continue
        ids = np.sort(one.per_image["id"])
        same = next((group for known, group in groups if np.array_equal(known, ids)), None)
        if same is None:
            groups.append((ids, [one]))
        else:
            same.append(one)
    if not groups:
        return stated
    most, kept = max(groups, key=lambda group: len(group[1]))
    for ids, group in groups:
        if group is not kept:
            reason = (
                f"was scored on {len(ids)} images, {len(np.intersect1d(most, ids))} of the {len(most)} of the others"
            )
            aside += [_set_aside(one, f"{reason}; means over different images cannot be compared") for one in group]
    versions: dict[str, Counter[str]] = {}
    for one in kept:
        for metric, version in one.result.identity.metrics.items():
            versions.setdefault(metric, Counter())[version] += 1
    usual = {metric: counts.most_common(1)[0][0] for metric, counts in versions.items()}
    found = []
    for one in kept:
        other = next((item for item in one.result.identity.metrics.items() if usual[item[0]] != item[1]), None)
        if other is None:
            found.append(one)
        else:
            metric, version = other
            reason = f"was scored with version {version} of {metric}, the others with {usual[metric]}; score it again"
            aside.append(_set_aside(one, reason))
    return found + stated
