"""The kinds of submission, one per file: what is recognised, packed, checked and scored how.

A new kind is its file plus one line here; ``pack``, ``check``, ``accept`` and the queue ask the kinds, in the order
below, and need no change.
"""

from __future__ import annotations

from pathlib import Path

from fusionbench.submissions.kinds.base import PackRequest, SubmissionKind
from fusionbench.submissions.kinds.predictions import PREDICTIONS
from fusionbench.submissions.kinds.published import PUBLISHED
from fusionbench.submissions.kinds.weights import WEIGHTS

KINDS: tuple[SubmissionKind, ...] = (PUBLISHED, WEIGHTS, PREDICTIONS)
DEFAULT: SubmissionKind = WEIGHTS  # what no kind claims is checked as weights, which says what is missing


def kind_of(path: Path) -> SubmissionKind:
    """The kind of a submitted file: the first that claims it."""
    return next((kind for kind in KINDS if kind.claims(path)), DEFAULT)


def kind_to_pack(request: PackRequest) -> SubmissionKind:
    """The kind that is made of what somebody wants to pack: the first that packs it."""
    return next((kind for kind in KINDS if kind.packs(request)), DEFAULT)


def acceptable_kinds(with_data: bool) -> list[SubmissionKind]:
    """The kinds that can be accepted with data, which are all, or without."""
    return [kind for kind in KINDS if with_data or not kind.needs_data]
