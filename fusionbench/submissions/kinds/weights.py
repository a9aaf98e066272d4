"""Weights of a registered model as a submission: ``submission.json`` and ``weights.safetensors``, scored again here."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from fusionbench.core.errors import DataError, Problem, Rejected
from fusionbench.core.io import file_sha256
from fusionbench.core.progress import say
from fusionbench.core.text import Digest, Line, Link, Note, Plain
from fusionbench.results.schema import SubmittedRow
from fusionbench.submissions.archive import MAX_META, META, archive_entry, member_names, open_regular, write_record
from fusionbench.submissions.fingerprints import Content, weights_digest
from fusionbench.submissions.kinds.archives import ArchiveKind
from fusionbench.submissions.kinds.base import PackRequest, SubmissionReport
from fusionbench.training.run import Run, RunInfo, read_run

SCHEMA = "fusionbench.submission/1"
FILE = "weights.safetensors"
LIMITS = {META: MAX_META, FILE: 1 << 30}
MAX_HEADER = 1 << 20  # bytes of the header of a safetensors file


class Submission(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Content of ``submission.json``. ``run`` is the training run's own record.

    ``group``: runs of other seeds that are one row with this one. ``replaces``: id of an earlier submission. Both since
    fusionbench.submission/1.1, which is declared where there is one of them. A run of imported weights has no training
    record and declares fusionbench.submission/1.2, or 1.3 with a digest of them.
    """

    schema: Literal[
        "fusionbench.submission/1",
        "fusionbench.submission/1.1",
        "fusionbench.submission/1.2",
        "fusionbench.submission/1.3",
    ] = "fusionbench.submission/1"
    title: Line
    submitter: Line
    link: Link | None = None
    note: Note = ""
    weights_sha256: Digest
    run: RunInfo
    group: Plain | msgspec.UnsetType = msgspec.UNSET
    replaces: Digest | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.group, self.replaces) != (msgspec.UNSET, msgspec.UNSET):
            self.schema = "fusionbench.submission/1.1"
        if self.run.imported is not msgspec.UNSET:
            self.schema = "fusionbench.submission/1.3" if self.run.imported.revised else "fusionbench.submission/1.2"


class WeightsKind(ArchiveKind[Submission]):
    """A trained run of a registered model."""

    title: ClassVar[str] = "weights"
    status: ClassVar[Literal["verified", "scored", "published"]] = "verified"
    scorer: ClassVar[str] = "fusionbench.submissions.kinds.weights:score_weights_once"
    in_rounds: ClassVar[bool] = True

    def claims(self, path: Path) -> bool:
        """An archive with a file of weights."""
        return FILE in member_names(path)

    def packs(self, request: PackRequest) -> bool:
        """A run's folder, which knows its model and data set."""
        return request.model is None and request.data is None

    def contents(self, names: list[str]) -> tuple[dict[str, int], bool]:
        """Exactly the record and the weights."""
        return LIMITS, False

    def write_draft(self, request: PackRequest, draft: Path) -> None:
        """The record of a finished run, and its weights."""
        author = request.author
        run = read_run(request.made)
        weights = run.folder / FILE
        if not run.info.finished or not weights.is_file():
            raise DataError(f"{request.made}: training has not finished; run the same train command again to go on")
        if (imported := run.info.imported) is not msgspec.UNSET:
            whose = f"of the authors of {run.info.model} (licence: {imported.licence or 'not known'})"
            say(f"note: these weights are {whose}: submit them only where that lets you pass them on")
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            write_record(archive, Submission(weights_sha256=file_sha256(weights), run=run.info, **author))
            with archive.open(archive_entry(FILE), "w") as stream:
                stream.write(weights.read_bytes())

    def examine(self, folder: Path, data: Path | None, report: SubmissionReport) -> None:
        """Record, header of the weights, and whether both describe a finished run of a model of ours."""
        record = None
        try:
            record = self.read(folder)
        except DataError as error:
            report.problems.append(Problem(META, str(error), "make it again with `fusionbench pack`"))
        report.problems += header_problems(folder / FILE)
        if record is None:
            return
        report.submission = record
        imported = record.run.imported is not msgspec.UNSET
        of = "with imported weights" if imported else f"on {record.run.dataset_name}"
        report.about = f"{record.title}, {record.run.model} {of}"
        if report.ok:
            report.content = Content(kind="weights", exact=weights_digest(folder / FILE))
            report.problems += content_problems(record, folder / FILE)

    def read(self, folder: Path) -> Submission:
        """The record of an unpacked submission.

        Raises:
            DataError: not a record.
        """
        try:
            return msgspec.json.decode((folder / META).read_bytes(), type=Submission)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise DataError(f"not a {SCHEMA} record: {error}") from error

    def registered_model(self, record: Submission) -> str | None:
        """The model whose weights these are."""
        return record.run.model

    def weights_sha256(self, folder: Path) -> str | None:
        """Digest of the weights that were scored here."""
        return file_sha256(folder / FILE)

    def row(self, record: Submission, submission_id: str, confirmed: bool) -> SubmittedRow:
        """The seed is that of the run's record; imported weights have none."""
        row = super().row(record, submission_id, confirmed)
        if record.run.imported is not msgspec.UNSET:
            return row
        return msgspec.structs.replace(row, seed=record.run.seed)

    def declared(self, record: Submission) -> dict[str, Any]:
        """How the weights were trained, or where they were imported from, which nobody saw here."""
        if record.run.imported is not msgspec.UNSET:
            return super().declared(record) | record.run.provenance
        training = msgspec.to_builtins(record.run.identity())
        return super().declared(record) | {"training": training, "train_hours": record.run.seconds / 3600}

    def check_data(self, path: Path, record: Submission, data: Path) -> None:
        """The data set must be the one that the run was trained on; imported weights are scored on any."""
        if record.run.imported is not msgspec.UNSET:
            return
        from fusionbench.data.dataset import open_dataset

        ours, theirs = open_dataset(data).id, record.run.dataset_id
        if theirs != ours:
            raise Rejected(f"{path}: trained on data set {theirs[:12]}, this one is {ours[:12]}")


WEIGHTS = WeightsKind()


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    data_offsets: tuple[int, int]


def header_problems(path: Path) -> list[Problem]:
    """A safetensors file whose header is short, and whose tensors cover the rest of the file without gap or overlap."""
    remedy = "save the weights with safetensors; pickled weights are never read"
    with open_regular(path, "file of weights") as stream:
        size = os.fstat(stream.fileno()).st_size
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            return [Problem(FILE, "not a safetensors file", remedy)]
        header = stream.read(length)
    try:
        tensors = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        tensors.pop("__metadata__", None)
        spans = sorted(msgspec.json.decode(raw, type=_Tensor).data_offsets for raw in tensors.values())
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return [Problem(FILE, f"not a safetensors header: {error}", remedy)]
    at = 0
    for begin, end in spans:
        if begin != at or end < begin:
            return [Problem(FILE, "its tensors overlap or leave gaps", remedy)]
        at = end
    if at != size - 8 - length:
        return [Problem(FILE, "its tensors do not cover the file to its end", remedy)]
    return []


def content_problems(submission: Submission, weights: Path) -> list[Problem]:
    """Does the record describe a finished run of a model that we know, and do the weights fit it?"""
    from fusionbench.models import MODELS

    info, problems = submission.run, []
    if file_sha256(weights) != submission.weights_sha256:
        problems.append(Problem(FILE, "its sha256 is not the one of submission.json", "pack the run again"))
    if not info.finished:
        problems.append(Problem(META, "the run has not finished", "finish training and pack again"))
    if not MODELS.is_installed(info.model):  # a file of the author's own is known here, and to nobody who scores
        message = f"the model {info.model!r} is not registered"
        problems.append(Problem(META, message, "new models come with code, as a pull request"))
    elif MODELS.get(info.model).version != info.version:
        now = MODELS.get(info.model).version
        problems.append(Problem(META, f"version {info.version} of {info.model}, here {now}", "train with this version"))
    return problems or _load_problems(weights)


def _load_problems(weights: Path) -> list[Problem]:
    """Build the model and load the weights in a child process with limits: the parameters are not ours."""
    from fusionbench.submissions.sandbox import run_limited

    loads, folder = "fusionbench.submissions.kinds.weights:load_once", weights.parent
    done = run_limited(loads, [str(folder)], seconds=120, readable=[folder])
    return [] if done.ok else [Problem(FILE, done.message, "pack the run again with this version of fusionbench")]


def as_run(folder: Path) -> Run:
    """The unpacked submission in ``folder`` as a run; the origin of its code is ours to say, not the record's."""
    from fusionbench.models import MODELS

    submission = WEIGHTS.read(folder)
    submission.run.source = MODELS.origin(submission.run.model)
    return Run(folder, submission.run)


def load_once(folder: str) -> None:
    """In the child: build the model for its data set's shape and load the weights, strictly."""
    from fusionbench.data.recipes import load_recipe
    from fusionbench.models.published_weights import PUBLISHED_SPEC

    run = as_run(Path(folder))
    known = run.info.imported is msgspec.UNSET
    run.load_model(load_recipe(run.info.dataset_name).image_spec if known else PUBLISHED_SPEC)


def score_weights_once(folder: str, data: str, suite: str, out: str) -> None:
    """In the child: score the unpacked submission in ``folder`` as the suite says, into ``out``."""
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.evaluation.suites import load_suite

    rules = load_suite(suite)
    protocol = PROTOCOLS.get(rules.protocol.name)
    opened = protocol.open(data, rules.protocol, split=rules.split)
    protocol.evaluate(as_run(Path(folder)), opened, rules.protocol, out=out, device="cpu")
