"""Where a result comes from: a run of ours, a submission with its id, or a paper.

Example:
    >>> from fusionbench.results.origins import Origin, SubmittedRow
    >>> first = SubmittedRow(id="a" * 64, group="three-seeds", seed=0)
    >>> Origin(kind="submission", submitter="Ada", submission=first).submission.group
    'three-seeds'
    >>> Origin().kind
    'run'
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fusionbench.core.text import Digest, Plain


class SubmittedRow(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Which submission a result is of; written when it is accepted, since fusionbench.result/1.1.

    Attributes:
        id: sha256 over the content of the submission; never the author's to say.
        group, seed: the training runs that the submitter declares to be one row, and which of them this is.
        replaces: id of an earlier submission of the same submitter.
        confirmed: the maintainer said who handed it in, and it is the submitter of the record.
    """

    id: Digest
    group: Plain | None = None
    seed: int | None = None
    replaces: Digest | None = None
    confirmed: bool = False


class Origin(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``paper``: {title, url, table, row} for published rows. ``submission``: see :class:`SubmittedRow`."""

    kind: Literal["run", "submission", "paper"] = "run"
    paper: dict[str, str] | None = None
    submitter: str | None = None
    note: str = ""
    submission: SubmittedRow | msgspec.UnsetType = msgspec.UNSET
