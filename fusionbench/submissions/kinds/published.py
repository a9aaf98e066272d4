"""Numbers of a paper as a submission, shown and never ranked; see :mod:`fusionbench.results.published`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from fusionbench.core.errors import RejectedError
from fusionbench.core.text import counted
from fusionbench.results import published
from fusionbench.submissions.kinds.base import PackRequest, Scoring, SubmissionKind, SubmissionReport
from fusionbench.submissions.look_alikes import text_problems


class PublishedKind(SubmissionKind):
    """Numbers that a paper printed."""

    title: ClassVar[str] = "published numbers"
    suffix: ClassVar[str] = ".json"
    status: ClassVar[Literal["verified", "scored", "published"]] = "published"
    needs_data: ClassVar[bool] = False

    def claims(self, path: Path) -> bool:
        """By the suffix: every other submission is a zip."""
        return published.is_record(path)

    def packs(self, request: PackRequest) -> bool:
        """A table of numbers, by its suffix."""
        return published.is_record(request.made)

    def pack(self, request: PackRequest) -> SubmissionReport:
        """Write the record as JSON; who entered it and which paper it is are in the record itself."""
        report = self.check(request.made)
        if not report.ok:
            problems = " | ".join(map(str, report.problems))
            raise RejectedError(f"{request.made}: cannot be submitted: {problems}")
        published.pack(request.made, request.out)
        return report

    def check(self, path: Path, data: Path | None = None) -> SubmissionReport:
        """The problems of the record and of the names in it; no data are needed."""
        record, problems = published.read_published(path)
        if record is not None:
            names = {"entered_by": record.entered_by}
            names |= {f"title of row {number}": row.title for number, row in enumerate(record.rows, 1)}
            problems += text_problems(path.name, names)
        if record is None or problems:
            return SubmissionReport(str(path), problems)
        about = f"{len(record.rows)} published rows on {record.dataset}: {record.paper.title}"
        return SubmissionReport(str(path), [], record, about=about)

    def accept(self, path: Path, scoring: Scoring) -> Path:
        """Save every row as a result; the folder of the first one."""
        if problems := self.check(path).problems:
            raise RejectedError(f"{path}: {counted(len(problems), 'problem')}: " + " | ".join(map(str, problems)))
        return published.accept_record(path, scoring.results)[0]


PUBLISHED = PublishedKind()
