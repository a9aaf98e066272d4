"""A scored submission becomes a row: whether it may stand where it wants to stand, and that it takes nobody's place.

A result's folder is that of its identity, so the same weights always lie in the same place, whoever sends them. What
lies there of somebody else is never written over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import UNSET

from fusionbench.core.errors import DataError, RejectedError
from fusionbench.core.locks import lock
from fusionbench.results.row_keys import owner_of, row_key, seed_of
from fusionbench.results.schema import Result, SubmittedRow, load, save
from fusionbench.results.tracks import has_public_targets
from fusionbench.submissions.fingerprints import (
    Content,
    copy_problems,
    copy_remarks,
    fingerprint_of,
    save_fingerprint,
)
from fusionbench.submissions.look_alikes import board_problems

ACCEPT_LOCK = ".accept.lock"  # below the root of results; it stays there, as locks do


def save_row(
    path: Path,
    result: Result,
    table: Mapping[str, Any],
    results: Path,
    model: str | None,
    content: Content | None = None,
    board: Path | None = None,
) -> Path:
    """Save the result of a submission below ``results`` when it takes nobody's place there; its folder.

    Its fingerprint, where there is one, is compared with those of all rows of the data set, and saved beside it.

    The same submission again writes its own row again, so that a queue may accept it twice.

    Args:
        path: the submission, for messages.
        table: values by image, as :func:`fusionbench.results.schema.save` takes them.
        model: the registered model whose weights it is; None for predictions.
        board: where the results lie among which it finds its place, if not in ``results``.

    Raises:
        RejectedError: names every reason.
    """
    results.mkdir(parents=True, exist_ok=True)
    board = results if board is None else board
    with lock(results / ACCEPT_LOCK):  # no two workers take one place
        problems = row_problems(result, board, model)
        fingerprint = None if content is None else fingerprint_of(result, content)
        if fingerprint is not None and not problems:
            assert result.submission is not None
            dataset, replaces = result.identity.dataset.name, result.submission.replaces
            of_pairs = not has_public_targets(result.identity.protocol.name)
            given = replaces if isinstance(replaces, str) else None
            problems += copy_problems(fingerprint, board, dataset, given, of_pairs=of_pairs)
            near = copy_remarks(fingerprint, board, dataset, given, of_pairs=of_pairs)
            result.origin.note = "; ".join([*filter(None, [result.origin.note]), *near])
        if problems:
            raise RejectedError(f"{path}: {' | '.join(problems)}")
        if fingerprint is not None:  # before the result, without which it does not count
            save_fingerprint(result.folder(results), fingerprint)
        return save(result, results, table)


def row_problems(result: Result, results: Path, model: str | None) -> list[str]:
    """Why the result of a submission may not be saved below ``results``, a line each."""
    ours = result.submission
    assert ours is not None
    board = [other for other in _board(result, results) if other.submission is None or other.submission.id != ours.id]
    owner = result.origin.submitter or ""
    found = _place_problems(result, ours, board)
    found += _replaces_problems(result, ours, board)
    replaced = {other.id for other in board if other.submission and other.submission.id == ours.replaces}
    others = [other for other in board if other.id not in replaced]
    if ours.group is not None:
        for other in others:
            if other.id != result.id and row_key(other) == row_key(result) and seed_of(other) == seed_of(result):
                assert other.submission is not None
                found.append(
                    f"seed {seed_of(result)} stands in the group {ours.group} of {owner!r} already; "
                    f"pack it with --replaces {other.submission.id}"
                )
    return found + board_problems(result.title, owner, model, others)


def _place_problems(result: Result, ours: SubmittedRow, board: list[Result]) -> list[str]:
    """The same weights or predictions stand on the board already."""
    content = _content(result)
    for other in board:
        if other.id != result.id and (content is None or _content(other) != content):
            continue
        if other.submission is not None and ours.replaces == other.submission.id:
            continue  # refused below where it is not the same submitter's
        name = f"{ascii(other.title)[1:-1]} ({other.id[:12]})"
        if owner_of(other) is None or owner_of(other) != result.origin.submitter:
            return [f"these weights or predictions are those of the row {name}, which is not the same submitter's"]
        if other.submission is not None:
            return [
                f"these weights or predictions were submitted before as {name}; to replace that row pack them with "
                f"--replaces {other.submission.id}"
            ]
        return [f"these weights or predictions are those of the row {name}; remove that result first"]
    return []


def _replaces_problems(result: Result, ours: SubmittedRow, board: list[Result]) -> list[str]:
    """What it says to replace is there, and is the same submitter's."""
    if ours.replaces is None:
        return []
    for other in board:
        if (theirs := other.submission) is not None and theirs.id == ours.replaces:
            if owner_of(other) != result.origin.submitter:
                return [f"submission {theirs.id[:12]} is not one of {result.origin.submitter!r}, who cannot replace it"]
            if theirs.confirmed and not ours.confirmed:
                return [
                    f"the maintainer confirmed who submitted {theirs.id[:12]}; to replace it this one has to be "
                    "accepted with --submitter"
                ]
            return []
    return [f"there is no submission {ours.replaces[:12]} on this board to replace"]


def _content(result: Result) -> str | None:
    """Digest of weights or predictions; None for an empty state, which all models without weights share."""
    model = result.identity.model
    found = model.weights_sha256 or model.params.get("predictions_sha256")
    return str(found) if found and result.cost.get("parameters") != 0 else None


def _board(result: Result, results: Path) -> Iterator[Result]:
    """The results on the same data set under the same protocol, at any depth; damaged ones are passed over.

    What they scored is left out. A queue asks for every submission, so that what has not changed is not read again.
    """
    identity = result.identity
    for file in _files(results, identity.dataset.name):
        try:
            found = os.stat(file)
        except OSError:
            continue
        other = _row_in(file, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        if (
            other is not None
            and other.status != "published"
            and (other.identity.dataset, other.identity.protocol) == (identity.dataset, identity.protocol)
        ):
            yield other


def _files(results: Path, dataset: str) -> list[str]:
    """Every ``result.json`` below a folder that is called as the data set, in order; links are not followed."""
    found, start = [], len(str(results))
    for folder, _, names in os.walk(results):
        if "result.json" in names and f"{os.sep}{dataset}{os.sep}" in folder[start:] + os.sep:
            found.append(os.path.join(folder, "result.json"))
    return sorted(found)


@lru_cache(maxsize=20_000)
def _row_in(file: str, stamp: tuple[int, ...]) -> Result | None:
    """The result in a file as it was at ``stamp``, without its scores; None where it is damaged."""
    try:
        result = load(Path(file))
    except DataError:
        return None
    result.scores, result.provenance, result.declared = {}, {}, UNSET
    return result
