"""What the kinds of submission that are a zip have in common: drafts, the check of an archive, scoring in a sandbox."""

from __future__ import annotations

import shutil
import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from fusionbench.core.environment import anonymous_command, describe_environment
from fusionbench.core.errors import FusionbenchError, Rejected, UsageError
from fusionbench.core.io import atomic_write, digest, file_sha256
from fusionbench.core.text import counted
from fusionbench.results.schema import Origin, Result, SubmittedRow
from fusionbench.submissions.archive import member_names, unpack
from fusionbench.submissions.kinds.base import PackRequest, Scoring, SubmissionKind, SubmissionReport
from fusionbench.submissions.look_alikes import name_problems, name_remarks
from fusionbench.submissions.round_scoring import SCORER
from fusionbench.submissions.rows import save_row

if TYPE_CHECKING:
    import numpy as np


class ArchiveRecord(Protocol):
    """What the record of every archive says: what tables call it, and who submits it."""

    @property
    def title(self) -> str: ...
    @property
    def submitter(self) -> str: ...


Record = TypeVar("Record", bound=ArchiveRecord)


class ArchiveKind(SubmissionKind, Generic[Record]):
    """A kind of submission that is a zip of ``submission.json`` and the files that it is about.

    Attributes:
        scorer: ``module:function``, called in the sandbox with the unpacked folder, the data, the suite ("" without
            one) and the folder for the result.
        in_rounds: whether it can be scored on views that its author has not seen.
    """

    suffix: ClassVar[str] = ".zip"
    scorer: ClassVar[str]
    in_rounds: ClassVar[bool] = False

    @abstractmethod
    def contents(self, names: list[str]) -> tuple[dict[str, int], bool]:
        """File -> most bytes of an archive with these names, all of which it must have; whether it has images, too."""

    @abstractmethod
    def write_draft(self, request: PackRequest, draft: Path) -> None:
        """Write an archive that was not checked yet.

        Raises:
            UsageError, DataError: there is nothing that can be submitted, or something was not said about it.
        """

    @abstractmethod
    def examine(self, folder: Path, data: Path | None, report: SubmissionReport) -> None:
        """Add to ``report`` what is wrong with an unpacked submission, its record, and what the record is about."""

    @abstractmethod
    def read(self, folder: Path) -> Record:
        """The record of an unpacked submission that passed the check."""

    def registered_model(self, record: Record) -> str | None:
        """The registered model whose weights are submitted; None where nobody here can know what made the files."""
        return None

    def weights_sha256(self, folder: Path) -> str | None:
        """Digest of the weights of an unpacked submission; None for a kind without weights."""
        return None

    def row(self, record: Record, submission_id: str, confirmed: bool) -> SubmittedRow:
        """What the record says about the row that it belongs to."""
        said = {name: getattr(record, name, None) for name in ("group", "seed", "replaces")}
        kept = {name: value for name, value in said.items() if isinstance(value, str | int)}
        return SubmittedRow(id=submission_id, confirmed=confirmed, **kept)  # type: ignore[arg-type]

    def declared(self, record: Record) -> dict[str, Any]:
        """What the author says that nobody measured, for readers of the result."""
        said = {name: getattr(record, name, None) for name in ("link", "note")}
        return {name: value for name, value in said.items() if value}

    def needs_suite(self, record: Record) -> bool:
        """Whether a suite has to say how a submission is scored."""
        return True

    def check_data(self, path: Path, record: Record, data: Path) -> None:
        """Compare the data that will be scored with those of the record.

        Raises:
            Rejected: they are others.
        """

    def pack(self, request: PackRequest) -> SubmissionReport:
        """Write the archive to ``request.out``; it passes the check or is not written."""
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "submission.zip"
            self.write_draft(request, draft)
            report = self.check(draft, request.data)
            if not report.ok:
                raise Rejected(f"{request.made}: cannot be submitted: {report.problems[0]}")
            with open(draft, "rb") as source, atomic_write(request.out) as stream:
                shutil.copyfileobj(source, stream)
        return report

    def check(self, path: Path, data: Path | None = None) -> SubmissionReport:
        """Check the archive, then its content in a temporary folder."""
        with tempfile.TemporaryDirectory() as folder:
            return self.unpack(path, Path(folder), data)

    def unpack(self, path: Path, folder: Path, data: Path | None) -> SubmissionReport:
        """Check a submission as :meth:`check` does; its files stay in ``folder``, which is there and empty."""
        limits, images = self.contents(member_names(path))
        report = SubmissionReport(str(path), unpack(path, limits, images, folder))
        if report.ok:
            report.id = content_id(folder)
            self.examine(folder, data, report)
        if report.ok:
            record = self.read(folder)
            model = self.registered_model(record)
            report.problems += name_problems(record.title, record.submitter, model)
            report.notes += name_remarks(record.title, model)
        return report

    def accept(self, path: Path, scoring: Scoring) -> Path:
        """Check the submission, score it in a child process with limits, and save the result with our status."""
        from fusionbench.submissions.sandbox import GIB, run_limited

        if scoring.data is None:
            raise UsageError(f"{path}: name the data set's folder, or the folder of pairs, with --data")
        with tempfile.TemporaryDirectory() as temporary:
            folder, out = Path(temporary) / "submission", Path(temporary) / "results"
            folder.mkdir()
            out.mkdir()
            scoring.check_suite()
            opened = scoring.opened_round
            if opened is not None and not self.in_rounds:
                raise Rejected(
                    f"{path}: round {opened.record.id} scores weights on views that nobody has seen; {self.title} are "
                    "of the public ones"
                )
            report = self.unpack(path, folder, scoring.data)
            if not report.ok:
                raise Rejected(
                    f"{path}: {counted(len(report.problems), 'problem')}: " + " | ".join(map(str, report.problems))
                )
            record = self.read(folder)
            if scoring.submitter not in (None, record.submitter):
                raise Rejected(
                    f"{path}: its record says that {record.submitter!r} submits it, not {scoring.submitter!r}; pack it "
                    "again with the right --submitter"
                )
            if scoring.suite is None and self.needs_suite(record):
                raise UsageError(f"{path}: name the suite whose protocol applies with --suite")
            self.check_data(path, record, scoring.data)
            arguments = (str(folder), scoring.data_place, scoring.suite_place, str(out))
            done = run_limited(
                self.scorer if opened is None else SCORER,
                arguments if opened is None else opened.arguments(*arguments),
                seconds=scoring.seconds,
                memory=scoring.memory * GIB,
                readable=[folder, *scoring.places, *([] if opened is None else opened.places)],
                writable=[out],
            )
            if not done.ok:
                raise Rejected(f"{path}: could not be scored: {done.message}")
            result, table = self._scored(path, out, self.weights_sha256(folder))
        result.title = record.title
        row = self.row(record, report.id, confirmed=scoring.submitter is not None)
        notes = "; ".join(report.notes)
        result.origin = Origin(kind="submission", submitter=record.submitter, note=notes, submission=row)
        result.declared = self.declared(record)
        if "training" in result.declared:  # hours that nobody measured here are no cost
            result.cost = result.cost | {"train_hours": None}
        result.provenance.pop("imported_weights", None)  # what the author declares is not what was measured
        # of this process, and not of the child; what limited the child is beside it
        here = {"command": anonymous_command(), "environment": describe_environment(), "process": dict(done.facts)}
        result.provenance |= here
        model = self.registered_model(record)
        return save_row(path, result, table, scoring.results, model, report.content, scoring.board)

    def _scored(self, path: Path, scored: Path, weights: str | None) -> tuple[Result, dict[str, np.ndarray]]:
        """What the child left in ``scored``, with our status; verified only if these weights made the numbers."""
        from fusionbench.results import schema

        try:
            if any(place.is_symlink() for place in scored.rglob("*")):  # the process is gone, nothing changes any more
                raise ValueError("a link among its files")
            (file,) = scored.glob("**/result.json")
            result, table = schema.load(file), schema.load_per_image(file)
        except (ValueError, FusionbenchError) as error:
            raise Rejected(f"{path}: scoring left no valid result: {error}") from error
        if self.status == "verified" and (weights is None or result.identity.model.weights_sha256 != weights):
            raise Rejected(f"{path}: scoring left no valid result: it is not of the weights that were submitted")
        result.status = self.status
        return result, table


def content_id(folder: Path) -> str:
    """The id of an unpacked submission: sha256 over names and sha256 of its files, however they were packed."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return digest({path.relative_to(folder).as_posix(): file_sha256(path) for path in files})
