"""Submissions: pack, check, accept. Nothing of a submission is ever executed.

A submission is of one of the kinds in :mod:`fusionbench.submissions.kinds`: weights of a registered model, which are
scored again, what any model predicted, or the numbers of a paper. The author and the maintainer run the same check,
offline and without a GPU; accepting scores the submission. The status of a result is assigned here and is not a field
of a submission.
"""

from __future__ import annotations

from pathlib import Path

from fusionbench.submissions.kinds import kind_of, kind_to_pack
from fusionbench.submissions.kinds.base import PackRequest, Scoring, SubmissionReport


def pack_submission(request: PackRequest) -> SubmissionReport:
    """Write a submission to ``request.out``; it passes :func:`check_submission` or is not written. The check's report.

    Raises:
        UsageError, DataError: there is nothing that can be submitted, or something was not said about it.
        Rejected: the submission would be refused; names the reason.
    """
    return kind_to_pack(request).pack(request)


def check_submission(path: Path, data: Path | None = None) -> SubmissionReport:
    """Everything that is wrong with a submission; with ``data``, predictions are compared with them as well.

    Raises:
        DataError: there is no such file.
    """
    return kind_of(path).check(path, data)


def accept_submission(path: Path, scoring: Scoring) -> Path:
    """Check a submission again, score it in a child process with limits, and save the result; its folder.

    Fused images of pairs need no suite; the data are then the folder of the pairs. Published numbers need neither; the
    folder of their first row is returned.

    Raises:
        Rejected: the check found problems, the data set is another one, or scoring failed or took too long.
        UsageError, DataError: the suite, the data set or the file is not there.
    """
    return kind_of(path).accept(path, scoring)
