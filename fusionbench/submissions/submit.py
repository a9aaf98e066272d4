"""Submissions: pack, check, accept. Nothing of a submission is ever executed.

A submission is a zip of ``submission.json`` and either ``weights.safetensors`` for a **registered** model, which are
scored again, or what a model of any kind predicted; see :mod:`fusionbench.submissions.predictions`. Numbers of papers
are a JSON without a zip; see :mod:`fusionbench.results.published`. The author and the maintainer run the same check,
offline and without a GPU; accepting scores the submission. The status of a result is assigned here and is not a field
of a submission.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from fusionbench.core.errors import DataError, FusionbenchError, Problem, Rejected, UsageError
from fusionbench.core.io import atomic_write, file_sha256
from fusionbench.core.text import Digest, Line, Link, Note
from fusionbench.results.published import Record, is_record, read_published
from fusionbench.submissions.archive import extract_all, inspect, names
from fusionbench.training.run import Run, RunInfo, read_run

if TYPE_CHECKING:
    from fusionbench.submissions.predictions import Predictions

SCHEMA = "fusionbench.submission/1"
META, WEIGHTS = "submission.json", "weights.safetensors"
LIMITS = {META: 64 << 10, WEIGHTS: 1 << 30}
SAMPLES, IMAGES = "predictions.h5", "images/"
SAMPLE_LIMITS = {META: 64 << 10, SAMPLES: (2 << 30) - (1 << 20)}
MAX_HEADER = 1 << 20  # bytes of the header of a safetensors file
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the same run gives the same archive


class Submission(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Content of ``submission.json``. ``run`` is the training run's own record."""

    schema: Literal["fusionbench.submission/1"] = "fusionbench.submission/1"
    title: Line
    submitter: Line
    link: Link | None = None
    note: Note = ""
    weights_sha256: Digest
    run: RunInfo


@dataclass
class Report:
    """What a check found. ``ok`` when there are no problems; ``notes`` are remarks that refuse nothing."""

    path: str
    problems: list[Problem] = field(default_factory=list)
    submission: Submission | Predictions | Record | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def about(self) -> str:
        """Title, model and data set in one line."""
        made = self.submission
        if isinstance(made, Submission):
            return f"{made.title}, {made.run.model} on {made.run.dataset_name}"
        if isinstance(made, Record):
            return f"{len(made.rows)} published rows on {made.dataset}: {made.paper.title}"
        return "" if made is None else f"{made.title}, predictions of {made.model} on {made.dataset}"

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        problems = [vars(problem) for problem in self.problems]
        facts = None if self.submission is None else msgspec.to_builtins(self.submission)
        return {"ok": self.ok, "file": self.path, "problems": problems, "notes": self.notes, "submission": facts}


def pack(run_folder: Path, out: Path, *, title: str, submitter: str, link: str | None = None, note: str = "") -> Path:
    """Write a submission of a finished run to ``out``; it passes :func:`check` or is not written.

    Raises:
        DataError: no finished run.
        Rejected: the submission would be refused; names the first reason.
    """
    run = read_run(run_folder)
    weights = run.folder / WEIGHTS
    if not run.info.finished or not weights.is_file():
        raise DataError(f"{run_folder}: training has not finished; run the same train command again to go on")
    made = Submission(
        title=title, submitter=submitter, link=link, note=note, weights_sha256=file_sha256(weights), run=run.info
    )
    meta = msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=1)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "submission.zip"
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member(META), meta)
            with archive.open(member(WEIGHTS), "w") as stream:
                stream.write(weights.read_bytes())
        _publish(run_folder, draft, out, None)
    return out


def pack_predictions(
    predictions: Path, out: Path, *, data: Path, model: str, title: str, submitter: str, link: str | None, note: str
) -> Report:
    """Write a submission of predictions (samples or PNG files) for the data set in ``data``; the check's report.

    Raises:
        DataError, UsageError: there is nothing that can be submitted.
        Rejected: the submission would be refused; names the first reason.
    """
    from fusionbench.submissions.prediction_scores import draft as write_draft

    words = {"model": model, "title": title, "submitter": submitter, "link": link, "note": note}
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "submission.zip"
        write_draft(predictions, data, draft, words)
        return _publish(predictions, draft, out, data)


def _publish(made_of: Path, draft: Path, out: Path, data: Path | None) -> Report:
    """Copy a draft to ``out`` when it passes the check."""
    report = check(draft, data=data)
    if not report.ok:
        raise Rejected(f"{made_of}: cannot be submitted: {report.problems[0]}")
    with open(draft, "rb") as source, atomic_write(out) as stream:
        shutil.copyfileobj(source, stream)
    return report


def member(name: str) -> zipfile.ZipInfo:
    """An archive's entry that is the same whenever and wherever it is made."""
    info = zipfile.ZipInfo(name, _FIXED_TIME)
    info.external_attr = 0o100644 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def check(path: Path, unpacked: Path | None = None, data: Path | None = None) -> Report:
    """Everything that is wrong with a submission; with ``unpacked``, an existing folder, its files stay there.

    With ``data``, the folder of the data set, predictions are held against it as well.

    Raises:
        DataError: there is no such file.
    """
    if is_record(path):
        record, problems = read_published(path)
        return Report(str(path), problems, record if not problems else None)
    held = names(path)
    weights = WEIGHTS in held or not any(name == SAMPLES or name.startswith(IMAGES) for name in held)
    pictures = not weights and SAMPLES not in held
    limits = LIMITS if weights else {META: LIMITS[META]} if pictures else SAMPLE_LIMITS
    report = Report(str(path), inspect(path, limits, pictures))
    if not report.ok:
        return report
    with tempfile.TemporaryDirectory() as temporary:
        folder = unpacked or Path(temporary)
        report.problems += extract_all(path, limits, folder)
        if report.ok and not weights:
            _check_predictions(report, folder, data)
        elif report.ok:
            meta = _read_meta(folder / META, report.problems)
            report.submission = meta
            report.problems += _header_problems(folder / WEIGHTS)
            if meta is not None and report.ok:
                report.problems += _content_problems(meta, folder / WEIGHTS)
    return report


def _check_predictions(report: Report, folder: Path, data: Path | None) -> None:
    """Let a child process with limits look at what strangers made; its findings join ``report``."""
    from fusionbench.submissions.predictions import FINDINGS, Findings, read_record
    from fusionbench.submissions.sandbox import run_limited

    place = "" if data is None else str(Path(data).resolve())
    done = run_limited("fusionbench.submissions.predictions:examine_once", [str(folder), place], seconds=900)
    if not done.ok:
        problem = Problem(Path(report.path).name, done.message, "make it again with `fusionbench pack`")
        report.problems.append(problem)
        return
    found = msgspec.json.decode((folder / FINDINGS).read_bytes(), type=Findings)
    report.problems += found.problems
    report.notes += found.notes
    if report.ok:
        report.submission = read_record(folder)


def _read_meta(path: Path, problems: list[Problem]) -> Submission | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Submission)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        problems.append(Problem(META, f"not a {SCHEMA} record: {error}", "make it again with `fusionbench pack`"))
        return None


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    data_offsets: tuple[int, int]


def _header_problems(path: Path) -> list[Problem]:
    """A safetensors file whose header is short, and whose tensors cover the rest of the file without gap or overlap."""
    remedy = "save the weights with safetensors; pickled weights are never read"
    size = path.stat().st_size
    with open(path, "rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            return [Problem(WEIGHTS, "not a safetensors file", remedy)]
        header = stream.read(length)
    try:
        tensors = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        tensors.pop("__metadata__", None)
        spans = sorted(msgspec.json.decode(raw, type=_Tensor).data_offsets for raw in tensors.values())
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return [Problem(WEIGHTS, f"not a safetensors header: {error}", remedy)]
    at = 0
    for begin, end in spans:
        if begin != at or end < begin:
            return [Problem(WEIGHTS, "its tensors overlap or leave gaps", remedy)]
        at = end
    if at != size - 8 - length:
        return [Problem(WEIGHTS, "its tensors do not cover the file to its end", remedy)]
    return []


def _content_problems(submission: Submission, weights: Path) -> list[Problem]:
    """Does the record describe a finished run of a model that we know, and do the weights fit it?"""
    from fusionbench.models import MODELS

    info, problems = submission.run, []
    if file_sha256(weights) != submission.weights_sha256:
        problems.append(Problem(WEIGHTS, "its sha256 is not the one of submission.json", "pack the run again"))
    if not info.finished:
        problems.append(Problem(META, "the run has not finished", "finish training and pack again"))
    if info.model not in MODELS.names():
        message = f"the model {info.model!r} is not registered"
        problems.append(Problem(META, message, "new models come with code, as a pull request"))
    elif MODELS.get(info.model).version != info.version:
        now = MODELS.get(info.model).version
        problems.append(Problem(META, f"version {info.version} of {info.model}, here {now}", "train with this version"))
    return problems or _load_problems(submission, weights)


def _load_problems(submission: Submission, weights: Path) -> list[Problem]:
    """Build the model and load the weights in a child process with limits, since parameters are a stranger's."""
    from fusionbench.submissions.sandbox import run_limited

    done = run_limited("fusionbench.submissions.submit:load_once", [str(weights.parent)], seconds=120)
    return [] if done.ok else [Problem(WEIGHTS, done.message, "pack the run again with this version of fusionbench")]


def as_run(folder: Path) -> Run:
    """The unpacked submission in ``folder`` as a run; the origin of its code is ours to say, not the record's."""
    from fusionbench.models import MODELS

    submission = msgspec.json.decode((folder / META).read_bytes(), type=Submission)
    submission.run.source = MODELS.origin(submission.run.model)
    return Run(folder, submission.run)


def load_once(folder: str) -> None:
    """In the child: build the model for its data set's shape and load the weights, strictly."""
    from fusionbench.data.recipes import load_recipe

    run = as_run(Path(folder))
    run.load_model(load_recipe(run.info.dataset_name).image_spec)


def score_once(folder: str, data: str, suite: str, out: str) -> None:
    """In the child: score the unpacked submission in ``folder`` as the suite says, into ``out``."""
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.evaluation.suites import load_suite

    rules = load_suite(suite)
    protocol = PROTOCOLS.get(rules.protocol.name)
    opened = protocol.open(data, rules.protocol, split=rules.split)
    protocol.evaluate(as_run(Path(folder)), opened, rules.protocol, out=out, device="cpu")


def accept(path: Path, *, data: Path | None, suite: str | None, results: Path, seconds: int = 3600) -> Path:
    """Check a submission again, score it in a child process with limits, and save the result; its folder.

    Pictures of pairs need no ``suite``; ``data`` is then the folder with the sources. Published numbers need neither;
    the folder of their first row is returned.

    Raises:
        Rejected: the check found problems, the data set is another one, or scoring failed or took too long.
        UsageError, DataError: the suite, the data set or the file is not there.
    """
    from fusionbench.results import published, schema
    from fusionbench.submissions.prediction_kinds import KINDS
    from fusionbench.submissions.sandbox import run_limited

    if is_record(path):
        return published.accept_record(path, results)[0]
    if data is None:
        raise UsageError(f"{path}: name the data set's folder, or the folder of pairs, with --data")
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary) / "submission", Path(temporary) / "results"
        folder.mkdir()
        if suite is not None:
            _check_suite(suite, data)
        report = check(path, folder, data)
        made = report.submission
        if not report.ok or made is None or isinstance(made, Record):
            raise Rejected(f"{path}: {len(report.problems)} problems: " + " | ".join(map(str, report.problems)))
        weights = isinstance(made, Submission)
        if suite is None and (isinstance(made, Submission) or KINDS[made.kind].needs_suite):
            raise UsageError(f"{path}: name the suite whose protocol applies with --suite")
        if isinstance(made, Submission):
            _check_dataset(path, made, data)
        function = f"fusionbench.submissions.{'submit' if weights else 'prediction_scores'}:score_once"
        place = str(Path(suite).resolve()) if suite and suite.endswith(".toml") else suite  # the child runs elsewhere
        arguments = [str(folder), str(Path(data).resolve()), place or "", str(out)]
        done = run_limited(function, arguments, seconds=seconds)
        if not done.ok:
            raise Rejected(f"{path}: could not be scored: {done.message}")
        try:
            (scored,) = out.glob("**/result.json")
            result, table = schema.load(scored), schema.load_per_image(scored)
        except (ValueError, FusionbenchError) as error:
            raise Rejected(f"{path}: scoring left no valid result: {error}") from error
        result.status = "verified" if weights else "scored"
        result.title = made.title
        note = "; ".join(report.notes)
        result.origin = schema.Origin(kind="submission", submitter=made.submitter, note=note)
        return schema.save(result, results, table)


def _check_suite(suite: str, data: Path) -> None:
    from fusionbench.data.dataset import open_dataset
    from fusionbench.evaluation.suites import load_suite

    rules, dataset = load_suite(suite), open_dataset(data)
    if dataset.name != rules.dataset:
        raise Rejected(f"{data}: is {dataset.name}, the suite {suite} is about {rules.dataset}")


def _check_dataset(path: Path, submission: Submission, data: Path) -> None:
    from fusionbench.data.dataset import open_dataset

    ours, theirs = open_dataset(data).id, submission.run.dataset_id
    if theirs != ours:
        raise Rejected(f"{path}: trained on data set {theirs[:12]}, this one is {ours[:12]}")
