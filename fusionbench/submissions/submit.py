"""Submissions: pack, check, accept. Nothing of a submission is ever executed.

A submission is of one of the kinds in :mod:`fusionbench.submissions.kinds`: weights of a registered model, which are
scored again, what any model predicted, or the numbers of a paper. The author and the maintainer run the same check,
offline and without a GPU; accepting scores the submission. The status of a result is assigned here and is not a field
of a submission.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionbench.core.errors import DataError, FusionbenchError, Problem
from fusionbench.results.tracks import has_public_targets
from fusionbench.submissions.archive import copy_private
from fusionbench.submissions.fingerprints import Fingerprint, copy_problems, copy_remarks
from fusionbench.submissions.kinds import kind_of, kind_to_pack
from fusionbench.submissions.kinds.base import PackRequest, Scoring, SubmissionReport


def pack_submission(request: PackRequest) -> SubmissionReport:
    """Write a submission to ``request.out``; it passes :func:`check_submission` or is not written. The check's report.

    Raises:
        UsageError, DataError: there is nothing that can be submitted, or something was not said about it.
        Rejected: the submission would be refused; names the reason.
    """
    return kind_to_pack(request).pack(request)


def check_submission(path: Path, data: Path | None = None, results: Path | None = None) -> SubmissionReport:
    """Everything that is wrong with a submission; with ``data``, predictions are compared with them as well.

    Args:
        results: root of accepted results, whose fingerprints show whether somebody else submitted the same.

    Raises:
        DataError: there is no such file, or no such folder of results.
    """
    if results is not None and not results.is_dir():
        raise DataError(f"{results}: no such results folder")
    with _copied(path) as copy:
        report = kind_of(copy).check(copy, data)
    if results is not None and report.ok:
        _compare_with_accepted(report, results)
    report.path = str(path)
    return report


def accept_submission(path: Path, scoring: Scoring) -> Path:
    """Check a submission again, score it in a child process with limits, and save the result; its folder.

    Fused images of pairs need no suite; the data are then the folder of the pairs. Published numbers need neither; the
    folder of their first row is returned.

    Raises:
        Rejected: the check found problems, the data set is another one, or scoring failed or took too long.
        UsageError, DataError: the suite, the data set or the file is not there.
    """
    with _copied(path) as copy:
        return kind_of(copy).accept(copy, scoring)


def _compare_with_accepted(report: SubmissionReport, results: Path) -> None:
    """Add problems with a checked submission that was accepted before, and what is nearly another one."""
    record: Any = report.submission
    if report.content is None:
        return
    run = getattr(record, "run", None)
    dataset, dataset_id = (record.dataset, record.dataset_id) if run is None else (run.dataset_name, run.dataset_id)
    ours = Fingerprint(
        submission=report.id,
        submitter=record.submitter,
        title=record.title,
        dataset=dataset_id or "",
        content=report.content,
    )
    replaces = record.replaces if isinstance(record.replaces, str) else None
    of_pairs = not has_public_targets(getattr(record, "kind", ""))  # called like their protocol; weights have none
    found = copy_problems(ours, results, dataset, replaces, of_pairs=of_pairs)
    report.problems += [Problem("submission.json", line, "submit what you made yourself") for line in found]
    if not found:
        report.notes += copy_remarks(ours, results, dataset, replaces, of_pairs=of_pairs)


@contextlib.contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """A private copy of a submission, so that whoever can write where it lies changes nothing between two looks at it.

    Errors name the submission itself.
    """
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as folder:
        copy = copy_private(path, Path(folder))
        try:
            yield copy
        except FusionbenchError as error:
            error.args = tuple(str(word).replace(str(copy), str(path)) for word in error.args)
            raise


def __getattr__(name: str) -> Any:
    """The names of the first release, until version 0.3."""
    from fusionbench.core.deprecation import deprecated
    from fusionbench.submissions.kinds import weights

    former: dict[str, tuple[Any, str]] = {
        "pack": (_pack, "pack_submission"),
        "pack_predictions": (_pack_predictions, "pack_submission"),
        "check": (_check, "check_submission"),
        "accept": (_accept, "accept_submission"),
        "Report": (SubmissionReport, "SubmissionReport"),
        "Submission": (weights.Submission, "kinds.weights.Submission"),
    }
    if name not in former:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found, new = former[name]
    place = "fusionbench.submissions" if new.startswith("kinds.") else __name__
    deprecated(f"{__name__}.{name}", f"{place}.{new}", removed_in="0.3")
    return found


def _pack(run_folder: Path, out: Path, *, title: str, submitter: str, link: str | None = None, note: str = "") -> Path:
    pack_submission(PackRequest(run_folder, out, title, submitter, link, note))
    return out


def _pack_predictions(
    predictions: Path, out: Path, *, data: Path, model: str, title: str, submitter: str, link: str | None, note: str
) -> SubmissionReport:
    return pack_submission(PackRequest(predictions, out, title, submitter, link, note, model, data))


def _check(path: Path, unpacked: None = None, data: Path | None = None) -> SubmissionReport:
    return check_submission(path, data)


def _accept(path: Path, *, data: Path | None, suite: str | None, results: Path, seconds: int = 3600) -> Path:
    return accept_submission(path, Scoring(results, data, suite, seconds))
